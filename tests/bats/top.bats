#!/usr/bin/env bats
# s3dlio top beside programs that run; unit/test_stats_board has the seats and what is damaged.

# shellcheck disable=SC2016 # single quotes are for the program's shell
load lib/shim

setup_file() {
    start_server bundled --discard --synthetic test/small=3M --synthetic test/many/%=100*500
}

setup() {
    fault
    admin log -X DELETE
    admin stats/reset -X POST
    export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime # nobody else's processes
    mkdir -p -m 700 "$XDG_RUNTIME_DIR"
    READERS=()
}

teardown() { end_readers; }

top() { timeout "$TIME_LIMIT_S" "$B/s3dlio" top "$@"; }

# reader NUMBER: a program that reads so many objects, says so in a file, and waits until it is ended. Its guesses
# keep as long as it lives.
reader() {
    local ready=$BATS_TEST_TMPDIR/ready$1 hold=$BATS_TEST_TMPDIR/hold$1
    mkfifo "$hold"
    shim S3DLIO_META_TTL_MS=60000 S3DLIO_STATS="$BATS_TEST_TMPDIR/told.json" python3 -c 'import os, sys
for n in range(int(sys.argv[1])):
    open(f"/s3/test/many/{n:07}", "rb").read()
with open("/s3/test/out", "wb") as f:
    f.write(bytes(1000 * int(sys.argv[1])))
open(sys.argv[2], "w").write(str(os.getpid()))
open(sys.argv[3]).read()' "$1" "$ready" "$hold" 3>&- &
    exec {fd}>"$hold"
    READERS+=("$fd")
    wait_until test -s "$ready"
    PIDS+=("$(<"$ready")")
}

end_readers() {
    local fd
    for fd in "${READERS[@]}"; do exec {fd}>&-; done
    READERS=()
    wait
}

# Is the process gone, or only waited for?
has_ended() { [[ $(ps -o stat= -p "$1") =~ ^(Z.*)?$ ]]; }

# shown EXPRESSION ARGS...: of what `top --once --json ARGS` prints.
shown() {
    top --once --json --interval 0 "${@:2}" | /usr/bin/python3 -c 'import json, sys
seen = json.load(sys.stdin)
print(eval(sys.argv[1], {"seen": seen, "rows": seen["processes"], "total": seen["total"]}))' "$1"
}

none_under_way() { [[ $(shown 'total["in_flight"]') -eq 0 ]]; }

# opened_and_guessed NUMBER...: bytes received and sent by readers of so many objects. What was received for more than
# these the statistics of the process count as prefetched in vain, at most a quarter.
opened_and_guessed() {
    /usr/bin/python3 - "$BATS_TEST_TMPDIR/told.json" "$@" <<'PY'
import json, sys
told = sorted((json.loads(line) for line in open(sys.argv[1])), key=lambda row: row["bytes_sent"])
opened = [int(number) for number in sys.argv[2:]]
for number, row in zip(opened, told):
    unused = row["prefetch_asked"] - row["prefetch_used"]
    assert 0 <= 4 * unused <= number and row["prefetch_wasted"] == 100 * unused, row
print([(100 * number + row["prefetch_wasted"], 1000 * number) for number, row in zip(opened, told)])
PY
}

@test "two processes: what each has asked for and moved, and all together" {
    local PIDS=() all seen
    reader 20
    reader 70
    equal "$(shown 'sorted((row["pid"], row["command"]) for row in rows)')" \
        "$(printf '%s\n' "${PIDS[@]}" | sort -n | sed "s/.*/(&, 'python3')/" | paste -sd, | sed 's/,(/, (/; s/.*/[&]/')"
    wait_until none_under_way # what is fetched ahead comes by itself
    seen=$(shown 'sorted((row["bytes_received"], row["bytes_sent"]) for row in rows)')
    all=$(requests)
    equal "$(shown 'total["requests"], sum(row["requests"] for row in rows)')" "($all, $all)"
    equal "$(shown 'all(0 < row["first_byte_p50_ms"] <= row["first_byte_p99_ms"] for row in rows)')" True
    equal "$(shown 'all(row["in_flight"] == 0 and row["memory_budget_bytes"] > 0 for row in rows)')" True
    end_readers
    equal "$(shown 'rows')" '[]'
    equal "$seen" "$(opened_and_guessed 20 70)" || explain "$(<"$BATS_TEST_TMPDIR/told.json")"
}

