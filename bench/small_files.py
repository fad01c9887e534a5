"""A thousand small files read by programs that open one after the other, and by eight processes, shuffled;
what keeping connections is worth."""
import json
import subprocess
import time

from harness import BUCKET, PYTHON, Server, median, run_json, spread_of
from raw_requests import Connection

FILES, FILE_BYTES = 1000, 100 * 1024
DIRECTORY = f"/s3/{BUCKET}/small"
LOOP = """
import os, sys
for name in sorted(os.listdir(sys.argv[1])):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        file.read()
"""
TIMED = f"import time; began = time.monotonic(){LOOP}print(time.monotonic() - began)"
PROGRAMS = {
    "Python loop over sorted(listdir)": [PYTHON, "-c", LOOP, DIRECTORY],
    "cat dir/*": ["sh", "-c", f"cat {DIRECTORY}/*"],
    "tar c": ["sh", "-c", f"tar cf - {DIRECTORY} 2>/dev/null | cat"],
    "grep -r": ["grep", "-rc", "no such text", DIRECTORY],
}
# Nothing fetched ahead and nothing hedged: one request after another.
ONE_BY_ONE = {"S3DLIO_PREFETCH": "0", "S3DLIO_HEDGE_PERCENT": "0"}

PROCESSES, SMALL_BYTES = 8, 16 * 1024
ALONE = 400  # files that one process reads: of a hundred, none may be slow, or three
# Lists, forks, and each child reads files of its own, in an order of its own; a line of JSON an epoch.
EPOCHS = """
import json, os, random, sys, time
folder, processes, share, epochs = sys.argv[1], *map(int, sys.argv[2:5])
names = sorted(os.listdir(folder))[:processes * share]
for epoch in range(epochs):
    if epoch == 0:
        pipes = []
        for number in range(processes):
            order, done = os.pipe(), os.pipe()
            if os.fork() == 0:
                mine, draw = names[number::processes], random.Random(number)
                for _ in range(epochs):
                    os.read(order[0], 1)
                    draw.shuffle(mine)
                    for name in mine:
                        with open(f"{folder}/{name}", "rb") as file:
                            assert len(file.read()) == int(sys.argv[5])
                    os.write(done[1], b"x")
                os._exit(0)
            pipes.append((order[1], done[0]))
    began = time.monotonic()
    for start, _ in pipes:
        os.write(start, b"x")
    for _, done in pipes:
        assert os.read(done, 1) == b"x"
    print(json.dumps(time.monotonic() - began), flush=True)
    if len(sys.argv) > 6:
        sys.stdin.readline()
for _ in range(processes):
    os.wait()
"""


def seconds(command, environment):
    began = time.monotonic()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=300, check=False)
    return time.monotonic() - began


def one_after_the_other(environment, count):
    """A file, from the loop with nothing fetched ahead, and all of them cold."""
    some = LOOP.replace("sorted(os.listdir(sys.argv[1]))", f"sorted(os.listdir(sys.argv[1]))[:{count}]")
    return seconds([PYTHON, "-c", some, DIRECTORY], {**environment, **ONE_BY_ONE}) / count


def bench_files(server, environment, options, report):
    reference, rates, requests, wasted = [], {}, {}, {}
    for _ in range(options.rounds):
        reference.append(1 / one_after_the_other(environment, 100))
        for name, command in PROGRAMS.items():
            before = server.stats()
            took = seconds(command, environment)
            after = server.stats()
            rates.setdefault(name, []).append(FILES / took)
            requests.setdefault(name, []).append((after["requests"] - before["requests"]) / FILES)
            wasted.setdefault(name, []).append(
                (after["bytes_out"] - before["bytes_out"]) / (FILES * FILE_BYTES) - 1)
    for name in PROGRAMS:
        what = f"{FILES} x 100 KiB, {name}"
        report.compare(f"{what}: speed", "cloud", rates[name], reference, "files/s",
                       "one request after another", at_least=20)
        report.add(f"{what}: requests a file", median(requests[name]), "", at_most=1.1, network="cloud",
                   spread=spread_of(requests[name]))
        report.add(f"{what}: bytes wasted, listing included", median(wasted[name]), "of all",
                   at_most=0.05, network="cloud", spread=spread_of(wasted[name]))


def epochs(server, environment, share):
    """Two of them: (files a second, requests a file) each."""
    files = PROCESSES * share
    process = subprocess.Popen([PYTHON, "-c", EPOCHS, f"/s3/{BUCKET}/many", str(PROCESSES), str(share), "2",
                                str(SMALL_BYTES), "step"], env=environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    found, before = [], server.stats()["requests"]
    try:
        for _ in range(2):
            took = json.loads(process.stdout.readline())
            after = server.stats()["requests"]
            found.append((files / took, (after - before) / files))
            before = after
            process.stdin.write("\n")
            process.stdin.flush()
        process.wait(60)
    finally:
        process.kill()
        process.wait()
    return found


def bench_processes(server, environment, options, report):
    share = options.size(1000)
    reference, first, second = [], [], []
    for _ in range(options.rounds):
        alone = run_json([PYTHON, "-c", EPOCHS, f"/s3/{BUCKET}/many", 1, ALONE, 1, SMALL_BYTES],
                         {**environment, **ONE_BY_ONE})
        reference.append(ALONE / alone)
        for epoch, figures in zip((first, second), epochs(server, environment, share)):
            epoch.append(figures)
    for name, epoch in ("first", first), ("second", second):
        what = f"{PROCESSES} processes x {share:,} shuffled small files, {name} epoch"
        requests = [figures[1] for figures in epoch]
        report.compare(f"{what}: speed", "cloud", [figures[0] for figures in epoch], reference, "files/s",
                       "one process, nothing ahead", at_least=8)
        report.add(f"{what}: requests a file", median(requests), "", at_most=1.05, network="cloud",
                   spread=spread_of(requests))


def opened_as_it_goes(server, folder):
    """Seconds for the same objects by bare sockets, each on a connection of its own."""
    began = time.monotonic()
    for number in range(FILES):
        with Connection(server.port) as connection:
            connection.get(f"/{BUCKET}/{folder}/{number:07}")
    return time.monotonic() - began


def bench_connections(options, report):
    kept, opened = [], []
    with Server(options.build, "--synthetic", f"{BUCKET}/kept/%={SMALL_BYTES}*{FILES}", network="lan") as server:
        environment = {**server.environment(options.build), **ONE_BY_ONE}
        for _ in range(options.rounds):
            kept.append(FILES / run_json([PYTHON, "-c", TIMED, f"/s3/{BUCKET}/kept"], environment))
            opened.append(FILES / opened_as_it_goes(server, "kept"))
    report.compare(f"{FILES} x 16 KiB one after another, connections kept: speed", "lan", kept, opened,
                   "files/s", "bare sockets, one opened for each", at_least=1.7)


def bench(options, report):
    with Server(options.build, "--synthetic", f"{BUCKET}/small/%={FILE_BYTES}*{FILES}",
                "--synthetic", f"{BUCKET}/many/%={SMALL_BYTES}*{PROCESSES * 1000}",
                network="cloud") as server:
        environment = server.environment(options.build)
        bench_files(server, environment, options, report)
        bench_processes(server, environment, options, report)
    bench_connections(options, report)
