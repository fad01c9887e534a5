#!/usr/bin/env bats
# What clients of object stores are known to lose, each as programs meet it: right content or an error, and
# nothing that hangs.
#
# Elsewhere: a writer that is killed (crash.bats), readers whose file their own process removes, renames or
# replaces (preload/test_keep_open), or that another machine replaces (machines.bats), every request gone wrong
# in every way (preload/test_faults_*), removing in bulk (removals.bats).

load lib/shim

setup_file() { start_server; }

# The server started by a test for itself, which it may kill or stop.
teardown() {
    [[ -z ${SERVER_PID:-} ]] || kill -CONT "$SERVER_PID" 2>/dev/null || :
    [[ ! -d $BATS_TEST_TMPDIR/servers ]] || "$REPO/scripts/servers" --run "$BATS_TEST_TMPDIR/servers" stop
}

own_server() {
    RUN=$BATS_TEST_TMPDIR/servers
    "$REPO/scripts/servers" --run "$RUN" --build "$B" start "${1:-bundled}" || return
    "$REPO/scripts/servers" --run "$RUN" env "${1:-bundled}" >"$RUN/settings"
    SERVER_PID=$(cut -d' ' -f1 "$RUN/${1:-bundled}/pid")
}

# python ARGS...: the program on stdin, under the shim.
python() {
    cat >"$BATS_TEST_TMPDIR/program.py"
    shim "${SETTINGS[@]}" python3 "$BATS_TEST_TMPDIR/program.py" "$@"
}

SETTINGS=(S3DLIO_RETRY_MAX=1 S3DLIO_RETRY_BASE_MS=1)

@test "truncate keeps the beginning; a failed upload after O_TRUNC leaves the old content" {
    head -c 12000000 /dev/urandom >"$NATIVE/large"
    shim bash -c "cp $NATIVE/large /s3/test/large; truncate -s 7000001 /s3/test/large
        printf 0123456789 >/s3/test/small; truncate -s 4 /s3/test/small"
    shim cat /s3/test/large | cmp - <(head -c 7000001 "$NATIVE/large")
    [[ $(shim cat /s3/test/small) == 0123 ]]
    fault 'op=PutObject key=small action=status:403:AccessDenied'
    refuse ! 's3://test/small' dd "if=$NATIVE/large" of=/s3/test/small bs=1000 count=1 status=none
    fault
    [[ $(shim cat /s3/test/small) == 0123 ]]
}

# says_gone STATUS CALL: the server is killed when something is written; CALL says so, and so does the status
# of a program that leaves it to its end.
says_gone() {
    local status=0
    own_server
    python "$SERVER_PID" "$2" 2>"$BATS_TEST_TMPDIR/said" >"$BATS_TEST_TMPDIR/out" <<'PY' || status=$?
import errno, os, signal, socket, sys
from urllib.parse import urlsplit
f = open("/s3/test/late", "wb", buffering=0)
f.write(b"x" * 1000)
os.kill(int(sys.argv[1]), signal.SIGKILL)
address = urlsplit(os.environ["AWS_ENDPOINT_URL"])
while True: # it dies a little later
    try:
        socket.create_connection((address.hostname, address.port)).close()
    except OSError:
        break
try:
    exec(sys.argv[2])
except OSError as error:
    print(errno.errorcode[error.errno], flush=True)
os._exit(0)
PY
    [[ $status -eq $1 ]] || explain "status $status" "$(cat "$BATS_TEST_TMPDIR"/{out,said})"
    grep -qE '^(EIO|ECONNREFUSED|ECONNRESET)$' "$BATS_TEST_TMPDIR/out"
    grep -q 's3://test/late' "$BATS_TEST_TMPDIR/said"
}

@test "close says that the server is gone" { says_gone 0 'f.close()'; }

@test "fsync says that the server is gone, and the end of the program does" { says_gone 74 'os.fsync(f.fileno())'; }

@test "cp ends with an error when the server goes before it closes" {
    own_server
    mkfifo "$BATS_TEST_TMPDIR/fifo"
    shim "${SETTINGS[@]}" cp "$BATS_TEST_TMPDIR/fifo" /s3/test/late 2>"$BATS_TEST_TMPDIR/said" 3>&- &
    local pid=$! status=0
    exec 8>"$BATS_TEST_TMPDIR/fifo"
    echo data >&8
    wait_until python3 -c 'import fcntl, struct, sys, termios
sys.exit(struct.unpack("i", fcntl.ioctl(8, termios.FIONREAD, b"0123"))[0] > 0)' # cp has it
    kill -9 "$SERVER_PID"
    is_gone() { ! admin health; }
    wait_until is_gone
    exec 8>&-
    wait "$pid" || status=$?
    [[ $status -eq 1 ]] || explain "status $status" "$(<"$BATS_TEST_TMPDIR/said")"
    grep -q 's3://test/late' "$BATS_TEST_TMPDIR/said" && grep -q '^cp: ' "$BATS_TEST_TMPDIR/said"
}