@test "rates are what came between two looks" {
    local PIDS=()
    reader 20
    top --once --json --interval 0.2 >"$BATS_TEST_TMPDIR/seen"
    /usr/bin/python3 -c 'import json, sys
seen = json.load(open(sys.argv[1]))
assert [row["requests_per_s"] for row in seen["processes"]] == [0], seen
assert seen["total"]["received_mb_per_s"] == 0 and seen["total"]["bytes_received"] == 2000, seen' \
        "$BATS_TEST_TMPDIR/seen"
    equal "$(shown 'rows[0]["requests_per_s"] > 0')" True # since it began
}

@test "a process that is killed is gone; one that executes another program as well, until that asks for something" {
    local PIDS=()
    reader 20
    kill -KILL "${PIDS[0]}"
    wait_until has_ended "${PIDS[0]}"
    equal "$(shown 'rows')" '[]'
    mkfifo "$BATS_TEST_TMPDIR/hold"
    shim python3 -c 'import os, sys
open("/s3/test/small", "rb").read()
open(sys.argv[1], "w").write("x")
os.execlp("cat", "cat", sys.argv[2], "/s3/test/many/0000001")' "$BATS_TEST_TMPDIR/ready" "$BATS_TEST_TMPDIR/hold" 3>&- &
    exec {fd}>"$BATS_TEST_TMPDIR/hold" # cat has opened it: the other program runs
    READERS+=("$fd")
    equal "$(shown 'rows')" '[]'
}

@test "a fork child is a process of its own, which began with nothing" {
    shim python3 -c 'import json, os, subprocess, sys
open("/s3/test/small", "rb").read()
if os.fork() == 0:
    open("/s3/test/many/0000001", "rb").read()
    out = subprocess.run([sys.argv[1], "top", "--once", "--json", "--interval", "0"], stdout=subprocess.PIPE,
                         env={"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"], "PATH": os.environ["PATH"]}).stdout
    rows = {row["pid"]: row["bytes_received"] for row in json.loads(out)["processes"]}
    assert rows == {os.getpid(): 100, os.getppid(): 3 << 20}, out
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0' "$B/s3dlio"
}

@test "the table: a line a process and one for all; plain text where there is no terminal" {
    local PIDS=()
    reader 20
    top --interval 0.1 >"$BATS_TEST_TMPDIR/table"
    equal "$(awk '{ print $1 }' "$BATS_TEST_TMPDIR/table" | paste -sd' ')" "PID ${PIDS[0]} all"
    ! grep -q "$(printf '\033')" "$BATS_TEST_TMPDIR/table"
}

@test "on a terminal it draws again and again, in the window that there is, until q" {
    local PIDS=()
    reader 20
    timeout "$TIME_LIMIT_S" /usr/bin/python3 - "$B/s3dlio" "${PIDS[0]}" <<'PY'
import fcntl, os, pty, struct, sys, termios
pid, terminal = pty.fork()
if pid == 0:
    os.execl(sys.argv[1], sys.argv[1], "top", "--interval", "0.1")
seen = b""
def until(*wanted):
    global seen
    for what in wanted:
        while what not in seen:
            seen += os.read(terminal, 4096)
        seen = seen[seen.index(what) + len(what):]
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 200, 0, 0))
until(b"COMMAND", sys.argv[2].encode(), b"all", b"COMMAND", b"CACHED\x1b[K")
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 20, 0, 0))
until(b"     PID COMMAND    \x1b[K\r\n", b"     PID COMMAND    \x1b[K\r\n")
os.write(terminal, b"q")
until(b"\x1b[?25h")
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
PY
}

@test "what makes no sense is told" {
    run -2 top --interval x
    [[ $output == *"--interval takes seconds"* ]]
    run -2 top --interval
    run -2 top --all
    [[ $output == *"'--all' is no option"* ]]
    XDG_RUNTIME_DIR='' run -0 top --once --interval 0
}
