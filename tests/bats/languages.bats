#!/usr/bin/env bats
# Interpreters: Python, Perl and Node use their own ways into the C library.

load lib/shim
load lib/data

setup_file() { serve_data make_archives make_database; }

@test "python: open, read, seek, tell, lines" {
    same_script python3 <<'PY'
import hashlib, sys
root = sys.argv[1]
print(len(open(root + "/text/long.txt").read()), open(root + "/text/empty.txt").read() == "")
with open(root + "/big.bin", "rb") as f:
    print(f.seek(-10, 2), f.read(), f.tell(), f.read(5))
    print(f.seek(6_000_000), f.read(4), f.seek(-4, 1), f.read(4))
    f.seek(0)
    print(hashlib.sha256(f.read()).hexdigest())
with open(root + "/big.bin", "rb", buffering=0) as f:
    data = bytearray(1000)
    print(f.readinto(data), hashlib.sha256(data).hexdigest(), f.seekable(), f.isatty())
with open(root + "/text/short.txt") as f:
    for number, line in enumerate(f):
        print(number, line.rstrip())
PY
}

@test "python: os.pread, preadv, fstat, dup, sendfile fallback" {
    same_script python3 <<'PY'
import hashlib, os, stat, sys
fd = os.open(sys.argv[1] + "/big.bin", os.O_RDONLY)
print(os.fstat(fd).st_size, stat.S_ISREG(os.fstat(fd).st_mode))
print(hashlib.sha256(os.pread(fd, 5000, 7_000_000)).hexdigest(), os.lseek(fd, 0, os.SEEK_CUR))
a, b = bytearray(10), bytearray(20)
print(os.preadv(fd, [a, b], 123), bytes(a), bytes(b))
other = os.dup(fd)
os.lseek(fd, 500, os.SEEK_SET)
print(os.read(other, 8), os.lseek(fd, 0, os.SEEK_CUR))
os.close(fd)
print(len(os.read(other, 8)))
os.close(other)
try:
    os.read(other, 1)
except OSError as error:
    print(error.errno)
PY
}

@test "python: os.walk, scandir, listdir, glob, pathlib" {
    same_script python3 <<'PY'
import glob, os, pathlib, sys
root = sys.argv[1]
for folder, folders, files in sorted(os.walk(root)):
    print(folder, sorted(folders), len(files), sorted(files)[:3])
for entry in sorted(os.scandir(root), key=lambda e: e.name):
    print(entry.name, entry.is_dir(), entry.is_file(), entry.is_symlink(),
          entry.stat().st_size if entry.is_file() else "")
print(sorted(os.listdir(root + "/text")))
print(sorted(glob.glob(root + "/**/*.txt", recursive=True))[:5])
path = pathlib.Path(root)
print(sorted(path.glob("text/*"))[:2], len(list(path.rglob("f*.txt"))))
print((path / "text/short.txt").read_text(), (path / "block.bin").stat().st_size)
print((path / "absent").exists(), (path / "text").is_dir(), os.path.getsize(path / "big.bin"))
print(os.access(path / "text", os.R_OK | os.X_OK), os.access(path / "absent", os.F_OK))
PY
}

@test "python: errors have the right class and number" {
    same_script python3 <<'PY'
import os, sys
root = sys.argv[1]
def attempt(what, *arguments):
    try:
        what(*arguments)
        print("no error")
    except OSError as error:
        print(type(error).__name__, error.errno, error.strerror, error.filename)
attempt(open, root + "/absent")
attempt(open, root + "/text")
attempt(open, root + "/text/short.txt/below")
attempt(os.listdir, root + "/text/short.txt")
attempt(os.listdir, root + "/absent")
attempt(os.stat, root + "/absent/absent")
attempt(os.chdir, root + "/text/short.txt")
attempt(os.open, root + "/text/short.txt", os.O_RDONLY | os.O_DIRECTORY)
attempt(os.open, root + "/text/short.txt", os.O_WRONLY | os.O_CREAT | os.O_EXCL)
attempt(os.readlink, root + "/text/short.txt")
attempt(os.stat, root + "/n" * 4000)
PY
}

