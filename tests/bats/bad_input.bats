#!/usr/bin/env bats
# Wrong settings and broken servers: the right errno, one line that says what to set, and an end in
# bounded time.

load lib/shim
load lib/data

setup_file() {
    start_server bundled --key READERKEY:readersecret::readonly --key OLDKEY:oldsecret:oldtoken:expired
    make_plain_data
    add_data
}

teardown() { fault; }

FILE=$VIRTUAL/text/short.txt

one_line() {
    local count
    count=$(said | wc -l)
    [[ $count -eq 1 ]] || explain "$count lines instead of one:" "$(<"$BATS_TEST_TMPDIR/err")"
}

# ends_within SECONDS COMMAND...
ends_within() {
    local limit=$1 start=$SECONDS
    shift
    "$@"
    [[ $((SECONDS - start)) -le $limit ]] || explain "took $((SECONDS - start)) s, allowed $limit: $*"
}

@test "a wrong secret: EACCES, and which variable to look at" {
    refuse 1 'Permission denied' AWS_SECRET_ACCESS_KEY=wrong cat "$FILE"
    said | grep -q 'AWS_SECRET_ACCESS_KEY'
    said | grep -q 'SignatureDoesNotMatch'
    one_line
}

@test "an unknown key: EACCES" {
    refuse 1 'Permission denied' AWS_ACCESS_KEY_ID=NOBODY cat "$FILE"
    said | grep -q 'AWS_ACCESS_KEY_ID'
    one_line
}

@test "no credentials at all: EACCES, and no long search for some" {
    ends_within 20 refuse 1 'Permission denied' -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY cat "$FILE"
    said | grep -q 'AWS_ACCESS_KEY_ID'
    one_line
}

@test "an expired token: EACCES, and that it expired" {
    refuse 1 'Permission denied' AWS_ACCESS_KEY_ID=OLDKEY AWS_SECRET_ACCESS_KEY=oldsecret \
        AWS_SESSION_TOKEN=oldtoken cat "$FILE"
    said | grep -q 'AWS_SESSION_TOKEN'
    one_line
}

@test "a key that may only read: reads, and gets EACCES for a write" {
    shim AWS_ACCESS_KEY_ID=READERKEY AWS_SECRET_ACCESS_KEY=readersecret cat "$FILE"
    refuse 1 'Permission denied' AWS_ACCESS_KEY_ID=READERKEY AWS_SECRET_ACCESS_KEY=readersecret \
        cp "$NATIVE/text/short.txt" "$VIRTUAL/new"
}

@test "the secret is never shown" {
    refuse 1 'Permission denied' S3DLIO_LOG=trace AWS_SECRET_ACCESS_KEY=very-secret-word cat "$FILE"
    run ! grep -q very-secret-word "$BATS_TEST_TMPDIR/err"
}

@test "an unknown bucket: ENOENT" {
    refuse 1 'No such file or directory' cat /s3/no-such-bucket/key
    refuse 2 'No such file or directory' ls /s3/no-such-bucket
}

@test "a missing key is no cause for a line of ours" {
    refuse 1 'No such file or directory' cat "$VIRTUAL/absent"
    [[ -z $(said) ]]
}

@test "an endpoint that nobody listens at: EIO in bounded time" {
    ends_within 15 refuse 1 'Input/output error' AWS_ENDPOINT_URL=http://127.0.0.1:1 \
        S3DLIO_OPERATION_TIMEOUT_SECS=3 cat "$FILE"
    said | grep -q 'AWS_ENDPOINT_URL'
    one_line
}

@test "an endpoint that accepts and says nothing: an error in bounded time" {
    python3 -c '
import socket, sys, time
s = socket.socket(); s.bind(("127.0.0.1", 0)); s.listen(64)
print(s.getsockname()[1], flush=True); time.sleep(60)' >"$BATS_TEST_TMPDIR/port" 3>&- &
    local silent=$!
    wait_until test -s "$BATS_TEST_TMPDIR/port"
    ends_within 15 refuse 1 'Input/output error|timed out' S3DLIO_OPERATION_TIMEOUT_SECS=3 \
        "AWS_ENDPOINT_URL=http://127.0.0.1:$(<"$BATS_TEST_TMPDIR/port")" cat "$FILE"
    kill "$silent"
    one_line
}

@test "a host name that does not exist: EIO in bounded time" {
    ends_within 30 refuse 1 'Input/output error' AWS_ENDPOINT_URL=http://no-such-host.invalid:9 \
        S3DLIO_OPERATION_TIMEOUT_SECS=3 cat "$FILE"
    said | grep -q 'AWS_ENDPOINT_URL'
}

