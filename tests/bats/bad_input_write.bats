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

@test "a store that cannot copy parts: a file of which much was sent keeps its name, and nothing is lost" {
    no_part_copies 501:NotImplemented
    calls S3DLIO_PUT_PART_SIZE=5M <<'PY'
for name in ("/kept1", "/kept2"):
    fd = do.open(ROOT + name, O_WRONLY | O_CREAT | O_TRUNC)
    fill(fd, 60 << 20)
    do.rename(ROOT + name, ROOT + "/moved")
    do.write(fd, b"tail")
    do.close(fd)
PY
    local each='open: ok write: ok rename: ENOTSUP write: 4 close: ok'
    shown "$each $each"
    said | grep -q 'rename the file when it is closed'
    { head -c 62914560 /dev/zero | tr '\0' n && printf tail; } >"$NATIVE/long"
    whole kept1 long
    whole kept2 long
    absent moved
    unharmed
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

# ---- a store that takes nothing, or nothing more -------------------------------------------------
# Every kind of change, each of which has to fail with one of the errnos: in one request, by parts, in the
# middle of both, appended, published by fsync, and of names and metadata.
all_changes() {
    local errnos=$1 bad
    shift
    calls S3DLIO_PUT_PART_SIZE=5M "$@" <<'PY'
def changes(name, flags, change):
    fd = do.open(ROOT + name, flags)
    if fd is not None:
        change(fd)
        do.close(fd)

changes("/small", O_WRONLY | O_TRUNC, lambda fd: do.write(fd, b"new"))
changes("/large", O_WRONLY | O_TRUNC, lambda fd: fill(fd, 24 << 20))
changes("/new", O_WRONLY | O_CREAT | O_EXCL, lambda fd: do.write(fd, b"new"))
changes("/small", O_RDWR, lambda fd: do.pwrite(fd, b"new", 7))
changes("/large", O_RDWR, lambda fd: do.pwrite(fd, b"new", 7 << 20))
changes("/small", O_WRONLY | O_APPEND, lambda fd: do.write(fd, b"new"))
changes("/large", O_WRONLY | O_APPEND, lambda fd: do.write(fd, b"new"))
changes("/new", O_WRONLY | O_APPEND | O_CREAT, lambda fd: do.write(fd, b"new"))
changes("/small", O_RDWR, lambda fd: (do.pwrite(fd, b"new", 7), do.fsync(fd)))
do.truncate(ROOT + "/small", 7)
do.truncate(ROOT + "/large", 7 << 20)
do.rename(ROOT + "/small", ROOT + "/moved")
do.renameat2(ROOT + "/large", ROOT + "/moved", NOREPLACE)
do.rename(ROOT + "/text", ROOT + "/moved")
do.mkdir(ROOT + "/moved")
do.symlink("small", ROOT + "/moved")
do.chmod(ROOT + "/small", 0o600)
do.utime(ROOT + "/large", (1000, 1000))
do.setxattr(ROOT + "/small", "user.name", b"value")
PY
    # What may succeed: opening, and writing what is sent later only.
    bad=$(grep -vE "^(open: ok|p?write: [0-9]+)$" "$BATS_TEST_TMPDIR/out" | grep -vE ": ($errnos)$" || :)
    [[ -z $bad ]] || explain "neither of $errnos:" "$(<"$BATS_TEST_TMPDIR/out")"
    [[ $(grep -cE "^(write|close|fsync): ($errnos)$" "$BATS_TEST_TMPDIR/out") -ge 10 ]]
    [[ $(grep -cE "^(truncate|rename|renameat2|mkdir|symlink|chmod|utime|setxattr): ($errnos)$" \
        "$BATS_TEST_TMPDIR/out") -eq 10 ]] || explain "$(<"$BATS_TEST_TMPDIR/out")"
    fault
    absent new
    absent moved
    absent moved/
    unharmed
}

@test "credentials that may only read: EACCES everywhere, and everything is still there" {
    all_changes EACCES "${KEYS[@]}"
    said | grep -q 'check their policy'
    calls "${KEYS[@]}" <<'PY'
do.unlink(ROOT + "/small")
do.rmdir(ROOT + "/text")
PY
    shown 'unlink: EACCES rmdir: ENOTEMPTY'
    told 'DeleteObject.*AccessDenied'
    refuse 1 'Permission denied' "${KEYS[@]}" rm -r "$VIRTUAL/many"
    [[ $(shim ls "$VIRTUAL/many" | wc -l) -eq 120 ]]
    unharmed
}

@test "a full store, a quota, an object that it finds too large: ENOSPC, EDQUOT, EFBIG, and what to do" {
    local answer errnum advice
    while read -r answer errnum advice; do
        fault "op=[PUC]* action=status:$answer"
        all_changes "$errnum"
        said | grep -q "$advice" || explain "does not say '$advice':" "$(said)"
    done <<'EOT'
507:XMinioStorageFull ENOSPC free space at the store
507 ENOSPC free space at the store
403:QuotaExceeded EDQUOT raise the quota
400:QuotaExceeded EDQUOT raise the quota
400:XMinioAdminBucketQuotaExceeded EDQUOT raise the bucket's quota
400:EntityTooLarge EFBIG split the object
EOT
}

@test "a store that is overloaded for ever: EIO in bounded time, and what to do" {
    fault 'op=[PUC]* action=status:503:SlowDown'
    local start=$SECONDS
    all_changes 'EIO|EBUSY' S3DLIO_OPERATION_TIMEOUT_SECS=3
    [[ $((SECONDS - start)) -le 60 ]]
    said | grep -q 'S3DLIO_PUT_INFLIGHT lower'
}

@test "a store that fills up in the middle of an upload: ENOSPC, the upload is gone, the old object whole" {
    fault 'op=UploadPart nth=3 count=1000000 action=status:507:XMinioStorageFull'
    refuse 1 'No space left' S3DLIO_PUT_PART_SIZE=5M S3DLIO_RETRY_MAX=1 \
        dd if=/dev/zero "of=$VIRTUAL/large" bs=1M count=40
    told 'UploadPart .*free space at the store'
    fault
    unharmed
}

@test "a part that fails however often it is sent: the error of the write or the close" {
    local action
    for action in status:500:InternalError reset corrupt@100 status:400:BadDigest; do
        fault "op=UploadPart nth=2 count=1000000 action=$action"
        calls S3DLIO_PUT_PART_SIZE=5M S3DLIO_RETRY_MAX=2 <<'PY'
for flags in (O_WRONLY | O_TRUNC, O_WRONLY | O_APPEND):
    fd = do.open(ROOT + "/large", flags)
    fill(fd, 16 << 20)
    do.close(fd)
PY
        grep -qE '^close: (EIO|ECONNRESET|EPIPE)$' "$BATS_TEST_TMPDIR/out" || explain "$(<"$BATS_TEST_TMPDIR/out")"
        [[ $(grep -cE '^close: (EIO|ECONNRESET|EPIPE)$' "$BATS_TEST_TMPDIR/out") -eq 2 ]]
        said | grep -q 'UploadPart ' || explain "$(<"$BATS_TEST_TMPDIR/err")"
        fault
        unharmed
    done
}

# ---- an object that others hold, or have changed -------------------------------------------------
@test "an object that is locked: EACCES or EBUSY, and everything is still there" {
    local answer
    for answer in 403:AccessDenied 403:ObjectLocked; do
        fault "op=[PUCD]* action=status:$answer"
        all_changes EACCES
        fault "op=[PUCD]* action=status:$answer"
        refuse 1 'Permission denied' rm "$VIRTUAL/small"
        fault
    done
    fault 'op=[PUCD]* action=status:409:OperationAborted'
    all_changes EBUSY S3DLIO_OPERATION_TIMEOUT_SECS=3
    said | grep -q 'being changed by another request'
}

# foreign NAME [TEXT]: in Python, what another machine does to the object: another content, or none.
FOREIGN='
import subprocess
def foreign(name, text=None):
    change = ["tee", ROOT + name] if text else ["rm", ROOT + name]
    subprocess.run(change, input=text, check=True, stdout=subprocess.DEVNULL,
                   env={**os.environ, "XDG_RUNTIME_DIR": os.environ["OTHER_MACHINE"]})
'

# meanwhile: the program on stdin, on an object that `foreign` changes in between.
meanwhile() {
    mkdir -p -m 700 "$BATS_TEST_TMPDIR/other"
    { echo "$FOREIGN" && cat; } >"$BATS_TEST_TMPDIR/with-foreign"
    calls "OTHER_MACHINE=$BATS_TEST_TMPDIR/other" "$@" <"$BATS_TEST_TMPDIR/with-foreign"
}

@test "replaced while it is changed: ESTALE at close, and the other content stays" {
    printf foreign >"$NATIVE/foreign"
    local name
    for name in small large; do
        meanwhile "NAME=$name" <<'PY'
fd = do.open(ROOT + "/" + os.environ["NAME"], O_RDWR)
do.pwrite(fd, b"mine", 7)
foreign("/" + os.environ["NAME"], b"foreign")
do.close(fd)
PY
        shown 'open: ok pwrite: 4 close: ESTALE'
        told 'changed meanwhile.*open it again'
        whole "$name" foreign
    done
    no_uploads
}

@test "replaced while it is mapped, or between two fsyncs: ESTALE from msync and fsync" {
    printf foreign >"$NATIVE/foreign"
    meanwhile <<'PY'
fd = do.open(ROOT + "/small", O_RDWR)
mapping = do.mmap(fd, 3000)
mapping[0:4] = b"mine"
foreign("/small", b"foreign")
do.msync(mapping)
mapping.close()
do.close(fd)
PY
    shown 'open: ok mmap: ok msync: ESTALE close: ESTALE'
    told 'changed meanwhile'
    whole small foreign
    meanwhile <<'PY'
fd = do.open(ROOT + "/large", O_RDWR)
do.pwrite(fd, b"mine", 7)
do.fsync(fd)
foreign("/large", b"foreign")
do.pwrite(fd, b"mine", 70)
do.fsync(fd)
do.close(fd)
PY
    shown 'open: ok pwrite: 4 fsync: ok pwrite: 4 fsync: ESTALE close: ESTALE'
    whole large foreign
    no_uploads
}

@test "removed while it is changed: ESTALE, and it stays removed" {
    meanwhile <<'PY'
for name in ("/small", "/large"):
    fd = do.open(ROOT + name, O_RDWR)
    do.pwrite(fd, b"mine", 7)
    foreign(name)
    do.close(fd)
PY
    shown 'open: ok pwrite: 4 close: ESTALE open: ok pwrite: 4 close: ESTALE'
    told 'changed meanwhile'
    absent small
    absent large
    no_uploads
}

@test "made by another while it is made with O_EXCL: EEXIST at close, and the other content stays" {
    printf foreign >"$NATIVE/foreign"
    meanwhile S3DLIO_PUT_PART_SIZE=5M <<'PY'
for name, length in (("/one", 10), ("/parts", 12 << 20)):
    fd = do.open(ROOT + name, O_WRONLY | O_CREAT | O_EXCL)
    fill(fd, length)
    foreign(name, b"foreign")
    do.close(fd)
PY
    shown 'open: ok write: ok close: EEXIST open: ok write: ok close: EEXIST'
    whole one foreign
    whole parts foreign
    no_uploads
}

@test "replaced while it is appended to: what is appended comes behind the other content" {
    printf foreigntail >"$NATIVE/foreign"
    meanwhile <<'PY'
for name in ("/small", "/large"):
    fd = do.open(ROOT + name, O_WRONLY | O_APPEND)
    do.write(fd, b"tail")
    foreign(name, b"foreign")
    do.close(fd)
PY
    shown 'open: ok write: 4 close: ok open: ok write: 4 close: ok'
    untold
    whole small foreign
    whole large foreign
    no_uploads
}

# ---- a clock that is wrong -----------------------------------------------------------------------
@test "a server's clock an hour off: one refusal, one line, and all writes are stored" {
    local offset
    for offset in 3600 -3600; do
        setup
        admin "clock?offset_s=$offset" -X PUT
        admin log -X DELETE
        calls S3DLIO_PUT_PART_SIZE=5M <<'PY'
fd = do.open(ROOT + "/new", O_WRONLY | O_CREAT | O_TRUNC)
fill(fd, 24 << 20)
do.close(fd)
fd = do.open(ROOT + "/small", O_RDWR)
do.pwrite(fd, b"changed", 0)
do.fsync(fd)
do.close(fd)
fd = do.open(ROOT + "/large", O_WRONLY | O_APPEND)
do.write(fd, b"tail")
do.close(fd)
do.rename(ROOT + "/new", ROOT + "/moved")
do.chmod(ROOT + "/moved", 0o600)
do.unlink(ROOT + "/moved")
PY
        shown 'open: ok write: ok close: ok open: ok pwrite: 7 fsync: ok close: ok open: ok write: 4 close: ok '\
'rename: ok chmod: ok unlink: ok'
        told 'clock differs'
        [[ $(admin log | awk '$5 == 403' | wc -l) -eq 1 ]] || explain "$(admin log)"
        admin "clock?offset_s=0" -X PUT
        [[ $(shim head -c 7 "$VIRTUAL/small") == changed ]]
        [[ $(shim tail -c 4 "$VIRTUAL/large") == tail ]]
        no_uploads
    done
}

@test "a clock that is wrong when only puts are sent: each stream is stored" {
    admin "clock?offset_s=3600" -X PUT
    shim sh -c "for n in 1 2 3; do head -c 100000 /dev/zero >$VIRTUAL/clock\$n; done" 2>"$BATS_TEST_TMPDIR/err"
    admin "clock?offset_s=0" -X PUT
    [[ $(shim sh -c "cat $VIRTUAL/clock[123]" | wc -c) -eq 300000 ]]
}

# ---- values of options ---------------------------------------------------------------------------
@test "values that writing cannot use are named, with what is accepted, and the default counts" {
    local setting accepted
    while read -r setting accepted; do
        refuse 0 "${setting%%=*}.*$accepted" "$setting" cp "$NATIVE/small" "$VIRTUAL/copy"
        told "${setting%%=*}"
        whole copy small
        shim rm "$VIRTUAL/copy"
    done <<'EOT'
S3DLIO_PUT_PART_SIZE=6G 0.*5G
S3DLIO_PUT_PART_SIZE=-1 0.*5G
S3DLIO_PUT_PART_SIZE=8X 0.*5G
S3DLIO_MIN_PART_SIZE=1M 5M.*5G
S3DLIO_PUT_INFLIGHT=-1 auto.*1.*256
S3DLIO_PUT_INFLIGHT=300 1.*256
S3DLIO_PUT_INFLIGHT=many 1.*256
S3DLIO_NETWORK_SPEED_GBPS=fast 0.001.*10000
S3DLIO_FSYNC=sometimes publish.*flush.*ignore
S3DLIO_METADATA=perhaps store.*ignore.*refuse
S3DLIO_KEEP_PARTS=tape memory.*spool
S3DLIO_SPOOL_LIMIT=all 0.*64T
S3DLIO_ABORT_UPLOADS_AFTER=soon 0.*315360000s
S3DLIO_MEMORY_BUDGET=lots 0.*64T
S3DLIO_RETRY_MAX=-1 0.*100
EOT
}

@test "parts of a size that the store does not take are made larger" {
    shim S3DLIO_PUT_PART_SIZE=1 cp "$NATIVE/large" "$VIRTUAL/copy"
    whole copy large
    no_uploads
}
