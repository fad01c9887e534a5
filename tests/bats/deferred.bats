#!/usr/bin/env bats
# Thousands of small files whose close does not wait (S3DLIO_PROFILE=bulk): all that is said to be there is there, what
# is not ends the program badly, and it is many at a time.

load lib/shim

FILES=500

setup_file() {
    start_server
    mkdir -p "$BATS_FILE_TMPDIR/many/sub"
    python3 - "$BATS_FILE_TMPDIR/many" "$FILES" <<'PY'
import random, sys
folder, count = sys.argv[1], int(sys.argv[2])
for number in range(count):
    name = f"{folder}/{'sub/' if number % 5 == 0 else ''}f{number:03}"
    open(name, "wb").write(random.Random(number).randbytes(16384))
PY
}

setup() {
    MANY=$BATS_FILE_TMPDIR/many
    D=/s3/test/$BATS_TEST_NUMBER
    fault
    fault 'op=PutObject action=delay:30'
    shim mkdir "$D"
    admin stats/reset -X POST
}

bulk() { shim S3DLIO_PROFILE=bulk "$@"; }

# What the server holds, whatever this machine remembers of it.
fetched() {
    fault
    rm -rf "$BATS_TEST_TMPDIR/fetched"
    XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR shim S3DLIO_META_TTL_MS=0 cp -r "$1" "$BATS_TEST_TMPDIR/fetched"
}

holds() {
    fetched "$1"
    diff -r "$2" "$BATS_TEST_TMPDIR/fetched" || explain "$1 is not $2"
}

# So many requests for each file at most, and some (10 if not said); and many were under way at a time.
cheaply() {
    local files=$1
    [[ $(requests) -le $((files + files / 20 + ${2:-10})) ]] || explain "$(admin stats)"
    [[ $(server max_in_flight) -ge 8 ]] || explain "$(admin stats)"
}

@test "cp -r: 500 files, 1.05 requests for each, many at a time" {
    bulk cp -r "$MANY" "$D/copy"
    cheaply $FILES
    holds "$D/copy" "$MANY"
}

@test "without the profile one after the other" {
    shim cp "$MANY"/f00? "$D"
    [[ $(server max_in_flight) -eq 1 ]] || explain "$(admin stats)"
}

@test "cp -rp: modes and times with them" {
    touch -d '2020-01-02 03:04:05.25 UTC' "$MANY/f001"
    chmod 640 "$MANY/f001"
    bulk cp -rp "$MANY" "$D/copy"
    cheaply $FILES
    fault
    [[ $(shim stat -c '%a %Y %s' "$D/copy/f001") == "640 1577934245 16384" ]] || explain "$(shim stat "$D/copy/f001")"
    holds "$D/copy" "$MANY"
}

# Modes and times of all files below a folder, as a command of this machine sees them.
attributes() {
    "${@:2}" find "$1" -type f -printf '%P %m %T@\n' | sort
}

# The bucket's folder has the files of the other, with their modes and times.
holds_all() {
    holds "$1" "$2"
    diff <(attributes "$2") <(XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR attributes "$1" shim S3DLIO_META_TTL_MS=0) ||
        explain "attributes of $1 are not those of $2"
}

# 500 files with modes and times of their own.
with_attributes() {
    cp -r "$MANY" "$BATS_TEST_TMPDIR/with"
    find "$BATS_TEST_TMPDIR/with" -exec touch -d 2020-01-09 {} + # archives keep whole seconds
    local n
    for n in 1 2 3 4; do
        find "$BATS_TEST_TMPDIR/with" -name "f*$n" -exec chmod "6$n$n" {} +
        find "$BATS_TEST_TMPDIR/with" -name "f*$n" -exec touch -d "2020-01-0$n" {} +
    done
    echo "$BATS_TEST_TMPDIR/with"
}

@test "tar x" {
    tar -C "$MANY" -cf "$BATS_TEST_TMPDIR/many.tar" .
    bulk tar -C "$D" -xf "$BATS_TEST_TMPDIR/many.tar"
    cheaply $FILES
    holds "$D" "$MANY"
}

@test "tar x with modes, owners and times" {
    local with
    with=$(with_attributes)
    tar -C "$with" -cf "$BATS_TEST_TMPDIR/with.tar" .
    bulk tar -C "$D" -xpf "$BATS_TEST_TMPDIR/with.tar"
    cheaply $FILES 20
    holds_all "$D" "$with"
}

@test "tar by python, which names a file after its close" {
    local with
    with=$(with_attributes)
    tar -C "$with" -cf "$BATS_TEST_TMPDIR/with.tar" .
    bulk python3 -c 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])' \
        "$BATS_TEST_TMPDIR/with.tar" "$D"
    cheaply $FILES 20
    holds_all "$D" "$with"
}