@test "an endpoint that is no URL, or of another scheme: an error and one line" {
    refuse ! 's3dlio.*ENDPOINT_URL' AWS_ENDPOINT_URL=ftp://127.0.0.1/ cat "$FILE"
    refuse ! 's3dlio.*ENDPOINT_URL' AWS_ENDPOINT_URL=::: cat "$FILE"
}

@test "TLS spoken to a server that has none: EIO and one line" {
    local port
    port=$(setting AWS_ENDPOINT_URL | sed 's/.*://')
    ends_within 15 refuse 1 'Input/output error' "AWS_ENDPOINT_URL=https://127.0.0.1:$port" \
        S3DLIO_OPERATION_TIMEOUT_SECS=3 cat "$FILE"
    one_line
}

@test "an endpoint that is no object store: EIO and one line" {
    mkdir "$BATS_TEST_TMPDIR/www"
    python3 -u -m http.server --bind 127.0.0.1 --directory "$BATS_TEST_TMPDIR/www" 0 \
        >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- &
    local web=$!
    wait_until grep -q Serving "$BATS_TEST_TMPDIR/log"
    local port
    port=$(sed -n 's/.*port \([0-9]*\).*/\1/p' "$BATS_TEST_TMPDIR/log")
    ends_within 15 refuse ! . "AWS_ENDPOINT_URL=http://127.0.0.1:$port" S3DLIO_OPERATION_TIMEOUT_SECS=3 \
        ls /s3/test
    kill "$web"
}

@test "an option that does not exist is named with the nearest one" {
    refuse 0 'S3DLIO_LOGG.*S3DLIO_LOG' S3DLIO_LOGG=debug cat "$FILE"
    one_line
}

@test "a value that is none is named with what is accepted, and the default counts" {
    refuse 0 'S3DLIO_GET_INFLIGHT' S3DLIO_GET_INFLIGHT=many cat "$FILE"
    refuse 0 'S3DLIO_GET_PART_SIZE' S3DLIO_GET_PART_SIZE=1 cat "$FILE"
    diff "$BATS_TEST_TMPDIR/out" "$NATIVE/text/short.txt"
}

@test "values that do not go together are named, and what follows; the work is done all the same" {
    refuse 0 'S3DLIO_PUT_PART_SIZE=64M is more than S3DLIO_MEMORY_BUDGET=1M' S3DLIO_PUT_PART_SIZE=64M \
        S3DLIO_MEMORY_BUDGET=1M cp "$NATIVE/big.bin" "$VIRTUAL/contradiction"
    one_line
    shim cmp "$NATIVE/big.bin" "$VIRTUAL/contradiction"
    shim rm "$VIRTUAL/contradiction"
}

@test "a memory budget smaller than one part, or a byte: reads, copies and changes work" {
    local budget
    for budget in 1 64K; do
        shim "S3DLIO_MEMORY_BUDGET=$budget" cp "$VIRTUAL/big.bin" "$VIRTUAL/tight"
        shim "S3DLIO_MEMORY_BUDGET=$budget" dd if="$NATIVE/big.bin" of="$VIRTUAL/streamed" bs=64K status=none
        shim "S3DLIO_MEMORY_BUDGET=$budget" dd if="$NATIVE/big.bin" of="$VIRTUAL/tight" bs=4K count=1 \
            conv=notrunc status=none
        shim "S3DLIO_MEMORY_BUDGET=$budget" cmp "$VIRTUAL/tight" "$NATIVE/big.bin"
        shim "S3DLIO_MEMORY_BUDGET=$budget" cmp "$VIRTUAL/streamed" "$NATIVE/big.bin"
        shim rm "$VIRTUAL/tight" "$VIRTUAL/streamed"
    done
}

# Eight threads wait for answers that do not come, on every shard; a ninth reads as ever.
@test "requests that are stuck keep nobody else" {
    fault "op=GetObject key=*open-ended.txt action=stall:600000"
    cat >"$BATS_TEST_TMPDIR/stuck.py" <<'EOT'
import os, sys, threading
def stuck():
    open(sys.argv[1], "rb").read()
    os._exit(3)  # the server does not answer
for _ in range(8):
    threading.Thread(target=stuck, daemon=True).start()
for _ in range(30):
    for name in sys.argv[2:]:
        with open(name, "rb", buffering=0) as file:
            assert file.read()
os._exit(0)
EOT
    shim S3DLIO_PREFETCH=0 S3DLIO_RT_THREADS=4 S3DLIO_META_TTL_MS=0 timeout 60 python3 "$BATS_TEST_TMPDIR/stuck.py" \
        "$VIRTUAL/text/open-ended.txt" "$FILE" "$VIRTUAL/big.bin"
}

