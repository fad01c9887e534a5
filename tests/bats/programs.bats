#!/usr/bin/env bats
# Programs that write as they please: seek back to patch a header, append to archives, replace files
# by rename, keep modes and times. Each does the same on a local folder first.

load lib/shim
load lib/data

setup_file() { serve_data; }

@test "zip and unzip: create, add to, delete from, extract" {
    same 'cd /tmp && zip -qrX {}/t.zip {}/text && unzip -l {}/t.zip | tail -n 1 && unzip -tq {}/t.zip >/dev/null; echo $?'
    same 'zip -qjX {}/u.zip {}/text/long.txt {}/block.bin && zip -qjX {}/u.zip {}/text/short.txt && unzip -Z1 {}/u.zip && unzip -p {}/u.zip | sha256sum'
    same 'zip -qd {}/u.zip long.txt && unzip -Z1 {}/u.zip && unzip -p {}/u.zip | sha256sum'
    same 'mkdir {}/unzipped && unzip -q {}/u.zip -d {}/unzipped && ls {}/unzipped && sha256sum {}/unzipped/*'
}

@test "tar: create, append, update, extract with modes and times" {
    same 'tar -cf {}/t.tar -C {} --sort=name --mtime=@0 text && tar -tf {}/t.tar'
    same 'tar -rf {}/t.tar -C {} --mtime=@0 block.bin && tar -tf {}/t.tar | tail -n 1 && tar -xOf {}/t.tar block.bin | sha256sum'
    same 'mkdir {}/untarred && tar -xf {}/t.tar -C {}/untarred && find {}/untarred -type f -printf "%P %s %m %Ts\n" | sort'
}

@test "rsync: into the bucket, again, in place, back" {
    same 'touch -d @1000000000 {}/text/* && rsync -rt {}/text/ {}/synced/ && rsync -rtin {}/text/ {}/synced/ && find {}/synced -printf "%P %s %Ts\n" | grep txt | sort'
    same 'echo more >>{}/synced/short.txt && rsync -rt --inplace {}/text/ {}/synced/ && cat {}/synced/short.txt'
    same 'touch {}/synced/extra && rsync -rt --delete {}/text/ {}/synced/ && ls {}/synced'
    same "rsync -a {}/text/ $BATS_TEST_TMPDIR/back/ && (cd $BATS_TEST_TMPDIR/back && sha256sum *)"
}

@test "rsync: only what differs, appended, both ways, with modes and times" {
    local back=$BATS_TEST_TMPDIR/back
    same 'touch -d @1000000000 {}/text/* {}/big.bin && chmod 640 {}/text/long.txt && rsync -a {}/text {}/big.bin {}/r/ && printf X | dd of={}/r/big.bin bs=1 seek=6000000 conv=notrunc status=none && rsync -a --inplace --no-whole-file {}/big.bin {}/r/ && cmp {}/big.bin {}/r/big.bin && find {}/r -type f -printf "%P %s %m %Ts\n" | sort'
    same "rm -rf $back; rsync -a {}/r/ $back/ && echo more >>$back/text/long.txt && rsync -a --append $back/ {}/r/ && tail -n 1 {}/r/text/long.txt && rsync -ain $back/ {}/r/ && find $back -type f -printf '%P %s %m %Ts\n' | grep -v long | sort"
    same "printf X | dd of=$back/big.bin bs=1 seek=6000000 conv=notrunc status=none && rsync -ac --inplace --no-whole-file {}/r/ $back/ && cmp $back/big.bin {}/r/big.bin && sha256sum {}/r/big.bin"
    same 'rsync -ac --backup --suffix=.old {}/text/ {}/r/text/ && ls {}/r/text && rsync -a --checksum --remove-source-files {}/r/text/ {}/r2/; ls {}/r/text | wc -l; ls {}/r2'
}

@test "ffmpeg: mp4 and wav headers are patched at the end" {
    same 'ffmpeg -v error -nostdin -f lavfi -i testsrc=duration=2:size=160x120:rate=10 -c:v mpeg4 -bitexact {}/c.mp4 && sha256sum {}/c.mp4 && ffprobe -v error -show_entries format=duration,size -of csv {}/c.mp4'
    same 'ffmpeg -v error -nostdin -f lavfi -i sine=frequency=440:duration=3 -bitexact {}/s.wav && sha256sum {}/s.wav'
    same 'ffmpeg -v error -nostdin -i {}/c.mp4 -c copy -movflags +faststart -bitexact {}/fast.mp4 && sha256sum {}/fast.mp4'
}

