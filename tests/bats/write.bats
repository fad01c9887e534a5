#!/usr/bin/env bats
# Writing: what this version does (create, truncate, write in sequence, mkdir, rmdir, unlink), and
# that all else is refused instead of done wrongly.

load lib/shim
load lib/data

setup_file() { serve_data; }

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
    same_odd 'dd if={}/big.bin of={}/dd.out bs=100000 status=none && sha256sum {}/dd.out'
    same 'cat {}/text/short.txt | tee {}/tee.out && cat {}/tee.out'
    same 'sort -o {}/sorted {}/text/unsorted.txt && cat {}/sorted'
    same_odd 'mkdir {}/pieces && split -b 5M {}/big.bin {}/pieces/p && ls {}/pieces && cat {}/pieces/* | sha256sum'
}

@test "the shell's own output goes to an object" {
    same 'echo hello >{}/hello && cat {}/hello'
    same '{ echo one; printf "%s\n" two three; } >{}/lines && cat {}/lines'
    same 'for n in 1 2 3; do echo $n; done >{}/loop; wc -l <<<"$(<{}/loop)"'
    same 'set -o noclobber; echo x >{}/text/short.txt; echo $?; cat {}/text/short.txt'
}

@test "requests: writes under O_DSYNC are one upload" {
    local before
    before=$(requests PutObject)
    shim dd "if=$NATIVE/block.bin" "of=$VIRTUAL/synced-writes" bs=4k oflag=dsync status=none
    shim cmp "$NATIVE/block.bin" "$VIRTUAL/synced-writes"
    equal "$(($(requests PutObject) - before))" 1
}

# Without a memory for names: what the directory and the name are asked for, and the put.
@test "requests: a new file is looked for once" {
    local before
    before=$(requests)
    shim S3DLIO_META_TTL_MS=0 python3 -c "open('$VIRTUAL/text/sought', 'x').write('x')"
    [[ $(($(requests) - before)) -le 4 ]] || explain "$(($(requests) - before)) requests"
}

@test "subshells write to one output, which is uploaded once" {
    same '( echo a; (echo b); echo c ) >{}/nested && cat {}/nested'
    same '{ echo a; (echo b; (echo c)) ; echo d; } >>{}/nested && cat {}/nested'
    same 'exec 3>&1 >{}/exec; echo one; (echo two); echo three; exec >&3; cat {}/exec'
    same 'for n in 1 2 3 4 5; do (echo "line $n") & done >{}/parallel; wait; sort {}/parallel | cat'
    same 'f=$(echo x >{}/captured; echo y >>{}/captured; echo "$(<{}/captured)"); echo "$f"'
    local before
    before=$(requests PutObject)
    shim bash -c "( echo a; (echo b); echo c ) >$VIRTUAL/once"
    [[ $(($(requests PutObject) - before)) -eq 1 ]]
}

@test "jobs that append to one log, each by itself" {
    same 'for n in 1 2 3 4 5 6; do echo "job $n" >>{}/jobs & done; wait; sort {}/jobs | cat'
    same '(echo a >>{}/two) & (echo b >>{}/two) & wait; sort {}/two | cat'
    same 'cp {}/text/short.txt {}/log && seq 40 | xargs -P8 -n1 sh -c "echo line \$0 >>{}/log"; sort {}/log | cat'
}

@test "python: forked processes write to one file" {
    same_script python3 <<'PY'
import os, sys
root = sys.argv[1]
log = open(root + "/forked.log", "a+b", buffering=0)
children = []
for number in range(4):
    child = os.fork()
    if not child:
        for line in range(50):
            log.write(b"%d %03d\n" % (number, line))
        os._exit(0)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children], os.path.getsize(root + "/forked.log"))
log.seek(0)
lines = log.read().split(b"\n")
print(sorted(lines) == sorted([b""] + [b"%d %03d" % (n, l) for n in range(4) for l in range(50)]))
log.close()
print(len(open(root + "/forked.log").read()))
PY
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

@test "hard links are refused, and nothing is changed" {
    local before
    before=$(shim sha256sum "$VIRTUAL/text/short.txt")
    refuse ! 'not permitted' ln "$VIRTUAL/text/short.txt" "$VIRTUAL/text/link"
    run ! shim test -e "$VIRTUAL/text/link"
    [[ $(shim sha256sum "$VIRTUAL/text/short.txt") == "$before" ]]
}

@test "a write that the server refuses is reported by the program" {
    echo x >"$BATS_TEST_TMPDIR/short"
    fault 'op=PutObject action=status:403:AccessDenied'
    refuse ! 's3dlio.*' cp "$BATS_TEST_TMPDIR/short" "$VIRTUAL/denied"
    fault
    refuse 2 'No such file' ls "$VIRTUAL/denied"
}

