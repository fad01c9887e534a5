#!/usr/bin/env bats
# Ways to an endpoint: TLS and its authorities, regions, anonymous access, mounts, other spellings.

load lib/shim
load lib/data

setup_file() {
    start_server bundled-tls --bucket elsewhere@eu-west-1 --domain s3.localhost \
        --synthetic test/large=128M
    mkdir -p "$NATIVE/text"
    echo 'over the wire' >"$NATIVE/text/short.txt"
    add_data
}

FILE=$VIRTUAL/text/short.txt

@test "TLS with the authority that AWS_CA_BUNDLE names" {
    [[ $(shim cat "$FILE") == 'over the wire' ]]
    same 'ls {}/text'
}

# spread SETTING...: how many bytes of it other threads than the reader's have decrypted. Its reader is
# busy with more than that: it hardly ever waits for the server.
spread() {
    shim "$@" S3DLIO_STATS="$BATS_TEST_TMPDIR/told.json" md5sum /s3/test/large >/dev/null
    sed -n 's/.*"ahead_spread": *\([0-9]*\).*/\1/p' "$BATS_TEST_TMPDIR/told.json" | tail -n 1
}

@test "TLS: a program that reads one file, and is the limit, has part of it decrypted by another thread" {
    (($(spread S3DLIO_RT_THREADS=2) >= 16 << 20))
    equal "$(spread S3DLIO_RT_THREADS=1)" 0
    shim cmp /s3/test/large <(shim S3DLIO_RT_THREADS=1 cat /s3/test/large)
}

@test "TLS with an authority that nobody named: EIO, and the variable to set" {
    refuse 1 'Input/output error' -u AWS_CA_BUNDLE cat "$FILE"
    said | grep -q AWS_CA_BUNDLE
}

@test "TLS with an authority file that is not there, or is none" {
    refuse 1 's3dlio' AWS_CA_BUNDLE=/nonexistent/ca.pem cat "$FILE"
    refuse 1 's3dlio' AWS_CA_BUNDLE=/etc/hostname cat "$FILE"
}

@test "a proxy that is none is named, and its password is not" {
    refuse 1 'check S3DLIO_PROXY' S3DLIO_PROXY=http://me:secret@[::1 cat "$FILE"
    [[ $stderr != *secret* ]]
}

@test "a certificate for another name is refused" {
    local url
    url=$(setting AWS_ENDPOINT_URL)
    refuse 1 'Input/output error' "AWS_ENDPOINT_URL=${url/127.0.0.1/127.0.0.2}" \
        S3DLIO_OPERATION_TIMEOUT_SECS=5 cat "$FILE"
}

@test "the bucket in the host name: over TLS, of a server that knows its domain only" {
    local url
    url=$(setting AWS_ENDPOINT_URL)
    url=${url/127.0.0.1/s3.localhost}
    [[ $(shim "AWS_ENDPOINT_URL=$url" S3DLIO_ADDRESSING=virtual cat "$FILE") == 'over the wire' ]]
    shim "AWS_ENDPOINT_URL=$url" S3DLIO_ADDRESSING=virtual sh -c "cp $FILE $FILE.2 && cmp $FILE $FILE.2 && rm $FILE.2"
    # Without the domain the server takes the key for the bucket: that shows which style was used.
    refuse 1 'NoSuchBucket|No such file' "AWS_ENDPOINT_URL=${url/s3.localhost/other.localhost}" \
        S3DLIO_ADDRESSING=virtual S3DLIO_TLS_VERIFY=0 cat "$FILE"
    [[ $(shim "AWS_ENDPOINT_URL=${url/s3.localhost/other.localhost}" S3DLIO_ADDRESSING=path S3DLIO_TLS_VERIFY=0 \
        cat "$FILE") == 'over the wire' ]]
}

@test "a bucket of another region is found" {
    refuse 2 'No such file' ls /s3/elsewhere/nothing
    shim ls /s3/elsewhere
}

@test "the bucket list" {
    [[ $(shim ls /s3) == $'elsewhere\ntest' ]]
}

@test "s3:// names, with one slash and with two" {
    [[ $(shim cat s3://test/x/text/short.txt) == 'over the wire' ]]
    [[ $(shim cat s3:/test/x/text/short.txt) == 'over the wire' ]]
}

@test "a mount gives a fixed path to a prefix" {
    [[ $(shim S3DLIO_MOUNTS=/data/set=s3://test/x cat /data/set/text/short.txt) == 'over the wire' ]]
    [[ $(shim S3DLIO_MOUNTS=/data/set=s3://test/x ls /data/set) == text ]]
}

@test "s3dlio run sets up the program" {
    local settings
    mapfile -t settings <"$RUN/settings"
    run -0 env "${settings[@]}" "$B/s3dlio" run -- cat "$FILE"
    [[ $output == 'over the wire' ]]
    run -7 env "${settings[@]}" "$B/s3dlio" run -- sh -c 'exit 7'
}

@test "s3dlio doctor: a good endpoint and a bad one" {
    local settings
    mapfile -t settings <"$RUN/settings"
    run -0 env "${settings[@]}" "$B/s3dlio" doctor
    run ! env "${settings[@]}" AWS_SECRET_ACCESS_KEY=wrong "$B/s3dlio" doctor
    [[ $output == *AWS_SECRET_ACCESS_KEY* ]]
}

@test "s3dlio config prints values and where they come from, and no secret" {
    run -0 env AWS_SECRET_ACCESS_KEY=very-secret-word S3DLIO_GET_INFLIGHT=9 "$B/s3dlio" config
    [[ $output == *S3DLIO_GET_INFLIGHT*9*environment* ]]
    [[ $output != *very-secret-word* ]]
}
