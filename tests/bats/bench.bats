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
    grep -q '^| \*\*`change`\*\* |' "$page" || explain "$(cat "$page")"
    ! grep -q '^old$' "$page"
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
