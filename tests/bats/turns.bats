#!/usr/bin/env bats
# Many files open at once, a piece of each read in turns, with little memory: each byte is asked for once,
# and no request is given up because nobody came for its bytes.

load lib/shim

FILES=100
SIZE=$((3 << 20))
PIECES=$((FILES * SIZE >> 18))

setup_file() { start_server bundled --synthetic "test/turns/f%=$SIZE*$FILES"; }
teardown_file() { stop_server; }

TURNS='import os, time
piece, total = bytearray(256 << 10), 0
files = [os.open(entry.path, os.O_RDONLY) for entry in os.scandir("/s3/test/turns")]
while files:
    time.sleep(0.02) # the program is busy
    lengths = [os.readv(fd, [piece]) for fd in files]
    files = [fd for fd, length in zip(files, lengths) if length]
    total += sum(lengths)
print(total)'

# within KEY MOST: so much, or less, is told of it.
within() {
    /usr/bin/python3 - "$TOLD" "$@" <<'PY'
import json, sys
path, key, most = sys.argv[1:]
value = json.load(open(path))[key]
sys.exit(0 if value <= int(most) else f"{key}: {value}, at most {most} expected")
PY
}

@test "pieces in turns: what there is no memory for is not asked for ahead" {
    TOLD=$BATS_TEST_TMPDIR/told.json
    equal "$(shim S3DLIO_MEMORY_BUDGET=64M S3DLIO_STATS="$TOLD" python3 -c "$TURNS")" $((FILES * SIZE))
    within bytes_received $((FILES * SIZE))
    within ahead_asked $((FILES * SIZE + SIZE))
    within requests $((PIECES + FILES))
    within requests_abandoned $((FILES / 10))
    within connections_opened $((FILES / 2))
}
