#!/usr/bin/env bats
# Programs that open one file after the other, on a store whose answers take a while: the next ones are fetched
# meanwhile, nothing is asked for twice, and what the programs see is the same.

# shellcheck disable=SC2016 # single quotes are for the program's shell
load lib/shim

FILES=60
DELAY_MS=30

setup_file() {
    start_server bundled --synthetic "test/d/f%=3000*$FILES" --synthetic "test/large/f%=700000*12"
    mkdir "$NATIVE/d"
    shim cp -r /s3/test/d "$NATIVE/"
}

setup() {
    fault "op=GetObject action=delay:$DELAY_MS"
    admin log -X DELETE
    admin stats/reset -X POST
}

# So many requests at once, at least, and not one more than the files.
prefetched() {
    local together gets others
    together=$(server max_in_flight)
    gets=$(admin log | grep -c '^GetObject ')
    others=$(admin log | grep -vc '^GetObject ' || :)
    [[ $together -ge $1 && $gets -le $((FILES * 105 / 100)) && $others -le 4 ]] ||
        explain "$together together, $gets GETs, $others others: $(admin log | cut -d' ' -f1-3 | sort | uniq -c | sort -rn | head)"
}

# same COMMAND...: in the folder and in the bucket.
same() { equal "$(cd "$NATIVE/d" && "$@")" "$(cd "$NATIVE" && shim sh -c 'cd /s3/test/d && exec "$@"' sh "$@")"; }

@test "a loop over the sorted listing" {
    same python3 -c 'import os
for name in sorted(os.listdir(".")):
    with open(name, "rb") as file: print(name, hash(file.read()) != 0, os.fstat(file.fileno()).st_size)'
    prefetched 8
}

@test "names on the command line" {
    same sh -c 'md5sum *'
    prefetched 8
}

