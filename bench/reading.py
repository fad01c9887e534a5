"""A large object read from beginning to end, beside a raw receiver."""
import statistics
import sys

from harness import BUCKET, Server, plain_environment, run_json, spread_of


def bench(build, report, rounds, gib):
    size = int(gib * (1 << 30))
    with Server(build, "--anonymous", "--synthetic", f"{BUCKET}/big={size}") as server:
        environment = server.environment(build)
        raw, ours, peaks, speeds = [], [], [], []
        server_start = server.stats()
        for _ in range(rounds):
            best = min((run_json([build / "bench/raw_receiver", "127.0.0.1", server.port,
                                  f"/{BUCKET}/big", size, lanes, 8 << 20], plain_environment())
                        for lanes in (1, 2)), key=lambda figure: figure["cpu_seconds"])
            mine = run_json([build / "bench/sequential_reader", f"/s3/{BUCKET}/big"], environment)
            if mine["bytes"] != size:
                sys.exit("the reader got another length than the object has")
            raw.append(best["cpu_seconds"] / gib / 1.073741824)
            ours.append(mine["cpu_seconds"] / gib / 1.073741824)
            peaks.append(mine["peak_kib"] / 1024)
            speeds.append(mine["bytes"] / mine["seconds"] / best["bytes"] * best["seconds"])
        server_end = server.stats()
    ratios = [b / a for a, b in zip(raw, ours)]
    report.add("sequential read: CPU of a raw epoll receiver", statistics.median(raw), "s/GB",
               spread=spread_of(raw))
    report.add("sequential read: CPU of ours", statistics.median(ours), "s/GB",
               spread=spread_of(ours))
    report.add("sequential read: CPU, ours / raw", statistics.median(ratios), "x", 1.6,
               spread=spread_of(ratios))
    report.add("sequential read: speed, ours / raw", statistics.median(speeds), "x",
               spread=spread_of(speeds))
    report.add("sequential read: peak memory", max(peaks), "MiB", 1024 + 32)
    report.add("sequential read: CPU of the server",
               (server_end["cpu_seconds"] - server_start["cpu_seconds"]) /
               (server_end["bytes_out"] - server_start["bytes_out"]) * 1e9, "s/GB")
