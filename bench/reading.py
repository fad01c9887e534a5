"""One large object read from beginning to end by dd, beside a sweep of curl, a raw receiver and peers."""
import re
import subprocess

import peers
from harness import (BUCKET, DOWN_MBPS, GB, GIB, MIB, Server, measure, median, memory_budget_bytes,
                     plain_environment, run_json, spread_of)

RANGE = 8 * MIB
SWEEP = [(connections, RANGE) for connections in (1, 2, 4, 8, 16, 32, 64)]
# Ranges that fit the cache cost less where the network is fast.
LAN_SWEEP = SWEEP + [(connections, 2 * MIB) for connections in (2, 4, 8)]
RECEIVERS = [(connections, length) for connections in (1, 2, 4) for length in (MIB, 2 * MIB, RANGE)]
SWEEP_PART = 4          # the sweep reads that part of the object
PEER_PART = 4           # peers read that part of it, which takes them about as long
PACED = (16, RANGE)     # the client whose CPU time is the measure on the cloud
RAMP_S = 2              # the right number of connections is found within that
RAMP_OBJECT = 16 * GIB  # long enough that there is time after it

# Prints the rate in MB/s between RAMP_S and twice that.
RAMP = """
import os, sys, time
fd, block = os.open(sys.argv[1], os.O_RDONLY), bytearray(1 << 20)
start, got, marks = time.monotonic(), 0, []
while not marks or time.monotonic() - start < 2 * float(sys.argv[2]):
    count = os.readv(fd, [block])
    if not count:
        break
    got += count
    if time.monotonic() - start >= float(sys.argv[2]):
        marks.append((time.monotonic(), got))
print((marks[-1][1] - marks[0][1]) / 1e6 / (marks[-1][0] - marks[0][0]))
os._exit(0)
"""


def rate(size, seconds):
    return size / 1e6 / seconds


def cpu_per_gb(figure, size):
    return figure["cpu_seconds"] / (size / GB)


def dd(environment, path, size):
    """dd bs=1M of a virtual file; checks that all of it came."""
    done = measure(["sh", "-c", f"exec dd if={path} of=/dev/null bs=1M 2>&1"], environment)
    copied = re.search(r"^(\d+) bytes", done.output, re.M)
    if not copied or int(copied[1]) != size:
        raise RuntimeError(f"dd got another length than the object has: {done.output}")
    return {"seconds": done.seconds, "cpu_seconds": done.cpu_seconds, "peak_mib": done.peak_kib / 1024}


def curl(build, server, key, size, setting, *authority):
    return run_json([build / "bench/curl_ranges", f"{server.url}/{BUCKET}/{key}", size, *setting,
                     *authority], plain_environment())


def receiver(build, server, key, size, setting):
    return run_json([build / "bench/raw_receiver", "127.0.0.1", server.port, f"/{BUCKET}/{key}", size,
                     *setting], plain_environment())


def fastest(run, settings):
    """The setting (connections, bytes of a range) that is fastest; each is tried twice."""
    return min(settings, key=lambda setting: min(run(setting)["seconds"] for _ in range(2)))


def named(what, setting):
    connections, length = setting
    ranges = "" if length == RANGE else f" of {length // MIB} MiB"
    return f"{what}, {connections} connection{'s' if connections > 1 else ''}{ranges}"


