"""Programs that do the same work, measured in the same run: mounts and clients.

Each is a class with `name`, `missing()` (None, or why it cannot run here) and what it can do:
read(server, key, size) and write(server, key, size) return a Figure, or raise. A mount lives for one
measurement, so that nothing is cached; it is unmounted and its process ended whatever happens.
"""
import contextlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BUCKET, GB, KEY, PYTHON, SECRET, ends_with_us, measure

MOUNT_LIMIT_S = 20
LIBRARIES = None  # the folder of bench/peers, set by bench/run


class Figure:
    """Rate in MB/s, CPU seconds per GB of the client with its daemon, peak MiB."""

    def __init__(self, size, seconds, cpu_seconds, peak_kib):
        self.rate, self.cpu = size / 1e6 / seconds, cpu_seconds / (size / GB)
        self.peak_mib, self.seconds = peak_kib / 1024, seconds


def tool_missing(name):
    return None if shutil.which(name) else f"{name} is not installed (scripts/bootstrap bench)"


def fuse_missing():
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "no FUSE here: /dev/fuse cannot be opened"
    return None if shutil.which("fusermount3") or shutil.which("fusermount") else "no fusermount"


# ---- mounts --------------------------------------------------------------------------------------
class Mount:
    """A mounted bucket for one measurement."""

    def __init__(self, command, environment, folder):
        self.path = Path(folder, "mount")
        self.path.mkdir()
        self.log = open(Path(folder, "log"), "wb")
        self.process = subprocess.Popen(ends_with_us(command(self.path)), env=environment, stdout=self.log,
                                        stderr=self.log, stdin=subprocess.DEVNULL)

    def __enter__(self):
        deadline = time.monotonic() + MOUNT_LIMIT_S
        while not os.path.ismount(self.path):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise RuntimeError("the mount did not come: " +
                                   Path(self.log.name).read_text(errors="replace")[-200:].strip())
            time.sleep(0.02)
        return self

    def cpu_seconds(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_kib(self):
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
        return 0

    def __exit__(self, *_exc):
        tool = shutil.which("fusermount3") or shutil.which("fusermount")
        for words in ([tool, "-u"], [tool, "-uz"]):
            if os.path.ismount(self.path):
                subprocess.run([*words, self.path], check=False, stderr=subprocess.DEVNULL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(10)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.log.close()


class MountPeer:
    """Programs on a mounted bucket; the daemon's CPU time counts."""

    def missing(self):
        return tool_missing(self.tool) or fuse_missing()

    def _run(self, server, program, size, writes):
        with tempfile.TemporaryDirectory() as folder:
            environment = server.access(**self.variables(server))
            with Mount(lambda path: self.command(server, folder, path, writes), environment,
                       folder) as mount:
                before = mount.cpu_seconds()
                done = measure(program(mount.path), environment)
                return Figure(size, done.seconds, done.cpu_seconds + mount.cpu_seconds() - before,
                              mount.peak_kib())

    def read(self, server, key, size):
        return self._run(server, lambda path: ["dd", f"if={path}/{key}", "of=/dev/null", "bs=1M",
                                               "status=none"], size, False)

    def write(self, server, key, size):
        return self._run(server, lambda path: ["dd", "if=/dev/zero", f"of={path}/{key}", "bs=1M",
                                               f"count={size >> 20}", "status=none"], size, True)


class S3fs(MountPeer):
    name = tool = "s3fs"

    def variables(self, server):
        return {}

    def command(self, server, folder, path, writes):
        secret = Path(folder, "secret")
        secret.write_text(f"{KEY}:{SECRET}\n")
        secret.chmod(0o600)
        options = (f"passwd_file={secret},url={server.url},use_path_request_style,parallel_count=32,"
                   f"multipart_size=16,tmpdir={folder}")
        return ["s3fs", BUCKET, path, "-f", "-o", options]


def rclone_variables(server):
    prefix = "RCLONE_CONFIG_B_"
    return {prefix + "TYPE": "s3", prefix + "PROVIDER": "Other", prefix + "ENDPOINT": server.url,
            prefix + "ACCESS_KEY_ID": KEY, prefix + "SECRET_ACCESS_KEY": SECRET,
            prefix + "FORCE_PATH_STYLE": "true", prefix + "UPLOAD_CONCURRENCY": "16",
            prefix + "CHUNK_SIZE": "16Mi"}


class RcloneMount(MountPeer):
    name, tool = "rclone mount", "rclone"
    variables = staticmethod(rclone_variables)

    def command(self, server, folder, path, writes):
        return ["rclone", "--config", "/dev/null", "--cache-dir", f"{folder}/cache", "mount", f"b:{BUCKET}",
                path, "--vfs-cache-mode", "off", "--buffer-size", "64M"]


class RcloneCat:
    name = "rclone cat"

    def missing(self):
        return tool_missing("rclone")

    def read(self, server, key, size):
        done = measure(["sh", "-c", f"exec rclone --config /dev/null cat b:{BUCKET}/{key} >/dev/null"],
                       server.access(**rclone_variables(server)))
        return Figure(size, done.seconds, done.cpu_seconds, done.peak_kib)


# ---- Python packages -----------------------------------------------------------------------------
PREAMBLE = """
import json, os, resource, sys, time
bucket, key, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
def report(got):
    assert got == size, (got, size)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"seconds": time.monotonic() - began, "peak_kib": usage.ru_maxrss,
                      "cpu_seconds": usage.ru_utime + usage.ru_stime - cpu_before}))
def cpu():
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime
"""
BEGIN = "\ncpu_before, began = cpu(), time.monotonic()\n"


class LibraryPeer:
    """A Python package of bench/peers. What imports cost is not counted."""

    def python(self):
        return LIBRARIES / "bin/python" if LIBRARIES else PYTHON

    def missing(self):
        done = subprocess.run([self.python(), "-c", f"import {self.module}"], check=False,
                              stderr=subprocess.DEVNULL) if os.path.exists(self.python()) else None
        return None if done and not done.returncode else f"{self.module} is not installed (bench/peers)"

    def _run(self, server, program, key, size):
        done = measure([self.python(), "-c", PREAMBLE + program, BUCKET, key, size], server.access())
        figure = json.loads(done.output.splitlines()[-1])
        return Figure(size, figure["seconds"], figure["cpu_seconds"], figure["peak_kib"])

    def read(self, server, key, size):
        return self._run(server, self.reads, key, size)

    def write(self, server, key, size):
        return self._run(server, self.writes, key, size)


BOTO3 = """
import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
config = TransferConfig(max_concurrency=32, multipart_chunksize=8 << 20)
client = boto3.client("s3", config=Config(max_pool_connections=64))
class Null:
    length = 0
    def write(self, data):
        self.length += len(data)
        return len(data)
class Zeros:
    def __init__(self):
        self.left, self.block = size, bytes(1 << 20)
    def read(self, count=-1):
        count = min(self.left, count if count >= 0 else self.left)
        self.left -= count
        return self.block[:count] if count <= len(self.block) else bytes(count)
"""


class Boto3(LibraryPeer):
    name = module = "boto3"
    reads = BOTO3 + BEGIN + \
        "null = Null(); client.download_fileobj(bucket, key, null, Config=config); report(null.length)"
    writes = BOTO3 + BEGIN + "client.upload_fileobj(Zeros(), bucket, key, Config=config); report(size)"


TORCH = """
from s3torchconnector._s3client import S3Client, S3ClientConfig
client = S3Client("us-east-1", endpoint=os.environ["AWS_ENDPOINT_URL"],
                  s3client_config=S3ClientConfig(force_path_style=True, throughput_target_gbps=100))
"""


class TorchConnector(LibraryPeer):
    name = module = "s3torchconnector"
    reads = TORCH + BEGIN + """
reader, got = client.get_object(bucket, key), 0
while data := reader.read(1 << 20):
    got += len(data)
report(got)
"""
    writes = TORCH + "block = bytes(1 << 20)" + BEGIN + """
writer = client.put_object(bucket, key)
for _ in range(size >> 20):
    writer.write(block)
writer.close()
report(size)
"""


class S3dlio(LibraryPeer):
    name = "s3dlio wheel"
    module = "s3dlio"
    reads = "import s3dlio" + BEGIN + "report(len(s3dlio.get(f's3://{bucket}/{key}')))"
    writes = "import s3dlio\ndata = bytes(size)" + BEGIN + \
        "s3dlio.put_bytes(f's3://{bucket}/{key}', data); report(size)"


PEERS = [S3fs(), RcloneMount(), RcloneCat(), Boto3(), TorchConnector(), S3dlio()]


def present(report, work, network, can):
    """Those that can do it here; of the others the table says why not."""
    found = []
    for peer in PEERS:
        if not hasattr(peer, can):
            continue
        reason = peer.missing()
        if reason:
            report.skip(f"{work}: {peer.name}", network, reason)
        else:
            found.append(peer)
    return found


def begin(options, report, work, network, can):
    """Rounds of those that can `read` or `write` here; of none where the run is without."""
    return Rounds(present(report, work, network, can) if options.with_peers else [])


class Rounds:
    """Figures of peers, one a round; a peer that fails once is out, with its reason."""

    def __init__(self, peers):
        self.figures, self.failed = {peer: [] for peer in peers}, {}

    def run(self, can, server, key, size):
        for peer, figures in self.figures.items():
            if peer in self.failed:
                continue
            try:
                figures.append(getattr(peer, can)(server, key, size))
            except (RuntimeError, ValueError, IndexError) as error:
                self.failed[peer] = str(error).splitlines()[0][:100]

    def compare(self, report, work, network, ours, at_least=None):
        """Rows of rates: `ours` is a list of MB/s."""
        for peer, figures in self.figures.items():
            if peer in self.failed:
                report.skip(f"{work}: {peer.name}", network, self.failed[peer])
            else:
                report.compare(f"{work}, beside {peer.name}", network, ours,
                               [figure.rate for figure in figures], "MB/s", peer.name, at_least=at_least)
