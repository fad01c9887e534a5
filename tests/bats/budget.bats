#!/usr/bin/env bats
# Whole programs with the smallest memory budget: nothing waits for memory that only a later call would
# free, contents are right, and the memory of each process stays bounded.

load lib/shim
load lib/data

# KiB: two ranges of 8 MiB and a part of 8 MiB, idle buffers of 16 MiB, and a program with its libraries.
PEAK_KIB=$(((16 + 8 + 16 + 40) * 1024))

setup_file() {
    start_server
    cat >"$BATS_FILE_TMPDIR/bounded.py" <<'PY'
import os, resource, sys
status = os.spawnvp(os.P_WAIT, sys.argv[2], sys.argv[2:])
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
if int(sys.argv[1]) and peak > int(sys.argv[1]):
    sys.exit(f"{sys.argv[2]}: a peak of {peak} KiB")
sys.exit(status)
PY
    random_file "$NATIVE/large.bin" 120000007
    mkdir "$NATIVE/many"
    local n
    for n in $(seq 60); do random_file "$NATIVE/many/$n.bin" 700000; done
    add_data
}

teardown_file() { stop_server; }

is_copy() { shim cmp "$NATIVE/$2" "$VIRTUAL/$1"; }

# bounded COMMAND...: with that budget under the shim; the peak of its resident memory, and of whatever it
# starts, is below the bound. A sanitizer's own memory is no measure.
bounded() {
    local peak=$PEAK_KIB
    [[ -z ${SAN:-} ]] || peak=0
    shim S3DLIO_MEMORY_BUDGET=1 /usr/bin/python3 "$BATS_FILE_TMPDIR/bounded.py" "$peak" "$@"
}

@test "cp and dd: reading and writing in one thread" {
    bounded cp --reflink=never "$VIRTUAL/large.bin" "$VIRTUAL/cp.bin"
    is_copy cp.bin large.bin
    bounded dd if="$VIRTUAL/large.bin" of="$VIRTUAL/dd.bin" bs=3M status=none
    is_copy dd.bin large.bin
}

@test "a pipeline: one process reads, another one writes" {
    bounded bash -c 'cat "$1/large.bin" | tr a-z A-Z >"$1/pipe.bin"' bash "$VIRTUAL"
    tr a-z A-Z <"$NATIVE/large.bin" | shim cmp - "$VIRTUAL/pipe.bin"
}

@test "tee: one process writes several files at once" {
    bounded tee "$VIRTUAL/t1" "$VIRTUAL/t2" "$VIRTUAL/t3" "$VIRTUAL/t4" <"$NATIVE/large.bin" >"$BATS_TEST_TMPDIR/out"
    local n
    for n in 1 2 3 4; do is_copy "t$n" large.bin; done
}

@test "paste and split: many files open at once" {
    bounded bash -c 'cat "$1"/many/*.bin | split -b 500000 - "$1/piece-"' bash "$VIRTUAL"
    (cd "$NATIVE/many" && cat ./*.bin) >"$BATS_TEST_TMPDIR/all"
    shim bash -c 'cat "$1"/piece-*' bash "$VIRTUAL" | cmp - "$BATS_TEST_TMPDIR/all"
    (cd "$NATIVE/many" && paste -d '\n' ./*.bin) >"$BATS_TEST_TMPDIR/pasted"
    bounded bash -c 'cd "$1/many" && paste -d "\n" ./*.bin >../pasted' bash "$VIRTUAL"
    shim cmp "$VIRTUAL/pasted" "$BATS_TEST_TMPDIR/pasted"
}

@test "tar: an archive of many files, written and unpacked" {
    bounded tar -C "$VIRTUAL" -cf "$VIRTUAL/many.tar" many
    shim mkdir "$VIRTUAL/unpacked"
    bounded tar -C "$VIRTUAL/unpacked" -xf "$VIRTUAL/many.tar"
    shim diff -r "$NATIVE/many" "$VIRTUAL/unpacked/many"
}