@test "python: wave, zipfile, shelve, mmap, shutil, atomic replacement" {
    same_script python3 <<'PY'
import dbm.dumb, hashlib, mmap, os, shutil, sys, tempfile, wave, zipfile
root = sys.argv[1] + "/py"
os.mkdir(root)
def digest(name):
    return hashlib.sha256(open(f"{root}/{name}", "rb").read()).hexdigest()
with wave.open(root + "/w.wav", "wb") as w:
    w.setnchannels(1); w.setsampwidth(2); w.setframerate(8000)
    for i in range(100):
        w.writeframes(bytes([i]) * 2000)
print(digest("w.wav"), wave.open(root + "/w.wav").getnframes())
with zipfile.ZipFile(root + "/z.zip", "w", zipfile.ZIP_DEFLATED) as z:
    for i in range(20):
        z.writestr(zipfile.ZipInfo(f"{i}.txt"), "text " * i * 1000)
with zipfile.ZipFile(root + "/z.zip", "a") as z:
    z.writestr(zipfile.ZipInfo("last.txt"), "added later")
print(digest("z.zip"), zipfile.ZipFile(root + "/z.zip").testzip())
with dbm.dumb.open(root + "/db", "c") as db:
    for i in range(50):
        db[str(i)] = "v" * i
print(len(dbm.dumb.open(root + "/db", "r")))
with open(root + "/m.bin", "w+b") as f:
    f.truncate(100000)
    with mmap.mmap(f.fileno(), 0) as m:
        m[5000:5005] = b"hello"
        m.flush()
        m[99990:] = b"x" * 10
print(digest("m.bin"))
shutil.copytree(sys.argv[1] + "/deep", root + "/deep")
shutil.move(root + "/deep/a", root + "/moved")
print(sorted(os.path.relpath(os.path.join(d, n), root) for d, _, ns in os.walk(root) for n in ns))
for i in range(3):
    with tempfile.NamedTemporaryFile("w", dir=root, delete=False) as f:
        f.write(f"version {i}\n")
    os.replace(f.name, root + "/config")
print(open(root + "/config").read(), sorted(os.listdir(root))[:3])
fd = os.open(root + "/renamed-open", os.O_WRONLY | os.O_CREAT, 0o600)
os.write(fd, b"before ")
os.rename(root + "/renamed-open", root + "/final")
os.write(fd, b"after")
os.close(fd)
print(open(root + "/final").read(), os.path.exists(root + "/renamed-open"))
shutil.rmtree(root)
print(os.path.exists(root))
PY
}

@test "the program sqlite3: import, vacuum, backup, attach, a write-ahead log" {
    same 'sqlite3 {}/c.db "CREATE TABLE t (id INTEGER PRIMARY KEY, name, score)" ".mode csv" ".import --skip 1 {}/table.csv t" "SELECT * FROM t" && sqlite3 {}/c.db "DELETE FROM t WHERE id = 2; VACUUM; PRAGMA integrity_check; SELECT count(*) FROM t" && sqlite3 {}/c.db ".backup {}/b.db" && sqlite3 {}/b.db .dump && ls {} | grep db'
    same 'sqlite3 {}/a.db "ATTACH '"'{}/b.db'"' AS b; CREATE TABLE main.x AS SELECT * FROM b.t; BEGIN; INSERT INTO x SELECT * FROM x; UPDATE b.t SET score = 0; COMMIT; SELECT count(*) FROM x; SELECT sum(score) FROM b.t"'
    same 'sqlite3 {}/w.db "PRAGMA journal_mode=WAL; CREATE TABLE t (n); WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO t SELECT i FROM n; SELECT sum(n) FROM t" && sqlite3 {}/w.db "INSERT INTO t VALUES (7); PRAGMA wal_checkpoint(TRUNCATE); PRAGMA integrity_check; SELECT sum(n) FROM t" && ls {} | grep w.db'
}

