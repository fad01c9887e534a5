"""What the shim costs a program that touches no virtual path."""
import re
import statistics
import subprocess

from harness import plain_environment, run_json, spread_of


def bench_miss_path(build, report, rounds):
    """Calls that do nothing behind the shim: what is left is the shim's own."""
    nothing = str(build / "bench/null_calls.so")
    plain = {**plain_environment(), "LD_PRELOAD": nothing}
    shimmed = {**plain, "LD_PRELOAD": f"{build / 'libs3dlio_shim.so'} {nothing}"}
    added = {"stat_ns": [], "open_close_ns": [], "pread_ns": []}
    for _ in range(rounds):
        without = run_json([build / "bench/miss_path", "/etc/hostname", 2000000], plain)
        with_shim = run_json([build / "bench/miss_path", "/etc/hostname", 2000000], shimmed)
        for name, values in added.items():
            calls = 2 if name == "open_close_ns" else 1
            values.append((with_shim[name] - without[name]) / calls)
    for name, values in added.items():
        report.add(f"miss path: {name[:-3].replace('_', '+')}, added a call",
                   statistics.median(values), "ns", at_most=10, spread=spread_of(values))


def bench_exec(build, report, rounds):
    figures = [run_json([build / "bench/spawner", 300, build / "libs3dlio_shim.so", "/bin/true"],
                        plain_environment()) for _ in range(rounds)]
    values = [figure["added_us"] / 1000 for figure in figures]
    report.add("exec of /bin/true, added", statistics.median(values), "ms", at_most=0.3,
               spread=spread_of(values))


def bench_footprint(build, report):
    """A process that touches no virtual path: its threads, and what the shim maps."""
    environment = {**plain_environment(), "LD_PRELOAD": str(build / "libs3dlio_shim.so")}
    script = ("import os\nopen('/etc/hostname').read()\n"
              "print(len(os.listdir('/proc/self/task')))\nprint(open('/proc/self/maps').read())")
    text = subprocess.run(["/usr/bin/python3", "-c", script], env=environment, check=True,
                          stdout=subprocess.PIPE, text=True).stdout
    threads, maps = text.split("\n", 1)
    ends = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*libs3dlio_shim", maps, re.M)
    low, high = min(int(a, 16) for a, _ in ends), max(int(b, 16) for _, b in ends)
    following = re.search(rf"^{high:x}-([0-9a-f]+) rw-p 00000000 00:00 0 *$", maps, re.M)
    high = int(following.group(1), 16) if following else high
    report.add("idle process: extra threads", int(threads) - 1, "", at_most=0)
    report.add("idle process: mapped by the shim", (high - low) / 1024, "KiB", at_most=300)


def bench(options, report):
    bench_miss_path(options.build, report, options.rounds)
    bench_exec(options.build, report, options.rounds)
    bench_footprint(options.build, report)
