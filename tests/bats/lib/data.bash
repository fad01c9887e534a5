# Small data sets made in NATIVE; the same bytes at every run.

# serve_data [MAKE...]: for setup_file. A server with the plain data, and what the functions make.
serve_data() {
    local make
    start_server
    for make in make_plain_data "$@"; do "$make"; done
    add_data
}

# Writes COUNT seeded random bytes to a file.
random_file() {
    python3 -c 'import random, sys
name, count = sys.argv[1:]
open(name, "wb").write(random.Random(count).randbytes(int(count)))' "$1" "$2"
}

# Text, binary, odd sizes and names, nested and crowded folders.
make_plain_data() {
    mkdir -p "$NATIVE"/{text,many,deep/a/b/c/d,"with space"}
    seq -f 'line %g of the file, with some words to find' 3000 >"$NATIVE/text/long.txt"
    printf 'one\ntwo\nthree needle\nfour\n' >"$NATIVE/text/short.txt"
    printf 'no newline at the end' >"$NATIVE/text/open-ended.txt"
    printf 'b\nc\na\na needle\n' >"$NATIVE/text/unsorted.txt"
    : >"$NATIVE/text/empty.txt"
    local n
    for n in $(seq -w 1 120); do echo "file $n" >"$NATIVE/many/f$n.txt"; done
    echo deep >"$NATIVE/deep/a/b/c/d/leaf.txt"
    echo middle >"$NATIVE/deep/a/b/middle.txt"
    echo spaced >"$NATIVE/with space/a file.txt"
    echo umlaut >"$NATIVE/with space/ünï+%41&=?#.txt"
    random_file "$NATIVE/big.bin" 12000003
    random_file "$NATIVE/block.bin" 65536
    printf 'id,name,score\n1,ann,3.5\n2,bob,4.25\n3,cid,1\n' >"$NATIVE/table.csv"
    printf '{"rows": [{"id": 1, "tags": ["a", "b"]}, {"id": 2, "tags": []}], "n": 2}\n' >"$NATIVE/data.json"
    (cd "$NATIVE" && find . -type f ! -name '*SUMS' -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
}

make_archives() {
    mkdir -p "$NATIVE/archives"
    (
        cd "$NATIVE" || exit 1
        tar -cf archives/text.tar --sort=name --mtime=@0 text deep
        gzip -9nc text/long.txt >archives/long.gz
        bzip2 -c text/long.txt >archives/long.bz2
        zip -qrX archives/text.zip text deep
    )
}

make_database() {
    sqlite3 "$NATIVE/data.sqlite" <<'SQL'
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, score REAL);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO item SELECT i, 'item ' || i, i * 0.5 FROM n;
CREATE INDEX by_name ON item(name);
SQL
}

make_hdf5() {
    seq 1 60000 >"$BATS_FILE_TMPDIR/numbers.txt"
    h5import "$BATS_FILE_TMPDIR/numbers.txt" -d 200,300 -p group/numbers -t TEXTIN -s 32 -o "$NATIVE/data.h5"
}

make_media() {
    mkdir -p "$NATIVE/media"
    ffmpeg -v error -nostdin -f lavfi -i 'testsrc=duration=2:size=160x120:rate=10' -f lavfi \
        -i 'sine=frequency=440:duration=2' -c:v mpeg4 -c:a aac -shortest "$NATIVE/media/clip.mp4"
    ffmpeg -v error -nostdin -f lavfi -i 'sine=frequency=440:duration=1' "$NATIVE/media/tone.wav"
    ffmpeg -v error -nostdin -i "$NATIVE/media/clip.mp4" -frames:v 1 "$NATIVE/media/frame.png"
}

make_images() {
    python3 - "$NATIVE/images" <<'PY'
import os, sys
from PIL import Image
for number in range(64):
    folder = f"{sys.argv[1]}/{number % 4}"
    os.makedirs(folder, exist_ok=True)
    Image.new("L", (8, 8), number).save(f"{folder}/{number:03}.png")
PY
}
