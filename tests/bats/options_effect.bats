#!/usr/bin/env bats
# Options for reading, writing and connections, seen from the server: what each changes in the requests
# and connections that it gets, not that it is understood (command.bats has that).

# shellcheck disable=SC2016 # single quotes are for the program's shell
load lib/shim

MIB=1048576
GB=1000000000

setup_file() {
    start_server bundled --discard --synthetic test/small=3M --synthetic test/large=24M --synthetic test/many/%=3000*60
    sanitizer_cc -o "$BATS_FILE_TMPDIR/store" -I"$REPO/engine" "$REPO/tests/bats/programs/store.c" \
        -L"$B" -ls3dlio -Wl,-rpath,"$(realpath "$B")"
}

setup() {
    fault
    admin log -X DELETE
    admin stats/reset -X POST
}

# How many connections brought the requests in the log.
connections() { admin log | awk '{ print $NF }' | sort -u | wc -l; }

# The lengths of the ranges asked for, of the parts sent, each once, the largest first.
ranges() {
    admin log | awk '$1 == "GetObject" { split($4, r, /[=-]/); print r[3] - r[2] + 1 }' | sort -rnu
}
parts() { admin log | awk '$1 == "UploadPart" { print $6 }' | sort -rnu; }

# store LENGTH put|hint|stream [NAME=VALUE...]: through the public interface.
store() {
    local settings
    mapfile -t settings <"$RUN/settings"
    timeout "$TIME_LIMIT_S" env "${settings[@]}" "${@:3}" "$BATS_FILE_TMPDIR/store" \
        s3://test/stored "$1" "$2"
}


# The whole object in one read call, at once.
read_whole() { shim "${@:2}" dd if="/s3/test/$1" of=/dev/null bs=32M status=none; }

# ---- connections ---------------------------------------------------------------------------------
@test "S3DLIO_RT_THREADS: so many shards, each with a thread and connections of its own" {
    # A thread that resolves a name or dials may end between the listing and the reading.
    local program='import os, re
def name_of(task):
    try:
        return open(f"/proc/self/task/{task}/comm").read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
parts = [bytes(5 << 20)] * 8
with open("/s3/test/out", "wb", buffering=0) as f:
    for part in parts:
        f.write(part)
    print(len([name for name in map(name_of, os.listdir("/proc/self/task")) if re.fullmatch("s3dlio-[0-9]+", name)]))'
    fault 'op=UploadPart action=delay:1000'
    equal "$(shim S3DLIO_RT_THREADS=1 S3DLIO_PUT_PART_SIZE=5M python3 -c "$program")" 1
    equal "$(shim S3DLIO_RT_THREADS=5 S3DLIO_PUT_PART_SIZE=5M python3 -c "$program")" 5
}

@test "S3DLIO_MAX_HTTP_CONNECTIONS and S3DLIO_HTTP_MAX_CONNS: no more requests under way than that" {
    local name
    fault 'op=GetObject action=delay:150'
    for name in S3DLIO_MAX_HTTP_CONNECTIONS S3DLIO_HTTP_MAX_CONNS; do
        admin stats/reset -X POST
        admin log -X DELETE
        read_whole large $name=3 S3DLIO_GET_PART_SIZE=2M S3DLIO_GET_INFLIGHT=12
        equal "$(server max_in_flight)" 3
        equal "$(connections)" 3
    done
    admin stats/reset -X POST
    read_whole large S3DLIO_GET_PART_SIZE=2M S3DLIO_GET_INFLIGHT=12
    [[ $(server max_in_flight) -gt 6 ]] || explain "$(admin stats)"
}

# One request after the other, then until the server sees no connection of ours any more.
IDLER='import os, sys, time, urllib.request
for n in range(6):
    os.stat(f"/s3/test/absent{n}/x") if os.path.exists(f"/s3/test/absent{n}") else None
url = os.environ["AWS_ENDPOINT_URL"] + "/-/stats"
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
import json
for _ in range(int(sys.argv[1])):
    stats = json.load(opener.open(url))
    if stats["connections_open"] <= 1:       # the one that asks
        break
    time.sleep(0.05)
print("closed" if stats["connections_open"] <= 1 else "open")'

@test "S3DLIO_HTTP_IDLE_TIMEOUT_MS: unused connections are closed in time, 0 at once" {
    equal "$(shim S3DLIO_HTTP_IDLE_TIMEOUT_MS=60000 python3 -c "$IDLER" 20)" open
    equal "$(shim S3DLIO_HTTP_IDLE_TIMEOUT_MS=200 python3 -c "$IDLER" 600)" closed
    admin stats/reset -X POST
    admin log -X DELETE
    shim S3DLIO_HTTP_IDLE_TIMEOUT_MS=0 ls -d /s3/test/a /s3/test/b /s3/test/c /s3/test/d || :
    [[ $(requests) -ge 4 ]]
    equal "$(connections)" "$(requests)"
}

