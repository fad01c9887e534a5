"""Five hundred small files into a bucket by programs that copy and unpack, waiting at each close and with
deferred close."""
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BUCKET, Server, median, spread_of

FILES, FILE_BYTES = 500, 16 * 1024
SLOW_FILES = 50 # of programs that take seconds a file


def into(target):
    return f"/s3/{BUCKET}/{target}"


# what it is called, the command, how many times the speed it has to have, whether it takes long without
PROGRAMS = [
    ("cp -r", lambda here, to: ["cp", "-r", here / "many", to], 20, False),
    ("tar x", lambda here, to: ["tar", "-C", to, "-xf", here / "many.tar"], 10, False),
    ("unzip", lambda here, to: ["unzip", "-q", here / "many.zip", "-d", to], 10, True),
    ("rsync -a", lambda here, to: ["rsync", "-a", f"{here}/many/", to], 10, True),
]


def run(server, environment, command, files):
    """Files a second, requests a file."""
    before, began = server.stats()["requests"], time.monotonic()
    subprocess.run([str(word) for word in command], env=environment, check=True, timeout=300)
    return (files / (time.monotonic() - began), (server.stats()["requests"] - before) / files)


def make_files(here, files):
    folder = here / "many"
    folder.mkdir(parents=True)
    for i in range(files):
        Path(folder, f"{i:03}.bin").write_bytes(bytes([i % 256]) * FILE_BYTES)
    subprocess.run(["tar", "-C", folder, "-cf", here / "many.tar", "."], check=True)
    subprocess.run(["zip", "-qr", here / "many.zip", "."], cwd=folder, check=True)


def measure(server, environment, rounds, program, folders):
    """Rounds of both ways: one without, one with, as lists of (files a second, requests a file)."""
    what, command, _times, is_slow = program
    results = {"wait": [], "deferred": []}
    for turn in range(rounds):
        for way, figures in results.items():
            files, here = folders[is_slow and way == "wait"]
            to = into(f"{what.split()[0]}-{way}{turn}")
            if what == "tar x":
                subprocess.run(["mkdir", to], env=environment, check=True)
            figures.append(run(server, {**environment, "S3DLIO_CLOSE": way}, command(here, to), files))
    return results["wait"], results["deferred"]


def bench(options, report):
    files = FILES // 2 if options.quick else FILES
    with Server(options.build, network="cloud") as server, tempfile.TemporaryDirectory() as scratch:
        folders = [(files, Path(scratch, "all")), (SLOW_FILES, Path(scratch, "few"))]
        for count, here in folders:
            make_files(here, count)
        environment = server.environment(options.build)
        for program in PROGRAMS:
            waiting, deferred = measure(server, environment, options.rounds, program, folders)
            add_rows(report, f"{program[0]} of {files} x 16 KiB", program, (waiting, deferred))


def add_rows(report, what, program, results):
    waiting, deferred = results
    for name, figures in ("", waiting), (", deferred close", deferred):
        if name or not program[3]: # some take five requests a file without, and that is that
            requests = [each[1] for each in figures]
            report.add(f"{what}{name}: requests a file", median(requests), "",
                       at_most=1.05 if program[0] == "cp -r" else 1.1, network="cloud", spread=spread_of(requests))
    report.compare(f"{what}, deferred close: speed", "cloud", [each[0] for each in deferred],
                   [each[0] for each in waiting], "files/s", "waiting at each close", at_least=program[2])