@test "fsync shows what is written so far, unless the user says that it need not be done" {
    local how sync="import os; f = open('$VIRTUAL/synced', 'wb'); f.write(b'x'); f.flush(); os.fsync(f.fileno()); os.kill(os.getpid(), 9)"
    for how in ignore flush; do
        run shim S3DLIO_FSYNC=$how python3 -c "$sync"
        refuse 2 'No such file' ls "$VIRTUAL/synced"
    done
    run shim python3 -c "$sync"
    [[ $(shim cat "$VIRTUAL/synced") == x ]]
}

# How modes and times come to be: by name, by descriptor, at creation, of files being written and others.
CHANGES='cd /s3/test/x/$0 || exit
umask 077; echo x >private; mkdir dir; umask 022
echo x >file; cp -p ../text/short.txt copy; chmod 640 file; touch -d @1000 file; chown 12:34 file; setfattr -n user.a -v b file
python3 -c "import os
f = os.open(\"open\", os.O_WRONLY | os.O_CREAT, 0o600)
os.write(f, b\"x\")
for change in (lambda: os.fchmod(f, 0o604), lambda: os.utime(f, (1000, 1000)), lambda: os.setxattr(f, \"user.a\", b\"b\")):
    try: change()
    except OSError as error: print(error.strerror)
os.close(f)"'

@test "S3DLIO_METADATA=ignore: modes, owners, times and attributes that programs set go nowhere, and nobody complains" {
    shim mkdir "$VIRTUAL/ignore"
    equal "$(shim S3DLIO_METADATA=ignore bash -c "$CHANGES" ignore 2>&1)" ''
    equal "$(shim bash -c "cd $VIRTUAL/ignore; stat -c '%n %a %u' *; find . -newermt @2000 -type f | wc -l; getfattr -d *")" \
        "$(printf '%s\n' "copy 644 $(id -u)" "dir 755 $(id -u)" "file 644 $(id -u)" "open 644 $(id -u)" "private 644 $(id -u)" 4)"
}

@test "S3DLIO_METADATA=refuse: EPERM for each change, and nothing has changed" {
    shim mkdir "$VIRTUAL/refuse"
    refuse 0 'not permitted .S3DLIO_METADATA=refuse' S3DLIO_METADATA=refuse bash -c "$CHANGES" refuse
    equal "$(<"$BATS_TEST_TMPDIR/out")" "$(printf 'Operation not permitted\n%.0s' 1 2 3)"
    equal "$(grep -v ^s3dlio "$BATS_TEST_TMPDIR/err" | sed 's/:.*:/:/')" \
        "$(printf '%s: Operation not permitted\n' cp chmod touch chown setfattr)"
    equal "$(shim bash -c "cd $VIRTUAL/refuse; stat -c '%n %a %u' file; find . -newermt @2000 -type f | wc -l; getfattr -d *")" \
        "$(printf '%s\n' "file 644 $(id -u)" 4)"
}

@test "a mode keeps nobody out, the store does that; access answers by it" {
    [[ $(id -u) -eq 0 ]] || skip "becoming another user needs root"
    local dir
    dir=$(mktemp -d -p /tmp) && chmod 755 "$dir"
    install -d -m 700 -o 65534 "$dir/runtime"
    cp -L "$B/libs3dlio.so.0" "$B/libs3dlio_shim.so" "$dir"
    shim bash -c "echo x >$VIRTUAL/held; chmod 444 $VIRTUAL/held"
    run shim "LD_PRELOAD=$(B=$dir preload_list)" HOME=/nonexistent "XDG_RUNTIME_DIR=$dir/runtime" \
        setpriv --reuid 65534 --regid 65534 --clear-groups bash -c "test -w $VIRTUAL/held || echo not; echo y >$VIRTUAL/held; cat $VIRTUAL/held; stat -c %a $VIRTUAL/held"
    rm -rf "$dir"
    equal "$output" $'not\ny\n444'
}

@test "S3DLIO_LISTING_METADATA: whether a listing asks for what is stored with each entry" {
    local how folder before
    shim bash -c "cd $VIRTUAL && mkdir marked plain && for n in 1 2 3; do echo \$n | tee marked/\$n >plain/\$n; done; chmod 640 marked/1"
    while read -r how folder mode asked; do
        before=$(requests HeadObject)
        equal "$how: $(shim "S3DLIO_LISTING_METADATA=$how" find "$VIRTUAL/$folder" -name 1 -printf '%m')" "$how: $mode"
        [[ $(($(requests HeadObject) - before >= 3)) -eq $asked ]] || explain "$how $folder: $(($(requests HeadObject) - before)) times HEAD"
    done <<'END'
auto marked 640 1
auto plain 644 0
always marked 640 1
always plain 644 1
never marked 644 0
never plain 644 0
END
}

@test "dd conv=notrunc, >>, truncate, fallocate" {
    same_odd 'cp {}/text/long.txt {}/patched && printf XYZ | dd of={}/patched bs=1 seek=10 conv=notrunc status=none && sha256sum {}/patched'
    same_odd 'cp {}/big.bin {}/patched.bin && printf XYZ | dd of={}/patched.bin bs=1 seek=5000000 conv=notrunc status=none && sha256sum {}/patched.bin'
    same 'cp {}/text/short.txt {}/log && echo one >>{}/log && echo two >>{}/log && cat {}/log'
    same 'for n in 1 2 3; do echo $n >>{}/new-log; done; cat {}/new-log'
    same 'cp {}/text/long.txt {}/cut && truncate -s 100 {}/cut && cat {}/cut && truncate -s 200 {}/cut && sha256sum {}/cut && truncate -s +5 {}/cut && stat -c %s {}/cut'
    same_odd 'dd if={}/block.bin of={}/patched.bin bs=4k seek=7 conv=notrunc oflag=dsync status=none && sha256sum {}/patched.bin'
    same 'truncate -s 12345 {}/zeros && sha256sum {}/zeros'
    same 'fallocate -l 4096 {}/room && sha256sum {}/room'
    same 'cp {}/text/unsorted.txt {}/in-place && sort -o {}/in-place {}/in-place && cat {}/in-place'
}

@test "a truncate that the server refuses leaves the old content" {
    shim cp "$VIRTUAL/text/short.txt" "$VIRTUAL/kept"
    fault 'op=PutObject action=status:403:AccessDenied'
    refuse ! 's3dlio.*' truncate -s 0 "$VIRTUAL/kept"
    refuse ! 's3dlio.*' bash -c "exec 3<>$VIRTUAL/kept; echo x >&3"
    fault
    [[ $(shim cat "$VIRTUAL/kept") == "$(<"$NATIVE/text/short.txt")" ]]
}

@test "python: r+b, a, a+, w+b, temporary files" {
    same_script python3 <<'PY'
import os, sys, tempfile
root = sys.argv[1]
path = root + "/patched.py.bin"
with open(path, "w+b") as f:
    f.write(bytes(range(256)) * 4000)
    f.seek(1000)
    print(f.read(8))
    f.seek(500000)
    f.write(b"middle")
with open(path, "r+b") as f:
    f.seek(-4, os.SEEK_END)
    f.write(b"tail and more")
    f.seek(0)
    f.write(b"HEAD")
    f.truncate(600000)
    print(f.tell(), os.fstat(f.fileno()).st_size, os.path.getsize(path))
with open(path, "ab") as f:
    print(f.tell())
    f.write(b"appended")
with open(path, "a+b") as f:
    f.seek(0)
    print(f.read(6), f.seek(0, 2))
data = open(path, "rb").read()
print(len(data), sum(data), data[500000:500006], data[-8:])
with tempfile.NamedTemporaryFile(dir=root) as f:
    f.write(b"temporary")
    f.flush()
    print(os.path.getsize(f.name), os.path.exists(f.name))
print(os.path.exists(f.name))
fd, name = tempfile.mkstemp(dir=root)
os.write(fd, b"x" * 100)
os.close(fd)
print(os.path.getsize(name), oct(os.stat(name).st_mode))
os.unlink(name)
PY
}

@test "sqlite3: create, insert, update, with each journal" {
    same_script python3 <<'PY'
import sqlite3, sys
for mode in ("DELETE", "TRUNCATE", "MEMORY", "PERSIST", "OFF", "WAL"):
    path = sys.argv[1] + "/" + mode + ".db"
    db = sqlite3.connect(path)
    print(db.execute("PRAGMA journal_mode=" + mode).fetchone())
    db.execute("CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)")
    db.executemany("INSERT INTO t VALUES (?, ?)", ((n, str(n) * 20) for n in range(3000)))
    db.commit()
    db.execute("UPDATE t SET v = 'changed' WHERE k % 7 = 0")
    db.commit()
    db.execute("DELETE FROM t WHERE k > 2000")
    if mode != "OFF":
        db.rollback()
    db.commit()
    db.close()
    db = sqlite3.connect(path)
    print(db.execute("SELECT count(*), sum(length(v)) FROM t").fetchone())
    print(db.execute("PRAGMA integrity_check").fetchone())
    db.close()
PY
}

# Programs that are no relatives of each other, which only locks keep apart.
together() {
    local pids=() name
    for name in a b; do
        shim python3 "$BATS_TEST_TMPDIR/program.py" "$1" "$name" >"$BATS_TEST_TMPDIR/$name.out" 2>&1 &
        pids+=($!)
    done
    for name in "${pids[@]}"; do wait "$name" || :; done
    cat "$BATS_TEST_TMPDIR"/[ab].out
}

@test "a counter under flock, and under a lock of fcntl: two programs count on" {
    cat >"$BATS_TEST_TMPDIR/program.py" <<'PY'
import fcntl, os, sys
take = {"flock": fcntl.flock, "fcntl": fcntl.lockf}[os.path.basename(sys.argv[1])]
fd = os.open(sys.argv[1], os.O_RDWR)
for _ in range(30):
    take(fd, fcntl.LOCK_EX)
    count = int(os.pread(fd, 100, 0) or b"0") + 1
    os.pwrite(fd, b"%d" % count, 0)
    take(fd, fcntl.LOCK_UN)
print("done")
PY
    local kind
    for kind in flock fcntl; do
        shim sh -c "printf 0 >/s3/test/$kind"
        equal "$(together /s3/test/$kind)" $'done\ndone'
        equal "$(shim cat /s3/test/$kind)" 60
    done
}

@test "a counter under flock: a program that only reads it, on a descriptor opened once, sees it grow" {
    cat >"$BATS_TEST_TMPDIR/program.py" <<'PY'
import fcntl, os, sys
write = sys.argv[2] == "a"
fd = os.open(sys.argv[1], os.O_RDWR if write else os.O_RDONLY)
count = last = 0
while last < 30:
    fcntl.flock(fd, fcntl.LOCK_EX if write else fcntl.LOCK_SH)
    count = int(os.pread(fd, 100, 0))
    if write:
        count += 1
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d" % count + b" " * count, 0)
    elif count < last or os.fstat(fd).st_size != len(b"%d" % count) + count:
        sys.exit("%d after %d, of %d bytes" % (count, last, os.fstat(fd).st_size))
    last = count
    fcntl.flock(fd, fcntl.LOCK_UN)
print("done")
PY
    shim sh -c "printf 0 >/s3/test/watched"
    equal "$(together /s3/test/watched)" $'done\ndone'
}

@test "sqlite3: two programs at once; what one of them was told is committed stays so" {
    cat >"$BATS_TEST_TMPDIR/program.py" <<'PY'
import sqlite3, sys
committed = 0
try:
    db = sqlite3.connect(sys.argv[1], timeout=60)
    for n in range(20):
        db.execute("INSERT INTO t VALUES (?, ?)", (sys.argv[2], n))
        db.commit()
        committed += 1
    db.close()
except sqlite3.OperationalError as error:
    print(error, file=sys.stderr)
print(sys.argv[2], committed)
PY
    local mode expected
    for mode in DELETE TRUNCATE PERSIST; do
        shim python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA journal_mode=" + sys.argv[2])
db.execute("CREATE TABLE t (program, n)")
db.commit()
db.close()' "/s3/test/$mode.db" $mode
        expected=$(together "/s3/test/$mode.db" | grep -E '^[ab] [1-9]' | sort)
        [[ -n $expected ]] || explain "neither could commit anything"
        equal "$(shim python3 -c 'import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
for row in db.execute("SELECT program, count(*) FROM t GROUP BY program ORDER BY program"):
    print(*row)
if db.execute("PRAGMA integrity_check").fetchone() != ("ok",):
    print("damaged")' "/s3/test/$mode.db")" "$expected"
    done
}

# Its index is memory that programs share. While one works, another one is told that it cannot.
@test "sqlite3: a second program at a write-ahead log is refused, and the first one loses nothing" {
    run --separate-stderr shim python3 - <<'PY'
import os, sqlite3, subprocess, sys
path = "/s3/test/log.db"
db = sqlite3.connect(path)
print(db.execute("PRAGMA journal_mode=WAL").fetchone()[0])
db.execute("CREATE TABLE t (n)")
db.execute("INSERT INTO t VALUES (1)")
db.commit()
program = """import sqlite3, sys
try:
    db = sqlite3.connect(sys.argv[1])
    db.execute("INSERT INTO t VALUES (2)")
    db.commit()
    print("committed")
except sqlite3.OperationalError as error:
    print(error)"""
apart = dict(os.environ)
apart.pop("S3DLIO_HANDOVER", None)
second = subprocess.run(["setsid", sys.executable, "-c", program, path], env=apart, stdout=subprocess.PIPE, text=True)
print(second.stdout.strip())
db.execute("INSERT INTO t VALUES (3)")
db.commit()
db.close()
db = sqlite3.connect(path)
print(db.execute("SELECT n FROM t").fetchall(), db.execute("PRAGMA integrity_check").fetchone()[0])
PY
    [[ $output == $'wal\ndisk I/O error\n[(1,), (3,)] ok' ]] || explain "$output" "$stderr"
    [[ $stderr == *"a shared map of a file that another program works on"* ]] || explain "$stderr"
}
