# Helpers for tests of whole programs: a bundled server for each test file, commands under the shim,
# and comparing a command on a local folder with the same one on a bucket.
#
# A test file calls `serve_data` (lib/data), or `start_server` and `add_data`, in setup_file.
# Variables: NATIVE is a folder in memory, VIRTUAL the bucket folder with the same files. B is the
# build folder; SAN, SAN_CC and SAN_RUNTIMES are the sanitizers of the build, their compiler and its
# libraries, as scripts/run-suites sets them.

bats_require_minimum_version 1.5.0
umask 022
REPO=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
B=${B:-$REPO/build}
RUN=$BATS_FILE_TMPDIR/servers
NATIVE_FILE=$BATS_FILE_TMPDIR/native
VIRTUAL=/s3/test/x
TIME_LIMIT_S=120
# The system's own python3 is the one that has torch; what is not there is taken from elsewhere.
PATH=/usr/sbin:/usr/bin:/sbin:/bin:$PATH
export LC_ALL=C.UTF-8 TZ=UTC PYTHONDONTWRITEBYTECODE=1
unset "${!AWS_@}" "${!S3DLIO_@}" http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY \
    CURL_CA_BUNDLE SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE
export AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true
export S3DLIO_HEDGE_PERCENT=0 # tests count requests: a slow moment of the machine is not to make one more
[[ -s $NATIVE_FILE ]] && NATIVE=$(<"$NATIVE_FILE")

# ---- server --------------------------------------------------------------------------------------
# start_server [NAME [ARGS...]]: NAME is bundled unless given; ARGS go to the server.
start_server() {
    local name=${1:-bundled}
    "$REPO/scripts/servers" --run "$RUN" --build "$B" start "$name" -- "${@:2}"
    "$REPO/scripts/servers" --run "$RUN" env "$name" >"$RUN/settings"
    NATIVE=$(mktemp -d -p /dev/shm s3dlio-bats.XXXXXX)
    chmod 755 "$NATIVE"
    echo "$NATIVE" >"$NATIVE_FILE"
}

stop_server() {
    [[ -d $RUN ]] || return 0
    rm -rf "${NATIVE:-}"
    "$REPO/scripts/servers" --run "$RUN" stop
}

# What ends every file, unless it has more to do.
teardown_file() { stop_server; }

setting() { sed -n "s/^$1=//p" "$RUN/settings"; }

admin() { curl -qsf --noproxy '*' "$(setting AWS_ENDPOINT_URL)/-/$1" "${@:2}"; }

