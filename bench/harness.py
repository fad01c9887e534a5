"""What every benchmark needs: the bundled server, measured processes, ratios of what alternates."""
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BUCKET = "bench"
KEY, SECRET = "benchkey", "benchsecret"
PYTHON = "/usr/bin/python3"
MIB, GIB, GB = 1 << 20, 1 << 30, 1e9
FIRST_BYTE_MS, DOWN_MBPS, UP_MBPS = 30, 90, 20  # of the network `cloud`
TIME_LIMIT_S = 600


class Server:
    """The bundled server on a free loopback port, objects in memory; anonymous unless told otherwise."""

    def __init__(self, build, *options, network=None, tls=None, signed=False):
        self.scratch = tempfile.TemporaryDirectory()
        self.scheme, self.authority = ("https", tls[2]) if tls else ("http", None)
        port_file = Path(self.scratch.name, "port")
        self.runtime = Path(self.scratch.name, "runtime") # other processes of the user have no share
        self.runtime.mkdir(mode=0o700)
        command = [build / "s3server", "--port", "0", "--port-file", port_file, "--memory",
                   "--bucket", BUCKET, "--access-key", KEY, "--secret-key", SECRET,
                   *([] if signed else ["--anonymous"]), *(["--network", network] if network else []),
                   *(["--tls-cert", tls[0], "--tls-key", tls[1]] if tls else []), *options]
        self.process = subprocess.Popen(ends_with_us(command), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError("the bundled server did not start")
            time.sleep(0.01)
        self.port = int(port_file.read_text())
        self.url = f"{self.scheme}://127.0.0.1:{self.port}"

    def admin(self, method, path):
        request = urllib.request.Request(f"{self.url}/-/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def stats(self):
        return json.loads(self.admin("GET", "stats"))

    def access(self, **extra):
        """The environment of any client: where the server is, nothing else of the caller's."""
        environment = {**plain_environment(), "AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1",
                       "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": KEY,
                       "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
        if self.authority:
            environment["AWS_CA_BUNDLE"] = str(self.authority)
        return {**environment, **extra}

    def environment(self, build, **extra):
        """The same under the shim."""
        return self.access(LD_PRELOAD=str(build / "libs3dlio_shim.so"),
                           XDG_RUNTIME_DIR=str(self.runtime), **extra)

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.process.terminate()
        self.process.wait(10)
        self.scratch.cleanup()


def ends_with_us(command):
    """The command, told to end when this process does, even if that is killed."""
    return ["setpriv", "--pdeathsig", "TERM", *(str(word) for word in command)]


def plain_environment():
    return {name: value for name, value in os.environ.items()
            if name != "LD_PRELOAD" and not name.startswith(("S3DLIO_", "AWS_"))
            and not name.lower().endswith("_proxy")}


def memory_budget_bytes():
    """What the engine takes by default: the smaller of a GiB and an eighth of the memory limit."""
    limits = [int(line.split()[1]) * 1024 for line in Path("/proc/meminfo").read_text().splitlines()
              if line.startswith("MemTotal:")]
    for name in "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes":
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(name).read_text()))
    return min(GIB, min(limits) // 8)


# ---- measuring -----------------------------------------------------------------------------------
class TookTooLong(RuntimeError):
    """A command did not end within its limit, and was killed."""


class Measured:
    """What a command took: seconds, CPU seconds with its children, peak KiB, its output."""

    def __init__(self, seconds, usage, output):
        self.seconds, self.output = seconds, output
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self.peak_kib = usage.ru_maxrss


def measure(command, environment, limit_s=TIME_LIMIT_S):
    """Runs a command to its end. Its output is kept; what it says goes to our stderr if it fails."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        began = time.monotonic()
        process = subprocess.Popen([str(word) for word in command], env=environment, stdout=output,
                                   stderr=errors, stdin=subprocess.DEVNULL)
        try:
            usage, status = wait_for(process, limit_s)
        except BaseException:
            process.kill()
            process.wait()
            raise
        seconds = time.monotonic() - began
        for file in (output, errors):
            file.seek(0)
        if status:
            sys.stderr.write(errors.read(10000).decode(errors="replace"))
            raise RuntimeError(f"{command[0]} ended with {status}")
        return Measured(seconds, usage, output.read(1 << 20).decode(errors="replace"))


def wait_for(process, limit_s):
    deadline = time.monotonic() + limit_s
    pause = 0.0005
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, process.returncode
        if time.monotonic() > deadline:
            raise TookTooLong(f"{process.args[0]} took longer than {limit_s} s")
        time.sleep(pause)
        pause = min(pause * 1.2, 0.005)


def run_json(command, environment):
    done = subprocess.run([str(word) for word in command], env=environment, check=True,
                          stdout=subprocess.PIPE, timeout=TIME_LIMIT_S, stdin=subprocess.DEVNULL)
    return json.loads(done.stdout)


class Options:
    """How much is done: rounds of each measurement, sizes, the build folder."""

    def __init__(self, build, rounds, quick, with_peers=True):
        self.build, self.rounds, self.quick, self.with_peers = build, rounds, quick, with_peers

    def size(self, whole):
        """Of an object, or a number of files: a quarter for a first look."""
        return whole // 4 if self.quick else whole


def median(values):
    return statistics.median(values)


def spread_of(values):
    return f"{min(values):.3g} .. {max(values):.3g}"
