"""A large object written from beginning to end, close included, beside a raw sender with CRC32C and peers."""
import peers
from harness import (BUCKET, GB, GIB, MIB, UP_MBPS, Server, median, memory_budget_bytes, plain_environment,
                     run_json, spread_of)
from reading import cpu_per_gb, memory, rate

SENDER_LANES, IN_FLIGHT, PEER_PART = 4, 64, 4


def write_once(build, server, size, **options):
    before = server.stats()["errors"]
    figure = run_json([build / "bench/sequential_writer", f"/s3/{BUCKET}/big", size],
                      server.environment(build, **options))
    if server.stats()["errors"] > before:
        raise RuntimeError("the server answered with errors while an object was written")
    figure["peak_mib"] = figure["peak_kib"] / 1024
    return figure


def sender(build, server, size, lanes):
    return run_json([build / "bench/raw_sender", "127.0.0.1", server.port, f"/{BUCKET}/raw", size, lanes,
                     8 * MIB], plain_environment())


def bench_lan(options, report, size):
    """The server discards what both send."""
    with Server(options.build, "--discard", network="lan") as server:
        ours, raws = [], []
        begun = peers.begin(options, report, "write", "lan", "write")
        for _ in range(options.rounds):
            raws.append(sender(options.build, server, size, SENDER_LANES))
            ours.append(write_once(options.build, server, size))
        long_peak = write_once(options.build, server, 5 * size)["peak_mib"]
        after = server.stats()
        for _ in range(options.rounds):
            begun.run("write", server, "peer", size // PEER_PART)
    what = f"write {size / GIB:g} GiB in blocks of 1 MiB"
    rates = [rate(size, figure["seconds"]) for figure in ours]
    against = f"raw sender, {SENDER_LANES} connections"
    report.compare(f"{what}: speed", "lan", rates, [rate(size, figure["seconds"]) for figure in raws],
                   "MB/s", against, at_least=0.75)
    report.compare(f"{what}: CPU", "lan", [cpu_per_gb(figure, size) for figure in ours],
                   [cpu_per_gb(figure, size) for figure in raws], "s/GB", against, at_most=1.5)
    memory(report, what, "lan", ours)
    report.add(f"{what}: peak memory of five times as much", long_peak, "MiB", network="lan",
               at_most=memory_budget_bytes() / MIB + 32)
    report.add(f"{what}: CPU of the server", after["cpu_seconds"] / after["bytes_in"] * GB, "s/GB",
               network="lan")
    begun.compare(report, what, "lan", rates)


def bench_cloud(options, report, size):
    with Server(options.build, "--discard", network="cloud") as server:
        ours, plain = [], []
        begun = peers.begin(options, report, "write", "cloud", "write")
        for _ in range(options.rounds):
            ours.append(write_once(options.build, server, size, S3DLIO_PUT_INFLIGHT=str(IN_FLIGHT)))
            plain.append(write_once(options.build, server, size))
            begun.run("write", server, "peer", size // PEER_PART)
    what = f"write {size / GIB:g} GiB in blocks of 1 MiB"
    rates = [rate(size, figure["seconds"]) for figure in ours]
    for name, figures, least in ((f"{IN_FLIGHT} in flight", ours, 45), ("as it is set", plain, None)):
        worth = [rate(size, figure["seconds"]) / UP_MBPS for figure in figures]
        report.add(f"{what}, {name}: connections' worth", median(worth), "x 20 MB/s", network="cloud",
                   at_least=least, spread=spread_of(worth))
    memory(report, what, "cloud", ours)
    begun.compare(report, what, "cloud", rates)


def bench_part_size(options, report, size):
    """A fast network with a first byte like S3's: parts by its speed, beside parts of 8 MiB."""
    large, small = [], []
    with Server(options.build, "--discard", "--first-byte-ms", "30", "--first-byte-sigma", "0") as server:
        for _ in range(options.rounds):
            small.append(write_once(options.build, server, size, S3DLIO_PUT_PART_SIZE="8MiB",
                                    S3DLIO_PUT_INFLIGHT="4"))
            large.append(write_once(options.build, server, size, S3DLIO_NETWORK_SPEED_GBPS="100",
                                    S3DLIO_PUT_INFLIGHT="4"))
    report.compare("write, parts by network speed: speed", "30 ms",
                   [rate(size, figure["seconds"]) for figure in large],
                   [rate(size, figure["seconds"]) for figure in small], "MB/s", "parts of 8 MiB",
                   at_least=1.2)


def bench(options, report):
    size = options.size(2 * GIB)
    bench_lan(options, report, size)
    bench_cloud(options, report, size)
    bench_part_size(options, report, size)
