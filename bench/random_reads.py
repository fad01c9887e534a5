"""Random reads: 128 KiB by one thread and sixteen, 4 KiB with locality, and the first read of a cold file."""
import random
import subprocess
import tempfile
from pathlib import Path

from harness import (BUCKET, PYTHON, Server, median, plain_environment, run_json, spread_of)
from raw_requests import Connection, middle

LENGTH, OBJECT = 128 * 1024, "4G"
OBJECT_BYTES = 4 << 30
THREADS = 16
COLD_FILES, COLD_READ = 4000, 4096

PREADS = """
import json, os, random, sys, threading, time
fd = os.open(sys.argv[1], os.O_RDONLY)
threads, count, length, size = int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), os.fstat(fd).st_size
took = [[] for _ in range(threads)]
def reads(number):
    draw, mine = random.Random(number), took[number]
    for _ in range(count):
        at = draw.randrange((size - length) // 4096) * 4096
        began = time.perf_counter()
        assert len(os.pread(fd, length, at)) == length
        mine.append(time.perf_counter() - began)
began = time.perf_counter()
workers = [threading.Thread(target=reads, args=(number,)) for number in range(threads)]
for worker in workers: worker.start()
for worker in workers: worker.join()
seconds = time.perf_counter() - began
every = sorted(t for mine in took for t in mine[count // 8:])
print(json.dumps({"p50": every[len(every) // 2], "p99": every[len(every) * 99 // 100],
                  "rate": threads * count / seconds}))
"""

# Cold files in an order that nobody can guess, by a process that has used the engine.
COLD = """
import json, os, random, sys, time
files, draw, took = int(sys.argv[2]), random.Random(int(sys.argv[3])), []
for number in draw.sample(range(files), 101):
    began = time.perf_counter()
    fd = os.open(f"{sys.argv[1]}/{number:07}", os.O_RDONLY)
    assert len(os.read(fd, 4096)) == 4096
    took.append(time.perf_counter() - began)
    os.close(fd)
print(json.dumps({"p50": sorted(took[1:])[50]}))
"""


