#!/usr/bin/env bats
# What programs may expect of any S3 server: what stays with an object, what the store itself does, what it
# is asked to clean up. These tests run against the bundled server and, by `make check-bats-real`, against
# servers that are not ours; nothing here needs faults or counters of a server. Where servers differ, the
# test says how (`answer`).

load lib/shim
load lib/data
load lib/real

setup_file() {
    start_any_server
    random_file "$NATIVE/large" 12000000
    random_file "$NATIVE/small" 3000
}

# ---- what stays with an object -------------------------------------------------------------------
# An object as another tool stores it, with all that belongs to it.
put_described() {
    signed PUT "$2" --upload-file "$NATIVE/$1" -H 'Content-Type: text/x-test' -H 'Cache-Control: max-age=60' \
        -H 'Content-Disposition: attachment' -H 'Content-Language: de' -H 'x-amz-meta-colour: red' \
        -H 'x-amz-tagging: team=a%20b&level=3'
}

# is_described KEY: all of it is there, as another tool sees it.
is_described() {
    local row tags
    for row in 'Content-Type: text/x-test' 'Cache-Control: max-age=60' 'Content-Disposition: attachment' \
        'Content-Language: de' 'x-amz-meta-colour: red'; do
        headers "$1" | grep -qix "$row" || explain "$1 has lost '$row'" "$(headers "$1")"
    done
    tags=$(signed GET "$1?tagging=" | tr -d '\n' | grep -oE '<(Key|Value)>[^<]*' | sed 's/.*>//' | sort | tr '\n' ' ')
    [[ $tags == "3 a b level team " ]] || explain "$1 has other tags: $tags"
}

# keeps NAME COMMAND...: with a described object of that local file's content at /s3/test/d/a, the command
# leaves a described object at d/KEY, which the last word names.
keeps() {
    local content=$1 key=$2
    shift 2
    put_described "$content" d/a
    shim "$@"
    is_described "$key"
}

@test "headers, metadata and tags stay: rename, also of its directory" {
    local size
    for size in small large; do
        keeps "$size" d/b mv /s3/test/d/a /s3/test/d/b
        keeps "$size" d/c mv -n /s3/test/d/a /s3/test/d/c
        keeps "$size" e/a mv /s3/test/d /s3/test/e
        signed GET e/a | cmp - "$NATIVE/$size"
        shim rm -r /s3/test/e
    done
}

@test "headers, metadata and tags stay: mode, time, owner, an extended attribute" {
    need setfattr
    local size
    for size in small large; do
        keeps "$size" d/a chmod 640 /s3/test/d/a
        keeps "$size" d/a touch -d @1000 /s3/test/d/a
        keeps "$size" d/a chown 12:34 /s3/test/d/a
        keeps "$size" d/a setfattr -n user.note -v x /s3/test/d/a
        signed GET d/a | cmp - "$NATIVE/$size"
    done
}

@test "headers, metadata and tags stay: append, one byte, truncate" {
    local size
    for size in small large; do
        keeps "$size" d/a bash -c 'echo more >>/s3/test/d/a'
        signed GET d/a | cmp - <(cat "$NATIVE/$size" <(echo more))
        keeps "$size" d/a dd if=/dev/zero of=/s3/test/d/a bs=1 count=1 seek=2000 conv=notrunc status=none
        cp "$NATIVE/$size" "$NATIVE/changed"
        dd if=/dev/zero of="$NATIVE/changed" bs=1 count=1 seek=2000 conv=notrunc status=none
        signed GET d/a | cmp - "$NATIVE/changed"
        keeps "$size" d/a truncate -s 2999 /s3/test/d/a
        signed GET d/a | cmp - <(head -c 2999 "$NATIVE/$size")
    done
}

@test "one byte and a few more at the end of a large object: the store copies the rest" {
    put_described large d/a
    counted dd if=/dev/zero of=/s3/test/d/a bs=1 count=1 seek=2000 conv=notrunc status=none
    [[ $(bytes sent) -lt 6000000 ]] || explain "$(<"$STATS")"
    counted bash -c 'echo more >>/s3/test/d/a'
    [[ $(bytes sent) -lt 6000000 ]] || explain "$(<"$STATS")"
    is_described d/a
}

