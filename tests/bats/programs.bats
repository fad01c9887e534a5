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
frame = pandas.DataFrame({"k": range(1000), "v": [str(i) for i in range(1000)]})
frame.to_csv(root + "/f.csv", index=False)
frame.to_pickle(root + "/f.pkl")
print(pandas.read_csv(root + "/f.csv").k.sum(), pandas.read_pickle(root + "/f.pkl").shape)
torch.save({"w": torch.arange(1000000)}, root + "/t.pt")
print(torch.load(root + "/t.pt")["w"].sum().item())
z = zarr.open(root + "/z.zarr", mode="w", shape=(100, 100), chunks=(50, 50), dtype="i4")
z[:] = 42
z[3, 4] = 7
print(zarr.open(root + "/z.zarr", mode="r")[:].sum(), sorted(os.listdir(root + "/z.zarr")))
with h5py.File(root + "/h.h5", "w") as h:
    h.create_dataset("a", data=a, chunks=(50, 100), maxshape=(None, 1000))
    h.attrs["note"] = "first"
with h5py.File(root + "/h.h5", "a") as h:
    h["a"].resize(600, axis=0)
    h["a"][300:] = a + 1
    h["b"] = [1, 2, 3]
with h5py.File(root + "/h.h5", "r") as h:
    print(h["a"][:].sum(dtype="f8"), list(h), h.attrs["note"])
PY
}

@test "editors and patches: sed -i, patch, vim, ed-like replacement" {
    same 'cp {}/text/long.txt {}/edit.txt && sed -i "s/line 7 /LINE 7 /; 20,30d" {}/edit.txt && sha256sum {}/edit.txt && ls -l {}/edit.txt | cut -c1-10'
    same 'sed -i.bak "s/LINE/line/" {}/edit.txt && diff {}/edit.txt {}/edit.txt.bak | head -n 4; ls {} | grep edit'
    same 'cp {}/text/short.txt {}/p.txt && diff {}/p.txt <(sed s/two/TWO/ {}/p.txt) >/tmp/p.diff.$$; patch -s {}/p.txt /tmp/p.diff.$$ && cat {}/p.txt; rm /tmp/p.diff.$$'
    same 'cp {}/text/short.txt {}/v.txt && vim.tiny -u NONE -es -c "%s/one/ONE/" -c "wq" {}/v.txt; echo $?; cat {}/v.txt'
    same 'perl -pi -e "s/three/THREE/" {}/p.txt && cat {}/p.txt'
}

@test "install -p, cp -a, cp -u, mv, touch -r, ln -s keep what they promise" {
    same 'install -p -m 640 {}/text/long.txt {}/installed && cmp {}/text/long.txt {}/installed && stat -c "%a %s" {}/installed'
    same 'cp -a {}/deep {}/deep.copy && find {}/deep.copy -printf "%P %y %m\n" | sort && diff -r {}/deep {}/deep.copy; echo $?'
    same 'touch -d "2001-02-03 04:05:06.789" {}/dated && cp -p {}/dated {}/dated2 && stat -c %Y {}/dated {}/dated2 && touch -r {}/dated {}/text/short.txt && stat -c %Y {}/text/short.txt'
    same 'mv {}/installed {}/deep/ && ls {}/deep && mv {}/deep/installed {}/back && sha256sum {}/back'
    same 'mv {}/deep.copy {}/deep.moved && find {}/deep.moved -type f -printf "%P\n" | sort; ls {} | grep deep'
}

@test "gcc builds a program in the bucket, and it runs" {
    same_script bash <<'SH'
mkdir "$1/src"
echo '#define TEXT "hello from the bucket"' >"$1/src/hello.h"
printf '%s\n' '#include <stdio.h>' '#include "hello.h"' 'int main(void) { puts(TEXT); return 0; }' >"$1/src/hello.c"
gcc -c -o "$1/src/hello.o" "$1/src/hello.c" && gcc -o "$1/src/hello" "$1/src/hello.o" && ar rc "$1/src/lib.a" "$1/src/hello.o" && ar t "$1/src/lib.a" && "$1/src/hello"
SH
}

@test "split, csplit, gzip, bzip2, sort, shuf, tee -a, dd with seek" {
    same 'gzip -k {}/text/long.txt && gzip -dc {}/text/long.txt.gz | sha256sum && gzip -d -f {}/text/long.txt.gz && ls {}/text | sort'
    same 'bzip2 -k {}/text/short.txt && bunzip2 -c {}/text/short.txt.bz2'
    same 'mkdir {}/cs && csplit -s -f {}/cs/x {}/text/long.txt 100 200 && wc -l {}/cs/*'
    same 'sort -r -o {}/sorted.txt {}/text/long.txt && head -n 2 {}/sorted.txt'
    same 'echo a | tee -a {}/tee.txt && echo b | tee -a {}/tee.txt && cat {}/tee.txt'
    same_odd 'dd if={}/block.bin of={}/sparse bs=1000 seek=50 status=none && stat -c %s {}/sparse && sha256sum {}/sparse'
    same 'dd if={}/block.bin of={}/sparse bs=100 seek=3 count=2 conv=notrunc status=none && sha256sum {}/sparse'
}
