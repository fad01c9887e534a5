#!/usr/bin/env bats
# make install: what is put where, that it works from there without the tree, and that the tree stays
# as it was.

# shellcheck disable=SC2154 # stderr is bats'
load lib/shim

FILES="bin/s3dlio include/s3dlio.h lib/libs3dlio.so lib/libs3dlio.so.0 lib/libs3dlio_shim.so
lib/pkgconfig/s3dlio.pc share/man/man1/s3dlio.1
share/s3dlio/profiles/bulk.conf share/s3dlio/profiles/cloud.conf
share/s3dlio/profiles/fast-lan.conf share/s3dlio/profiles/legacy-tools.conf
share/s3dlio/profiles/low-memory.conf share/s3dlio/profiles/training.conf"

setup_file() {
    start_server
    PREFIX=$BATS_FILE_TMPDIR/usr
    make_install PREFIX="$PREFIX"
}

setup() { PREFIX=$BATS_FILE_TMPDIR/usr; }

make_install() {
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -s -C "$REPO" B="$B" SAN="${SAN:-}" install "$@"
}

served() {
    local settings
    mapfile -t settings <"$RUN/settings"
    env "${settings[@]}" "$@"
}

# Every file below a folder, links too.
list() { (cd "$1" && find . ! -type d -printf '%P\n' | LC_ALL=C sort); }

# The flags as a build would get them.
flags() { PKG_CONFIG_PATH=$PREFIX/lib/pkgconfig pkg-config "$@" s3dlio; }

@test "files: the libraries, the command, the header, the man page, the profiles, no more" {
    [[ $(list "$PREFIX") == "$(tr ' ' '\n' <<<"$FILES")" ]] || explain "$(list "$PREFIX")"
    [[ $(readlink "$PREFIX/lib/libs3dlio.so") == libs3dlio.so.0 ]]
    [[ $(stat -c %a "$PREFIX/bin/s3dlio" "$PREFIX/include/s3dlio.h" | tr '\n' ' ') == '755 644 ' ]]
}

@test "DESTDIR: the same below it, and nothing at the prefix; names inside are without it" {
    local stage=$BATS_TEST_TMPDIR/stage prefix=$BATS_TEST_TMPDIR/nowhere
    make_install PREFIX="$prefix" DESTDIR="$stage"
    [[ ! -e $prefix ]]
    [[ $(list "$stage$prefix") == "$(list "$PREFIX")" ]]
    grep -qx "prefix=$prefix" "$stage$prefix/lib/pkgconfig/s3dlio.pc"
    run ! grep -rq "$stage" "$stage"
}

@test "the tree: nothing but the build folder is written to, and a second time works" {
    local stamp=$BATS_TEST_TMPDIR/stamp
    touch "$stamp"
    make_install PREFIX="$PREFIX"
    [[ -z $(find "$REPO" -path "$REPO/.git" -prune -o -path "$(realpath "$B")" -prune -o -newer "$stamp" -print) ]]
    [[ $(find "$B" -newer "$stamp" ! -type d) == "$B/s3dlio.pc" ]] || explain "$(find "$B" -newer "$stamp")"
    [[ $(list "$PREFIX") == "$(tr ' ' '\n' <<<"$FILES")" ]]
}

@test "pkg-config: a program is built with its flags, and runs" {
    need pkg-config gcc
    [[ $(flags --modversion) == "$(<"$REPO/VERSION")" ]]
    # shellcheck disable=SC2046 # flags are words
    sanitizer_cc -Wall -Wextra -Werror -o "$BATS_TEST_TMPDIR/store" "$REPO/tests/bats/programs/store.c" \
        $(flags --cflags --libs) "-Wl,-rpath,$(flags --variable=libdir)"
    ldd "$BATS_TEST_TMPDIR/store" | grep -qF "$PREFIX/lib/libs3dlio.so.0"
    served "$BATS_TEST_TMPDIR/store" s3://test/stored 3000000 put
    [[ $(shim stat -c %s /s3/test/stored) == 3000000 ]]
}

@test "the header alone suffices, for C and for C++" {
    echo '#include <s3dlio.h>' >"$BATS_TEST_TMPDIR/header.c"
    gcc -std=c11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -I"$PREFIX/include" "$BATS_TEST_TMPDIR/header.c"
    g++ -x c++ -std=c++17 -Wall -Wextra -Werror -fsyntax-only -I"$PREFIX/include" "$BATS_TEST_TMPDIR/header.c"
}

@test "s3dlio run takes the installed library, wherever the folder was moved to" {
    run -0 served "$PREFIX/bin/s3dlio" run sh -c 'echo installed >/s3/test/made && cat /s3/test/made && echo "$LD_PRELOAD"'
    [[ $output == "installed"$'\n'*"$PREFIX/lib/libs3dlio_shim.so" ]] || explain "$output"
    cp -a "$PREFIX" "$BATS_TEST_TMPDIR/moved"
    run -0 served "$BATS_TEST_TMPDIR/moved/bin/s3dlio" run sh -c 'cat /s3/test/made && echo "$LD_PRELOAD"'
    [[ $output == "installed"$'\n'*"$BATS_TEST_TMPDIR/moved/lib/libs3dlio_shim.so" ]] || explain "$output"
    run -0 served "$PREFIX/bin/s3dlio" doctor
    ldd "$BATS_TEST_TMPDIR/moved/bin/s3dlio" | grep -qF "$BATS_TEST_TMPDIR/moved/"
}

@test "the man page names every subcommand" {
    local page=$PREFIX/share/man/man1/s3dlio.1 name
    for name in run doctor config uploads; do
        grep -q "^\.B s3dlio $name$" "$page" || explain "no $name in the synopsis"
    done
    if command -v groff >/dev/null; then
        [[ -z $(groff -man -Tutf8 -ww "$page" 2>&1 >/dev/null) ]]
    fi
}
