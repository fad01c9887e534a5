#!/usr/bin/env bats
# Writing: what this version does (create, truncate, write in sequence, mkdir, rmdir, unlink), and
# that all else is refused instead of done wrongly.

load lib/shim
load lib/data

setup_file() {
    start_server
    make_plain_data
    add_data
}

teardown_file() { stop_server; }

@test "cp into the bucket: small, several parts, empty" {
    same 'cp {}/text/long.txt {}/copy.txt && sha256sum {}/copy.txt && stat -c "%s %F" {}/copy.txt'
    same 'cp {}/text/empty.txt {}/nothing && stat -c "%s %F" {}/nothing'
    head -c 40000000 /dev/urandom >"$BATS_TEST_TMPDIR/large"
    same "cp $BATS_TEST_TMPDIR/large {}/large && sha256sum {}/large && stat -c %s {}/large"
}

@test "overwriting replaces the whole object" {
    same 'cp {}/text/long.txt {}/again && cp {}/text/short.txt {}/again && cat {}/again'
}

@test "dd, tee, sort -o, split" {
    same 'dd if={}/big.bin of={}/dd.out bs=100000 status=none && sha256sum {}/dd.out'
    same 'cat {}/text/short.txt | tee {}/tee.out && cat {}/tee.out'
    same 'sort -o {}/sorted {}/text/unsorted.txt && cat {}/sorted'
    same 'mkdir {}/pieces && split -b 5M {}/big.bin {}/pieces/p && ls {}/pieces && cat {}/pieces/* | sha256sum'
}

@test "the shell's own output goes to an object" {
    same 'echo hello >{}/hello && cat {}/hello'
    same '{ echo one; printf "%s\n" two three; } >{}/lines && cat {}/lines'
    same 'for n in 1 2 3; do echo $n; done >{}/loop; wc -l <<<"$(<{}/loop)"'
    same 'set -o noclobber; echo x >{}/text/short.txt; echo $?; cat {}/text/short.txt'
}

@test "python: open for writing, exclusive creation, with blocks, a print" {
    same_script python3 <<'PY'
import os, sys
root = sys.argv[1]
with open(root + "/new.txt", "w") as f:
    print("first", file=f)
    f.write("second\n" * 1000)
print(os.path.getsize(root + "/new.txt"), open(root + "/new.txt").readline())
with open(root + "/new.bin", "xb") as f:
    for number in range(3000):
        f.write(bytes([number % 256]) * 5000)
    print(f.tell())
print(os.stat(root + "/new.bin").st_size)
try:
    open(root + "/new.bin", "x")
except FileExistsError as error:
    print(error.errno)
PY
}

@test "a crash while writing leaves no object and no partial one" {
    run shim python3 -c "import os; f = open('$VIRTUAL/crash', 'wb'); f.write(b'x' * 20000000); f.flush(); os.kill(os.getpid(), 9)"
    [[ $status -eq 137 ]]
    refuse 2 'No such file' ls "$VIRTUAL/crash"
}

@test "mkdir, rmdir, rm" {
    same 'mkdir {}/fresh && ls -d {}/fresh && stat -c %F {}/fresh && rmdir {}/fresh && ls -d {}/fresh'
    same 'mkdir -p {}/p/q/r && find {}/p | sort'
    same 'mkdir {}/text; echo $?'
    same 'rmdir {}/text; echo $?'
    same 'cp {}/text/short.txt {}/gone && rm {}/gone && ls {}/gone'
    same 'rm {}/absent; echo $?'
    same 'rm -f {}/absent; echo $?'
    same 'mkdir {}/tree && cp {}/text/*.txt {}/tree/ && rm -r {}/tree; echo $?; ls -d {}/tree'
    same 'rm {}/deep; echo $?'
}

@test "cp -r into the bucket" {
    same 'cp -r {}/deep {}/deeper && find {}/deeper | sort && diff -r {}/deep {}/deeper; echo $?'
}

@test "what this version cannot do is refused with one line and changes nothing" {
    local before
    before=$(shim sha256sum "$VIRTUAL/text/short.txt")
    refuse ! 's3dlio' mv "$VIRTUAL/text/short.txt" "$VIRTUAL/text/moved.txt"
    refuse ! 's3dlio' ln -s short.txt "$VIRTUAL/text/link"
    refuse ! 's3dlio' truncate -s 3 "$VIRTUAL/text/short.txt"
    refuse ! 's3dlio' python3 -c "f = open('$VIRTUAL/text/short.txt', 'r+b'); f.write(b'X'); f.close()"
    refuse ! 's3dlio' bash -c "echo more >>$VIRTUAL/text/short.txt"
    [[ $(shim sha256sum "$VIRTUAL/text/short.txt") == "$before" ]]
}

@test "a write that the server refuses is reported by the program" {
    fault 'op=PutObject action=status:403:AccessDenied'
    refuse ! 's3dlio.*' cp "$VIRTUAL/text/short.txt" "$VIRTUAL/denied"
    fault
    refuse 2 'No such file' ls "$VIRTUAL/denied"
}

@test "fsync before close is refused, unless the user says that it need not be done" {
    local sync="import os; f = open('$VIRTUAL/synced', 'wb'); f.write(b'x'); f.flush(); os.fsync(f.fileno()); f.close()"
    refuse ! 'fsync' python3 -c "$sync"
    shim S3DLIO_FSYNC=ignore python3 -c "$sync"
    [[ $(shim cat "$VIRTUAL/synced") == x ]]
}