@test "python: archives and compressed files that grow, logs that rotate, mailboxes, lines changed in place" {
    same_script python3 <<'PY'
import bz2, fileinput, gzip, logging.handlers, lzma, mailbox, os, sys, tarfile
root = sys.argv[1] + "/grow"
os.mkdir(root)
with tarfile.open(root + "/t.tar", "w") as t:
    t.add(sys.argv[1] + "/text", "text")
with tarfile.open(root + "/t.tar", "a") as t:
    t.add(sys.argv[1] + "/table.csv", "table.csv")
print(tarfile.open(root + "/t.tar").getnames())
for module in gzip, bz2, lzma:
    for mode in "wb", "ab":
        with module.open(root + "/z", mode) as f:
            f.write(mode.encode() * 1000)
    print(module.__name__, module.open(root + "/z").read() == b"wb" * 1000 + b"ab" * 1000)
handler = logging.handlers.RotatingFileHandler(root + "/log", maxBytes=100, backupCount=2)
log = logging.getLogger("x")
log.addHandler(handler)
for i in range(20):
    log.error("message %d", i)
handler.close()
with fileinput.input(root + "/log.1", inplace=True) as lines:
    for line in lines:
        print(line.upper(), end="")
print([(name, open(root + "/" + name).read()) for name in sorted(os.listdir(root)) if "log" in name])
box = mailbox.mbox(root + "/mbox")
for subject in "x", "y":
    box.lock()
    box.add(f"Subject: {subject}\n\nbody\n")
    box.flush()
box.remove(0)
box.close()
print([message["subject"] for message in mailbox.mbox(root + "/mbox")])
folder = mailbox.Maildir(root + "/folder")
print(folder.get(folder.add("Subject: z\n\nbody\n"))["subject"], sorted(os.listdir(root + "/folder")))
PY
}

@test "archives of members that are larger than what is kept of an upload" {
    same_script env S3DLIO_MEMORY_BUDGET=96M S3DLIO_PUT_INFLIGHT=2 python3 <<'PY'
import hashlib, sys, zipfile, numpy
root = sys.argv[1]
with open(root + "/large.zip", "wb") as out, zipfile.ZipFile(out, "w") as z:
    for n in range(4): # the header of each is changed when it has been written
        with z.open(zipfile.ZipInfo(f"member{n}"), "w", force_zip64=True) as f:
            for k in range(64):
                f.write(bytes([n, k]) * (1 << 19))
print(zipfile.ZipFile(root + "/large.zip").testzip())
with open(root + "/large.npz", "wb") as out:
    numpy.savez(out, *(numpy.full(8 << 20, n) for n in range(3)))
print([int(a.sum()) for a in numpy.load(root + "/large.npz").values()])
print(hashlib.file_digest(open(root + "/large.zip", "rb"), "sha256").hexdigest())
PY
}

@test "savers: numpy, pandas, torch, zarr, h5py" {
    same_script python3 <<'PY'
import hashlib, io, os, sys
import h5py, numpy, pandas, torch, zarr
root = sys.argv[1] + "/savers"
os.mkdir(root)
a = numpy.arange(300000, dtype="f4").reshape(300, 1000)
numpy.save(root + "/a.npy", a)
numpy.savez(root + "/a.npz", a=a, b=a[:10])
numpy.savetxt(root + "/a.txt", a[:5, :5])
print(numpy.array_equal(numpy.load(root + "/a.npy"), a), numpy.load(root + "/a.npz")["b"].shape)
m = numpy.lib.format.open_memmap(root + "/m.npy", mode="w+", dtype="i8", shape=(1000,))
m[:] = numpy.arange(1000)
m.flush()
del m
print(numpy.load(root + "/m.npy").sum(), numpy.load(root + "/a.npy", mmap_mode="r")[7, 9])
m = numpy.load(root + "/m.npy", mmap_mode="r+")
m[5] = 1000000
del m
print(numpy.load(root + "/m.npy").sum())
frame = pandas.DataFrame({"k": range(1000), "v": [str(i) for i in range(1000)]})
frame.to_csv(root + "/f.csv", index=False)
frame.to_pickle(root + "/f.pkl")
frame.to_csv(root + "/f.csv", mode="a", header=False, index=False)
frame.to_csv(root + "/f.zip")
frame.to_json(root + "/f.json")
print(pandas.read_csv(root + "/f.csv").k.sum(), pandas.read_pickle(root + "/f.pkl").shape)
print(len(pandas.read_csv(root + "/f.zip")), len(pandas.read_json(root + "/f.json")))
frame.to_hdf(root + "/f.h5", "first", mode="w", format="table")
frame.to_hdf(root + "/f.h5", "second", mode="a")
frame.to_hdf(root + "/f.h5", "first", append=True, format="table")
print(len(pandas.read_hdf(root + "/f.h5", "first")), pandas.read_hdf(root + "/f.h5", "second").k.sum())
torch.save({"w": torch.arange(1000000)}, root + "/t.pt")
torch.save([torch.ones(3)], root + "/old.pt", _use_new_zipfile_serialization=False)
print(torch.load(root + "/t.pt")["w"].sum().item(), torch.load(root + "/old.pt"))
t = torch.from_file(root + "/shared", shared=True, size=100)
t[:] = 2
del t
print(numpy.fromfile(root + "/shared", "f4").sum())
z = zarr.open(root + "/z.zarr", mode="w", shape=(100, 100), chunks=(50, 50), dtype="i4")
z[:] = 42
z[3, 4] = 7
print(zarr.open(root + "/z.zarr", mode="r")[:].sum(), sorted(os.listdir(root + "/z.zarr")))
z.append(numpy.ones((10, 100), "i4"))
print(zarr.open(root + "/z.zarr", mode="r")[:].sum())
store = zarr.ZipStore(root + "/z.zip", mode="w")
zarr.array(numpy.arange(100), store=store)
store.close()
print(zarr.open(zarr.ZipStore(root + "/z.zip", mode="r"))[:].sum())
with h5py.File(root + "/h.h5", "w") as h:
    h.create_dataset("a", data=a, chunks=(50, 100), maxshape=(None, 1000))
    h.attrs["note"] = "first"
with h5py.File(root + "/h.h5", "a") as h:
    h["a"].resize(600, axis=0)
    h["a"][300:] = a + 1
    h["b"] = [1, 2, 3]
with h5py.File(root + "/h.h5", "r+") as h:
    h["b"][1] = 99
    h["a"][299] = 0
with h5py.File(root + "/h.h5", "r") as h:
    print(h["a"][:].sum(dtype="f8"), h["b"][:], list(h), h.attrs["note"])
PY
}

