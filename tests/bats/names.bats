#!/usr/bin/env bats
# Whole programs that rename what they have just written, or are still writing.

load lib/shim
load lib/data

setup_file() { serve_data; }

@test "sed -i, with and without a copy of the old file" {
    same 'sed -i s/two/deux/ {}/text/short.txt && cat {}/text/short.txt && ls -A {}/text'
    same 'sed -i.old s/three/trois/ {}/text/short.txt && cat {}/text/short.txt* && ls -A {}/text'
}

@test "perl -i, sort -o onto its own input" {
    same 'perl -i -pe s/one/un/ {}/text/short.txt && cat {}/text/short.txt && ls -A {}/text'
    same 'sort -o {}/text/unsorted.txt {}/text/unsorted.txt && cat {}/text/unsorted.txt && ls -A {}/text'
}

@test "install: one file, a directory, over an old one" {
    same 'install -m 640 {}/text/short.txt {}/installed && stat -c "%a %s" {}/installed'
    same 'install -D -m 600 {}/text/long.txt {}/a/new/place/file && stat -c "%a %s" {}/a/new/place/file'
    same 'install -b {}/text/long.txt {}/installed && ls {} | grep installed && cmp {}/text/long.txt {}/installed'
}

@test "mktemp, then mv: onto a new name, onto an old one, without replacing" {
    same 'file=$(mktemp {}/tmp.XXXXXX) && echo new >$file && mv $file {}/year && cat {}/year && ls {}'
    same 'file=$(mktemp -p {}) && echo new >$file && mv -f $file {}/year && cat {}/year'
    same 'folder=$(mktemp -d {}/dir.XXXXXX) && echo x >$folder/x && mv $folder {}/folder && ls {}/folder'
    same 'echo a >{}/a.txt; echo b >{}/b.txt; mv -n {}/a.txt {}/b.txt; cat {}/b.txt; ls {} | grep txt'
}

@test "python: temporary files that replace, files without a name, listings of what is written" {
    same_script python3 <<'PY'
import os, sys, tempfile
root = sys.argv[1]
open(root + "/settings", "w").write("old")
with tempfile.NamedTemporaryFile("w", dir=root, delete=False) as f:
    f.write("new settings\n")
    print(sorted(name for name in os.listdir(root) if name == os.path.basename(f.name)) != [])
    os.replace(f.name, root + "/settings")
    print(os.path.exists(f.name), os.stat(root + "/settings").st_size)
    f.write("more\n")
print(repr(open(root + "/settings").read()))
with tempfile.TemporaryFile(dir=root) as f:
    f.write(b"scratch")
    f.seek(0)
    print(f.read(), os.fstat(f.fileno()).st_nlink)
with tempfile.TemporaryDirectory(dir=root) as folder:
    f = open(folder + "/open", "w")
    print(os.listdir(folder), [(e.name, e.is_file(), e.stat().st_size) for e in os.scandir(folder)])
    try:
        os.rmdir(folder)
    except OSError as error:
        print(error.errno)
    f.close()
    os.rename(folder + "/open", root + "/kept")
print(os.path.getsize(root + "/kept"), os.path.exists(folder))
fd = os.open(root, os.O_TMPFILE | os.O_RDWR, 0o644)
os.write(fd, b"complete")
os.link("/proc/self/fd/%d" % fd, root + "/linked", follow_symlinks=True)
print(open(root + "/linked").read())
os.close(fd)
PY
}

@test "git: objects, references and the index are written aside and renamed" {
    need git
    same 'git init -q --bare {}/r.git && echo one | git --git-dir={}/r.git hash-object -w --stdin &&
        tree=$(printf "100644 blob 5626abf0f72e58d7a153368ba57db4c673c0e171\tfile\n" | git --git-dir={}/r.git mktree) && echo $tree &&
        git --git-dir={}/r.git config user.name ab && git --git-dir={}/r.git config --get user.name &&
        git --git-dir={}/r.git update-ref refs/blobs/one 5626abf0f72e58d7a153368ba57db4c673c0e171 &&
        git --git-dir={}/r.git cat-file -p refs/blobs/one && find {}/r.git -name "*lock*" -o -name "tmp_*"'
}

@test "an exchange of names is refused, with one line" {
    need python3
    cat >"$BATS_TEST_TMPDIR/exchange.py" <<'PY'
import ctypes, os, sys
names = [os.fsencode(sys.argv[1] + name) for name in ("/x", "/y")]
for name in names:
    open(name, "wb").write(name[-1:])
libc = ctypes.CDLL(None, use_errno=True)
for again in range(2):
    result = libc.renameat2(-100, names[0], -100, names[1], 2)
    print(result, os.strerror(ctypes.get_errno()))
print([open(name).read() for name in names])
PY
    refuse 0 'RENAME_EXCHANGE' python3 "$BATS_TEST_TMPDIR/exchange.py" "$VIRTUAL"
    [ "$(said | wc -l)" -eq 1 ]
    [ "$(grep -c -- '-1 Invalid argument' "$BATS_TEST_TMPDIR/out")" -eq 2 ]
    grep -qF "['x', 'y']" "$BATS_TEST_TMPDIR/out"
}

@test "what programs look for above their directory is in no bucket: no request, not a word" {
    local before
    before=$(requests)
    refuse 1 "^cat: /s3/.git/HEAD: No such file or directory$" cat /s3/.git/HEAD
    [[ -z $(said) ]]
    refuse 2 'No such file' ls /s3/.hg
    [[ -z $(said) ]]
    refuse 1 'No such file' touch /s3/.editorconfig/new
    [[ -z $(said) ]]
    [[ $(requests) -eq $before ]]
}
