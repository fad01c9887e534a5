#!/usr/bin/env bats
# kill -9 at every request: whatever a program was about to do to an object, afterwards the object is the
# old or the new one, whole, and what was left of an upload is listed and can be aborted.
#
# The server holds back the answer of the Nth request; the program is killed while it waits for it, and
# the request may still be carried out after that. N grows until the program comes to its end.

load lib/shim

setup_file() {
    start_server
    head -c 13000000 /dev/urandom >"$NATIVE/old"
    head -c 12000000 /dev/urandom >"$NATIVE/new"
}

PARTS=(S3DLIO_PUT_PART_SIZE=5MiB S3DLIO_LOG=off)

# faults_hit: how many requests a rule has held back so far.
faults_hit() { admin faults | grep -oE 'fired=[0-9]+' | grep -c 'fired=[1-9]' || :; }

in_flight() { admin stats | python3 -c 'import json, sys; print(json.load(sys.stdin)["in_flight"])'; }

held_or_ended() { [[ $(faults_hit) -gt 0 ]] || ! kill -0 "$1" 2>/dev/null; }
nothing_in_flight() { [[ $(in_flight) -eq 0 ]]; }

# The content of an object as a fresh process sees it; "none" when there is none.
content() {
    if shim test -e "$1"; then shim sha256sum <"/dev/null" "$1" | cut -d' ' -f1; else echo none; fi
}

sum_of() { sha256sum "$1" | cut -d' ' -f1; }

# crash_everywhere PREPARE COMMAND CHECK [KILLS]: COMMAND, a shell command, runs under the shim in a
# process group of its own; PREPARE and CHECK are functions.
crash_everywhere() {
    local nth pid held killed=0 settings
    mapfile -t settings <"$RUN/settings"
    for ((nth = 1; nth < 60; nth++)); do
        admin reset -X POST
        "$1"
        fault "op=* nth=$nth count=1 action=stall:20000"
        setsid env "${settings[@]}" "${PARTS[@]}" ASAN_OPTIONS=detect_leaks=0 \
            "LD_PRELOAD=$(preload_list)" bash -c "$2" >"$BATS_TEST_TMPDIR/out" 2>&1 </dev/null 3>&- &
        pid=$!
        wait_until held_or_ended "$pid"
        held=$(faults_hit)
        kill -9 -- "-$pid" 2>/dev/null || :
        wait "$pid" 2>/dev/null || :
        wait_until nothing_in_flight
        fault
        echo "killed at request $nth of: $2" # for whoever reads of what failed behind it
        "$3"
        uploads_can_be_aborted
        [[ $held -gt 0 ]] || break
        killed=$((killed + 1))
    done
    [[ $killed -ge ${4:-1} ]] || explain "killed at $killed requests only: $2" "$(<"$BATS_TEST_TMPDIR/out")"
}

uploads_can_be_aborted() {
    shim "$B/s3dlio" uploads abort --older-than 0s s3://test/ >"$BATS_TEST_TMPDIR/aborted" 2>&1 ||
        explain "uploads abort: $(<"$BATS_TEST_TMPDIR/aborted")"
    [[ -z $(shim "$B/s3dlio" uploads list s3://test/) ]] || explain "uploads are left"
}

put_old() { shim S3DLIO_PUT_PART_SIZE=5MiB cp "$NATIVE/old" /s3/test/object; }

# one_of OBJECT SUM...: the object is one of these.
one_of() {
    local now
    now=$(content "$1")
    shift
    printf '%s\n' "$@" | grep -qxF "$now" || explain "the object is neither the old nor the new: $now"
}

nothing() { :; }

@test "kill while an object is created" {
    check() { one_of /s3/test/object none "$(sum_of "$NATIVE/new")"; }
    crash_everywhere nothing "cp $NATIVE/new /s3/test/object" check 4
}

@test "kill while an object is replaced" {
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/new")"; }
    crash_everywhere put_old "cp $NATIVE/new /s3/test/object" check 4
}

@test "kill while a small object is replaced" {
    small() { shim bash -c 'echo old >/s3/test/object'; }
    check() { one_of /s3/test/object "$(sum_of <(echo old))" "$(sum_of <(echo new))"; }
    crash_everywhere small "echo new >/s3/test/object" check
}

@test "kill while an object is appended to" {
    cat "$NATIVE/old" "$NATIVE/new" >"$NATIVE/both"
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/both")"; }
    crash_everywhere put_old "dd if=$NATIVE/new of=/s3/test/object oflag=append conv=notrunc bs=102400 status=none" check 4
}

@test "kill while an object is changed in the middle" {
    cp "$NATIVE/old" "$NATIVE/patched"
    printf CHANGED | dd of="$NATIVE/patched" bs=1 seek=6333333 conv=notrunc status=none
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/patched")"; }
    crash_everywhere put_old "printf CHANGED | dd of=/s3/test/object bs=4096 oflag=seek_bytes seek=6333333 conv=notrunc status=none" check 4
}