@test "editors and patches: sed -i, patch, vim, ed-like replacement" {
    same 'cp {}/text/long.txt {}/edit.txt && sed -i "s/line 7 /LINE 7 /; 20,30d" {}/edit.txt && sha256sum {}/edit.txt && ls -l {}/edit.txt | cut -c1-10'
    same 'sed -i.bak "s/LINE/line/" {}/edit.txt && diff {}/edit.txt {}/edit.txt.bak | head -n 4; ls {} | grep edit'
    same 'cp {}/text/short.txt {}/p.txt && diff {}/p.txt <(sed s/two/TWO/ {}/p.txt) >/tmp/p.diff.$$; patch -s {}/p.txt /tmp/p.diff.$$ && cat {}/p.txt; rm /tmp/p.diff.$$'
    same 'cp {}/text/short.txt {}/v.txt && vim.tiny -u NONE -es -c "%s/one/ONE/" -c "wq" {}/v.txt; echo $?; cat {}/v.txt'
    same 'perl -pi -e "s/three/THREE/" {}/p.txt && cat {}/p.txt'
    same 'cp {}/text/short.txt {}/w.txt && for how in yes no; do vim.tiny -u NONE -es -c "set backup backupcopy=$how" -c "%s/e/E/" -c "wq" {}/w.txt; cat {}/w.txt {}/w.txt~; done; ls -a {} | grep w.txt'
    same 'cp {}/block.bin {}/hex && echo "00000010: 4142 43" | xxd -r - {}/hex && sha256sum {}/hex'
}

@test "patch: a file changed with a copy of the old one, one removed, one made in a new directory" {
    cat >"$BATS_TEST_TMPDIR/diff" <<'END'
--- a/a
+++ b/a
@@ -1,4 +1,4 @@
 one
-two
+TWO
 three needle
 four
--- a/b
+++ /dev/null
@@ -1 +0,0 @@
-gone
--- /dev/null
+++ b/sub/c
@@ -0,0 +1 @@
+new
END
    same "mkdir {}/p && cd {}/p && cp ../text/short.txt a && echo gone >b && patch -b -p1 <$BATS_TEST_TMPDIR/diff && find . -type f | sort && cat a sub/c && patch -R -p1 <$BATS_TEST_TMPDIR/diff && find . -type f | sort && cmp a ../text/short.txt"
}