@test "python: mmap" {
    same_script python3 <<'PY'
import hashlib, mmap, sys
with open(sys.argv[1] + "/big.bin", "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
    print(len(m), m[:8], m[-8:], hashlib.sha256(m).hexdigest())
    print(m.find(m[9_000_000:9_000_016]))
with open(sys.argv[1] + "/text/long.txt", "rb") as f:
    with mmap.mmap(f.fileno(), 4096, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE, offset=4096) as m:
        print(m.readline(), m.readline())
with open(sys.argv[1] + "/text/empty.txt", "rb") as f:
    try:
        mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except ValueError as error:
        print(error)
PY
}

@test "python: shutil.copytree out of the bucket" {
    same_script python3 <<'PY'
import hashlib, os, shutil, sys, tempfile
with tempfile.TemporaryDirectory() as scratch:
    shutil.copytree(sys.argv[1], scratch + "/copy", copy_function=shutil.copyfile)
    for folder, _, files in sorted(os.walk(scratch + "/copy")):
        for name in sorted(files):
            data = open(folder + "/" + name, "rb").read()
            print(os.path.relpath(folder, scratch), name, hashlib.sha256(data).hexdigest())
PY
}

@test "python: json, csv, zipfile, tarfile, gzip, sqlite3" {
    same_script python3 <<'PY'
import csv, gzip, json, sqlite3, sys, tarfile, zipfile
root = sys.argv[1]
print(json.load(open(root + "/data.json")))
print(list(csv.DictReader(open(root + "/table.csv"))))
with zipfile.ZipFile(root + "/archives/text.zip") as z:
    print(z.namelist(), z.testzip(), z.read("text/short.txt"))
with tarfile.open(root + "/archives/text.tar") as t:
    print(t.getnames(), t.extractfile("deep/a/b/middle.txt").read())
print(sum(1 for _ in gzip.open(root + "/archives/long.gz")))
database = sqlite3.connect(f"file:{root}/data.sqlite?mode=ro", uri=True)
print(database.execute("SELECT count(*), max(score) FROM item WHERE id % 7 = 0").fetchall())
PY
}

@test "python: threads share a file, processes fork with one open" {
    same_script python3 <<'PY'
import concurrent.futures, hashlib, os, sys
path = sys.argv[1] + "/big.bin"
fd = os.open(path, os.O_RDONLY)
def digest(start):
    return hashlib.sha256(os.pread(fd, 1_000_000, start)).hexdigest()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(list(pool.map(digest, range(0, 12_000_000, 1_000_000))))
sys.stdout.flush()
for start in (0, 3_000_000):
    child = os.fork()
    if child == 0:
        print(digest(start), hashlib.sha256(open(path, "rb").read()).hexdigest(), flush=True)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
print(digest(5))
PY
}

@test "python: multiprocessing, fork and spawn" {
    same_script python3 <<'PY'
import hashlib, multiprocessing, sys
def digest(name):
    return hashlib.sha256(open(sys.argv[1] + name, "rb").read()).hexdigest()
if __name__ == "__main__":
    names = ["/big.bin", "/block.bin", "/text/long.txt"]
    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(2) as pool:
            print(method, pool.map(digest, names))
PY
}

@test "python: select, poll, fcntl on a file" {
    same_script python3 <<'PY'
import fcntl, os, select, sys
f = open(sys.argv[1] + "/text/short.txt")
print(len(select.select([f], [], [], 0)[0]))
p = select.poll()
p.register(f, select.POLLIN)
print([event for _, event in p.poll(0)])
print(fcntl.fcntl(f, fcntl.F_GETFL) & os.O_ACCMODE, fcntl.fcntl(f, fcntl.F_GETFD))
copy = fcntl.fcntl(f, fcntl.F_DUPFD_CLOEXEC, 50)
print(copy >= 50, os.read(copy, 3), os.get_inheritable(copy))
try:
    e = select.epoll()
    e.register(f.fileno())
except OSError as error:
    print(error.errno)
PY
}

@test "perl: open, read, seek, opendir, tests, slurp" {
    need perl
    same_script perl <<'PL'
use strict; use warnings;
my $root = $ARGV[0];
open(my $f, '<', "$root/text/long.txt") or die $!;
my @lines = <$f>;
print scalar(@lines), " $lines[-1]";
seek($f, 100, 0); read($f, my $part, 20); print "$part\n", tell($f), "\n";
opendir(my $d, "$root/text") or die $!;
print join(' ', sort grep { !/^\./ } readdir $d), "\n";
printf "%s %s %s %s\n", -s "$root/big.bin", -d "$root/text" ? 1 : 0, -e "$root/absent" ? 1 : 0, -f "$root/table.csv" ? 1 : 0;
open(my $g, '<', "$root/absent") or print "$!\n";
print join(' ', map { s/.*\///r } glob("$root/many/f01*.txt")), "\n";
PL
}

@test "node: readFileSync, promises, streams, readdir" {
    need node
    same_script node <<'JS'
const fs = require('fs'), crypto = require('crypto'), path = require('path');
const root = process.argv[2];
const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');
async function streamed(name) {
    const hash = crypto.createHash('sha256');
    for await (const chunk of fs.createReadStream(path.join(root, name))) hash.update(chunk);
    return hash.digest('hex');
}
async function main() {
    console.log(fs.readFileSync(root + '/text/short.txt', 'utf8'), sha(fs.readFileSync(root + '/big.bin')));
    console.log(fs.readdirSync(root).sort(), fs.existsSync(root + '/absent'));
    console.log(fs.statSync(root + '/big.bin').size, fs.statSync(root + '/text').isDirectory());
    console.log(fs.readdirSync(root, { withFileTypes: true }).map((e) => [e.name, e.isDirectory()]).sort());
    console.log(sha(await fs.promises.readFile(root + '/block.bin')), await streamed('big.bin'));
    const file = await fs.promises.open(root + '/big.bin');
    const { bytesRead, buffer } = await file.read(Buffer.alloc(16), 0, 16, 7000000);
    console.log(bytesRead, buffer.toString('hex'), (await file.stat()).size);
    await file.close();
    console.log((await fs.promises.readdir(root + '/many')).length);
    for (const name of ['/absent', '/text']) {
        try { fs.readFileSync(root + name); } catch (error) { console.log(error.code, error.syscall); }
        await fs.promises.readFile(root + name).catch((error) => console.log(error.code, error.syscall));
    }
    console.log(fs.realpathSync(root + '/many/../text/short.txt'));
    fs.accessSync(root + '/text/short.txt', fs.constants.R_OK);
}
main();
JS
}

@test "node: a module is required from the bucket" {
    need node
    mkdir -p "$NATIVE/mods"
    echo 'module.exports = { answer: 42, here: require("./other.json") };' >"$NATIVE/mods/one.js"
    echo '{"other": true}' >"$NATIVE/mods/other.json"
    add_data
    same 'node -p "JSON.stringify(require(\"{}/mods/one.js\"))"'
}

@test "python: a module is imported from the bucket" {
    mkdir -p "$NATIVE/mods/pack"
    echo 'answer = 42' >"$NATIVE/mods/pack/__init__.py"
    echo 'print(__name__, __file__)' >"$NATIVE/mods/pack/sub.py"
    add_data
    same 'PYTHONPATH={}/mods python3 -c "import pack.sub; print(pack.answer)"'
    same 'python3 {}/mods/pack/sub.py'
}
