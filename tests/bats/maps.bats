#!/usr/bin/env bats
# Maps of large objects: whole programs fetch what they touch, whoever runs them; what cannot be fetched
# is SIGBUS, with a reason.

load lib/shim

setup_file() {
    start_server bundled --synthetic test/large=256M --synthetic test/other=64M
}

teardown_file() {
    [[ ! -s $BATS_FILE_TMPDIR/for-nobody ]] || rm -rf "$(<"$BATS_FILE_TMPDIR/for-nobody")"
    stop_server
}

setup() {
    /usr/bin/python3 -c 'import numpy' || skip "no numpy for /usr/bin/python3"
    fault
    admin stats/reset -X POST
}

fetched() { server bytes_out; }

# at_most BYTES: that much has been fetched, and something.
at_most() {
    local bytes
    bytes=$(fetched)
    [[ $bytes -gt 0 && $bytes -le $1 ]] || explain "fetched $bytes bytes instead of at most $1"
}

# Without all that root may do, in a copy of what it may not read.
as_nobody() {
    local copy
    [[ $EUID -eq 0 ]] || { shim "$@"; return; }
    if [[ -s $BATS_FILE_TMPDIR/for-nobody ]]; then
        copy=$(<"$BATS_FILE_TMPDIR/for-nobody")
    else
        copy=$(mktemp -d -p /var/tmp s3dlio-bats.XXXXXX)
        echo "$copy" >"$BATS_FILE_TMPDIR/for-nobody"
        chmod 711 "$copy"
        install -d -m 700 -o nobody "$copy/runtime"
        install -m 755 "$B/libs3dlio_shim.so" "$B/libs3dlio.so.0" "$copy"
    fi
    (
        cd /
        preload_list() { echo "${SAN_RUNTIMES:+$SAN_RUNTIMES }$copy/libs3dlio_shim.so"; }
        shim XDG_RUNTIME_DIR="$copy/runtime" TMPDIR=/tmp HOME=/nonexistent \
            setpriv --reuid=nobody --regid=nogroup --clear-groups "$@"
    )
}

touch_some() {
    cat <<'PY'
import os, sys
import numpy
array = numpy.memmap("/s3/test/large", dtype=numpy.uint8, mode=sys.argv[1])
step = len(array) // 40
file = os.open("/s3/test/large", os.O_RDONLY)
for at in range(step // 2, len(array), step):
    assert bytes(array[at:at + 65000])[:100] == os.pread(file, 100, at), at
child = os.fork()
if child == 0:
    os._exit(0 if array[-1] == array[len(array) - 1] else 1)
assert os.waitpid(child, 0)[1] == 0
PY
}

@test "numpy.memmap: 1 % of an object costs a few %, not all" {
    for mode in r c; do
        for how in auto user; do
            admin stats/reset -X POST
            shim S3DLIO_MMAP=$how /usr/bin/python3 -c "$(touch_some)" $mode
            at_most $((16 << 20))
        done
    done
    admin stats/reset -X POST
    shim /usr/bin/python3 -c 'import numpy
array = numpy.memmap("/s3/test/large", dtype=numpy.uint8, mode="r")
assert array[100 << 20:(100 << 20) + (2684354)].sum() > 0'
    at_most $((13 << 20))
    admin stats/reset -X POST
    shim S3DLIO_MMAP=copy /usr/bin/python3 -c "$(touch_some)" r
    [[ $(fetched) -ge $((256 << 20)) ]]
}

@test "numpy.memmap: for users who are not root" {
    as_nobody /usr/bin/python3 -c "$(touch_some)" r
    at_most $((16 << 20))
    admin stats/reset -X POST
    as_nobody /usr/bin/python3 -c 'import numpy, os
array = numpy.memmap("/s3/test/large", dtype=numpy.uint8, mode="r")
part = array[77 << 20:(77 << 20) + (1 << 20)]
ends = os.pipe()
if os.fork() == 0:
    os.close(ends[0])
    left = memoryview(part)
    while left:
        left = left[os.write(ends[1], left):]
    os._exit(0)
os.close(ends[1])
with open(ends[0], "rb") as pipe:
    assert pipe.read() == part.tobytes()
with open("/dev/null", "wb") as null:
    array[100 << 20:101 << 20].tofile(null)'
    at_most $((8 << 20))
}

@test "torch: what is not used of a mapped file is not fetched" {
    /usr/bin/python3 -c 'import torch' || skip "no torch for /usr/bin/python3"
    shim /usr/bin/python3 -c 'import torch
values = torch.from_file("/s3/test/large", shared=False, size=256 << 20, dtype=torch.uint8)
before = values[100 << 20].item()
values[100 << 20:101 << 20] += 1
assert values[100 << 20].item() == (before + 1) % 256'
    at_most $((6 << 20))
}

@test "an object that was replaced meanwhile: SIGBUS, and a line that says why" {
    shim cp /s3/test/other /s3/test/replaced
    refuse 135 'SIGBUS.*s3://test/replaced: changed meanwhile' /usr/bin/python3 -c 'import mmap, os, subprocess
with open("/s3/test/replaced", "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
memory[1 << 20]
environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
subprocess.run(["curl", "-qsf", "--noproxy", "*", "--aws-sigv4", "aws:amz:us-east-1:s3", "-H",
                "x-amz-content-sha256: UNSIGNED-PAYLOAD", "--user",
                environment["AWS_ACCESS_KEY_ID"] + ":" + environment["AWS_SECRET_ACCESS_KEY"], "-T", "/bin/true",
                environment["AWS_ENDPOINT_URL"] + "/test/replaced"], env=environment, check=True)
memory[1 << 20]
print(memory[50 << 20])'
}

@test "a fetch that fails: SIGBUS for that page, and a line that says why; others go on" {
    fault 'op=GetObject key=other nth=2 action=status:403:AccessDenied'
    refuse 135 'SIGBUS.*byte 33554432.*s3://test/other.*AccessDenied' /usr/bin/python3 -c 'import mmap
with open("/s3/test/other", "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
memory[32 << 20]'
    fault
    fault 'op=GetObject key=other nth=2 action=status:403:AccessDenied'
    shim /usr/bin/python3 -c 'import mmap, os, signal
with open("/s3/test/other", "rb") as file:
    memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    child = os.fork()
    if child == 0:
        memory[32 << 20]
    assert os.waitpid(child, 0)[1] == signal.SIGBUS
    file.seek(32 << 20)
    assert memory[32 << 20] == file.read(1)[0]' 2>"$BATS_TEST_TMPDIR/err"
    grep -q 'SIGBUS.*AccessDenied' "$BATS_TEST_TMPDIR/err"
}
