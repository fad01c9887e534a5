# For tests that run against any S3 server: TEST_SERVER names it as scripts/servers does, else it is the
# bundled one. Requests of another tool are signed ones by curl; what a program costs is what the library
# itself counted.

TEST_SERVER=${TEST_SERVER:-bundled}
STATS=$BATS_TEST_TMPDIR/stats

start_any_server() {
    local status=0
    start_server "$TEST_SERVER" || status=$?
    [[ $status -ne 3 ]] || skip "$TEST_SERVER is not installed here"
    return "$status"
}

# signed METHOD KEY [OPTIONS]: a request of another tool for a key of the bucket, with curl's options.
signed() {
    local path=$2
    path=${path// /%20}
    curl -qsSf --noproxy '*' -X "$1" "$(setting AWS_ENDPOINT_URL)/test/$path" \
        --user "$(setting AWS_ACCESS_KEY_ID):$(setting AWS_SECRET_ACCESS_KEY)" \
        --aws-sigv4 "aws:amz:$(setting AWS_REGION):s3" -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "${@:3}"
}

# The header lines of an object.
headers() { signed HEAD "$1" --head | tr -d '\r'; }

# keys PREFIX: the first thousand keys that the server lists.
keys() {
    signed GET "?list-type=2&prefix=${1//\//%2F}" | grep -oE '<Key>[^<]*' | sed 's/<Key>//'
}

# elsewhere COMMAND...: under the shim, as on another machine: nothing is shared, nothing remembered.
elsewhere() {
    mkdir -p "$BATS_TEST_TMPDIR/elsewhere"
    shim "XDG_RUNTIME_DIR=$(mktemp -d -p "$BATS_TEST_TMPDIR/elsewhere")" "$@"
}

# counted COMMAND...: the same; then bytes sent, bytes received and deletions tell of it. What other programs
# on this machine do at the time costs it nothing.
counted() {
    rm -f "$STATS"
    elsewhere S3DLIO_STATS="$STATS" "$@"
}
bytes() { awk -v which="$1" '/^  bytes/ { sum += which == "sent" ? $4 : $2 } END { print sum + 0 }' "$STATS"; }
deletions() { awk '/^  requests/ { sub(/ delete.*/, ""); sum += $NF } END { print sum + 0 }' "$STATS"; }

# machines: the Python program on stdin makes machines and says what they do (lib/machines.py).
machines() {
    local settings
    mapfile -t settings <"$RUN/settings"
    MACHINE_PRELOAD=$(preload_list) timeout -k 5 "$TIME_LIMIT_S" env ASAN_OPTIONS=detect_leaks=0 "${settings[@]}" \
        python3 "$REPO/tests/bats/lib/machines.py"
}
