"""Forks, execs and shells of programs that have virtual files open.

All in CPU time: parent and child take turns, and other programs of the machine leave it alone."""
import resource
import statistics
import subprocess
import tempfile

from harness import BUCKET, Server, plain_environment, run_json, spread_of

SPAWNS, FORKS, CHAIN, LINES = 100, 100, 1000, 1000
SHELL_LOOP = f"for i in $(seq {LINES}); do echo x; done >$0"
SHELL_ONCE = "for i in $(seq 1); do echo x; done >$0"


def bench_spawn(program, report, rounds, environment, paths):
    values = [run_json([program, "spawn", SPAWNS, *paths], environment)["added_us"] / 1000
              for _ in range(rounds)]
    report.add("exec of /bin/true, ten virtual descriptors inherited, added",
               statistics.median(values), "ms CPU", 1, spread=spread_of(values))


def bench_fork(program, report, rounds, environment, paths):
    """64 MiB in use. Without: the same under the shim, reading a local file."""
    virtual, local = paths
    without, ratios, faults = [], [], []
    for _ in range(rounds):
        local_fork = run_json([program, "fork", FORKS, local], environment)
        virtual_fork = run_json([program, "fork", FORKS, virtual], environment)
        without.append(local_fork["fork_us"])
        ratios.append(virtual_fork["fork_us"] / local_fork["fork_us"])
        faults.append(virtual_fork["child_faults"] - local_fork["child_faults"])
    report.add("fork without an engine", statistics.median(without), "us CPU", spread=spread_of(without))
    report.add("fork, active engine / none", statistics.median(ratios), "x", 1.2,
               spread=spread_of(ratios))
    report.add("page faults that it adds to the child", statistics.median(faults), "faults",
               spread=spread_of(faults))


def bench_chain(program, report, rounds, environment, paths):
    virtual, local = paths
    added = []
    for _ in range(rounds):
        without = run_json([program, "chain", CHAIN, local], plain_environment())["exec_us"]
        added.append((run_json([program, "chain", CHAIN, virtual], environment)["exec_us"] - without)
                     / 1000)
    report.add(f"{CHAIN} execs in a row, a virtual descriptor inherited, added to each",
               statistics.median(added), "ms CPU", 1, spread=spread_of(added))


def cpu_seconds(script, path, environment):
    """Of a shell and the programs that it starts."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(["bash", "-c", script, path], env=environment, check=True, timeout=300)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bench_shell(report, rounds, environment, folder):
    """The loop, and what it costs beyond a single echo: that one pays for the engine's start, too."""
    added, whole = [], []
    bucket = f"/s3/{BUCKET}"
    for _ in range(rounds):
        local = [cpu_seconds(script, folder + "/lines", plain_environment())
                 for script in (SHELL_ONCE, SHELL_LOOP)]
        virtual = [cpu_seconds(script, bucket + "/lines", environment)
                   for script in (SHELL_ONCE, SHELL_LOOP)]
        added.append((virtual[1] - virtual[0]) / (local[1] - local[0]))
        whole.append((virtual[1] - local[1]) * 1000)
    report.add(f"{LINES} times echo into a redirection, bucket / disk", statistics.median(added),
               "x", 1.2, spread=spread_of(added))
    report.add("the same with the engine's start and the upload, added", statistics.median(whole), "ms CPU",
               spread=spread_of(whole))


def bench(options, report):
    build, rounds = options.build, options.rounds
    program = build / "bench/process_life"
    with Server(build, "--synthetic", f"{BUCKET}/file=1000000") as server, \
            tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        with open(folder + "/file", "wb") as file:
            file.write(bytes(1000000))
        environment = server.environment(build)
        paths = (f"/s3/{BUCKET}/file", folder + "/file")
        bench_spawn(program, report, rounds, environment, paths)
        bench_fork(program, report, rounds, environment, paths)
        bench_chain(program, report, rounds, environment, paths)
        bench_shell(report, rounds, environment, folder)