def bench_lan(options, report, size):
    objects = ["--synthetic", f"{BUCKET}/big={size}", "--synthetic", f"{BUCKET}/part={size // PEER_PART}"]
    with Server(options.build, *objects, network="lan") as server:
        build, environment = options.build, server.environment(options.build)
        path = f"/s3/{BUCKET}/big"
        part = size // SWEEP_PART
        best_curl = fastest(lambda setting: curl(build, server, "big", part, setting), LAN_SWEEP)
        best_raw = fastest(lambda setting: receiver(build, server, "big", part, setting), RECEIVERS)
        ours, curls, raws = [], [], []
        begun = peers.begin(options, report, "dd bs=1M", "lan", "read")
        before = server.stats()
        for _ in range(options.rounds):
            curls.append(curl(build, server, "big", size, best_curl))
            ours.append(dd(environment, path, size))
            raws.append(receiver(build, server, "big", size, best_raw))
        after = server.stats()
        with_peers(options, server, begun, size)
    what = f"dd bs=1M of {size / GIB:g} GiB"
    rates = [rate(size, figure["seconds"]) for figure in ours]
    report.compare(f"{what}: speed", "lan", rates, [rate(size, figure["seconds"]) for figure in curls],
                   "MB/s", named("curl", best_curl), at_least=1.2)
    report.compare(f"{what}: speed", "lan", rates, [rate(size, figure["seconds"]) for figure in raws],
                   "MB/s", named("raw receiver", best_raw), at_least=0.8)
    report.compare(f"{what}: CPU, program included", "lan", [cpu_per_gb(figure, size) for figure in ours],
                   [cpu_per_gb(figure, size) for figure in raws], "s/GB", named("raw receiver", best_raw),
                   at_most=1.5)
    # The target holds where the receiver makes 5 GB/s.
    makes_five = median([rate(size, figure["seconds"]) for figure in raws]) >= 5000
    report.add(f"{what}: speed of one process", median(rates), "MB/s", network="lan",
               at_least=4000 if makes_five else None, spread=spread_of(rates))
    report.add(f"{what}: CPU of the server", (after["cpu_seconds"] - before["cpu_seconds"]) /
               (after["bytes_out"] - before["bytes_out"]) * GB, "s/GB", network="lan")
    memory(report, what, "lan", ours)
    begun.compare(report, what, "lan", rates)


def memory(report, what, network, figures):
    peaks = [figure["peak_mib"] for figure in figures]
    report.add(f"{what}: peak memory", max(peaks), "MiB", network=network, spread=spread_of(peaks),
               at_most=memory_budget_bytes() / MIB + 32)


def with_peers(options, server, begun, size):
    for _ in range(options.rounds):
        begun.run("read", server, "part", size // PEER_PART)


def bench_cloud(options, report, size):
    objects = ["--synthetic", f"{BUCKET}/big={size}", "--synthetic", f"{BUCKET}/part={size // PEER_PART}",
               "--synthetic", f"{BUCKET}/long={RAMP_OBJECT}"]
    with Server(options.build, *objects, network="cloud") as server:
        build, environment = options.build, server.environment(options.build)
        path = f"/s3/{BUCKET}/big"
        best_curl = fastest(lambda setting: curl(build, server, "big", size // SWEEP_PART, setting), SWEEP)
        ours, paced, curls, ramps = [], [], [], []
        begun = peers.begin(options, report, "dd bs=1M", "cloud", "read")
        for _ in range(options.rounds):
            ours.append(dd(environment, path, size))
            paced.append(curl(build, server, "big", size, PACED))
            curls.append(curl(build, server, "big", size, best_curl))
            ramps.append(ramp(environment))
            begun.run("read", server, "part", size // PEER_PART)
    what = f"dd bs=1M of {size / GIB:g} GiB"
    rates = [rate(size, figure["seconds"]) for figure in ours]
    worth = [each / DOWN_MBPS for each in rates]
    report.add(f"{what}: connections' worth", median(worth), "x 90 MB/s", network="cloud", at_least=18,
               spread=spread_of(worth))
    late = [each / DOWN_MBPS for each in ramps]
    report.add(f"the same between {RAMP_S} and {2 * RAMP_S} s of a longer one", median(late), "x 90 MB/s",
               network="cloud", at_least=18, spread=spread_of(late))
    report.compare(f"{what}: speed", "cloud", rates, [rate(size, figure["seconds"]) for figure in curls],
                   "MB/s", named("curl", best_curl))
    report.compare(f"{what}: CPU, program included", "cloud",
                   [cpu_per_gb(figure, size) for figure in ours],
                   [cpu_per_gb(figure, size) for figure in paced], "s/GB",
                   named("curl", PACED), at_most=1.2)
    memory(report, what, "cloud", ours)
    begun.compare(report, what, "cloud", rates, at_least=1.7)


def ramp(environment):
    done = subprocess.run(["/usr/bin/python3", "-c", RAMP, f"/s3/{BUCKET}/long", str(RAMP_S)],
                          env=environment, check=True, stdout=subprocess.PIPE, timeout=120)
    return float(done.stdout)


def bench(options, report):
    size = options.size(4 * GIB)
    bench_lan(options, report, size)
    bench_cloud(options, report, size)