def floor_reads(server, key, length, size, count):
    """Seconds of such requests one after the other: the median of first byte and transfer."""
    draw = random.Random(5)
    with Connection(server.port) as connection:
        took = []
        for _ in range(count):
            at = draw.randrange((size - length) // 4096) * 4096
            took.append(connection.get(f"/{BUCKET}/{key}", at, at + length - 1)[:2])
    return took


def bench_large(server, environment, options, report):
    count = options.size(400)
    p50, floors, tails, amplification, ones, many = [], [], [], [], [], []
    for _ in range(options.rounds):
        floors.append(middle([total for _, total in floor_reads(server, "large", LENGTH, OBJECT_BYTES, 60)]))
        before = server.stats()["bytes_out"]
        one = run_json([PYTHON, "-c", PREADS, f"/s3/{BUCKET}/large", 1, count, LENGTH], environment)
        amplification.append((server.stats()["bytes_out"] - before) / (count * LENGTH))
        sixteen = run_json([PYTHON, "-c", PREADS, f"/s3/{BUCKET}/large", THREADS, count, LENGTH],
                           environment)
        p50.append(one["p50"])
        tails.append(one["p99"] / one["p50"])
        ones.append(one["rate"])
        many.append(sixteen["rate"])
    what = "random 128 KiB pread"
    report.compare(f"{what}: p50", "cloud", [1000 * each for each in p50],
                   [1000 * each for each in floors], "ms", "one request after another", at_most=1.05)
    report.add(f"{what}: p99 / p50", median(tails), "x", at_most=2.5, network="cloud",
               spread=spread_of(tails))
    report.compare(f"{what}: {THREADS} threads", "cloud", many, ones, "reads/s", "one thread",
                   at_least=15)
    report.add(f"{what}: bytes fetched per byte asked", median(amplification), "x", at_most=1.05,
               network="cloud", spread=spread_of(amplification))


def bench_cold(server, environment, options, report):
    p50, floors = [], []
    for turn in range(options.rounds):
        with Connection(server.port) as connection:
            floors.append(middle([connection.get(f"/{BUCKET}/cold/{number:07}", 0, COLD_READ - 1)[0]
                                  for number in range(turn * 60, turn * 60 + 60)]))
        p50.append(run_json([PYTHON, "-c", COLD, f"/s3/{BUCKET}/cold", COLD_FILES, turn],
                            environment)["p50"])
    report.compare("open and 4 KiB of a cold file of 100 KiB: p50", "cloud",
                   [1000 * each for each in p50], [1000 * each for each in floors], "ms", "first byte",
                   at_most=1.05)


# ---- locality ------------------------------------------------------------------------------------
MAKE_SQLITE = """
import sqlite3, sys
base = sqlite3.connect(sys.argv[1])
base.execute("create table item (id integer primary key, name text, note text)")
base.executemany("insert into item values (?, ?, ?)",
                 ((i, f"name {i * 7919 % 200000:06}", "x" * (i % 150)) for i in range(200000)))
base.execute("create index by_name on item(name)")
base.commit()
"""
USE_SQLITE = """
import sqlite3, sys
base = sqlite3.connect(f"file:{sys.argv[1]}?mode=ro&immutable=1", uri=True)
for i in range(40):
    assert base.execute("select note from item where name = ?", (f"name {i * 4999 % 200000:06}",)).fetchone()
assert base.execute("select count(*) from item where name between 'name 010000' and 'name 010400'").fetchone()[0]
"""
MAKE_HDF5 = """
import h5py, numpy, sys
with h5py.File(sys.argv[1], "w") as file:
    for name in "abcd":
        file.create_dataset(name, data=numpy.arange(3000000, dtype="f8"), chunks=(4096,))
"""
USE_HDF5 = """
import h5py, sys
with h5py.File(sys.argv[1], "r") as file:
    for name in "ad":
        assert file[name][123456:150000:10].sum() > 0
        assert file[name][2000000:2001000].sum() > 0
"""
MAKE_ZIP = """
import random, sys, zipfile
draw = random.Random(1)
with zipfile.ZipFile(sys.argv[1], "w") as archive:
    for i in range(3000):
        archive.writestr(f"folder/{i:05}.bin", draw.randbytes(10000))
"""
USE_ZIP = """
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    for i in 5, 6, 7, 1500, 2990:
        assert len(archive.read(f"folder/{i:05}.bin")) == 10000
"""
LOCALITY = {"an SQLite query set": (MAKE_SQLITE, USE_SQLITE),
            "HDF5 slices": (MAKE_HDF5, USE_HDF5),
            "members of a zip file": (MAKE_ZIP, USE_ZIP)}


def blocks_touched(options, program, path, folder):
    """Of 64 KiB, by the same program on a disk."""
    out = Path(folder, "touched")
    environment = {**plain_environment(), "LD_PRELOAD": str(options.build / "bench/touched.so"),
                   "TOUCHED_FILE": path, "TOUCHED_OUT": str(out)}
    subprocess.run([PYTHON, "-c", program, path], env=environment, check=True, timeout=300)
    return int(out.read_text())


def put(server, path, key):
    """The file becomes an object, anonymously."""
    subprocess.run(["curl", "-qsf", "-T", path, f"{server.url}/{BUCKET}/{key}"], check=True, timeout=300,
                   env=plain_environment(), stdout=subprocess.DEVNULL)


def bench_locality(server, environment, options, report):
    with tempfile.TemporaryDirectory() as folder:
        for what, (make, use) in LOCALITY.items():
            path = f"{folder}/data"
            subprocess.run([PYTHON, "-c", make, path], check=True, timeout=300, env=plain_environment())
            put(server, path, "data")
            blocks, requests = [], []
            for _ in range(options.rounds):
                blocks.append(blocks_touched(options, use, path, folder))
                before = server.stats()["requests"]
                subprocess.run([PYTHON, "-c", use, f"/s3/{BUCKET}/data"], env=environment, check=True,
                               timeout=300)
                requests.append(server.stats()["requests"] - before)
            report.compare(f"{what}: requests", "cloud", requests, blocks, "", "64 KiB blocks touched",
                           at_most=1)
            Path(path).unlink()


def bench(options, report):
    with Server(options.build, "--synthetic", f"{BUCKET}/large={OBJECT}", "--synthetic",
                f"{BUCKET}/cold/%=100K*{COLD_FILES}", network="cloud") as server:
        environment = server.environment(options.build)
        bench_large(server, environment, options, report)
        bench_cold(server, environment, options, report)
    with Server(options.build, network="cloud") as server:
        bench_locality(server, server.environment(options.build), options, report)