# fault RULE: makes the server misbehave, as tests/server/README.md describes; no RULE ends all that.
fault() {
    if [[ $# -gt 0 ]]; then admin faults -X POST --data-binary "$1"; else admin faults -X DELETE; fi
}

# A number from the server: connections_open, max_in_flight …
server() { admin stats | python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

# How many requests the server has had, altogether or of one operation.
requests() {
    admin stats | python3 -c 'import json, sys
stats = json.load(sys.stdin)
row = stats["operations"].get(sys.argv[1], {"requests": 0}) if sys.argv[1:] else stats
print(row["requests"])' "$@"
}

# Puts every file below NATIVE into the bucket, without the shim: one curl, signed requests.
add_data() {
    (cd "$NATIVE" && find . -type f -printf '%P\0') |
        python3 "$REPO/tests/bats/lib/curl_uploads.py" "$NATIVE" "$RUN/settings" test/x |
        curl -q -K - >"$BATS_FILE_TMPDIR/upload.log"
}

# ---- running -------------------------------------------------------------------------------------
# What a C program needs that is linked with a library of the build folder.
sanitizer_cc() { "${SAN_CC:-gcc}" ${SAN:+"-fsanitize=$SAN"} "$@"; }

preload_list() { echo "${SAN_RUNTIMES:+$SAN_RUNTIMES }$B/libs3dlio_shim.so"; }

# shim [-u NAME]... [NAME=VALUE...] COMMAND...: runs a command under the shim, with the server's
# settings but those after -u; never longer than TIME_LIMIT_S.
shim() {
    local settings
    mapfile -t settings <"$RUN/settings"
    while [[ $1 == -u ]]; do
        mapfile -t settings < <(printf '%s\n' "${settings[@]}" | grep -v "^$2=")
        shift 2
    done
    timeout -k 5 "$TIME_LIMIT_S" env ASAN_OPTIONS=detect_leaks=0 "${settings[@]}" \
        "LD_PRELOAD=$(preload_list)" "$@"
}

explain() {
    printf '%s\n' "$@"
    return 1
}

equal() { [[ "$1" == "$2" ]] || explain "got '$1' instead of '$2'" "$(admin stats)"; }

# same TEMPLATE: a shell command with {} for the folder must print the same and end with the same
# status on NATIVE and, under the shim, on VIRTUAL; on stderr either both say something or neither.
same() {
    local dir=$BATS_TEST_TMPDIR native_status=0 virtual_status=0
    local native=${1//\{\}/$NATIVE} virtual=${1//\{\}/$VIRTUAL}
    bash -c "$native" >"$dir/native.out" 2>"$dir/native.err" </dev/null || native_status=$?
    shim bash -c "$virtual" >"$dir/virtual.out" 2>"$dir/virtual.err" </dev/null || virtual_status=$?
    [[ -s $dir/native.out || $native_status -ne 0 ]] || explain "the command shows nothing: $native"
    sed -i "s|$NATIVE|$VIRTUAL|g" "$dir/native.out"
    [[ $native_status -eq $virtual_status ]] ||
        explain "exit status $native_status natively, $virtual_status under the shim: $virtual" \
            "$(head -n 20 "$dir/virtual.err")"
    cmp -s "$dir/native.out" "$dir/virtual.out" ||
        explain "output differs (< local, > bucket): $virtual" \
            "$(diff -a "$dir/native.out" "$dir/virtual.out" | head -n 20)" "$(head -n 5 "$dir/virtual.err")"
    if [[ -s $dir/native.err ]]; then
        [[ -s $dir/virtual.err ]] || explain "stderr only natively: $(<"$dir/native.err")"
    else
        [[ ! -s $dir/virtual.err ]] || explain "stderr only under the shim: $(<"$dir/virtual.err")"
    fi
}

# same_odd TEMPLATE: the same, for dd and split with sizes that are no multiple of a page. These ask
# aligned_alloc for them, which glibc grants and for which AddressSanitizer ends the program.
same_odd() { [[ ${SAN:-} == *address* ]] || same "$1"; }

# same_script INTERPRETER...: the same for a program on stdin; the folder is its only argument.
same_script() {
    cat >"$BATS_TEST_TMPDIR/script"
    same "$* '$BATS_TEST_TMPDIR/script' {}"
}

# refuse STATUS PATTERN COMMAND...: under the shim the command ends with STATUS (or any but 0 for
# "!") and says one line that matches the extended expression PATTERN on stderr.
refuse() {
    local status=0 wanted=$1 pattern=$2
    shift 2
    shim "$@" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" </dev/null || status=$?
    if [[ $wanted == "!" ]]; then
        [[ $status -ne 0 && $status -ne 124 && $status -lt 128 ]] || explain "exit status $status, wanted a refusal: $*"
    else
        [[ $status -eq $wanted ]] || explain "exit status $status instead of $wanted: $*" "$(<"$BATS_TEST_TMPDIR/err")"
    fi
    grep -qE -- "$pattern" "$BATS_TEST_TMPDIR/err" ||
        explain "stderr does not match '$pattern':" "$(<"$BATS_TEST_TMPDIR/err")"
}

# The lines that the shim and the engine said in the last `refuse`.
said() { grep -E '^s3dlio' "$BATS_TEST_TMPDIR/err" || :; }

# wait_until COMMAND...: until the command succeeds, some seconds at most.
wait_until() {
    local tries
    for ((tries = 0; tries < 1500; tries++)); do
        "$@" && return
        sleep 0.01
    done
    explain "this never came true: $*"
}

need() {
    local program
    for program in "$@"; do
        command -v "$program" >/dev/null || skip "no $program on this machine"
    done
}
