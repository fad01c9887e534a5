#!/usr/bin/env bats
# The op-log of whole programs, beside what the server counted; unit/test_oplog has its rows and files.

# shellcheck disable=SC2016 # single quotes are for the program's shell
load lib/shim

setup_file() {
    need zstd
    start_server bundled --discard --synthetic test/small=3M --synthetic test/large=24M \
        --synthetic test/many/%=100*2000
}

setup() {
    fault
    admin log -X DELETE
    admin stats/reset -X POST
    DIR=$BATS_TEST_TMPDIR/log
    LOG=$DIR/log.tsv.zst
    TOLD=$BATS_TEST_TMPDIR/told.json
    mkdir "$DIR"
}

# rows EXPRESSION FILE...: what the expression gives for the rows of the files, each a dictionary; all of
# their columns are checked before. In it `gets` is how often each object was fetched, `told` what the
# statistics in TOLD say, if there are any, and `unused` the objects that were fetched in vain by those.
rows() {
    zstd -dcq "${@:2}" >"$BATS_TEST_TMPDIR/table"
    /usr/bin/python3 - "$BATS_TEST_TMPDIR/table" "$1" "$TOLD" <<'PY'
import collections, csv, datetime, json, os, re, sys
NAMES = ("idx thread op client_id n_objects bytes endpoint file error start first_byte end duration_ns").split()
with open(sys.argv[1], newline="") as file:
    lines = [line for line in file if not line.startswith("#")]
assert all(len(line.rstrip("\n").split("\t")) == 13 for line in lines)
heads = [line for line in lines if line.startswith("idx\t")]
rows = list(csv.DictReader(([lines[0]] + [line for line in lines if line not in heads]) if lines else [], delimiter="\t"))
def ns(text):
    match = re.fullmatch(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z", text)
    return int(datetime.datetime.fromisoformat(match[1] + "+00:00").timestamp()) * 10**9 + int(match[2])
for row in rows:
    assert list(row) == NAMES and row["op"] in ("GET", "PUT", "STAT", "LIST", "DELETE")
    assert int(row["thread"]) < 65536 and int(row["n_objects"]) >= 0
    assert row["file"].startswith("/") and row["endpoint"].startswith("http://127.0.0.1:")
    row["bytes"], row["idx"] = int(row["bytes"]), int(row["idx"])
    assert ns(row["end"]) - ns(row["start"]) == int(row["duration_ns"]) >= 0
    if row["first_byte"]:
        assert ns(row["start"]) <= ns(row["first_byte"]) <= ns(row["end"])
for client in {row["client_id"] for row in rows}:
    of_one = [row["idx"] for row in rows if row["client_id"] == client]
    assert sorted(set(of_one)) == list(range(max(of_one) + 1))
gets = collections.Counter(row["file"] for row in rows if row["op"] == "GET")
told = json.load(open(sys.argv[3])) if os.path.exists(sys.argv[3]) else {}
unused = told.get("prefetch_asked", 0) - told.get("prefetch_used", 0)
print(eval(sys.argv[2], {"rows": rows, "heads": heads, "count": collections.Counter, "gets": gets, "told": told,
                         "unused": unused}))
PY
}

# ---- rows ----------------------------------------------------------------------------------------
@test "every request is a row, with the columns that replaying tools know" {
    shim S3DLIO_OPLOG="$LOG" S3DLIO_PUT_PART_SIZE=8M python3 -c 'import os
open("/s3/test/large", "rb").read()
with open("/s3/test/out", "wb") as f:
    f.write(bytes(20 << 20))
open("/s3/test/note", "w").write("x" * 1000)
os.listdir("/s3/test/many")
os.path.exists("/s3/test/nothing")
os.remove("/s3/test/note")'
    equal "$(rows 'len(rows)' "$LOG")" "$(requests)"
    equal "$(rows 'sum(row["bytes"] for row in rows if row["op"] == "GET")' "$LOG")" $((24 << 20))
    equal "$(rows 'sum(row["bytes"] for row in rows if row["op"] == "PUT")' "$LOG")" $(((20 << 20) + 1000))
    equal "$(rows 'count(row["op"] for row in rows)["STAT"]' "$LOG")" "$(requests HeadObject)"
    equal "$(rows '[row["n_objects"] for row in rows if row["file"] == "/test/many/"][-2:]' "$LOG")" "['1000', '1000']"
    equal "$(rows '[row["file"] for row in rows if row["op"] == "DELETE"]' "$LOG")" "['/test/note']"
    equal "$(rows 'len(heads)' "$LOG")" 1
}

# Eight threads open names nearly in a row, so that some are fetched ahead, and now and then one that a thread
# opens at that moment: as many more as the statistics say.
@test "thousands of requests are as many rows" {
    shim S3DLIO_OPLOG="$LOG" S3DLIO_STATS="$TOLD" python3 -c 'import concurrent.futures
def read(n):
    return len(open(f"/s3/test/many/{n:07}", "rb", buffering=0).read())
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(read, range(2000))) == 200000'
    equal "$(rows 'len(rows)' "$LOG")" "$(requests)"
    equal "$(rows 'sum(row["bytes"] for row in rows) - told["prefetch_wasted"]' "$LOG")" 200000 || explain "$(<"$TOLD")"
    equal "$(rows 'len(gets), sum(gets.values()) - unused' "$LOG")" '(2000, 2000)' || explain "$(<"$TOLD")"
    equal "$(rows '4 * unused <= 2000' "$LOG")" True || explain "$(<"$TOLD")"
    equal "$(rows 'len({row["thread"] for row in rows}) > 1' "$LOG")" True
}