@test "forty files written, closed and renamed: in a row, and at once" {
    python <<'PY'
import os
os.mkdir("/s3/test/row")
for number in range(40):
    with open(f"/s3/test/row/tmp.{number}", "w") as f:
        f.write(f"content {number}\n")
    os.rename(f"/s3/test/row/tmp.{number}", f"/s3/test/row/{number}")
assert sorted(os.listdir("/s3/test/row"), key=int) == [str(n) for n in range(40)]
PY
    shim bash -c 'mkdir /s3/test/once; seq 0 39 | xargs -P 8 -I{} sh -c "echo content {} >/s3/test/once/tmp.{} && mv /s3/test/once/tmp.{} /s3/test/once/{}"'
    local folder
    for folder in row once; do
        [[ $(shim bash -c "cd /s3/test/$folder && ls | sort -n") == "$(seq 0 39)" ]]
        [[ $(shim bash -c "cat /s3/test/$folder/{0..39}") == "$(seq -f 'content %g' 0 39)" ]]
    done
    shim bash -c 'cd /s3/test/once && rm {0..19} && ls | wc -l && test ! -e 7 && sh -c "test ! -e 7 && ls | wc -l"' >"$BATS_TEST_TMPDIR/left"
    [[ $(<"$BATS_TEST_TMPDIR/left") == $'20\n20' ]]
    [[ $(shim bash -c 'ls /s3/test/once | sort -n') == "$(seq 20 39)" ]]
}

@test "a directory is not renamed over one that holds something" {
    same 'mkdir -p {}/one {}/two/held; echo x >{}/two/held/file; mv -T {}/one {}/two; echo $?; find {}/two | sort; ls -d {}/one'
}

# read_while_overwritten: readers of processes of their own, while another one overwrites twenty times.
read_while_overwritten() {
    local reader readers=()
    python 0 <<'PY'
open("/s3/test/changing", "wb").write(bytes([65]) * 3000000)
PY
    cat >"$BATS_TEST_TMPDIR/reader.py" <<'PY'
import errno, os, sys
seen = set()
while True:
    last = os.path.exists(sys.argv[1])
    try:
        data = open("/s3/test/changing", "rb", buffering=0).readall()
    except OSError as error:
        assert error.errno == errno.ESTALE, error
        data = None
    if data is not None:
        version = data[0] - 65
        assert data == bytes([65 + version]) * (3000000 + version * 1000), (version, len(data), set(data))
        seen.add(version)
    if last:
        break
assert 20 in seen, seen
PY
    for reader in 1 2; do
        shim S3DLIO_GET_PART_SIZE=512K python3 "$BATS_TEST_TMPDIR/reader.py" "$BATS_TEST_TMPDIR/end" 3>&- &
        readers+=($!)
    done
    python <<'PY'
for version in range(1, 21):
    with open("/s3/test/changing", "wb") as f:
        f.write(bytes([65 + version]) * (3000000 + version * 1000))
PY
    touch "$BATS_TEST_TMPDIR/end"
    for reader in "${readers[@]}"; do wait "$reader"; done
}

@test "a reader during overwrites sees one version, whole, or ESTALE" { read_while_overwritten; }

@test "the same, at a server that is not ours" {
    local status=0
    own_server versitygw || status=$?
    [[ $status -ne 3 ]] || skip "versitygw is not installed here"
    [[ $status -eq 0 ]]
    read_while_overwritten
}

@test "a file that a shell has open and another program takes away: who has it open keeps it" {
    local how
    head -c 12000000 /dev/urandom >"$NATIVE/held"
    head -c 12000000 /dev/urandom >"$NATIVE/other" # as long, so that only its version tells it from the other
    for how in 'rm /s3/test/held' 'mv /s3/test/other /s3/test/held' 'mv /s3/test/held /s3/test/elsewhere' \
        'chmod 600 /s3/test/held' 'truncate -s 7 /s3/test/held' 'cp /s3/test/other /s3/test/held'; do
        shim cp "$NATIVE/held" "$NATIVE/other" /s3/test/
        shim bash -c "exec 3</s3/test/held; $how; cat <&3" | cmp - "$NATIVE/held" || explain "$how"
    done
}

@test "and what there is no room to keep is an error for the reader, not for who takes it away" {
    local status=0
    head -c 12000000 /dev/urandom >"$NATIVE/held"
    shim cp "$NATIVE/held" /s3/test/
    shim bash -c 'exec 3</s3/test/held; S3DLIO_SPOOL_LIMIT=1M rm /s3/test/held; test ! -e /s3/test/held || exit 9; cat <&3' \
        >"$BATS_TEST_TMPDIR/read" 2>"$BATS_TEST_TMPDIR/said" || status=$?
    [[ $status -eq 1 ]]
    grep -q 'Stale file handle' "$BATS_TEST_TMPDIR/said"
    head -c "$(stat -c %s "$BATS_TEST_TMPDIR/read")" "$NATIVE/held" | cmp - "$BATS_TEST_TMPDIR/read"
}

