"""The other networks: far, throttled, flaky, heavy. Reported, no target."""
from harness import BUCKET, MIB, Server, median, spread_of
from reading import RANGE, curl, dd, rate

SIZE = 512 * MIB
# Connections of curl: as many as the network bears; none where requests have to be repeated.
NETWORKS = {"far": 64, "throttled": 32, "flaky": None, "heavy": 64}


def bench(options, report):
    size = options.size(SIZE)
    for network, connections in NETWORKS.items():
        ours, curls, answers = [], [], []
        with Server(options.build, "--synthetic", f"{BUCKET}/big={size}", network=network) as server:
            environment = server.environment(options.build)
            for _ in range(options.rounds):
                before = server.stats()["errors"]
                ours.append(rate(size, dd(environment, f"/s3/{BUCKET}/big", size)["seconds"]))
                answers.append(server.stats()["errors"] - before)
                if connections:
                    curls.append(rate(size, curl(options.build, server, "big", size,
                                                 (connections, RANGE))["seconds"]))
        what = f"dd bs=1M of {size // MIB} MiB"
        if connections:
            report.compare(f"{what}: speed", network, ours, curls, "MB/s", f"curl, {connections} connections")
        else:
            report.add(f"{what}: speed", median(ours), "MB/s", network=network, spread=spread_of(ours))
        if network == "throttled":
            report.add(f"{what}: requests refused", median(answers), "", network=network,
                       spread=spread_of(answers))
