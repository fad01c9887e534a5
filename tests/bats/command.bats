#!/usr/bin/env bats
# The command: what run refuses and how, where config found a value, what doctor finds.

# shellcheck disable=SC2016,SC2154 # single quotes are for the program's shell; stderr_lines is bats'
load lib/shim

setup_file() {
    start_server
    compile_programs
}

setup() {
    PROGRAMS=$BATS_FILE_TMPDIR/programs
    B=$(realpath "$B")
    cd "$BATS_TEST_TMPDIR" || return
    export HOME=$BATS_TEST_TMPDIR/home
    mkdir "$HOME"
}

# Programs of every kind that matters to a preloaded library.
compile_programs() {
    local dir=$BATS_FILE_TMPDIR/programs
    mkdir "$dir"
    chmod 755 "$BATS_FILE_TMPDIR" "$dir"
    echo 'int main(int argc, char **argv) { (void)argv; return argc + 40; }' >"$dir/count.c"
    gcc -o "$dir/dynamic" "$dir/count.c"
    gcc -static -o "$dir/static" "$dir/count.c"
    gcc -static-pie -o "$dir/static-pie" "$dir/count.c"
    printf '#!%s/static\n' "$dir" >"$dir/script-static"
    printf '#!/usr/bin/env -S X=1 %s/static\n' "$dir" >"$dir/script-env"
    printf '#!%s/script-static\n' "$dir" >"$dir/script-script"
    printf '#!%s/loop\n' "$dir" >"$dir/loop"
    printf '#!/nonexistent/interpreter\n' >"$dir/script-nowhere"
    printf '#!/bin/sh\nexit 43\n' >"$dir/script-sh"
    printf 'exit 44\n' >"$dir/script-bare"
    head -c 40 "$dir/dynamic" >"$dir/broken"
    python3 - "$dir" <<'PYTHON'
import sys
image = bytearray(open(sys.argv[1] + "/dynamic", "rb").read())
image[4] = 3 - image[4]                       # the other class: 32-bit for 64-bit
open(sys.argv[1] + "/foreign", "wb").write(image)
image[4] = 3 - image[4]
image = image.replace(b"/ld-linux", b"/ld-mulle").replace(b"/ld64.so", b"/ld00.so")
open(sys.argv[1] + "/other-libc", "wb").write(image)
PYTHON
    chmod 755 "$dir"/[!c]*
    : >"$dir/plain"
}

