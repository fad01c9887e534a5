#!/usr/bin/env bats
# What the engine tells of itself, beside what the server counted (options_effect.bats has where it tells
# it, and that nothing is told that was not asked for).

# shellcheck disable=SC2016 # single quotes are for the program's shell
load lib/shim

setup_file() {
    start_server bundled --discard --synthetic test/small=3M --synthetic test/large=24M \
        --synthetic test/many/%=100*500
}

setup() {
    fault
    admin log -X DELETE
    admin stats/reset -X POST
    FILE=$BATS_TEST_TMPDIR/told
}

read_as() { /usr/bin/python3 "$REPO/tests/bats/lib/statistics.py" "$@"; }
server_counts() {
    admin stats >"$BATS_TEST_TMPDIR/server"
    read_as server "$BATS_TEST_TMPDIR/server"
}

# Requests of seven kinds, bytes both ways.
WORK='import os
for name in ("small", "large"):
    open(f"/s3/test/{name}", "rb").read()
with open("/s3/test/out", "wb") as f:
    f.write(bytes(70 << 20))
open("/s3/test/note", "w").write("x" * 1000)
os.listdir("/s3/test/many")
os.path.exists("/s3/test/nothing")
os.remove("/s3/test/note")'

# ---- formats -------------------------------------------------------------------------------------
@test "JSON: a line a process, counts as the server has them" {
    shim S3DLIO_STATS="$FILE.json" S3DLIO_PUT_PART_SIZE=8M python3 -c "$WORK"
    equal "$(read_as json "$FILE.json")" "python3 $(server_counts)" || explain "$(<"$FILE.json")"
    shim S3DLIO_STATS="$FILE.json" sh -c 'cat /s3/test/small /s3/test/many/0000001 >/dev/null; stat /s3/test/small >/dev/null; :'
    equal "$(read_as json "$FILE.json" | awk 'NR > 1 { print $1, $3 }' | sort | tr '\n' ' ')" \
        "cat 3145828 stat 0 " || explain "$(<"$FILE.json")"
}

@test "Prometheus: strictly its text format, counts as the server has them, one file replaced as a whole" {
    shim S3DLIO_STATS="$FILE.prom" S3DLIO_PUT_PART_SIZE=8M python3 -c "$WORK"
    equal "$(read_as prom "$FILE.prom")" "python3 $(server_counts)" || explain "$(<"$FILE.prom")"
    shim S3DLIO_STATS="$FILE.prom" cat /s3/test/many/0000001 >/dev/null
    equal "$(read_as prom "$FILE.prom" | awk '{ print $1, $3 }')" 'cat 100'
    equal "$(ls "$BATS_TEST_TMPDIR")" "$(printf 'server\ntold.prom')" # nothing is left beside it
}

@test "json and prom as words: stderr in that format" {
    shim S3DLIO_STATS=json cat /s3/test/small 2>"$FILE" >/dev/null
    equal "$(read_as json "$FILE" | awk '{ print $1, $3 }')" 'cat 3145728'
    shim S3DLIO_STATS=prom cat /s3/test/small 2>"$FILE" >/dev/null
    equal "$(read_as prom "$FILE" | awk '{ print $1, $3 }')" 'cat 3145728'
}

@test "%p in the name: a file for each process, fork children too" {
    local dir=$BATS_TEST_TMPDIR/each
    mkdir "$dir"
    shim S3DLIO_STATS="$dir/%p.%%.prom" python3 -c 'import os
os.stat("/s3/test/small")
print(os.getpid(), flush=True)
if os.fork() == 0:
    print(os.getpid(), flush=True)
    open("/s3/test/large", "rb", buffering=0).read(5)
    os._exit(0)
os.wait()' | sort >"$FILE"
    equal "$(ls "$dir" | sort)" "$(sed 's/$/.%.prom/' "$FILE")"
    equal "$(read_as prom "$dir"/*.prom | awk '{ sum += $2 } END { print NR, sum }')" "2 $(requests)"
}

