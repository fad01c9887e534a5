"""A thousand small files read by programs that open one after the other, and random reads with a slow tail.

On the emulated cloud: 30 ms to the first byte, one request in a hundred ten times that. One request after the other
is the same program with nothing fetched ahead."""
import statistics
import subprocess
import time

from harness import BUCKET, Server, run_json, spread_of

FILES, FILE_BYTES = 1000, 100 * 1024
PYTHON = "/usr/bin/python3"
DIRECTORY = f"/s3/{BUCKET}/small"
LOOP = """
import os, sys
for name in sorted(os.listdir(sys.argv[1])):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        file.read()
"""
PROGRAMS = {
    "Python loop over sorted(listdir)": [PYTHON, "-c", LOOP, DIRECTORY],
    "cat dir/*": ["sh", "-c", f"cat {DIRECTORY}/*"],
    "tar c": ["sh", "-c", f"tar cf - {DIRECTORY} 2>/dev/null | cat"],
    "grep -r": ["grep", "-rc", "no such text", DIRECTORY],
}
READS, READ_BYTES = 600, 128 * 1024
RANDOM = """
import json, os, random, sys, time
fd = os.open(sys.argv[1], os.O_RDONLY)
count, length = int(sys.argv[2]), int(sys.argv[3])
size, took, draw = os.fstat(fd).st_size, [], random.Random(3)
for _ in range(count):
    at = draw.randrange((size - length) // 4096) * 4096
    began = time.perf_counter()
    assert len(os.pread(fd, length, at)) == length
    took.append(time.perf_counter() - began)
took = sorted(took[count // 4:])
print(json.dumps({"p50": took[len(took) // 2], "p99": took[len(took) * 99 // 100]}))
"""


def seconds(command, environment):
    began = time.monotonic()
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, timeout=300, check=False)
    return time.monotonic() - began


def one_after_the_other(environment, count):
    """Of that many files, from the loop with nothing fetched ahead and nothing hedged, and all of them cold."""
    some = LOOP.replace("sorted(os.listdir(sys.argv[1]))", f"sorted(os.listdir(sys.argv[1]))[:{count}]")
    return seconds([PYTHON, "-c", some, DIRECTORY],
                   {**environment, "S3DLIO_PREFETCH": "0", "S3DLIO_HEDGE_PERCENT": "0"})


def bench_files(server, environment, report, rounds):
    sample = FILES // 5
    reference = statistics.median(one_after_the_other(environment, sample) for _ in range(rounds))
    reference *= FILES / sample
    for name, command in PROGRAMS.items():
        ratios, requests, wasted = [], [], []
        for _ in range(rounds):
            before = server.stats()
            ratios.append(reference / seconds(command, environment))
            after = server.stats()
            requests.append((after["requests"] - before["requests"]) / FILES)
            wasted.append((after["bytes_out"] - before["bytes_out"]) / (FILES * FILE_BYTES) - 1)
        report.add(f"{FILES} x 100 KiB, {name}: times one after the other", statistics.median(ratios), "x",
                   at_least=20, spread=spread_of(ratios))
        report.add("  requests a file", statistics.median(requests), "", 1.1, spread=spread_of(requests))
        report.add("  bytes beyond the files', listing included", statistics.median(wasted), "", 0.05,
                   spread=spread_of(wasted))


def bench_random(server, environment, report, rounds):
    ratios, amplification = [], []
    for _ in range(rounds):
        before = server.stats()["bytes_out"]
        took = run_json([PYTHON, "-c", RANDOM, f"/s3/{BUCKET}/large", READS, READ_BYTES], environment)
        ratios.append(took["p99"] / took["p50"])
        amplification.append((server.stats()["bytes_out"] - before) / (READS * READ_BYTES))
    report.add("random 128 KiB pread: p99 / p50", statistics.median(ratios), "x", 2.5, spread=spread_of(ratios))
    report.add("  bytes fetched per byte asked", statistics.median(amplification), "", 1.05,
               spread=spread_of(amplification))


def bench(build, report, rounds):
    with Server(build, "--anonymous", "--network", "cloud", "--synthetic", f"{BUCKET}/small/%={FILE_BYTES}*{FILES}",
                "--synthetic", f"{BUCKET}/large=4G") as server:
        environment = server.environment(build)
        bench_files(server, environment, report, rounds)
        bench_random(server, environment, report, rounds)
