"""What programs cost in requests, from the server's own counters. No timing."""
import subprocess
import tempfile
from pathlib import Path

from harness import BUCKET, Server


def count_requests(server, command, environment):
    before = server.stats()["requests"]
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL, timeout=120)
    return server.stats()["requests"] - before


MAKE_DIRECTORY = """
import os, sys
os.mkdir(sys.argv[1])
for i in range(int(sys.argv[2])):
    with open(f"{sys.argv[1]}/{i:04}", "wb") as f:
        f.write(b"x" * 100)
"""
READ_ONCE = """
import os
fd = os.open("/s3/bench/marked/0007", os.O_RDONLY)
assert len(os.read(fd, 4096)) == 100
os.close(fd)
"""
TREE_DIRECTORIES = 20
COPIED_FILES = 500


def bench(options, report):
    """Without a marker no directory has stored attributes."""
    python = "/usr/bin/python3"
    plain = [f"--synthetic={BUCKET}/plain/%=100*1000"]
    plain += [f"--synthetic={BUCKET}/tree/{i:02}/%=100*200" for i in range(TREE_DIRECTORIES)]
    with Server(options.build, *plain, signed=True) as server, tempfile.TemporaryDirectory() as local:
        environment = server.environment(options.build)
        for i in range(COPIED_FILES):
            Path(local, f"{i:03}.txt").write_bytes(b"x" * 100)
        for name, count in ("marked", 999), ("full", 1000):
            subprocess.run([python, "-c", MAKE_DIRECTORY, f"/s3/{BUCKET}/{name}", str(count)],
                           env=environment, check=True, timeout=300)

        def cost(*command):
            return count_requests(server, command, environment)

        report.add("open+read+close of a small object: requests", cost(python, "-c", READ_ONCE),
                   "", 1)
        report.add("ls -l of 1,000 entries, no marker: requests",
                   cost("ls", "-l", f"/s3/{BUCKET}/plain"), "", 1)
        report.add("ls -l of 999 entries and a marker: requests",
                   cost("ls", "-l", f"/s3/{BUCKET}/marked"), "", 2)
        report.add("ls -l of 1,000 entries and a marker, two pages: requests",
                   cost("ls", "-l", f"/s3/{BUCKET}/full"), "", 2)
        report.add("find in 21 directories: requests a directory",
                   cost("find", f"/s3/{BUCKET}/tree") / (TREE_DIRECTORIES + 1), "", 1)
        report.add(f"cp -r of {COPIED_FILES} files into a new directory: requests a file",
                   cost("cp", "-r", local, f"/s3/{BUCKET}/new") / COPIED_FILES, "", 1.1)
        before = server.stats()
        report.add("cp -r of 200 files inside a bucket: requests a file",
                   cost("cp", "-r", f"/s3/{BUCKET}/tree/00", f"/s3/{BUCKET}/inside") / 200, "", 2.1)
        report.add("cp -r of 200 files inside a bucket: bytes sent",
                   server.stats()["bytes_in"] - before["bytes_in"], "bytes", 0)