# In reverse, which nothing but the command line says.
@test "names on the command line, however they are spelt, in a directory that is the working directory" {
    local beginning names
    names=$(seq -f 'f%07.0f' $((FILES - 1)) -1 0)
    for beginning in '' ./ ../d/ none/..// /s3/test/large/.././d// s3://test/d/; do
        setup
        # shellcheck disable=SC2086 # words
        shim sh -c 'cd /s3/test/d && exec cat "$@"' sh ${names//f/"${beginning}f"} >/dev/null
        prefetched 8
    done
    setup
    # shellcheck disable=SC2086 # words
    shim env -C /s3/test/d cat $names >/dev/null
    prefetched 8
}

@test "a tree: tar, grep -r, cp -r" {
    same sh -c 'tar cf - --mtime=@0 --mode=644 --owner=0 --group=0 . | tar tf - | sort'
    prefetched 8
    setup
    shim grep -r 'no such text' /s3/test/d && false
    prefetched 8
    setup
    shim cp -r /s3/test/d "$BATS_TEST_TMPDIR/"
    diff -r "$NATIVE/d" "$BATS_TEST_TMPDIR/d"
    prefetched 8
}

@test "os.walk, and a manifest the second time" {
    shim python3 -c 'import os
for top, _, names in os.walk("/s3/test/d"):
    for name in names: open(os.path.join(top, name), "rb").read()'
    prefetched 8
    setup
    shim python3 -c 'import random
names = [f"/s3/test/d/f{n:07}" for n in range(60)]
random.Random(1).shuffle(names)
for epoch in range(2):
    for name in names: open(name, "rb").read()'
    [[ $(admin log | grep -c '^GetObject ') -eq $((2 * FILES)) ]] || explain "$(admin log)"
    [[ $(server max_in_flight) -ge 8 ]]
}

# Sixty names in three sequences. Bytes that another open has brought are not asked for again.
@test "epochs, each in another order: the set is known after the first" {
    local program='import random
names = [f"/s3/test/d/f{n:07}" for n in range(60)]
for epoch in range(3):
    random.Random(epoch).shuffle(names)
    for name in names: open(name, "rb").read()'
    shim S3DLIO_META_TTL_MS=60000 S3DLIO_STATS="$BATS_TEST_TMPDIR/stats.json" python3 -c "$program"
    gets=$(admin log | grep -c '^GetObject ')
    python3 - "$BATS_TEST_TMPDIR/stats.json" "$gets" <<'END'
import json, sys
counts = json.loads(open(sys.argv[1]).readline())
assert int(sys.argv[2]) <= 180 * 1.05, (sys.argv[2], counts)
assert counts["prefetch_used"] >= 30, counts
assert counts["prefetch_wasted"] <= 180 * 3000 * 0.05, counts
END
    setup
    shim S3DLIO_STATS="$BATS_TEST_TMPDIR/short.json" python3 -c "$program" # a second is not enough for all
    grep -q '"prefetch_used": *[1-9]' "$BATS_TEST_TMPDIR/short.json" || explain "$(cat "$BATS_TEST_TMPDIR/short.json")"
    [[ $(admin log | grep -c '^GetObject ') -le 189 ]] || explain "$(admin log)"
}

@test "files opened in the order of their names, listed by somebody else" {
    shim ls /s3/test/d >"$BATS_TEST_TMPDIR/list"
    setup
    shim python3 -c 'import sys
for name in open(sys.argv[1]): open("/s3/test/d/" + name.strip(), "rb").read()' "$BATS_TEST_TMPDIR/list"
    prefetched 8
    equal "$(admin log | grep -c '^ListObjects')" 1
    setup # each by a process of its own: there is nothing to share, and nothing is sent in vain
    shim sh -c 'cd /s3/test/d && while read -r f; do cat "$f"; done' <"$BATS_TEST_TMPDIR/list" >/dev/null
    [[ $(admin log | grep -c '^GetObject ') -eq $FILES && $(admin log | grep -c '^List') -le 1 ]] || explain "$(admin log)"
}

@test "larger files are fetched whole when the program reads them whole" {
    shim python3 -c 'import os
for name in sorted(os.listdir("/s3/test/large")):
    with open("/s3/test/large/" + name, "rb") as file: assert len(file.read()) == 700000'
    [[ $(admin log | awk '$1 == "GetObject" && /bytes=0-699999/' | wc -l) -ge 6 ]] || explain "$(admin log)"
    setup
    shim python3 -c 'import os
for name in sorted(os.listdir("/s3/test/large")):
    with open("/s3/test/large/" + name, "rb") as file: file.read(10)'
    [[ $(admin log | grep -c 'bytes=0-699999') -eq 0 ]] || explain "$(admin log)"
}

@test "a destination is not fetched" {
    shim cp /s3/test/d/f0000001 "/s3/test/copy"
    shim sh -c "mkdir /s3/test/to && cp /s3/test/d/f0000001 /s3/test/d/f0000002 /s3/test/d/f0000003 /s3/test/to"
    [[ $(admin log | grep -c '^GetObject ') -le 4 ]] || explain "$(admin log)"
}

@test "S3DLIO_PREFETCH: so many ahead, or none" {
    shim S3DLIO_PREFETCH=0 sh -c 'cat /s3/test/d/* >/dev/null'
    equal "$(server max_in_flight)" 1
    setup
    shim S3DLIO_PREFETCH=3 sh -c 'cat /s3/test/d/* >/dev/null'
    equal "$(server max_in_flight)" 3
}

@test "what is not read on costs no more than it would by itself" {
    shim sh -c 'ls /s3/test/d >/dev/null; head -c 10 /s3/test/d/f0000007 >/dev/null'
    [[ $(admin log | grep -c '^GetObject ') -eq 1 ]] || explain "$(admin log)"
}

@test "statistics tell what was fetched ahead" {
    shim S3DLIO_STATS="$BATS_TEST_TMPDIR/stats.json" sh -c 'cat /s3/test/d/f000001*' >/dev/null
    python3 - "$BATS_TEST_TMPDIR/stats.json" <<'END'
import json, sys
counts = next(line for line in map(json.loads, open(sys.argv[1])) if line["command"] == "cat")
assert (counts["prefetch_asked"], counts["prefetch_used"], counts["prefetch_wasted"]) == (7, 7, 0), counts
END
}

@test "statistics count what was fetched ahead and never opened" {
    shim S3DLIO_META_TTL_MS=60000 S3DLIO_STATS="$BATS_TEST_TMPDIR/stats.json" python3 -c 'import os, time
for name in sorted(os.listdir("/s3/test/d"))[:5]: open("/s3/test/d/" + name, "rb").read()
time.sleep(0.5)
large = open("/s3/test/large/f0000000", "rb", buffering=0)
large.read(10)
time.sleep(0.1)
large.read(10)
os._exit(0)'
    python3 - "$BATS_TEST_TMPDIR/stats.json" <<'END'
import json, sys
counts = json.loads(open(sys.argv[1]).readline())
wasted = counts["prefetch_wasted"]
assert wasted == (counts["prefetch_asked"] - counts["prefetch_used"]) * 3000 > 0, counts
assert counts["ahead_wasted"] > 0, counts # of the open file
END
}

@test "S3DLIO_HEDGE_PERCENT: a late answer is asked for again" {
    local program='import os, sys
fd = os.open("/s3/test/large/f0000003", os.O_RDONLY)
for n in range(80): os.pread(fd, 70000, n * 7 % 9 * 70000)'
    fault
    fault 'op=GetObject nth=70 count=1 action=delay:20000'
    shim S3DLIO_HEDGE_PERCENT=5 S3DLIO_STATS="$BATS_TEST_TMPDIR/stats.json" timeout 15 python3 -c "$program"
    grep -Eq '"hedges_won": *[1-9]' "$BATS_TEST_TMPDIR/stats.json" || explain "$(cat "$BATS_TEST_TMPDIR/stats.json")"
}
