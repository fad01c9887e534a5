#!/usr/bin/env bats
# Writing under hostile conditions: the errno at the call that it belongs to, one line that says what to
# do, the old object whole, and no upload left.

load lib/shim
load lib/data

KEYS=(AWS_ACCESS_KEY_ID=READERKEY AWS_SECRET_ACCESS_KEY=readersecret)

setup_file() {
    start_server bundled --key READERKEY:readersecret::readonly
    make_plain_data
    add_data
}

setup() {
    fault
    head -c 3000 "$NATIVE/big.bin" >"$NATIVE/small"
    cp "$NATIVE/big.bin" "$NATIVE/large"
    shim cp "$NATIVE/small" "$NATIVE/large" "$VIRTUAL/"
    admin log -X DELETE
}

teardown() {
    fault
    admin "clock?offset_s=0" -X PUT
    if [[ -d $BATS_TEST_TMPDIR/spool ]]; then umount "$BATS_TEST_TMPDIR/spool" 2>/dev/null || :; fi
}

# calls [NAME=VALUE...]: the Python program on stdin under the shim; see lib/calls.py.
calls() {
    cat >"$BATS_TEST_TMPDIR/program"
    shim S3DLIO_RETRY_MAX=1 S3DLIO_RETRY_BASE_MS=1 S3DLIO_OPERATION_TIMEOUT_SECS=20 "$@" \
        python3 "$REPO/tests/bats/lib/calls.py" "$VIRTUAL" <"$BATS_TEST_TMPDIR/program" \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" ||
        explain "the program failed:" "$(<"$BATS_TEST_TMPDIR/out")" "$(<"$BATS_TEST_TMPDIR/err")"
}

# shown TEXT: how the calls ended, blanks and ends of lines alike.
shown() {
    local got
    got=$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/out")
    [[ $got == "$1 " ]] || explain "expected: $1" "got:      $got" "$(<"$BATS_TEST_TMPDIR/err")"
}

# told PATTERN: one line of ours, which matches.
told() {
    local count
    count=$(said | wc -l)
    [[ $count -eq 1 ]] || explain "$count lines instead of one:" "$(<"$BATS_TEST_TMPDIR/err")"
    said | grep -qE -- "$1" || explain "does not say '$1':" "$(said)"
}

untold() { [[ -z $(said) ]] || explain "says something:" "$(said)"; }

# whole NAME [FILE]: the object is what the file of NATIVE is, as another process sees it.
whole() {
    shim cmp "$VIRTUAL/$1" "$NATIVE/${2:-$1}"
}

absent() {
    [[ -z $(admin state | grep " x/$1 ") ]] || explain "$1 is there: $(admin state | grep " x/$1 ")"
}

no_uploads() {
    [[ -z $(admin state | grep '^upload') ]] || explain "uploads are left:" "$(admin state | grep '^upload')"
}

# The objects that `setup` made are as they were, and nothing is on its way.
unharmed() {
    whole small
    whole large
    no_uploads
}

# ---- no room in the spool ------------------------------------------------------------------------
# Room for 1 MiB: what does not fit is refused by the call that wanted it, what was written before is
# published, and other files are written as ever.
spool_is_full() {
    calls "$@" <<'PY'
fd = do.open(ROOT + "/large", O_RDWR)
do.posix_fallocate(fd, 12000003, 2 << 20)
do.ftruncate(fd, 16 << 20)
do.mmap(fd, 16 << 20)
do.ftruncate(fd, 12000003)
do.pwrite(fd, b"n" * (1 << 20), 0)
do.pwrite(fd, b"n" * (1 << 20), 1 << 20)
do.pread(fd, 1, 0)
do.close(fd)
fd = do.open(ROOT + "/other", O_RDWR | O_CREAT)
do.pwrite(fd, b"fits", 0)
do.close(fd)
PY
    shown "open: ok posix_fallocate: ENOSPC ftruncate: ok mmap: ENOSPC ftruncate: ok pwrite: 1048576 \
pwrite: ENOSPC pread: b'n' close: ok open: ok pwrite: 4 close: ok"
    told 'S3DLIO_SPOOL_DIR.*S3DLIO_SPOOL_LIMIT'
    { head -c 1048576 /dev/zero | tr '\0' n && tail -c +1048577 "$NATIVE/large"; } >"$NATIVE/changed"
    whole large changed
    [[ $(shim cat "$VIRTUAL/other") == fits ]]
    whole small
    no_uploads
}