@test "unzip" {
    local with
    with=$(with_attributes)
    (cd "$with" && zip -qr "$BATS_TEST_TMPDIR/with.zip" .)
    bulk unzip -q "$BATS_TEST_TMPDIR/with.zip" -d "$D/unzipped"
    cheaply $FILES 20
    mkdir "$BATS_TEST_TMPDIR/unzipped"
    unzip -q "$BATS_TEST_TMPDIR/with.zip" -d "$BATS_TEST_TMPDIR/unzipped"
    holds_all "$D/unzipped" "$BATS_TEST_TMPDIR/unzipped"
}

@test "unzip over what is there" {
    (cd "$MANY" && zip -qr "$BATS_TEST_TMPDIR/many.zip" f00? sub)
    bulk unzip -q "$BATS_TEST_TMPDIR/many.zip" -d "$D/unzipped"
    mkdir "$BATS_TEST_TMPDIR/unzipped"
    unzip -q "$BATS_TEST_TMPDIR/many.zip" -d "$BATS_TEST_TMPDIR/unzipped"
    echo changed >"$BATS_TEST_TMPDIR/f001"
    shim cp "$BATS_TEST_TMPDIR/f001" "$D/unzipped/f001"
    bulk unzip -qo "$BATS_TEST_TMPDIR/many.zip" -d "$D/unzipped"
    holds_all "$D/unzipped" "$BATS_TEST_TMPDIR/unzipped"
}

@test "git clone, checkout of another branch, status" {
    export HOME=$BATS_TEST_TMPDIR GIT_CONFIG_NOSYSTEM=1
    git config --global user.name nobody
    git config --global user.email nobody@example.com
    git config --global init.defaultBranch main
    git config --global safe.directory '*'
    local origin=$BATS_TEST_TMPDIR/origin
    git init -q "$origin"
    cp -r "$MANY"/f[0-2]?? "$origin"
    git -C "$origin" add . && git -C "$origin" commit -qm one
    git -C "$origin" checkout -qb other
    for n in 1 2 3 4 6; do echo "$n" >"$origin/f00$n"; done
    git -C "$origin" commit -qam two
    git -C "$origin" checkout -q main
    bulk git clone -q --no-local "$origin" "$D/clone"
    [[ $(server max_in_flight) -ge 8 ]] || explain "$(admin stats)"
    bulk git -C "$D/clone" checkout -q other
    run bulk git -C "$D/clone" status --porcelain
    [[ $status -eq 0 && -z $output ]] || explain "$output"
    bulk git -C "$D/clone" fsck --strict
    git -C "$origin" checkout -q other
    rm -rf "$origin/.git"
    fault
    fetched "$D/clone"
    rm -rf "$BATS_TEST_TMPDIR/fetched/.git"
    diff -r "$origin" "$BATS_TEST_TMPDIR/fetched"
}

@test "rsync -a into a bucket, and once more after changes" {
    need rsync
    local with
    with=$(with_attributes)
    bulk rsync -a "$with/" "$D/synced"
    cheaply $FILES 40
    holds_all "$D/synced" "$with"
    rm "$with/f002"
    echo more >>"$with/f003"
    echo new >"$with/new"
    chmod 600 "$with/f004"
    bulk rsync -a --delete "$with/" "$D/synced"
    holds_all "$D/synced" "$with"
    run bulk rsync -ain "$with/" "$D/synced"
    [[ $status -eq 0 && $(grep -cv '/$' <<<"$output") -le 1 ]] || explain "$output"
}

@test "a script whose commands read what others wrote" {
    bulk bash -c 'cd "$1" || exit
for n in 1 2 3 4 5; do
    echo "line $n" >"f$n"
    cat "f$n" >>all
    [ -s "f$n" ] || exit 1
done
sort -r all >sorted; head -n 1 sorted >first; mv first second; cat second
printf "%s\n" one two >list; while read -r word; do echo "$word" >"word-$word"; done <list
cat word-*; ls' _ "$D" >"$BATS_TEST_TMPDIR/out"
    equal "$(tr '\n' ' ' <"$BATS_TEST_TMPDIR/out")" \
        "line 5 one two all f1 f2 f3 f4 f5 list second sorted word-one word-two "
}

@test "python: programs, children and workers read what it has just written" {
    run bulk python3 - "$D" <<'PY'
import multiprocessing, os, subprocess, sys
root = sys.argv[1]

def put(name, text):
    with open(f"{root}/{name}", "w") as file:
        file.write(text)

def read(name):
    with open(f"{root}/{name}") as file:
        return file.read()

if __name__ == "__main__":
    pool = multiprocessing.get_context("fork").Pool(4)
    for n in range(50):
        put(f"f{n}", f"text {n}")
    assert pool.map(read, [f"f{n}" for n in range(50)]) == [f"text {n}" for n in range(50)]
    put("program", "for a program")
    assert subprocess.check_output(["cat", f"{root}/program"], text=True) == "for a program"
    put("shell", "for a shell")
    assert os.popen(f"cat {root}/shell").read() == "for a shell"
    put("child", "for a child")
    if os.fork() == 0:
        os._exit(read("child") != "for a child")
    assert os.wait()[1] == 0
    assert len(os.listdir(root)) == 53
    print("fine")
PY
    [[ $status -eq 0 && $output == *fine ]] || explain "$output"
}

