"""cp -r of five hundred small files into a bucket, waiting at each close and with deferred close."""
import subprocess
import tempfile
import time
from pathlib import Path

from harness import BUCKET, Server, median, spread_of

FILES, FILE_BYTES = 500, 16 * 1024


def copy(server, environment, folder, to, files):
    """Files a second, requests a file."""
    before, began = server.stats()["requests"], time.monotonic()
    subprocess.run(["cp", "-r", folder, f"/s3/{BUCKET}/{to}"], env=environment, check=True, timeout=300)
    return (files / (time.monotonic() - began), (server.stats()["requests"] - before) / files)


def bench(options, report):
    files = FILES // 2 if options.quick else FILES
    waiting, deferred = [], []
    with Server(options.build, network="cloud") as server, tempfile.TemporaryDirectory() as folder:
        for i in range(files):
            Path(folder, f"{i:03}.bin").write_bytes(bytes([i % 256]) * FILE_BYTES)
        environment = server.environment(options.build)
        for turn in range(options.rounds):
            waiting.append(copy(server, environment, folder, f"waiting{turn}", files))
            deferred.append(copy(server, {**environment, "S3DLIO_CLOSE": "deferred"}, folder,
                                 f"deferred{turn}", files))
    what = f"cp -r of {files} x 16 KiB"
    for name, figures in ("", waiting), (", deferred close", deferred):
        requests = [each[1] for each in figures]
        report.add(f"{what}{name}: requests a file", median(requests), "", at_most=1.05, network="cloud",
                   spread=spread_of(requests))
    report.compare(f"{what}, deferred close: speed", "cloud", [each[0] for each in deferred],
                   [each[0] for each in waiting], "files/s", "waiting at each close", at_least=20)
