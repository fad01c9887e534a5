#!/usr/bin/env bats
# A store that answers every request with 503 for a whole minute: few requests meanwhile, a line that
# says so, EIO for who cannot wait so long, and the work done for who can.

load lib/shim
load lib/data

setup_file() { serve_data; }
teardown() { fault; }

# begin NAME COMMAND...: in the background, under the shim; its status is in NAME.status.
begin() {
    local name=$BATS_TEST_TMPDIR/$1
    shift
    (
        status=0
        shim "$@" >"$name.out" 2>"$name.err" </dev/null || status=$?
        echo "$status" >"$name.status"
    ) 3>&- &
}

# status NAME: how it ended, 0 or more; nothing as long as it runs.
status() { cat "$BATS_TEST_TMPDIR/$1.status" 2>/dev/null || :; }
said_by() { grep -E '^s3dlio' "$BATS_TEST_TMPDIR/$1.err" || :; }

@test "503 for a minute: few requests, a warning, EIO where the time is over, else all is done" {
    local before
    fault 'op=* action=status:503:SlowDown'
    before=$(requests)
    begin reader S3DLIO_OPERATION_TIMEOUT_SECS=110 cat "$VIRTUAL/big.bin"
    begin writer S3DLIO_OPERATION_TIMEOUT_SECS=110 cp "$NATIVE/block.bin" "$VIRTUAL/new"
    begin hasty S3DLIO_OPERATION_TIMEOUT_SECS=15 cat "$VIRTUAL/text/short.txt"
    sleep 60
    # Each has asked some ten times by then, and the last one was through long before.
    [[ $(($(requests) - before)) -le 60 ]] || explain "$(($(requests) - before)) requests in a minute"
    [[ $(($(requests) - before)) -ge 9 ]] || explain "only $(($(requests) - before)) requests in a minute"
    equal "$(status hasty)" 1
    grep -q 'Input/output error' "$BATS_TEST_TMPDIR/hasty.err"
    equal "$(status reader)" ""
    equal "$(status writer)" ""
    said_by reader | grep -q 'warning: .*overloaded.*503 SlowDown.*S3DLIO_OPERATION_TIMEOUT_SECS'
    said_by writer | grep -q 'warning: .*overloaded'
    fault
    wait
    equal "$(status reader)" 0
    equal "$(status writer)" 0
    cmp "$BATS_TEST_TMPDIR/reader.out" "$NATIVE/big.bin"
    shim cmp "$VIRTUAL/new" "$NATIVE/block.bin"
    [[ $(said_by reader | wc -l) -eq 1 ]] || explain "$(said_by reader)"
}

@test "a number of repeats that was set holds for an overloaded store, too" {
    local before
    fault 'op=GetObject action=status:503:SlowDown'
    before=$(requests GetObject)
    refuse 1 'Input/output error' S3DLIO_RETRY_MAX=2 S3DLIO_PREFETCH=0 cat "$VIRTUAL/text/short.txt"
    equal "$(($(requests GetObject) - before))" 3
}