@test "a profile that does not exist is named" {
    refuse 0 's3dlio.*cluod' S3DLIO_PROFILE=cluod cat "$FILE"
}

@test "mounts that mean nothing are named" {
    refuse 0 's3dlio.*S3DLIO_MOUNTS' S3DLIO_MOUNTS=nonsense cat "$FILE"
}

@test "a server that is overloaded for ever: EIO or EBUSY in bounded time" {
    fault 'op=* action=status:503:SlowDown'
    ends_within 20 refuse 1 'cat: ' S3DLIO_OPERATION_TIMEOUT_SECS=3 cat "$FILE"
    one_line
}

@test "a server that fails twice and then works is no cause for an error" {
    fault 'op=GetObject count=2 action=status:500:InternalError'
    shim cat "$FILE" | diff - "$NATIVE/text/short.txt"
}

@test "connections reset in the middle of a body are taken up where they broke" {
    fault 'op=GetObject nth=1 count=3 action=reset@random'
    shim cat "$VIRTUAL/big.bin" | cmp - "$NATIVE/big.bin"
}

@test "a body shorter than announced, a wrong range, a missing ETag: never wrong bytes" {
    local action
    for action in truncate@1000 wrong-length wrong-range no-etag; do
        fault
        fault "op=GetObject count=1 action=$action"
        if shim S3DLIO_OPERATION_TIMEOUT_SECS=5 cat "$VIRTUAL/big.bin" >"$BATS_TEST_TMPDIR/read" 2>"$BATS_TEST_TMPDIR/err"; then
            cmp "$BATS_TEST_TMPDIR/read" "$NATIVE/big.bin"
        else
            [[ -n $(said) ]] || explain "failed without a line: $action" "$(<"$BATS_TEST_TMPDIR/err")"
        fi
    done
}

@test "headers without end, XML that is none: an error in bounded time" {
    fault 'op=GetObject action=many-headers:2000'
    ends_within 20 refuse 1 'too many headers' S3DLIO_OPERATION_TIMEOUT_SECS=5 cat "$FILE"
    one_line
    fault
    fault 'op=GetObject action=huge-header:300000'
    ends_within 20 refuse 1 'Input/output error' S3DLIO_OPERATION_TIMEOUT_SECS=5 cat "$FILE"
    one_line
    fault
    fault 'op=ListObjectsV2 action=bad-xml'
    ends_within 20 refuse ! 'ls: ' S3DLIO_OPERATION_TIMEOUT_SECS=5 ls "$VIRTUAL/text"
    one_line
}

@test "a body without end: an error or the right bytes, in bounded time" {
    fault 'op=GetObject action=endless-body'
    local start=$SECONDS
    if shim S3DLIO_OPERATION_TIMEOUT_SECS=5 cat "$FILE" >"$BATS_TEST_TMPDIR/read"; then
        diff "$BATS_TEST_TMPDIR/read" "$NATIVE/text/short.txt"
    fi
    [[ $((SECONDS - start)) -le 20 ]]
}

@test "an object that is replaced while it is read: ESTALE, never a mix" {
    fault 'op=GetObject nth=2 count=1 action=replace'
    refuse 1 'Stale file handle' cat "$VIRTUAL/big.bin"
}

@test "a path of PATH_MAX and more: ENAMETOOLONG" {
    local long
    long=$(printf '/%0200d' $(seq 25))
    refuse 1 'File name too long' cat "$VIRTUAL$long"
}

@test "without the engine beside it the shim serves local files and refuses virtual ones" {
    local dir=$BATS_TEST_TMPDIR/alone
    mkdir "$dir"
    cp "$B/libs3dlio_shim.so" "$dir/"
    [[ $(LD_PRELOAD=$dir/libs3dlio_shim.so cat "$NATIVE/text/open-ended.txt") == "$(<"$NATIVE/text/open-ended.txt")" ]]
    local status=0
    LD_PRELOAD=$dir/libs3dlio_shim.so cat "$FILE" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || status=$?
    [[ $status -eq 1 ]]
    said | grep -q 'libs3dlio.so'
}

@test "switched off, virtual paths do not exist" {
    refuse 1 'No such file or directory' S3DLIO_DISABLE=1 cat "$FILE"
    [[ -z $(said) ]]
}
