#!/usr/bin/env bats
# posix_fadvise and readahead: regions that a program names are fetched once, whatever it reads between.

load lib/shim

setup_file() { start_server bundled --synthetic "test/large=64M"; }

NAMES_REGIONS='import ctypes, os
libc, mib = ctypes.CDLL(None, use_errno=True), 1 << 20
fd = os.open("/s3/test/large", os.O_RDONLY)
os.posix_fadvise(fd, 10 * mib, 4 * mib, os.POSIX_FADV_WILLNEED)
os.posix_fadvise(fd, 30 * mib, 4 * mib, os.POSIX_FADV_WILLNEED)
assert libc.readahead(fd, ctypes.c_int64(50 * mib), ctypes.c_size_t(4 * mib)) == 0
for at in range(0, 4 * mib, 1 << 17): # the last of each first, so that no stream begins
    for region in 50, 10, 30:
        assert len(os.pread(fd, 1 << 17, (region + 4) * mib - at - (1 << 17))) == 1 << 17'

@test "three regions: each byte is asked for once, and used" {
    shim S3DLIO_STATS="$BATS_TEST_TMPDIR/told.json" python3 -c "$NAMES_REGIONS"
    /usr/bin/python3 - "$BATS_TEST_TMPDIR/told.json" <<'PY'
import json, sys
told, first = json.load(open(sys.argv[1])), 256 << 10 # the request that opens it
assert told["ahead_asked"] == (12 << 20) + first, told
assert told["ahead_used"] == 12 << 20, told
assert told["bytes_received"] == (12 << 20) + first, told
PY
}
