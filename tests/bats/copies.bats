#!/usr/bin/env bats
# Copies inside a bucket: the store makes them. What a program sees is compared with a local folder, what
# it costs is counted at the server.

load lib/shim
load lib/data

setup_file() {
    start_server
    mkdir -p "$NATIVE/tree/sub"
    random_file "$NATIVE/large.bin" 60000000
    random_file "$NATIVE/small.bin" 3000
    : >"$NATIVE/empty"
    local n
    for n in $(seq -w 1 50); do
        echo "file $n" >"$NATIVE/tree/f$n"
        echo "deeper $n" >"$NATIVE/tree/sub/f$n"
    done
    add_data
}

teardown_file() { stop_server; }

# Requests and body bytes of an operation ("-": all) since `counted` was called.
spent() {
    admin stats | python3 -c 'import json, sys
operations = json.load(sys.stdin)["operations"]
rows = [row for name, row in operations.items() if sys.argv[1] in (name, "-")]
print(sum(row[sys.argv[2]] for row in rows))' "$@"
}

# counted COMMAND...: runs it under the shim with fresh counters.
counted() {
    admin stats/reset -X POST >"$BATS_TEST_TMPDIR/reset"
    shim "$@"
}

# by_the_store FILES [ATTRIBUTES]: so many copies, and changes of attributes, which are copies in place, too.
# Nothing is sent; of each source no more is fetched than what its open brings.
by_the_store() {
    [[ $(spent CopyObject requests) -eq $(($1 + ${2:-0})) ]] || explain "$(admin stats)"
    [[ $(spent PutObject bytes_in) -eq 0 && $(spent UploadPart requests) -eq 0 ]] ||
        explain "bytes were sent" "$(admin stats)"
    [[ $(spent GetObject requests) -le $1 && $(spent GetObject bytes_out) -le $(($1 * 262144)) ]] ||
        explain "bytes were fetched" "$(admin stats)"
}

# is_copy NAME OF: the object has the bytes of the local file.
is_copy() { shim cmp "$NATIVE/$2" "$VIRTUAL/$1"; }

@test "preadv: neighbours are one request, and no more bytes than were asked for" {
    counted python3 -c 'import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
for at in 30000000, 10000000, 50000000, 20000000:
    parts = [bytearray(100000) for _ in range(8)]
    assert os.preadv(fd, parts, at) == 800000
    with open(sys.argv[2], "rb") as disk:
        disk.seek(at)
        assert b"".join(parts) == disk.read(800000)
os._exit(0)' "$VIRTUAL/large.bin" "$NATIVE/large.bin"
    [[ $(spent GetObject requests) -le 6 && $(spent GetObject bytes_out) -le 4000000 ]] || explain "$(admin stats)"
}

@test "cp of a large file: one copy request, nothing sent" {
    counted cp "$VIRTUAL/large.bin" "$VIRTUAL/large.copy"
    by_the_store 1
    [[ $(spent - requests) -le 5 ]] || explain "$(admin log)"
    is_copy large.copy large.bin
    counted cp "$VIRTUAL/large.bin" "$VIRTUAL/small.over"
    counted cp "$VIRTUAL/small.bin" "$VIRTUAL/small.over"
    by_the_store 1
    is_copy small.over small.bin
}

@test "cp of small and empty files" {
    counted cp "$VIRTUAL/small.bin" "$VIRTUAL/small.copy"
    by_the_store 1
    is_copy small.copy small.bin
    shim cp "$VIRTUAL/empty" "$VIRTUAL/empty.copy"
    is_copy empty.copy empty
}

@test "cp -r and cp -a of a tree: one copy for each file" {
    counted cp -r "$VIRTUAL/tree" "$VIRTUAL/tree-r"
    by_the_store 100
    [[ $(spent - requests) -le 230 ]] || explain "$(spent - requests) requests"
    shim diff -r "$NATIVE/tree" "$VIRTUAL/tree-r"
    shim chmod 750 "$VIRTUAL/tree-r/sub"
    counted cp -r --preserve=mode "$VIRTUAL/tree-r" "$VIRTUAL/tree-m"
    by_the_store 100 1 # of the directory
    [[ $(shim stat -c %a "$VIRTUAL/tree-m/sub") == 750 ]]
    shim cp -a "$VIRTUAL/tree" "$VIRTUAL/tree-a"
    [[ $(shim stat -c %Y "$VIRTUAL/tree-a/f01") -eq $(shim stat -c %Y "$VIRTUAL/tree/f01") ]]
    shim diff -r "$NATIVE/tree" "$VIRTUAL/tree-a"
}