# run_refuses STATUS PATTERN ARGS...: `s3dlio run ARGS` ends so, with one line that matches.
run_refuses() {
    local wanted=$1 pattern=$2
    shift 2
    run "-$wanted" --separate-stderr "$B/s3dlio" run "$@"
    [[ ${#stderr_lines[@]} -eq 1 ]] || explain "more than a line:" "$stderr"
    [[ $stderr =~ $pattern ]] || explain "stderr does not match '$pattern':" "$stderr"
    [[ -z $output ]]
}

served() {
    local settings
    mapfile -t settings <"$RUN/settings"
    env "${settings[@]}" "$@"
}

# doctor ARGS...: its findings in $output; with the server's settings.
doctor() { run --separate-stderr served "$B/s3dlio" doctor "$@"; }

has_line() { grep -qE -- "$1" <<<"$output" || explain "no line matches '$1' in:" "$output" "$stderr"; }

# ---- run -----------------------------------------------------------------------------------------
@test "run: the program's own status, its arguments, scripts" {
    run "$B/s3dlio" run -- "$PROGRAMS/dynamic" a b
    [[ $status -eq 43 ]]
    run "$B/s3dlio" run "$PROGRAMS/script-sh"
    [[ $status -eq 43 ]]
    run "$B/s3dlio" run "$PROGRAMS/script-bare"
    [[ $status -eq 44 ]]
    run "$B/s3dlio" run printf '%s|' 'a b' '' --force
    [[ $status -eq 0 && $output == 'a b||--force|' ]]
}

@test "run: a bucket is read and written as a folder" {
    run --separate-stderr served "$B/s3dlio" run sh -c 'echo hello >/s3/test/run.txt && cat /s3/test/run.txt'
    [[ $status -eq 0 && $output == hello ]] || explain "$status" "$output" "$stderr"
}

@test "run: no io_uring from the first call on, unless told otherwise" {
    local ring='import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall(425, 4, ctypes.create_string_buffer(256))
print(os.strerror(ctypes.get_errno()) if ctypes.get_errno() else "a ring")'
    run "$B/s3dlio" run python3 -c "$ring"
    [[ $output == 'Function not implemented' ]] || explain "$output"
    run env LD_PRELOAD="$(preload_list)" python3 -c "$ring"
    local without=$output
    run "$B/s3dlio" run --set io_uring=auto python3 -c "$ring"
    [[ $output == "$without" ]] || explain "$output" "$without"
    run python3 -c "$ring" # the kernel, or whoever confines this machine, has the last word
    [[ $output == "$without" ]] || explain "$output" "$without"
}

@test "run: the library comes first and what was preloaded stays" {
    local other
    other=$(ldd /bin/sh | sed -n 's/.*libc.so.* => \([^ ]*\) .*/\1/p')
    run "$B/s3dlio" run sh -c 'echo "$LD_PRELOAD"'
    [[ $output == "$(realpath "$B")/libs3dlio_shim.so" ]]
    if [[ ${SAN:-} != *address* ]]; then # whose runtime refuses to start behind another library
        LD_PRELOAD=$other run "$B/s3dlio" run sh -c 'echo "$LD_PRELOAD"'
        [[ $output == "$(realpath "$B")/libs3dlio_shim.so:$other" ]]
    fi
    run "$B/s3dlio" run "$B/s3dlio" run sh -c 'echo "$LD_PRELOAD"'
    [[ $output == "$(realpath "$B")/libs3dlio_shim.so" ]]
}

@test "run: a statically linked program is named as such" {
    run_refuses 126 "$PROGRAMS/static is statically linked.*s3dlio run cat" "$PROGRAMS/static"
    run_refuses 126 "static-pie is statically linked" -- "$PROGRAMS/static-pie"
    run_refuses 126 "script-static: its interpreter $PROGRAMS/static is statically" "$PROGRAMS/script-static"
    run_refuses 126 "interpreter $PROGRAMS/static is statically" "$PROGRAMS/script-script"
    run_refuses 126 "script-env: its interpreter $PROGRAMS/static is statically" "$PROGRAMS/script-env"
    PATH=$PROGRAMS:$PATH run_refuses 126 "$PROGRAMS/static is statically linked" static
}

@test "run: --force runs what cannot be served, with a warning" {
    run --separate-stderr "$B/s3dlio" run --force "$PROGRAMS/static" a
    [[ $status -eq 42 ]]
    [[ $stderr == *"warning: $PROGRAMS/static is statically linked"* ]]
    run_refuses 127 "is not there" --force /nonexistent/program
}

@test "run: another machine, another C library, a damaged file" {
    run_refuses 126 "foreign is built for another kind of machine.*(32|64)-bit" "$PROGRAMS/foreign"
    run_refuses 126 "other-libc uses another C library.*ld-mulle|ld00" "$PROGRAMS/other-libc"
    run_refuses 126 "broken is a damaged ELF file" "$PROGRAMS/broken"
}

@test "run: set-user-id, set-group-id" {
    [[ $(id -u) -eq 0 ]] || skip "making a file of another owner needs root"
    cp "$PROGRAMS/dynamic" suid && chown 65534 suid && chmod 4755 suid
    cp "$PROGRAMS/dynamic" sgid && chgrp 65534 sgid && chmod 2755 sgid
    cp "$PROGRAMS/dynamic" own && chmod 6755 own
    run_refuses 126 "suid is set-user-id or set-group-id.*LD_PRELOAD" ./suid
    run_refuses 126 "sgid is set-user-id or set-group-id" ./sgid
    run "$B/s3dlio" run ./own x
    [[ $status -eq 42 ]]
}

# Prints a new folder whose file system keeps capabilities, with a program `capable` that has one and that
# others may run.
capable_folder() {
    local place dir
    for place in /tmp /dev/shm "$B" "$HOME"; do
        dir=$(mktemp -d -p "$place") || continue
        chmod 755 "$dir"
        cp "$PROGRAMS/dynamic" "$dir/capable"
        if python3 -c 'import os, struct, sys
os.setxattr(sys.argv[1], "security.capability", struct.pack("<IIIII", 0x02000001, 1 << 10, 0, 0, 0))
' "$dir/capable" && setpriv --reuid 65534 --regid 65534 --clear-groups test -x "$dir/capable"; then
            echo "$dir"
            return
        fi
        rm -rf "$dir"
    done 2>"$BATS_TEST_TMPDIR/refused"
    return 1
}

@test "run: file capabilities, for those who are not root" {
    [[ $(id -u) -eq 0 ]] || skip "giving a file capabilities needs root"
    local dir
    dir=$(capable_folder) || skip "none of /tmp, /dev/shm, $B and $HOME keeps capabilities that others can run"
    cp -L "$B/s3dlio" "$B/libs3dlio.so.0" "$B/libs3dlio_shim.so" "$dir"
    run --separate-stderr setpriv --reuid 65534 --regid 65534 --clear-groups "$dir/s3dlio" run "$dir/capable"
    [[ $status -eq 126 && $stderr == *"capable has file capabilities"* ]] || explain "$status" "$stderr"
    run "$dir/s3dlio" run "$dir/capable" x
    [[ $status -eq 42 ]]
    rm -rf "$dir"
}

@test "run: what is not there and what is no program" {
    run_refuses 127 "nonexistent-program is not there" nonexistent-program
    run_refuses 127 "/nonexistent/program is not there" /nonexistent/program
    run_refuses 126 "plain is not an executable file" "$PROGRAMS/plain"
    run_refuses 126 "/tmp is not an executable file" /tmp
    run_refuses 126 "script-nowhere: its interpreter /nonexistent/interpreter is not there" "$PROGRAMS/script-nowhere"
    run_refuses 126 "leads from interpreter to interpreter" "$PROGRAMS/loop"
    run_refuses 127 "is not there" ""
}

@test "run: options for the program" {
    run "$B/s3dlio" run --set get_inflight=3 --set=S3DLIO_LOG=error --profile cloud -- env
    [[ $output == *S3DLIO_GET_INFLIGHT=3* && $output == *S3DLIO_LOG=error* && $output == *S3DLIO_PROFILE=cloud* ]]
    run "$B/s3dlio" run --set http_max_conns=3 env
    [[ $output == *S3DLIO_MAX_HTTP_CONNECTIONS=3* ]]
    run_refuses 2 "'get_inflght' is no option: did you mean S3DLIO_GET_INFLIGHT" --set get_inflght=3 true
    run_refuses 2 "S3DLIO_GET_INFLIGHT=1025 cannot be used: expected auto, or a whole number from 1 to 1024" --set get_inflight=1025 true
    run_refuses 2 "no profile 'clout', did you mean cloud\?; there are:" --profile clout true
    run_refuses 2 "wants NAME=VALUE" --set
    run_refuses 2 "wants NAME=VALUE" --set x true
    run_refuses 2 "wants a name" --profile
    run_refuses 2 "a program is missing"
    run_refuses 2 "'--bad' is not understood" --bad true
}

@test "run: a library that is not beside the command" {
    cp -L "$B/s3dlio" "$B/libs3dlio.so.0" .
    run --separate-stderr ./s3dlio run true
    [[ $status -eq 126 && $stderr == *"libs3dlio_shim.so is neither in"* ]]
    mkdir bin lib 'a b'
    cp -L "$B/s3dlio" bin
    cp -L "$B/libs3dlio.so.0" "$B/libs3dlio_shim.so" lib
    run bin/s3dlio run sh -c 'echo "$LD_PRELOAD"'
    [[ $output == "$PWD/lib/libs3dlio_shim.so" ]] || explain "$output"
    cp -L "$B/s3dlio" "$B/libs3dlio.so.0" "$B/libs3dlio_shim.so" 'a b'
    run 'a b/s3dlio' run true
    [[ $status -eq 126 && $output == *"holds a blank or a colon"* ]]
}

# ---- config --------------------------------------------------------------------------------------
@test "config: every value and where it came from" {
    mkdir -p "$HOME/.config/s3dlio"
    printf 'profile = fast-lan\n\nget-part-size = 4M\n' >"$HOME/.config/s3dlio/config"
    AWS_REGION=eu-west-1 S3DLIO_HTTP_MAX_CONNS=7 run --separate-stderr "$B/s3dlio" config
    [[ $status -eq 0 && -z $stderr ]] || explain "$stderr"
    has_line '^S3DLIO_GET_PART_SIZE +4M +.*/\.config/s3dlio/config:3$'
    has_line '^S3DLIO_RT_THREADS +32 +profile fast-lan:2$'
    has_line '^S3DLIO_REGION +eu-west-1 +environment AWS_REGION$'
    has_line '^S3DLIO_MAX_HTTP_CONNECTIONS +7 +environment S3DLIO_HTTP_MAX_CONNS$'
    has_line '^S3DLIO_GET_THRESHOLD +32M +default$'
}

@test "config: secrets are not shown" {
    AWS_SECRET_ACCESS_KEY=sesame AWS_SESSION_TOKEN=sesame S3DLIO_PROXY=http://u:sesame@proxy/ \
        run "$B/s3dlio" config --all
    [[ $status -eq 0 && $output != *sesame* ]]
    has_line '^AWS_SECRET_ACCESS_KEY = \(hidden\)'
}

@test "config: what cannot be used is said" {
    S3DLIO_GET_PARTSIZE=1 S3DLIO_LOG=loud run --separate-stderr "$B/s3dlio" config
    [[ $status -eq 1 ]]
    [[ $stderr == *"S3DLIO_GET_PARTSIZE is no option: did you mean S3DLIO_GET_PART_SIZE?"* ]]
    [[ $stderr == *"S3DLIO_LOG=loud cannot be used: expected one of off error warn"* ]]
    run "$B/s3dlio" config --al
    [[ $status -eq 2 ]]
}

@test "config: the reference page is current" {
    "$REPO/scripts/generate-configuration" "$REPO/config/options.def" "$REPO"/config/profiles/*.conf |
        diff - "$REPO/docs/CONFIGURATION.md"
}

# ---- doctor --------------------------------------------------------------------------------------
@test "doctor: a machine and an endpoint in order" {
    doctor --uri s3://test "$PROGRAMS/dynamic"
    [[ $status -eq 0 ]] || explain "$output" "$stderr"
    has_line "^ok    program: $PROGRAMS/dynamic can be served$"
    has_line "^ok    endpoint: $(setting AWS_ENDPOINT_URL).* answers in [0-9.]+ ms, region us-east-1$"
    has_line '^ok    clock: [0-9.]+ s from the server'
    has_line '^ok    credentials: environment.*, accepted$'
    has_line '^ok    TLS: none'
    has_line '^ok    listing: s3://test can be listed'
    has_line '^ok    C library: glibc [0-9.]+$'
    has_line '^(ok  |warn)  memory: '
    has_line '^(ok  |warn)  descriptors: '
    has_line '^(ok  |warn)  spool folder: '
    has_line '^(ok  |warn)  shared memory: /dev/shm'
    has_line '^ok    userfaultfd: '
    has_line '^ok    io_uring: '
    [[ $output != *"$(setting AWS_SECRET_ACCESS_KEY)"* && $stderr != *"$(setting AWS_SECRET_ACCESS_KEY)"* ]]
}

@test "doctor: programs that cannot be served" {
    doctor "$PROGRAMS/static"
    [[ $status -eq 1 ]]
    has_line "^FAIL  program: $PROGRAMS/static is statically linked.* — use a dynamically linked build"
    doctor nonexistent-program
    [[ $status -eq 1 ]]
    has_line '^FAIL  program: nonexistent-program is not there — check the name and PATH$'
}

@test "doctor: an endpoint where nobody answers" {
    AWS_ENDPOINT_URL=http://127.0.0.1:1 AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=sesame \
        run --separate-stderr timeout 60 "$B/s3dlio" doctor
    [[ $status -eq 1 ]]
    has_line '^FAIL  endpoint: http://127.0.0.1:1.*AWS_ENDPOINT_URL'
    has_line '^warn  credentials: not tried$'
    has_line '^ok    C library'
    [[ $output != *sesame* && -z $stderr ]]
}

@test "doctor: a name that does not resolve" {
    AWS_ENDPOINT_URL=http://no-such-host.invalid AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=b \
        run --separate-stderr timeout 60 "$B/s3dlio" doctor
    [[ $status -eq 1 ]]
    has_line '^FAIL  endpoint: .*(not resolved|network error)'
}

@test "doctor: wrong credentials" {
    doctor_with() { run --separate-stderr served env "$@" "$B/s3dlio" doctor; }
    doctor_with AWS_SECRET_ACCESS_KEY=wrong
    [[ $status -eq 1 ]]
    has_line '^ok    endpoint: '
    has_line '^FAIL  credentials: environment.*SignatureDoesNotMatch'
    doctor_with AWS_ACCESS_KEY_ID=unknown
    [[ $status -eq 1 ]]
    has_line '^FAIL  credentials: .*InvalidAccessKeyId'
}

@test "doctor: a bucket that is not there" {
    doctor --uri /s3/no-such-bucket
    [[ $status -eq 1 ]]
    has_line '^FAIL  listing: s3://no-such-bucket: '
}

@test "doctor: a spool folder that cannot be written" {
    S3DLIO_SPOOL_DIR=/nonexistent/folder doctor
    [[ $status -eq 1 ]]
    has_line '^FAIL  spool folder: /nonexistent/folder cannot be written: .* — set S3DLIO_SPOOL_DIR'
}

@test "doctor: a misspelt variable, a misspelt argument" {
    S3DLIO_GET_PARTSIZE=1 doctor
    has_line '^warn  configuration: S3DLIO_GET_PARTSIZE is no option: did you mean'
    doctor --url x
    [[ $status -eq 2 && $stderr == *"'--url' is not understood"* ]]
    doctor --uri nothing
    [[ $status -eq 2 && $stderr == *"'nothing' is no URI"* ]]
    doctor a b
    [[ $status -eq 2 ]]
}

@test "a clock twenty minutes off: reads, writes and lists with one warning, doctor names it" {
    local offset
    for offset in 1200 -1200; do
        admin "clock?offset_s=$offset" -X PUT
        admin stats/reset -X POST
        run -0 --separate-stderr shim bash -c 'mkdir -p /s3/test/skew && echo skewed >/s3/test/skew/clock && cat /s3/test/skew/clock && ls /s3/test/skew'
        [[ $output == $'skewed\nclock' ]] || explain "$output" "$stderr"
        # mkdir, the shell, cat and ls: each process learns it for itself
        [[ $(grep -c "s3dlio: warning: this machine's clock differs from the server's by" <<<"$stderr") -eq 4 ]]
        run -0 --separate-stderr shim cat /s3/test/skew/clock
        [[ ${#stderr_lines[@]} -eq 1 && $output == skewed ]] || explain "$output" "$stderr"
        # The server's time is in whole seconds, and a busy machine reads it late.
        [[ $stderr =~ "clock differs from the server's by "(-?(119[0-9]|120[0-9]))" s;" ]] || explain "$stderr"
        doctor
        has_line '^FAIL  clock: 1(19[0-9]|20[0-9]) s (behind|ahead of) the server.s — set this machine'
    done
    admin "clock?offset_s=0" -X PUT
    run -0 --separate-stderr shim cat /s3/test/skew/clock
    [[ -z $stderr && $output == skewed ]] || explain "$output" "$stderr"
}

# ---- the command itself --------------------------------------------------------------------------
@test "help, version, unknown commands" {
    run "$B/s3dlio" --help
    [[ $status -eq 0 && $output == *"s3dlio run"* && $output == *"s3dlio doctor"* && $output == *"s3dlio config"* ]]
    run "$B/s3dlio" --version
    [[ $status -eq 0 && $output == "s3dlio $(<"$REPO/VERSION")" ]]
    run "$B/s3dlio" docter
    [[ $status -eq 2 && $output == *"'docter' is no command: did you mean doctor?"* ]]
    run "$B/s3dlio" xyzzy
    [[ $status -eq 2 && $output == *"'xyzzy' is no command; see s3dlio --help" ]]
    run "$B/s3dlio"
    [[ $status -eq 2 ]]
}
