"""What a small change of a large object moves over the wire. No timing."""
import subprocess

from harness import BUCKET, GIB, MIB, PYTHON, Server

APPEND = 'open(sys.argv[1], "ab").write(b"x" * 1024)'
ONE_BYTE = 'f = open(sys.argv[1], "r+b"); f.seek(5 << 30); f.write(b"x"); f.close()'


def bench(options, report):
    with Server(options.build, f"--synthetic={BUCKET}/one={GIB}",
                f"--synthetic={BUCKET}/ten={10 * GIB}") as server:
        for what, program, key in (("1 KiB appended to 1 GiB", APPEND, "one"),
                                   ("one byte changed in 10 GiB", ONE_BYTE, "ten")):
            before = server.stats()
            subprocess.run([PYTHON, "-c", f"import sys\n{program}", f"/s3/{BUCKET}/{key}"],
                           env=server.environment(options.build), check=True, timeout=300)
            after = server.stats()
            moved = sum(after[way] - before[way] for way in ("bytes_in", "bytes_out"))
            report.add(f"{what}: bytes moved", moved / MIB, "MiB", at_most=16)
            report.add(f"{what}: requests", after["requests"] - before["requests"], "")