# A disk of 1 MiB.
small_disk() {
    mkdir "$BATS_TEST_TMPDIR/spool"
    mount -t tmpfs -o size=1m none "$BATS_TEST_TMPDIR/spool" 2>/dev/null || skip "mounting is not permitted here"
}

@test "a spool at its limit: ENOSPC from fallocate, mmap and write, and all else goes on" {
    spool_is_full S3DLIO_SPOOL_LIMIT=1M
}

@test "a spool on a full disk: the same" {
    small_disk
    spool_is_full "S3DLIO_SPOOL_DIR=$BATS_TEST_TMPDIR/spool"
}

@test "holes are published although the spool's disk is full" {
    small_disk
    calls "S3DLIO_SPOOL_DIR=$BATS_TEST_TMPDIR/spool" <<'PY'
fd = do.open(ROOT + "/sparse", O_RDWR | O_CREAT)
do.pwrite(fd, b"n" * (1 << 20), 4096)
do.pwrite(fd, b"n", 2 << 20)
do.ftruncate(fd, 40 << 20)
do.close(fd)
PY
    shown 'open: ok pwrite: 1048576 pwrite: ENOSPC ftruncate: ok close: ok'
    { head -c 4096 /dev/zero && head -c 1048576 /dev/zero | tr '\0' n; } >"$NATIVE/sparse"
    truncate -s 40M "$NATIVE/sparse"
    whole sparse
    unharmed
}

@test "a stream without memory and without a spool: ENOSPC, and the old object is whole" {
    refuse 1 "error writing '$VIRTUAL/large': No space left on device" S3DLIO_SPOOL_LIMIT=1M \
        S3DLIO_MEMORY_BUDGET=1M dd if="$NATIVE/big.bin" "of=$VIRTUAL/large" bs=1M
    told 'S3DLIO_SPOOL_LIMIT'
    unharmed
}

@test "a spool folder that is a file, is missing, is relative, is in a bucket: EIO, and the option is named" {
    local folder
    for folder in "$NATIVE/small" /nonexistent/folder relative/folder "$VIRTUAL/text"; do
        calls "S3DLIO_SPOOL_DIR=$folder" <<'PY'
do.open(ROOT + "/small", O_RDWR)
fd = do.open(ROOT + "/stream", O_WRONLY | O_CREAT | O_TRUNC)
do.write(fd, b"needs none")
do.close(fd)
PY
        shown 'open: EIO open: ok write: 10 close: ok'
        told "$folder.*S3DLIO_SPOOL_DIR"
    done
    unharmed
}

@test "a spool folder that nobody may write to: EIO, and the option is named" {
    refuse ! 'Input/output error' S3DLIO_SPOOL_DIR=/sys truncate -s 10 "$VIRTUAL/small"
    told '/sys: .*S3DLIO_SPOOL_DIR'
    unharmed
}

@test "a TMPDIR in a bucket is not where staged files go" {
    calls "TMPDIR=$VIRTUAL/text" <<'PY'
fd = do.open(ROOT + "/draft", O_RDWR | O_CREAT)
do.pwrite(fd, b"b", 1)
do.pwrite(fd, b"a", 0)
do.close(fd)
PY
    shown 'open: ok pwrite: 1 pwrite: 1 close: ok'
    untold
    [[ $(shim cat "$VIRTUAL/draft") == ab ]]
}