@test "files that are refused: a status that is not 0, and each of them on stderr" {
    fault
    fault 'op=PutObject key=*/f00? action=status:403:AccessDenied
op=PutObject action=delay:30'
    run --separate-stderr bulk cp -r "$MANY" "$D/copy"
    [[ $status -eq 74 ]] || explain "$status" "$stderr"
    local name
    for name in f001 f002 f003 f004 f006 f007 f008 f009 sub/f000 sub/f005; do
        grep -q "/copy/$name was not stored, .*S3DLIO_CLOSE=deferred.*write it again" <<<"$stderr" ||
            explain "$name" "$stderr"
    done
    [[ $(grep -c 'was not stored' <<<"$stderr") -eq 10 ]] || explain "$stderr"
    fetched "$D/copy"
    rm -rf "$BATS_TEST_TMPDIR/some"
    cp -r "$MANY" "$BATS_TEST_TMPDIR/some"
    rm "$BATS_TEST_TMPDIR"/some/{f00?,sub/f00?}
    diff -r "$BATS_TEST_TMPDIR/some" "$BATS_TEST_TMPDIR/fetched"
}

@test "the same for tar, and for a program that ends by _exit" {
    fault
    fault 'op=PutObject key=*f001 action=status:403:AccessDenied'
    tar -C "$MANY" -cf "$BATS_TEST_TMPDIR/two.tar" f001 f002
    run --separate-stderr bulk tar -C "$D" -xf "$BATS_TEST_TMPDIR/two.tar"
    [[ $status -eq 74 && $stderr == *"f001 was not stored"* ]] || explain "$status" "$stderr"
    run --separate-stderr bulk python3 -c 'import os, sys
open(sys.argv[1], "w").close()
os._exit(0)' "$D/f001"
    [[ $status -eq 74 && $stderr == *"f001 was not stored"* ]] || explain "$status" "$stderr"
    run --separate-stderr bulk dash -c 'echo x >"$1"; exec true' _ "$D/f001"
    [[ $status -eq 126 && $stderr == *"f001 was not stored"* ]] || explain "$status" "$stderr"
    run --separate-stderr bulk dash -c 'echo x >"$1"; true' _ "$D/f001"
    [[ $status -eq 74 && $stderr == *"f001 was not stored"* ]] || explain "$status" "$stderr"
}

@test "renamed files that are refused: named as they were to be called" {
    need rsync
    fault
    fault 'op=PutObject key=*synced/f00? action=status:403:AccessDenied
op=PutObject action=delay:30'
    run --separate-stderr bulk rsync -a "$MANY/" "$D/synced"
    [[ $status -ne 0 ]] || explain "$status" "$stderr"
    local name
    for name in f001 f002 f003 f004 f006 f007 f008 f009; do
        grep -q "/synced/$name was not stored" <<<"$stderr" || explain "$name" "$stderr"
    done
    fetched "$D/synced"
    rm -rf "$BATS_TEST_TMPDIR/some"
    cp -r "$MANY" "$BATS_TEST_TMPDIR/some"
    rm "$BATS_TEST_TMPDIR"/some/f00?
    diff -r "$BATS_TEST_TMPDIR/some" "$BATS_TEST_TMPDIR/fetched"
}

@test "a busy store and programs that change files after their close" {
    fault
    fault 'op=PutObject nth=20 count=20 action=status:503:SlowDown
op=PutObject nth=100 count=10 action=lose-answer
op=PutObject nth=200 count=10 action=reset'
    local with
    with=$(with_attributes)
    (cd "$with" && zip -qr "$BATS_TEST_TMPDIR/with.zip" .)
    bulk unzip -q "$BATS_TEST_TMPDIR/with.zip" -d "$D/unzipped"
    mkdir "$BATS_TEST_TMPDIR/unzipped"
    unzip -q "$BATS_TEST_TMPDIR/with.zip" -d "$BATS_TEST_TMPDIR/unzipped"
    holds_all "$D/unzipped" "$BATS_TEST_TMPDIR/unzipped"
}

@test "a store that is busy: answers lost, requests refused, connections reset, and all arrives" {
    fault
    fault 'op=PutObject nth=20 count=20 action=status:503:SlowDown
op=PutObject nth=100 count=10 action=lose-answer
op=PutObject nth=200 count=10 action=reset'
    bulk cp -r "$MANY" "$D/copy"
    holds "$D/copy" "$MANY"
}

@test "killed: what was sent is whole, and nothing hangs that wants the rest" {
    fault
    fault 'op=PutObject key=*killed/f00? action=delay:60000'
    shim mkdir "$D/killed"
    run bulk timeout -s KILL 2 cp -r "$MANY/." "$D/killed"
    [[ $status -eq 137 ]] || explain "$status"
    fault
    bulk ls "$D/killed" >/dev/null
    bulk cp -r "$MANY/." "$D/killed"
    holds "$D/killed" "$MANY"
}