@test "many processes write to one file of JSON, and each line is whole" {
    shim S3DLIO_STATS="$FILE.json" sh -c \
        'for n in $(seq 60); do cat /s3/test/many/00000$((n + 10)) >/dev/null & done; wait'
    equal "$(read_as json "$FILE.json" | awk '{ print $1, $3 }' | sort | uniq -c | tr -s ' ')" ' 60 cat 100'
}

@test "numbers have a point where the program's locale has a comma" {
    need localedef
    mkdir "$BATS_TEST_TMPDIR/locale"
    localedef -c -i de_DE -f UTF-8 "$BATS_TEST_TMPDIR/locale/de_DE.UTF-8" 2>/dev/null || skip "no source of a locale here"
    shim LOCPATH="$BATS_TEST_TMPDIR/locale" LC_ALL=de_DE.UTF-8 S3DLIO_STATS="$FILE.json" python3 -c 'import locale
locale.setlocale(locale.LC_ALL, "")
assert locale.str(1.5) == "1,5"
open("/s3/test/small", "rb").read()'
    equal "$(read_as json "$FILE.json" | awk '{ print $3 }')" 3145728
}

# ---- what the numbers mean -----------------------------------------------------------------------
# number NAME: of the only line of JSON.
number() {
    /usr/bin/python3 -c 'import json, sys
told = json.load(open(sys.argv[1]))
print(eval(sys.argv[2], {"told": told, "get": told["by_kind"].get("GetObject")}))' "$FILE.json" "$1"
}

@test "times: to the first byte without, in all with what the body takes" {
    fault 'op=GetObject action=delay:300'
    shim S3DLIO_STATS="$FILE.json" cat /s3/test/many/0000001 /s3/test/many/0000002 >/dev/null
    equal "$(number 'get["first_byte_us"]["count"], get["total_us"]["count"]')" '(2, 2)'
    equal "$(number '300e3 <= get["first_byte_us"]["p50"] <= get["total_us"]["p50"]')" True || explain "$(<"$FILE.json")"
    equal "$(number 'told["in_flight_mean"] > 0.5 and told["in_flight_mean"] <= told["in_flight_peak"] + 0.01')" True ||
        explain "$(<"$FILE.json")"
}

@test "retries and errors, what is cached, what is read ahead and dropped" {
    fault 'op=GetObject action=status:503 count=1'
    shim S3DLIO_STATS="$FILE.json" cat /s3/test/many/0000001 >/dev/null
    equal "$(number 'told["requests_repeated"], told["requests_failed"], told["requests"]')" '(1, 1, 2)'
    fault
    rm "$FILE.json"
    shim S3DLIO_STATS="$FILE.json" python3 -c 'import os
for n in range(3):
    os.stat("/s3/test/small")
fd = os.open("/s3/test/large", os.O_RDONLY)
for at in (20 << 20, 1 << 20, (20 << 20) + 5000, 9 << 20):
    os.pread(fd, 4096, at)'
    equal "$(number 'told["attributes_remembered"] >= 2')" True || explain "$(<"$FILE.json")"
    equal "$(number 'told["blocks_fetched"], told["blocks_found"]')" '(3, 1)' || explain "$(<"$FILE.json")"
    rm "$FILE.json"
    shim S3DLIO_STATS="$FILE.json" dd if=/s3/test/large of=/dev/null bs=1M status=none
    equal "$(number 'told["ahead_used"] + told["ahead_wasted"] <= told["ahead_asked"]')" True
    equal "$(number 'told["ahead_used"], told["ahead_wasted"]')" "($((24 << 20)), 0)" || explain "$(<"$FILE.json")"
}

@test "the price follows the S3DLIO_PRICE_ options" {
    shim S3DLIO_STATS="$FILE.json" cat /s3/test/many/0000001 >/dev/null
    equal "$(number 'abs(told["price"] - 0.0004e-3 * told["requests"]) < 1e-12')" True || explain "$(<"$FILE.json")"
    rm "$FILE.json"
    shim S3DLIO_PRICE_GET=1000 S3DLIO_PRICE_GB=0.5 S3DLIO_STATS="$FILE.json" cat /s3/test/small >/dev/null
    equal "$(number 'abs(told["price"] - told["requests"] - 0.003145728 * 0.5) < 1e-6')" True || explain "$(<"$FILE.json")"
}