# ---- stores that cannot do everything ------------------------------------------------------------
# Each of the ways in which something may stand for what the store lacks, twice, and then what is there.
every_way() {
    calls S3DLIO_PUT_PART_SIZE=5M <<'PY'
for n in range(2):
    fd = do.open(ROOT + "/large", O_WRONLY | O_APPEND)
    do.write(fd, b"tail")
    do.close(fd)
    fd = do.open(ROOT + "/large", O_RDWR)
    do.pwrite(fd, b"MIDDLE", 6 << 20)
    do.close(fd)
    fd = do.open(ROOT + "/small", O_WRONLY | O_APPEND)
    do.write(fd, b"tail")
    do.close(fd)
    fd = do.open(ROOT + "/small", O_RDWR)
    do.pwrite(fd, b"MIDDLE", 1000)
    do.close(fd)
do.renameat2(ROOT + "/large", ROOT + "/moved", NOREPLACE)
do.renameat2(ROOT + "/small", ROOT + "/moved", NOREPLACE)
do.rename(ROOT + "/moved", ROOT + "/large")
do.chmod(ROOT + "/large", 0o600)
do.chmod(ROOT + "/small", 0o600)
fd = do.open(ROOT + "/fresh", O_WRONLY | O_CREAT | O_EXCL)
do.write(fd, b"fresh")
do.close(fd)
do.open(ROOT + "/fresh", O_WRONLY | O_CREAT | O_EXCL)
do.mkdir(ROOT + "/directory")
do.mkdir(ROOT + "/directory")
do.symlink("fresh", ROOT + "/link")
do.symlink("fresh", ROOT + "/link")
PY
    local round='open: ok write: 4 close: ok open: ok pwrite: 6 close: ok'
    shown "$round $round $round $round renameat2: ok renameat2: EEXIST rename: ok chmod: ok chmod: ok \
open: ok write: 5 close: ok open: EEXIST mkdir: ok mkdir: EEXIST symlink: ok symlink: EEXIST"
    local name at
    for name in large small; do
        at=$([[ $name == large ]] && echo 6291456 || echo 1000)
        { head -c "$at" "$NATIVE/$name" && printf MIDDLE && tail -c +$((at + 7)) "$NATIVE/$name" && printf tailtail; } \
            >"$NATIVE/$name.changed"
        whole "$name" "$name.changed"
    done
    [[ $(shim stat -c %a "$VIRTUAL/large" "$VIRTUAL/small") == $'600\n600' ]]
    [[ $(shim cat "$VIRTUAL/link") == fresh ]]
    no_uploads
    shim rm -r "$VIRTUAL"/{large,small,fresh,link,directory}
}

no_part_copies() { fault "op=UploadPartCopy action=status:$1"; }

no_conditions() {
    local operation header
    for operation in PutObject CompleteMultipartUpload; do
        for header in if-match if-none-match; do fault "op=$operation with=$header action=status:$1"; done
    done
}

@test "a store that cannot copy parts: all is done by sending, and said once" {
    local answer
    for answer in 501:NotImplemented 400:InvalidRequest 405:MethodNotAllowed; do
        fault
        setup
        no_part_copies "$answer"
        every_way
        told 'cannot copy parts'
        [[ $(requests UploadPartCopy) -gt 0 ]]
    done
}

@test "a store without conditional puts: all is done after a look, and said once" {
    local answer
    for answer in 501:NotImplemented 400:InvalidArgument; do
        fault
        setup
        no_conditions "$answer"
        every_way
        told 'no conditional puts'
    done
}

@test "a store that can do neither: two lines" {
    no_part_copies 501:NotImplemented
    no_conditions 501:NotImplemented
    every_way
    [[ $(said | wc -l) -eq 2 ]] || explain "$(said)"
}

@test "a store without conditional puts: what others append at the same time is not lost" {
    no_conditions 501:NotImplemented
    shim rm -f "$VIRTUAL/log"
    seq 30 | shim xargs -P6 -n1 sh -c "echo line \$0 >>$VIRTUAL/log" 2>"$BATS_TEST_TMPDIR/err"
    fault
    [[ $(shim sort -V "$VIRTUAL/log") == "$(seq -f 'line %g' 30)" ]] || explain "$(shim cat "$VIRTUAL/log")"
}