@test "S3DLIO_USE_OPTIMIZED_HTTP=0: a connection for each request" {
    shim cat /s3/test/small /s3/test/large /s3/test/small >/dev/null
    [[ $(connections) -lt $(requests) ]] || explain "pooled: $(admin log)"
    admin stats/reset -X POST
    admin log -X DELETE
    equal "$(shim S3DLIO_USE_OPTIMIZED_HTTP=0 cat /s3/test/small /s3/test/large | wc -c)" $((27 * MIB))
    equal "$(connections)" "$(requests)"
}

@test "S3DLIO_OPERATION_TIMEOUT_SECS: a server that says nothing is an error within it" {
    local began=$SECONDS
    fault 'op=GetObject action=stall'
    refuse 1 'timed out' S3DLIO_OPERATION_TIMEOUT_SECS=2 cat /s3/test/small
    [[ $((SECONDS - began)) -ge 1 && $((SECONDS - began)) -lt 25 ]] # the next limit is at 30 s
    fault
    fault 'op=PutObject action=stall'
    began=$SECONDS
    refuse 1 'timed out' S3DLIO_OPERATION_TIMEOUT_SECS=2 cp /etc/hostname /s3/test/out
    [[ $((SECONDS - began)) -ge 1 && $((SECONDS - began)) -lt 25 ]]
}

# ---- reading -------------------------------------------------------------------------------------
@test "S3DLIO_GET_PART_SIZE: the length of ranges" {
    read_whole large S3DLIO_GET_PART_SIZE=3M
    equal "$(ranges | head -n 1)" $((3 * MIB))
    admin log -X DELETE
    read_whole large S3DLIO_GET_PART_SIZE=512K
    equal "$(ranges | head -n 1)" $((MIB / 2))
}

@test "S3DLIO_GET_INFLIGHT: ranges under way at once" {
    local count
    fault 'op=GetObject action=delay:150'
    for count in 1 5; do
        admin stats/reset -X POST
        read_whole large S3DLIO_GET_INFLIGHT=$count S3DLIO_GET_PART_SIZE=2M
        equal "$(server max_in_flight)" $count
    done
}

@test "S3DLIO_GET_THRESHOLD: smaller objects by one request at a time, others in parallel" {
    fault 'op=GetObject action=delay:150'
    read_whole large S3DLIO_GET_THRESHOLD=25M S3DLIO_GET_PART_SIZE=2M
    equal "$(server max_in_flight)" 1
    admin stats/reset -X POST
    read_whole large S3DLIO_GET_THRESHOLD=24M S3DLIO_GET_PART_SIZE=2M
    [[ $(server max_in_flight) -gt 3 ]] || explain "$(admin stats)"
    admin stats/reset -X POST
    read_whole small S3DLIO_GET_THRESHOLD=1M
    [[ $(server max_in_flight) -gt 1 ]] || explain "$(admin stats)"
}

# ---- writing -------------------------------------------------------------------------------------
@test "S3DLIO_PUT_PART_SIZE: the length of parts" {
    shim S3DLIO_PUT_PART_SIZE=6M dd if=/dev/zero of=/s3/test/out bs=1M count=20 status=none
    equal "$(parts | tr '\n' ' ')" "$((6 * MIB)) $((2 * MIB)) "
}

@test "S3DLIO_PUT_INFLIGHT: parts under way at once" {
    local count
    fault 'op=UploadPart action=delay:150'
    for count in 1 3; do
        admin stats/reset -X POST
        shim S3DLIO_PUT_PART_SIZE=5M S3DLIO_PUT_INFLIGHT=$count \
            dd if=/dev/zero of=/s3/test/out bs=5M count=8 status=none
        equal "$(server max_in_flight)" $count
    done
}

@test "S3DLIO_MIN_PART_SIZE: no part that is chosen is smaller" {
    shim dd if=/dev/zero of=/s3/test/out bs=1M count=30 status=none
    equal "$(parts | head -n 1)" $((8 * MIB))
    admin log -X DELETE
    shim S3DLIO_MIN_PART_SIZE=12M dd if=/dev/zero of=/s3/test/out bs=1M count=30 status=none
    equal "$(parts | head -n 1)" $((12 * MIB))
    admin log -X DELETE
    store $((50 * MIB)) put S3DLIO_MIN_PART_SIZE=20M
    equal "$(parts | head -n 1)" $((20 * MIB))
}

@test "S3DLIO_NETWORK_SPEED_GBPS: parts by speed and length" {
    # speed, length, parts
    local row rows=("10 $((11 * GB / 10)) 16" "25 $((11 * GB / 10)) 32" "49.9 $((11 * GB / 10)) 32"
        "50 $((11 * GB / 10)) 64" "50 $((6 * GB / 10)) 32" "25 $((4 * GB / 10)) 16")
    for row in "${rows[@]}"; do
        # shellcheck disable=SC2086 # three words
        set -- $row
        admin log -X DELETE
        store "$2" put "S3DLIO_NETWORK_SPEED_GBPS=$1"
        equal "$1 Gb/s, $2 bytes: $(parts | head -n 1)" "$1 Gb/s, $2 bytes: $(($3 * MIB))"
    done
    admin log -X DELETE
    store $((11 * GB / 10)) hint S3DLIO_NETWORK_SPEED_GBPS=100
    equal "$(parts | head -n 1)" $((64 * MIB))
}

