"""Four programs that read four large objects at once, beside one; all of them are one process tree."""
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

from harness import BUCKET, GIB, MIB, Server, TIME_LIMIT_S, memory_budget_bytes, spread_of
from reading import dd, rate

READERS = 4
SAMPLE_S = 0.02


def descendants(pid):
    """It and all that it has started, as far as they live."""
    found = [pid]
    try:
        for task in os.listdir(f"/proc/{pid}/task"):
            for child in Path(f"/proc/{pid}/task/{task}/children").read_text().split():
                found += descendants(int(child))
    except OSError:
        pass
    return found


def proportional_kib(pid):
    """What it has in memory, what is shared divided among those that share it."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


class Sampler(threading.Thread):
    """The most that a process tree had in memory while it ran, in MiB."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.peak_mib, self.over = pid, 0.0, threading.Event()

    def run(self):
        while not self.over.wait(SAMPLE_S):
            self.peak_mib = max(self.peak_mib, sum(map(proportional_kib, descendants(self.pid))) / 1024)


def all_at_once(environment):
    script = "".join(f"dd if=/s3/{BUCKET}/{i} of=/dev/null bs=1M status=none & " for i in range(READERS))
    began = time.monotonic()
    process = subprocess.Popen(["sh", "-c", script + "wait"], env=environment, stdin=subprocess.DEVNULL,
                               start_new_session=True)
    sampler = Sampler(process.pid)
    sampler.start()
    try:
        process.wait(TIME_LIMIT_S)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    finally:
        sampler.over.set()
        sampler.join()
    return time.monotonic() - began, sampler.peak_mib


def bench(options, report):
    size = options.size(4 * GIB)
    objects = [word for i in range(READERS) for word in ("--synthetic", f"{BUCKET}/{i}={size}")]
    one, four, peaks = [], [], []
    with Server(options.build, *objects, network="cloud") as server:
        environment = server.environment(options.build)
        for _ in range(options.rounds):
            one.append(rate(size, dd(environment, f"/s3/{BUCKET}/0", size)["seconds"]))
            seconds, peak = all_at_once(environment)
            four.append(rate(READERS * size, seconds))
            peaks.append(peak)
    what = f"{READERS} readers of {READERS} objects of {size / GIB:g} GiB"
    report.compare(f"{what}: speed in all", "cloud", four, one, "MB/s", "one reader", at_least=1)
    report.add(f"{what}: memory of all together", max(peaks), "MiB", network="cloud",
               at_most=memory_budget_bytes() / MIB + 32, spread=spread_of(peaks))
