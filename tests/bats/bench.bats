#!/usr/bin/env bats
# bench/run: its table and files, with parts that count and do not time. The engine is not what is tested.

load lib/shim

bench() {
    "$REPO/bench/run" --build "$B" --out "$BATS_TEST_TMPDIR" "$@" 2>"$BATS_TEST_TMPDIR/log"
}

@test "each part is listed with what it measures" {
    run bench --list
    [[ $status -eq 0 ]] || explain "$(cat "$BATS_TEST_TMPDIR/log")"
    [[ $output == *"read "*"peers"* && $output == *"growth "*"Plotted"* ]] || explain "$output"
    run bench no-such-part
    [[ $status -eq 2 ]] || explain "$output"
}

@test "a part gives a table, results in JSON, and its rows in a page" {
    page=$BATS_TEST_TMPDIR/page.md
    printf 'before\n<!-- table: written by bench/run -->\nold\n<!-- table: end -->\nafter\n' >"$page"
    run bench --rounds 1 --document "$page" change
    [[ $status -eq 0 ]] || explain "$(cat "$BATS_TEST_TMPDIR/log")"
    [[ ${lines[0]} == work*"floor or peer"*target*met ]] || explain "$output"
    [[ $output == *"1 KiB appended to 1 GiB: bytes moved"*"<= 16"*yes* ]] || explain "$output"
    [[ $output == "$(cat "$BATS_TEST_TMPDIR/table.txt")" ]]
    [[ $(jq -r '.rows[0].part, .rows[0].met' "$BATS_TEST_TMPDIR/results.json") == $'change\ntrue' ]]
    [[ $(head -1 "$page"; tail -1 "$page") == $'before\nafter' ]] || explain "$(cat "$page")"
    grep -q '^| \*\*`change`\*\*: 20.*, 1 rounds, load ' "$page" || explain "$(cat "$page")"
    ! grep -q '^old$' "$page"
}

@test "with --keep the parts that are not measured stay as they were" {
    printf '%s' '{"how": {"shim": "then", "change": "then"}, "plots": [], "rows": [
        {"part": "shim", "work": "old work", "network": "", "ours": 1, "unit": "ns", "ratio": null,
         "spread": "", "target": "", "met": null},
        {"part": "change", "work": "older work", "network": "", "ours": 1, "unit": "ns", "ratio": null,
         "spread": "", "target": "", "met": null}]}' >"$BATS_TEST_TMPDIR/results.json"
    run bench --rounds 1 --keep change
    [[ $status -eq 0 ]] || explain "$(cat "$BATS_TEST_TMPDIR/log")"
    [[ ${lines[-1]} == "old work"* && $output == *"1 KiB appended"* && $output != *older* ]] || explain "$output"
    [[ $(jq -r '.how.shim' "$BATS_TEST_TMPDIR/results.json") == then ]]
    run bench --rounds 1 change
    [[ $output != *"old work"* ]] || explain "$output"
}

@test "what misses its target, or cannot be measured, is in the table" {
    run /usr/bin/python3 - "$REPO/bench" <<'END'
import sys
sys.path.insert(0, sys.argv[1])
from report import Report
report = Report()
report.compare("slow work", "lan", [3.0, 1.0, 2.0], [1.0, 1.0, 1.0], "s", "floor", at_most=1.5)
report.compare("fast work", "lan", [3.0, 1.0, 2.0], [1.0, 1.0, 1.0], "s", "floor", at_least=1.5)
report.skip("other work", "lan", "no FUSE here")
print(report.text() + str(len(report.missed())))
END
    [[ $output =~ "slow work "[^$'\n']*"floor: 1 s "+"2 "+"1 .. 3 "+"<= 1.5 "+MISSED ]] || explain "$output"
    [[ $output =~ "fast work "[^$'\n']*yes ]] || explain "$output"
    [[ $output =~ "other work "+lan" "+"skipped: no FUSE here" && ${lines[-1]} == 1 ]] || explain "$output"
}

# Starts the Python program on stdin, which prints the pid of a server of its own and sleeps.
start_with_server() {
    coproc bench_program { exec /usr/bin/python3 - "$REPO/bench" "$B"; } <<'END'
import pathlib, signal, sys, time
sys.path.insert(0, sys.argv[1])
from harness import Server
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with Server(pathlib.Path(sys.argv[2]).resolve()) as server:
    print(server.process.pid, flush=True)
    time.sleep(300)
END
    read -r -t 60 server_pid <&"${bench_program[0]}"
}

server_has_ended() {
    local tries
    for ((tries = 0; tries < 600; tries++)); do
        kill -0 "$server_pid" 2>/dev/null || return 0
        sleep 0.1
    done
    return 1
}

@test "the server of a benchmark that is ended or killed ends, too" {
    local signal pid status
    for signal in TERM KILL; do
        start_with_server
        pid=$bench_program_PID
        kill -0 "$server_pid"
        kill -s "$signal" "$pid"
        server_has_ended || explain "$signal left $server_pid"
        status=0
        wait "$pid" || status=$?
        [[ $signal$status == TERM0 || $signal$status == KILL137 ]] || explain "$signal: status $status"
    done
}