@test "S3DLIO_NETWORK_SPEED_GBPS: parts grow with an object of unknown length, if it is set" {
    store $((12 * GB / 10)) stream
    equal "$(parts | head -n 1)" $((8 * MIB))
    admin log -X DELETE
    store $((25 * GB / 10)) stream S3DLIO_NETWORK_SPEED_GBPS=100
    equal "$(parts | awk '$1 % 16777216 == 0' | tr '\n' ' ')" "$((64 * MIB)) $((32 * MIB)) $((16 * MIB)) " ||
        explain "$(parts)"
}

# ---- what was asked ------------------------------------------------------------------------------
# ahead NAME=VALUE...: the most requests under way for a program that reads one small file after another.
ahead() {
    admin stats/reset -X POST
    fault
    fault 'op=GetObject action=delay:20'
    shim "$@" sh -c 'cat /s3/test/many/* >/dev/null'
    server max_in_flight
}

@test "S3DLIO_LOADER_NUM_WORKERS and S3DLIO_LOADER_PREFETCH: so many objects ahead as both together, or none" {
    equal "$(ahead S3DLIO_LOADER_NUM_WORKERS=2)" 4 # two batches are the default
    equal "$(ahead S3DLIO_LOADER_PREFETCH=1 S3DLIO_LOADER_NUM_WORKERS=3)" 3
    equal "$(ahead S3DLIO_LOADER_PREFETCH=0)" 1
    equal "$(ahead S3DLIO_LOADER_PREFETCH=3 S3DLIO_PREFETCH=2)" 2
}

@test "S3DLIO_STATS: one block for each process that asked for something" {
    local file=$BATS_TEST_TMPDIR/stats err=$BATS_TEST_TMPDIR/err
    # While each answer takes its time a request that finds no free connection carries its own: without
    # that, one that comes free first gets the request, and what was opened for it brings none.
    fault 'op=GetObject action=delay:1000'
    shim S3DLIO_STATS=stderr cat /s3/test/small 2>"$err" >/dev/null
    grep -qE '^s3dlio: statistics of cat, process [0-9]+$' "$err"
    grep -qE "^  requests +$(requests): $(requests GetObject) get, 0 head, 0 put, .* 0 failed, 0 abandoned\$" "$err" ||
        explain "$(<"$err")" "$(admin stats)"
    grep -qE "^  bytes +$((3 * MIB)) received, 0 sent\$" "$err" || explain "$(<"$err")"
    grep -qE "^  connections +$(connections) opened, " "$err" || explain "$(<"$err")" "$(admin log)"
    fault
    shim S3DLIO_STATS="$file" sh -c 'true; echo abc >/s3/test/one; cat /s3/test/small >/dev/null; :'
    equal "$(grep -c '^s3dlio: statistics of' "$file")" 2
    grep -qE '^  bytes +0 received, 4 sent$' "$file" || explain "$(<"$file")"
    shim S3DLIO_STATS="$file" true
    equal "$(grep -c '^s3dlio: statistics of' "$file")" 2
    refuse 0 'S3DLIO_STATS: cannot write to /nonexistent/x: No such file' S3DLIO_STATS=/nonexistent/x \
        cat /s3/test/small
}

@test "S3DLIO_STATS: a word for yes means stderr, one for no nothing, a relative name the directory of the start" {
    local word err=$BATS_TEST_TMPDIR/err
    mkdir "$BATS_TEST_TMPDIR/start"
    cd "$BATS_TEST_TMPDIR/start"
    for word in 1 true YES on; do
        shim S3DLIO_STATS=$word cat /s3/test/small 2>"$err" >/dev/null
        equal "$word: $(grep -c '^s3dlio: statistics of cat' "$err")" "$word: 1"
    done
    for word in 0 no False off ''; do
        equal "$word: $(shim S3DLIO_STATS=$word cat /s3/test/small 2>&1 >/dev/null)" "$word: "
    done
    equal "$(ls)" ''
    shim S3DLIO_STATS=told python3 -c 'import os
os.chdir("/")
os.stat("/s3/test/small")'
    shim S3DLIO_STATS=told python3 -c 'import os
os.chdir("/s3/test")
os.stat("small")'
    equal "$(ls): $(grep -c '^s3dlio: statistics of' told)" 'told: 2'
    refuse 0 'S3DLIO_STATS: cannot write to told: No such file' S3DLIO_STATS=told \
        bash -c 'cd /s3/test && exec cat small'
    equal "$(grep -c '^s3dlio: statistics of' told)" 2
}

@test "S3DLIO_STATS: a fork child counts from nothing" {
    local file=$BATS_TEST_TMPDIR/stats
    shim S3DLIO_STATS="$file" python3 -c 'import os
os.stat("/s3/test/small")
if os.fork() == 0:
    open("/s3/test/large", "rb", buffering=0).read(5)
    os._exit(0)
os.wait()'
    equal "$(awk '/requests/ { print $2 $3 $5 }' "$file" | head -n 1)" "1:10" || explain "$(<"$file")"
}