@test "cp --reflink=always and never" {
    counted cp --reflink=always "$VIRTUAL/large.bin" "$VIRTUAL/large.clone"
    by_the_store 1
    is_copy large.clone large.bin
    counted cp --reflink=never "$VIRTUAL/small.bin" "$VIRTUAL/small.bytes"
    is_copy small.bytes small.bin
}

@test "mode, owner and time of a copy are a new file's, or kept where asked" {
    same 'umask 027; cp {}/small.bin {}/new && chmod 600 {}/new && cp {}/new {}/new2 && stat -c "%a %s" {}/new2
          chmod 755 {}/new; cp {}/new {}/new3 && stat -c %a {}/new3
          touch -d @1000 {}/new; cp -p {}/new {}/new4 && stat -c "%a %Y" {}/new4
          cp {}/new {}/new5; [ {}/new5 -nt {}/new ] && echo newer; rm {}/new?'
}

@test "install" {
    counted install -m 640 "$VIRTUAL/large.bin" "$VIRTUAL/installed"
    by_the_store 1 1 # the mode is set by name, after the close
    is_copy installed large.bin
    same 'install -m 751 {}/small.bin {}/i && stat -c "%a %s" {}/i && cmp {}/i {}/small.bin'
}

@test "python: shutil.copyfile, copy2, copytree, os.copy_file_range, os.sendfile" {
    counted python3 -c 'import shutil, sys; shutil.copyfile(*sys.argv[1:])' "$VIRTUAL/large.bin" "$VIRTUAL/p1"
    by_the_store 1
    is_copy p1 large.bin
    same_script python3 <<'PY'
import hashlib, os, shutil, sys
root = sys.argv[1]
os.chdir(root)
shutil.copy2("small.bin", "p2")
print(os.stat("p2").st_mtime == os.stat("small.bin").st_mtime)
shutil.copytree("tree", "p3")
print(sorted(os.listdir("p3/sub"))[:3], open("p3/f07").read())
with open("large.bin", "rb") as source, open("p4", "wb") as target:
    print(os.copy_file_range(source.fileno(), target.fileno(), 1000, 500, 700))
    print(os.copy_file_range(source.fileno(), target.fileno(), 300))
    print(os.sendfile(target.fileno(), source.fileno(), 100, 50), source.tell(), os.fstat(target.fileno()).st_size)
print(hashlib.sha256(open("p4", "rb").read()).hexdigest())
PY
}

@test "what is copied in pieces, or changed afterwards" {
    same 'dd if={}/large.bin of={}/dd bs=8M status=none && cmp {}/dd {}/large.bin && echo same
          cp {}/large.bin {}/changed && printf X | dd of={}/changed bs=4096 oflag=seek_bytes seek=30000000 conv=notrunc status=none && sha256sum {}/changed
          cp {}/large.bin {}/cut && truncate -s 1000 {}/cut && sha256sum {}/cut
          rm {}/cut {}/changed {}/dd'
}

@test "six copies at once within a small memory budget" {
    counted S3DLIO_MEMORY_BUDGET=32M bash -c "
        for n in 1 2 3 4 5 6; do cp $VIRTUAL/large.bin $VIRTUAL/at-once.\$n & done; wait"
    by_the_store 6
    is_copy at-once.6 large.bin
}

@test "where the store refuses copies the bytes move, and one line says so" {
    fault 'op=CopyObject action=status:403:AccessDenied'
    shim bash -c "cp $VIRTUAL/small.bin $VIRTUAL/refused && cp $VIRTUAL/large.bin $VIRTUAL/refused.too" \
        2>"$BATS_TEST_TMPDIR/said"
    fault
    is_copy refused small.bin
    is_copy refused.too large.bin
    [[ $(grep -c 'refuses a copy' "$BATS_TEST_TMPDIR/said") -eq 2 ]] # by each of the two processes
}

@test "a line that is added to a log that another program reads moves a line, not the log" {
    shim cp "$VIRTUAL/large.bin" "$VIRTUAL/log"
    counted bash -c "exec 3<$VIRTUAL/log; for n in 1 2 3; do echo \"line \$n\" >>$VIRTUAL/log; done"
    [[ $(spent GetObject bytes_out) -le 262144 ]] || explain "$(admin log)" # what its open brings
    shim bash -c "exec 3<$VIRTUAL/log; echo 'line 4' >>$VIRTUAL/log; rm $VIRTUAL/log; cat <&3" |
        cmp - <(cat "$NATIVE/large.bin" && printf 'line %d\n' 1 2 3)
}