@test "install -p, cp -a, cp -u, mv, touch -r, ln -s keep what they promise" {
    same 'touch -d @1111111111 {}/text/long.txt && install -p -m 640 {}/text/long.txt {}/installed && cmp {}/text/long.txt {}/installed && stat -c "%a %s %Y" {}/installed'
    same 'chmod 751 {}/deep/a && touch -d @1111111112 {}/deep/a/b/middle.txt {}/deep/a/b/c/d/leaf.txt && touch -d @1111111113 {}/deep/a && cp -a {}/deep {}/deep.copy && find {}/deep.copy -mindepth 1 -printf "%P %y %m\n" -type f -printf "%Ts\n" | sort && stat -c "%Y %a" {}/deep.copy/a && diff -r {}/deep {}/deep.copy; echo $?'
    same 'cp -u {}/text/short.txt {}/text/long.txt && wc -l <{}/text/long.txt && touch -d @1000 {}/old && cp -u {}/old {}/text/long.txt && wc -l <{}/text/long.txt; cp -b {}/text/short.txt {}/installed && ls {} | grep installed'
    same 'ln -s text/short.txt {}/l && ln -sf text/long.txt {}/l && readlink {}/l && chmod -R u=rwX,go=rX {}/text && find {}/text -printf "%m %P\n" | sort'
    same 'touch -d "2001-02-03 04:05:06.789" {}/dated && cp -p {}/dated {}/dated2 && stat -c %Y {}/dated {}/dated2 && touch -r {}/dated {}/text/short.txt && stat -c %Y {}/text/short.txt'
    same 'mv {}/installed {}/deep/ && ls {}/deep && mv {}/deep/installed {}/back && sha256sum {}/back'
    same 'mv {}/big.bin /tmp/mv.$$ && sha256sum </tmp/mv.$$ && ls {} | grep -c big; touch -d @1000000 /tmp/mv.$$ && mv /tmp/mv.$$ {}/big.bin && sha256sum {}/big.bin && stat -c %Y {}/big.bin; ls /tmp/mv.$$'
    same 'mv {}/deep.copy {}/deep.moved && find {}/deep.moved -type f -printf "%P\n" | sort; ls {} | grep deep'
}

@test "gcc builds a program in the bucket, and it runs" {
    same_script bash <<'SH'
mkdir "$1/src"
echo '#define TEXT "hello from the bucket"' >"$1/src/hello.h"
printf '%s\n' '#include <stdio.h>' '#include "hello.h"' 'int main(void) { puts(TEXT); return 0; }' >"$1/src/hello.c"
gcc -c -o "$1/src/hello.o" "$1/src/hello.c" && gcc -o "$1/src/hello" "$1/src/hello.o" && ar rc "$1/src/lib.a" "$1/src/hello.o" && ar t "$1/src/lib.a" && "$1/src/hello"
cd "$1/src" && strip hello && ./hello && objcopy --add-section .x=hello.h hello other && ./other && ar rs lib.a hello.h && ar t lib.a && gcc -shared -fPIC -o libhello.so hello.c && nm -D libhello.so | grep main
SH
}

@test "split, csplit, gzip, bzip2, sort, shuf, tee -a, dd with seek, openssl" {
    same 'chmod 640 {}/text/long.txt && touch -d @1111111111 {}/text/long.txt && gzip {}/text/long.txt && stat -c "%a %Y" {}/text/long.txt.gz && gunzip {}/text/long.txt.gz && stat -c "%a %Y %s" {}/text/long.txt'
    same 'cd {} && split -n 3 big.bin third && cat third* | sha256sum && split -l 1000 --additional-suffix=.t text/long.txt l && wc -l l*.t && shuf -n 3 --random-source=big.bin text/long.txt -o shuffled && cat shuffled'
    same 'cd {} && openssl enc -aes-128-cbc -pbkdf2 -k x -nosalt -in text/short.txt -out encrypted && sha256sum encrypted && openssl enc -d -aes-128-cbc -pbkdf2 -k x -nosalt -in encrypted'
    same 'gzip -k {}/text/long.txt && gzip -dc {}/text/long.txt.gz | sha256sum && gzip -d -f {}/text/long.txt.gz && ls {}/text | sort'
    same 'bzip2 -k {}/text/short.txt && bunzip2 -c {}/text/short.txt.bz2'
    same 'mkdir {}/cs && csplit -s -f {}/cs/x {}/text/long.txt 100 200 && wc -l {}/cs/*'
    same 'sort -r -o {}/sorted.txt {}/text/long.txt && head -n 2 {}/sorted.txt'
    same 'echo a | tee -a {}/tee.txt && echo b | tee -a {}/tee.txt && cat {}/tee.txt'
    same_odd 'dd if={}/block.bin of={}/sparse bs=1000 seek=50 status=none && stat -c %s {}/sparse && sha256sum {}/sparse'
    same 'dd if={}/block.bin of={}/sparse bs=100 seek=3 count=2 conv=notrunc status=none && sha256sum {}/sparse'
}