@test "an object replaced between two requests, whatever is done to it" {
    shim S3DLIO_GET_PART_SIZE=2M S3DLIO_PUT_PART_SIZE=5M S3DLIO_LOG=off \
        python3 "$REPO/tests/bats/lib/replaced.py" /s3/test/replaced-between
}

@test "mv does not believe a copy that was not made" {
    local lie
    for lie in empty-copy pretend-copy; do
        shim bash -c 'mkdir -p /s3/test/mv && echo precious >/s3/test/mv/source && rm -f /s3/test/mv/target'
        fault "op=*Copy* action=$lie"
        if shim mv /s3/test/mv/source /s3/test/mv/target 2>"$BATS_TEST_TMPDIR/said"; then
            fault
        else
            fault
            grep -q 's3://test/mv/' "$BATS_TEST_TMPDIR/said"
            [[ $(shim cat /s3/test/mv/source) == precious ]]
            shim mv /s3/test/mv/source /s3/test/mv/target
        fi
        [[ $(shim bash -c 'cat /s3/test/mv/target; ls /s3/test/mv') == $'precious\ntarget' ]]
    done
}

@test "requests for one file hang: others go on, that one fails and says why" {
    SETTINGS=(S3DLIO_FIRST_BYTE_TIMEOUT_MS=4000 S3DLIO_OPERATION_TIMEOUT_SECS=8 S3DLIO_RETRY_MAX=0)
    shim bash -c "mkdir /s3/test/some; for n in 1 2 3 4 5 6; do echo \$n >/s3/test/some/\$n; done; echo x >/s3/test/stuck"
    fault 'op=* key=stuck* action=hang'
    python 2>"$BATS_TEST_TMPDIR/said" <<'PY'
import errno, threading
results = []
def try_stuck(mode):
    try:
        with open("/s3/test/stuck", mode) as f:
            f.write("y") if mode == "w" else f.read()
    except OSError as error:
        results.append(errno.errorcode[error.errno])
threads = [threading.Thread(target=try_stuck, args=mode) for mode in "rw"]
for thread in threads:
    thread.start()
for number in range(1, 7):
    assert open(f"/s3/test/some/{number}").read() == f"{number}\n"
    open(f"/s3/test/some/{number}", "w").write("again")
assert results == [], results
for thread in threads:
    thread.join()
assert results == ["EIO", "EIO"], results
PY
    fault
    grep -q 's3://test/stuck: timed out' "$BATS_TEST_TMPDIR/said" || explain "$(<"$BATS_TEST_TMPDIR/said")"
    [[ $(shim bash -c 'cat /s3/test/stuck /s3/test/some/*') == $'x\nagainagainagainagainagainagain' ]]
}

@test "the server stops for a while: EIO in time, and afterwards all goes on" {
    own_server
    SETTINGS=(S3DLIO_FIRST_BYTE_TIMEOUT_MS=1000 S3DLIO_PROGRESS_TIMEOUT_MS=1000 S3DLIO_OPERATION_TIMEOUT_SECS=5 S3DLIO_RETRY_MAX=1)
    python "$SERVER_PID" 2>"$BATS_TEST_TMPDIR/said" <<'PY' || explain "$(<"$BATS_TEST_TMPDIR/said")"
import errno, os, signal, sys
server = int(sys.argv[1])
data = os.urandom(9000000)
open("/s3/test/file", "wb").write(data)
held = os.open("/s3/test/file", os.O_RDONLY)
writing = open("/s3/test/other", "wb", buffering=0)
writing.write(b"written")
os.kill(server, signal.SIGSTOP)
tasks = f"/proc/{server}/task"
while any(open(f"{tasks}/{task}/stat").read().rsplit(") ", 1)[1][0] != "T" for task in os.listdir(tasks)):
    pass
for call in (lambda: os.pread(held, 1000, 8000000), lambda: os.listdir("/s3/test"), lambda: os.fsync(writing.fileno())):
    try:
        call()
        assert False, "no answer, no error"
    except OSError as error:
        assert error.errno == errno.EIO, error
os.kill(server, signal.SIGCONT)
assert os.pread(held, 1000, 8000000) == data[8000000:8001000]
try:
    writing.close()
except OSError as error: # fsync has said so already
    assert error.errno == errno.EIO, error
open("/s3/test/later", "wb").write(b"later")
assert open("/s3/test/later", "rb").read() == b"later"
assert {"file", "later"} <= set(os.listdir("/s3/test"))
PY
    grep -q 'timed out' "$BATS_TEST_TMPDIR/said"
}

@test "mode, time and links of one machine are those of another" {
    shim bash -c 'cd /s3/test; mkdir told; echo x >told/file; chmod 640 told/file; touch -d @1234567890 told/file; ln -s file told/link; mkdir told/dir; chmod 750 told/dir'
    mkdir "$BATS_TEST_TMPDIR/other"
    [[ $(XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/other shim bash -c 'cd /s3/test/told; stat -c "%a %Y %F" file; readlink link; cat link; stat -c %a dir; ls') == \
        $'640 1234567890 regular file\nfile\nx\n750\ndir\nfile\nlink' ]]
}
