"""Large objects written from beginning to end, and changed: CPU, memory, speed, bytes moved."""
import statistics
import subprocess
import sys

from harness import BUCKET, Server, plain_environment, run_json, spread_of

GIB = 1 << 30
PUT_LANES, LANE_MBPS = 8, 20 # of the emulated store far away


def write_once(build, server, gib, **options):
    figure = run_json([build / "bench/sequential_writer", f"/s3/{BUCKET}/big", int(gib * GIB)],
                      server.environment(build, **options))
    if server.stats()["errors"]:
        sys.exit("the server answered with errors while an object was written")
    return figure


def bench_sequential(build, report, rounds, gib):
    """Beside a sender that does nothing but compute CRC32C and send; the server discards both."""
    with Server(build, "--anonymous", "--discard") as server:
        raw, ours, peaks, speeds = [], [], [], []
        for _ in range(rounds):
            best = min((run_json([build / "bench/raw_sender", "127.0.0.1", server.port,
                                  f"/{BUCKET}/raw", int(gib * GIB), lanes, 8 << 20],
                                 plain_environment())
                        for lanes in (1, 2)), key=lambda figure: figure["cpu_seconds"])
            mine = write_once(build, server, gib)
            raw.append(best["cpu_seconds"] / gib / 1.073741824)
            ours.append(mine["cpu_seconds"] / gib / 1.073741824)
            peaks.append(mine["peak_kib"] / 1024)
            speeds.append(best["seconds"] / mine["seconds"])
        long_peak = write_once(build, server, 10 * gib)["peak_kib"] / 1024
        server_end = server.stats()
    ratios = [b / a for a, b in zip(raw, ours)]
    report.add("sequential write: CPU of a raw sender with CRC32C", statistics.median(raw), "s/GB",
               spread=spread_of(raw))
    report.add("sequential write: CPU of ours", statistics.median(ours), "s/GB",
               spread=spread_of(ours))
    report.add("sequential write: CPU, ours / raw", statistics.median(ratios), "x", at_most=1.5,
               spread=spread_of(ratios))
    report.add("sequential write: speed, ours / raw", statistics.median(speeds), "x",
               spread=spread_of(speeds))
    report.add("sequential write: peak memory", max(peaks), "MiB", at_most=1024 + 32)
    report.add("sequential write: peak memory of ten times as much", long_peak, "MiB",
               at_most=1024 + 32)
    report.add("sequential write: CPU of the server",
               server_end["cpu_seconds"] / server_end["bytes_in"] * 1e9, "s/GB")


def bench_far(build, report, rounds):
    """Each connection takes 20 MB/s: so many connections, so many times that."""
    with Server(build, "--anonymous", "--discard", "--first-byte-ms", "30", "--first-byte-sigma", "0",
                "--up-mbps", str(LANE_MBPS)) as server:
        shares = []
        for _ in range(max(1, rounds // 2)):
            figure = write_once(build, server, 1, S3DLIO_PUT_INFLIGHT=str(PUT_LANES))
            shares.append(GIB / figure["seconds"] / 1e6 / (PUT_LANES * LANE_MBPS))
    report.add(f"write over {PUT_LANES} connections of {LANE_MBPS} MB/s: share of their sum",
               statistics.median(shares), "x", at_least=0.85, spread=spread_of(shares))


def bench_part_size(build, report, rounds, gib):
    """A fast network with a first byte like S3's: parts by its speed, beside parts of 8 MiB."""
    with Server(build, "--anonymous", "--discard", "--first-byte-ms", "30",
                "--first-byte-sigma", "0") as server:
        faster = []
        for _ in range(max(1, rounds // 2)):
            small = write_once(build, server, gib, S3DLIO_PUT_PART_SIZE="8MiB",
                               S3DLIO_PUT_INFLIGHT="4")
            large = write_once(build, server, gib, S3DLIO_NETWORK_SPEED_GBPS="100",
                               S3DLIO_PUT_INFLIGHT="4")
            faster.append(small["seconds"] / large["seconds"])
    report.add("write, parts by network speed: speed against parts of 8 MiB",
               statistics.median(faster), "x", at_least=1.2, spread=spread_of(faster))


APPEND = 'open(sys.argv[1], "ab").write(b"x" * 1024)'
ONE_BYTE = 'f = open(sys.argv[1], "r+b"); f.seek(5 << 30); f.write(b"x"); f.close()'


def bench_changes(build, report):
    """What a small change of a large object moves over the wire."""
    with Server(build, "--anonymous", f"--synthetic={BUCKET}/one={GIB}",
                f"--synthetic={BUCKET}/ten={10 * GIB}") as server:
        for what, program, key, limit in (
                ("1 KiB appended to 1 GiB", APPEND, "one", 16),
                ("one byte changed in 10 GiB", ONE_BYTE, "ten", 16)):
            before = server.stats()
            subprocess.run(["/usr/bin/python3", "-c", f"import sys\n{program}", f"/s3/{BUCKET}/{key}"],
                           env=server.environment(build), check=True, timeout=300)
            after = server.stats()
            moved = sum(after[way] - before[way] for way in ("bytes_in", "bytes_out"))
            report.add(f"{what}: bytes moved", moved / (1 << 20), "MiB", at_most=limit)
            report.add(f"{what}: requests", after["requests"] - before["requests"], "")


def bench(build, report, rounds, gib):
    bench_sequential(build, report, rounds, gib)
    bench_far(build, report, rounds)
    bench_part_size(build, report, rounds, gib)
    bench_changes(build, report)