@test "mode, owner, time, links and extended attributes are seen by a machine that knows nothing yet" {
    need setfattr
    shim bash -c 'cd /s3/test && mkdir -p seen/sub && echo x >seen/file && chmod 751 seen/file &&
        chown 12:34 seen/file && touch -d @1234567890.5 seen/file && setfattr -n user.note -v "ä b" seen/file &&
        ln -s file seen/link && ln -s sub seen/to-sub && echo y >seen/sub/leaf && chmod 711 seen/sub &&
        touch -d @86400 seen/sub'
    elsewhere bash -c 'cd /s3/test/seen; stat -c "%A %u %g %.1Y %s" file; cat link; readlink link; cat to-sub/leaf
        stat -c "%A %Y %F" sub; getfattr --only-values -n user.note file; echo; find . -type l -printf "%y %m %p %l\n" -o -printf "%y %m %p\n" | sort' >"$BATS_TEST_TMPDIR/seen"
    diff "$BATS_TEST_TMPDIR/seen" - <<'END'
-rwxr-x--x 12 34 1234567890.5 2
x
file
y
drwx--x--x 86400 directory
ä b
d 711 ./sub
d 755 .
f 644 ./sub/leaf
f 751 ./file
l 777 ./link file
l 777 ./to-sub sub
END
    shim rm -r /s3/test/seen
}

# ---- what the store does by itself ---------------------------------------------------------------
@test "cp: the store copies, nothing is sent" {
    local size
    for size in small large; do
        put_described "$size" d/a
        counted cp /s3/test/d/a /s3/test/d/copy
        [[ $(bytes sent) -eq 0 && $(bytes received) -le 300000 ]] || explain "$(<"$STATS")"
        signed GET d/copy | cmp - "$NATIVE/$size"
        headers d/copy | grep -qix 'Content-Type: text/x-test'
        shim rm /s3/test/d/copy
    done
}

@test "rm -r, find -delete: batches, also above a thousand, with every kind of name" {
    local how
    for how in 'rm -r /s3/test/tree' 'find /s3/test/tree -delete'; do
        shim python3 - <<'PY'
import os
from concurrent.futures import ThreadPoolExecutor
root = "/s3/test/tree"
os.makedirs(root + "/sub/empty")
names = [f"f{n}" for n in range(1100)] + ["sub/a b", "sub/ä+%25&<x>", "sub/'q\"", "sub/~"]
with ThreadPoolExecutor(8) as pool:
    list(pool.map(lambda name: open(f"{root}/{name}", "w").close(), names))
PY
        [[ $(keys tree/ | wc -l) -ge 1000 ]] || explain "$(keys tree/)"
        counted S3DLIO_META_TTL_MS=60000 bash -c "$how"
        [[ $(keys tree/) == "" ]] || explain "$(keys tree/)"
        # How many go into a batch depends on how long the one before takes.
        [[ $(deletions) -ge 2 && $(deletions) -lt 552 ]] || explain "$(<"$STATS")"
    done
}

