#!/usr/bin/env bats
# The examples of docs/DISTRIBUTED.md: each launcher with a local folder, and with one in a bucket.

load lib/shim

EXAMPLES=$BATS_TEST_DIRNAME/../../examples/distributed

setup_file() {
    start_server
    export PYTHONDONTWRITEBYTECODE=1
}

# as_locally COMMAND...: with a folder of its own as the last argument, prints the same on both sides.
as_locally() {
    local name=$BATS_TEST_NUMBER
    (cd "$EXAMPLES" && timeout 120 "$@" "$NATIVE/$name") >"$BATS_TEST_TMPDIR/native" 2>"$BATS_TEST_TMPDIR/native-said" ||
        explain "natively: $(<"$BATS_TEST_TMPDIR/native-said")"
    (cd "$EXAMPLES" && shim timeout 120 "$@" "/s3/test/$name") >"$BATS_TEST_TMPDIR/virtual" \
        2>"$BATS_TEST_TMPDIR/said" || explain "in the bucket: $(<"$BATS_TEST_TMPDIR/said")"
    [[ -s $BATS_TEST_TMPDIR/native ]]
    diff "$BATS_TEST_TMPDIR/native" "$BATS_TEST_TMPDIR/virtual" || explain "$(<"$BATS_TEST_TMPDIR/said")"
    ! grep -q '^s3dlio:' "$BATS_TEST_TMPDIR/said" || explain "$(<"$BATS_TEST_TMPDIR/said")"
}

@test "multiprocessing and concurrent.futures: fork, spawn, forkserver" {
    as_locally /usr/bin/python3 pool.py
}

@test "joblib: loky, multiprocessing, threads" {
    as_locally /usr/bin/python3 joblib_jobs.py
}

@test "Dask: two workers" {
    as_locally /usr/bin/python3 dask_workers.py
}

@test "PyTorch: two ranks, each with a DataLoader" {
    as_locally env OMP_NUM_THREADS=1 ./ranks.sh torchrun_ranks.py
}

@test "mpirun: two ranks" {
    as_locally mpirun --allow-run-as-root --oversubscribe -n 2 /usr/bin/python3 mpi_ranks.py
}

@test "GNU parallel" {
    as_locally ./parallel.sh
}

@test "Java: FileChannel" {
    ecj -17 -proc:none -d "$BATS_TEST_TMPDIR" "$EXAMPLES/Channel.java"
    as_locally java -cp "$BATS_TEST_TMPDIR" Channel
}