# ---- on a signal ---------------------------------------------------------------------------------
SIGNALLED='import os, signal, sys, time
open("/s3/test/many/0000001", "rb").read()
for n in range(2):
    os.kill(os.getpid(), signal.SIGUSR2)
    while not os.path.exists(sys.argv[1]) or open(sys.argv[1]).read().count("\n") < n + 1:
        time.sleep(0.01)
print(open(sys.argv[1]).read().count("\n"))'

@test "S3DLIO_STATS_SIGNAL: told on the signal and at the end, in fork children too" {
    equal "$(shim S3DLIO_STATS_SIGNAL=USR2 S3DLIO_STATS="$FILE.json" python3 -c "$SIGNALLED" "$FILE.json")" 2
    equal "$(read_as json "$FILE.json" | awk '{ print $1, $3 }' | uniq -c | tr -s ' ')" ' 3 python3 100'
    rm "$FILE.json"
    SIGNALLED=$SIGNALLED shim S3DLIO_STATS_SIGNAL=USR2 S3DLIO_STATS="$FILE.json" python3 -c 'import os
os.stat("/s3/test/small")
if os.fork() == 0:
    exec(os.environ["SIGNALLED"])
    os._exit(0)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0' "$FILE.json"
    equal "$(read_as json "$FILE.json" | awk '{ print $3 }' | sort | uniq -c | xargs)" '1 0 3 100'
}

@test "S3DLIO_STATS_SIGNAL: stderr unless S3DLIO_STATS says otherwise; nothing before there is anything to tell" {
    shim S3DLIO_STATS_SIGNAL=HUP python3 -c 'import os, signal
os.kill(os.getpid(), signal.SIGHUP)' 2>"$FILE"
    equal "$(<"$FILE")" ''
    shim S3DLIO_STATS_SIGNAL=USR1 python3 -c 'import os, signal, sys, time
open("/s3/test/small", "rb").read()
os.kill(os.getpid(), signal.SIGUSR1)
while "price" not in open(sys.argv[1]).read():
    time.sleep(0.01)' "$FILE" 2>"$FILE"
    equal "$(grep -c '^s3dlio: statistics of python3' "$FILE")" 1
}

@test "S3DLIO_STATS_SIGNAL: a program's own handler, or that it ignores the signal, stays; off is the default" {
    equal "$(shim S3DLIO_STATS_SIGNAL=USR2 S3DLIO_STATS="$FILE" python3 -c 'import os, signal
open("/s3/test/small", "rb").read()
signal.signal(signal.SIGUSR2, lambda *_: print("mine", flush=True))
os.kill(os.getpid(), signal.SIGUSR2)')" mine
    equal "$(grep -c '^s3dlio: statistics' "$FILE")" 1
    shim S3DLIO_STATS_SIGNAL=USR2 S3DLIO_STATS="$FILE" sh -c 'trap "" USR2; exec python3 -c "import os, signal
open(\"/s3/test/small\", \"rb\").read()
assert signal.getsignal(signal.SIGUSR2) == signal.SIG_IGN
os.kill(os.getpid(), signal.SIGUSR2)"'
    equal "$(grep -c '^s3dlio: statistics' "$FILE")" 2
    refuse 140 '' sh -c 'kill -USR2 $$' # 128 + 12
}

# ---- where it cannot be written ------------------------------------------------------------------
@test "a full disk or a folder that is not there: one clear line, and the exit status is the program's" {
    refuse 0 'S3DLIO_STATS: cannot write to /dev/full: No space left' S3DLIO_STATS=/dev/full cat /s3/test/small
    equal "$(said | grep -c .)" 1
    refuse 7 'S3DLIO_STATS: cannot write to /dev/full: No space left' S3DLIO_STATS=/dev/full \
        python3 -c 'open("/s3/test/small", "rb").read(1); raise SystemExit(7)'
    refuse 0 'S3DLIO_STATS: cannot write to /nonexistent/x.prom: No such file' S3DLIO_STATS=/nonexistent/x.prom \
        cat /s3/test/small
}