@test "a range that broke and was resumed is two rows whose bytes add up" {
    fault 'op=GetObject key=small action=reset@100000 nth=1'
    equal "$(shim S3DLIO_OPLOG="$LOG" cat /s3/test/small | wc -c)" $((3 << 20))
    equal "$(rows 'sum(row["bytes"] for row in rows)' "$LOG")" $((3 << 20))
    equal "$(rows '[row["bytes"] for row in rows if row["error"]]' "$LOG")" '[100000]' || explain "$(<"$BATS_TEST_TMPDIR/table")"
    equal "$(rows '[row["error"].split(":")[0] for row in rows if row["error"]]' "$LOG")" "['network']"
    fault 'op=GetObject action=status:503:SlowDown nth=1'
    rm "$LOG"
    shim S3DLIO_OPLOG="$LOG" cat /s3/test/many/0000001 >/dev/null
    equal "$(rows '[(row["bytes"], row["error"]) for row in rows]' "$LOG")" "[(0, 'throttled: 503 SlowDown'), (100, '')]"
}

# ---- files ---------------------------------------------------------------------------------------
@test "a fork child has a file of its own, with its process id; without a request there is none" {
    local pid
    pid=$(shim S3DLIO_OPLOG="$LOG" python3 -c 'import os
open("/s3/test/small", "rb").read(5)
for reads in (0, 1):
    pid = os.fork()
    if pid == 0:
        if reads:
            open("/s3/test/many/0000001", "rb").read()
        os._exit(0)
    os.waitpid(pid, 0)
open("/s3/test/many/0000002", "rb").read()
print(pid)')
    equal "$(ls "$DIR")" "$(printf 'log.%s.tsv.zst\nlog.tsv.zst' "$pid")"
    equal "$(rows '[row["file"] for row in rows]' "$DIR/log.$pid.tsv.zst")" "['/test/many/0000001']"
    equal "$(rows '[row["file"] for row in rows if "many" in row["file"]]' "$LOG")" "['/test/many/0000002']"
    equal "$(rows 'len(rows)' "$DIR"/*)" "$(requests)"
}

@test "programs in a row add to one file; those at the same time have one each; exec keeps what was before" {
    shim S3DLIO_OPLOG="$LOG" sh -c 'cat /s3/test/many/0000001; cat /s3/test/many/0000002' >/dev/null
    equal "$(ls "$DIR")" log.tsv.zst
    equal "$(rows '[row["file"][-1] for row in rows], len(heads)' "$LOG")" "(['1', '2'], 1)"
    shim S3DLIO_OPLOG="$LOG" python3 -c 'import os, subprocess
open("/s3/test/many/0000003", "rb").read()
subprocess.run(["cat", "/s3/test/many/0000004"], check=True, stdout=subprocess.DEVNULL)
os.execlp("cat", "cat", "/s3/test/many/0000005")' >/dev/null
    equal "$(rows 'sorted(row["file"][-1] for row in rows)' "$DIR"/*)" "['1', '2', '3', '4', '5']" || explain "$(ls "$DIR")"
}

# The time that a guess keeps is long, so that a slow moment of the machine is not to make one more. The
# statistics are told when all is opened, the rows are complete when there is one for each request.
@test "of a process that is killed everything but the last second is there" {
    shim S3DLIO_META_TTL_MS=60000 S3DLIO_STATS="$TOLD" S3DLIO_STATS_SIGNAL=USR2 S3DLIO_OPLOG="$LOG" python3 -c '
import json, os, signal, subprocess, sys, time
for n in range(50):
    open(f"/s3/test/many/{n:07}", "rb").read()
os.kill(os.getpid(), signal.SIGUSR2)
while not os.path.exists(sys.argv[2]) or not open(sys.argv[2]).read().endswith("\n"):
    time.sleep(0.05)
requests = json.load(open(sys.argv[2]))["requests"]
def lines():
    return subprocess.run(["zstd", "-dcq", sys.argv[1]], stdout=subprocess.PIPE, env={"PATH": os.environ["PATH"]}).stdout.count(b"\n")
while lines() < 1 + requests:
    time.sleep(0.05)
os.kill(os.getpid(), signal.SIGKILL)' "$LOG" "$TOLD" || [[ $? -eq 137 ]]
    equal "$(rows 'len(rows)' "$LOG")" "$(requests)"
    equal "$(rows '{gets.pop(f"/test/many/{n:07}", 0) for n in range(50)}, sum(gets.values()) - unused' "$LOG")" '({1}, 0)' ||
        explain "$(<"$TOLD")" "$(<"$BATS_TEST_TMPDIR/table")"
    equal "$(rows '0 < 4 * unused <= 50' "$LOG")" True || explain "$(<"$TOLD")" # of the page that nobody listed
}

# ---- where it cannot be written ------------------------------------------------------------------
@test "a full disk or a folder that is not there: said once, and the program goes on" {
    local program='for n in range(20):
    open(f"/s3/test/many/{n:07}", "rb").read()
raise SystemExit(3)'
    refuse 3 'S3DLIO_OPLOG: cannot write to /dev/full: No space left' S3DLIO_OPLOG=/dev/full python3 -c "$program"
    equal "$(said | grep -c .)" 1
    refuse 3 'S3DLIO_OPLOG: cannot write to /nonexistent/log: No such file' S3DLIO_OPLOG=/nonexistent/log \
        python3 -c "$program"
    equal "$(said | grep -c .)" 1
    refuse 3 'S3DLIO_OPLOG: cannot write to /s3/test/log: No such file' S3DLIO_OPLOG=/s3/test/log python3 -c "$program"
}