@test "kill while the commands of a shell write an object, which has no room on this side" {
    cat "$NATIVE/new" "$NATIVE/new" >"$NATIVE/twice"
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/twice")"; }
    crash_everywhere put_old "S3DLIO_SPOOL_LIMIT=14M bash -c '{ cat $NATIVE/new; cat $NATIVE/new; } >/s3/test/object; :'" \
        check 6
}

@test "kill while an object is truncated" {
    head -c 7000000 "$NATIVE/old" >"$NATIVE/cut"
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/cut")"; }
    crash_everywhere put_old "truncate -s 7000000 /s3/test/object" check 2
}

@test "kill while an object is renamed, over another too" {
    two() { put_old; shim cp "$NATIVE/new" /s3/test/target; }
    check() {
        one_of /s3/test/object "$(sum_of "$NATIVE/old")" none
        one_of /s3/test/target "$(sum_of "$NATIVE/old")" "$(sum_of "$NATIVE/new")"
        [[ $(content /s3/test/object) != none || $(content /s3/test/target) == "$(sum_of "$NATIVE/old")" ]] ||
            explain "the content is under neither name"
    }
    crash_everywhere two "mv /s3/test/object /s3/test/target" check 2
}

@test "kill while mode and time of an object are changed" {
    check() { one_of /s3/test/object "$(sum_of "$NATIVE/old")"; }
    crash_everywhere put_old "chmod 600 /s3/test/object" check
    crash_everywhere put_old "touch -d 2001-02-03 /s3/test/object" check
}

@test "kill while a directory is renamed; the same mv again ends it" {
    tree() { shim bash -c 'mkdir /s3/test/from; for n in 1 2 3; do echo $n >/s3/test/from/$n; done'; }
    check() {
        local n
        for n in 1 2 3; do
            [[ $(shim bash -c "cat /s3/test/from/$n 2>/dev/null || cat /s3/test/to/$n") == "$n" ]] ||
                explain "file $n is under neither name"
        done
        shim python3 -c 'import os
if os.path.exists("/s3/test/from"): os.rename("/s3/test/from", "/s3/test/to")' || explain "the same rename again fails"
        [[ $(shim bash -c 'cat /s3/test/to/[123]; ls /s3/test') == $'1\n2\n3\nto' ]]
    }
    crash_everywhere tree "python3 -c 'import os; os.rename(\"/s3/test/from\", \"/s3/test/to\")'" check 4
}

@test "old uploads are aborted at the first write, when an option says how old" {
    admin reset -X POST
    admin 'clock?offset_s=-600' -X PUT
    curl -qsf --noproxy '*' -o /dev/null -X POST "$(setting AWS_ENDPOINT_URL)/test/left?uploads=" \
        --user "$(setting AWS_ACCESS_KEY_ID):$(setting AWS_SECRET_ACCESS_KEY)" \
        --aws-sigv4 "aws:amz:$(setting AWS_REGION):s3" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'
    admin 'clock?offset_s=0' -X PUT
    shim bash -c 'echo x >/s3/test/a'
    shim S3DLIO_ABORT_UPLOADS_AFTER=1h bash -c 'echo x >/s3/test/b'
    shim "$B/s3dlio" uploads list s3://test/ | grep -q left
    shim S3DLIO_ABORT_UPLOADS_AFTER=5m bash -c 'echo x >/s3/test/c'
    [[ -z $(shim "$B/s3dlio" uploads list s3://test/) ]]
}