@test "uploads that nobody completed are listed and aborted" {
    signed POST 'up/left one?uploads=' >"$BATS_TEST_TMPDIR/begun"
    signed POST 'up/two?uploads=' >>"$BATS_TEST_TMPDIR/begun"
    shim "$B/s3dlio" uploads list s3://test/ >"$BATS_TEST_TMPDIR/listed"
    [[ $(grep -c up/ "$BATS_TEST_TMPDIR/listed") -eq 2 ]] || explain "$(<"$BATS_TEST_TMPDIR/listed")"
    shim "$B/s3dlio" uploads abort --older-than 1h s3://test/
    [[ $(shim "$B/s3dlio" uploads list s3://test/up | grep -c up/) -eq 2 ]]
    shim "$B/s3dlio" uploads abort --older-than 0s s3://test/up/two
    [[ $(shim "$B/s3dlio" uploads list s3://test/ | grep -c up/) -eq 1 ]]
    shim "$B/s3dlio" uploads abort --older-than 0s s3://test/
    [[ -z $(shim "$B/s3dlio" uploads list s3://test/) ]]
}

@test "a program that is killed leaves the object as it was, and an upload that can be aborted" {
    put_described small d/a
    run shim S3DLIO_PUT_PART_SIZE=5M python3 -c "import os
f = open('/s3/test/d/a', 'wb', buffering=0)
for n in range(40):
    f.write(bytes(1000000))
os.kill(os.getpid(), 9)"
    [[ $status -eq 137 ]]
    signed GET d/a | cmp - "$NATIVE/small"
    is_described d/a
    shim "$B/s3dlio" uploads abort --older-than 0s s3://test/
    [[ -z $(shim "$B/s3dlio" uploads list s3://test/) ]]
}

# ---- names ---------------------------------------------------------------------------------------
# How the server under test answers, of several servers: `answer BUNDLED VERSITYGW MINIO`.
answer() {
    case $TEST_SERVER in
        bundled) echo "$1" ;;
        versitygw) echo "$2" ;;
        minio) echo "$3" ;;
    esac
}

# does COMMAND: what it prints and says, in one line, and its status.
does() {
    local status=0
    shim bash -c "$1" >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null || status=$?
    echo "$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/out")$status"
}

@test "names with every kind of character, also for other tools" {
    local name names=('two words' 'plus+' '100%' '%41' 'a?b' '#frag' 'a&b=c;d' '<t>&"q'"'" 'café' '😀' 'star*(1)!' \
        'back\slash' '[x]{}' '~^`' 'comma,$' 'trailing ')
    shim mkdir /s3/test/odd
    for name in "${names[@]}"; do
        printf %s "$name" | shim tee "/s3/test/odd/$name" >"$BATS_TEST_TMPDIR/tee"
    done
    printf '%s\n' "${names[@]}" | sort >"$BATS_TEST_TMPDIR/names"
    elsewhere ls /s3/test/odd | sort | diff "$BATS_TEST_TMPDIR/names" -
    elsewhere bash -c 'cd /s3/test/odd; for name in *; do [ "$(<"$name")" == "$name" ] || echo "$name"; done' | diff /dev/null -
    [[ $(signed GET 'odd/a%26b%3Dc%3Bd') == 'a&b=c;d' ]]
    shim rm -r /s3/test/odd
    [[ -z $(keys odd) ]] || explain "$(keys odd)"
}

@test "a file and files below it, as other tools make them: each by its path; what listings show" {
    local below=""
    signed PUT both/same --data-binary one
    signed PUT both/same/below --data-binary two || below=refused
    [[ $below == "$(answer "" refused "")" ]]
    [[ $(does 'cat /s3/test/both/same; test -f /s3/test/both/same') == one0 ]]
    [[ $(does 'cat /s3/test/both/same/below') == $(answer two0 '*Not a directory 1' two0) ]] || explain "$(does 'cat /s3/test/both/same/below')"
    [[ $(does 'ls /s3/test/both') == "same 0" ]] || explain "$(does 'ls /s3/test/both')"
    [[ $(keys both/ | tr '\n' ' ') == "$(answer 'both/same both/same/below ' 'both/same ' 'both/same ')" ]] || explain "$(keys both/)"
}

# made NAME: the errno of making a file of that name, or "made".
made() {
    shim python3 -c 'import errno, sys
try:
    open("/s3/test/" + sys.argv[1], "w").close()
    print("made")
except OSError as error:
    print(errno.errorcode[error.errno])' "$1" 2>"$BATS_TEST_TMPDIR/said"
}

@test "a component of more than 255 bytes, a key of more than 1,024: ENAMETOOLONG, and nothing is made" {
    local long many
    long=$(printf 'k%.0s' {1..255})
    many=d${long:10}/${long:9}/${long:9}/${long:9}/
    many=$many${long:0:1024-${#many}}
    [[ $(made "$long") == made ]]
    [[ $(made "k$long") == ENAMETOOLONG ]] || explain "$(<"$BATS_TEST_TMPDIR/said")"
    [[ $(does "mkdir /s3/test/${long:8}") == $(answer 0 0 '*File name too long 1') ]] || explain "$(does "mkdir /s3/test/${long:8}")"
    shim mkdir -p "/s3/test/${many%/*}"
    [[ $(made "$many") == made ]] || explain "$(<"$BATS_TEST_TMPDIR/said")"
    [[ $(made "${many}k") == ENAMETOOLONG ]] || explain "$(<"$BATS_TEST_TMPDIR/said")"
    [[ $(keys d | awk 'length > 1024') == "" ]]
}
