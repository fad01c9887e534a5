"""What every benchmark needs: the bundled server, a program's JSON line, the table."""
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

BUCKET = "bench"
KEY, SECRET = "benchkey", "benchsecret"


class Server:
    """The bundled server on a free loopback port, objects in memory."""

    def __init__(self, build, *options):
        self.scratch = tempfile.TemporaryDirectory()
        port_file = Path(self.scratch.name, "port")
        command = [build / "s3server", "--port", "0", "--port-file", port_file, "--memory",
                   "--bucket", BUCKET, "--access-key", KEY, "--secret-key", SECRET, *options]
        self.process = subprocess.Popen([str(word) for word in command])
        deadline = time.monotonic() + 10
        while not port_file.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                sys.exit("the bundled server did not start")
            time.sleep(0.01)
        self.port = int(port_file.read_text())

    def admin(self, method, path):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/-/{path}", method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.read()

    def stats(self):
        return json.loads(self.admin("GET", "stats"))

    def environment(self, build, **extra):
        return {**os.environ, "LD_PRELOAD": str(build / "libs3dlio_shim.so"),
                "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, **extra}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.process.terminate()
        self.process.wait(10)
        self.scratch.cleanup()


def plain_environment():
    return {name: value for name, value in os.environ.items()
            if name != "LD_PRELOAD" and not name.startswith("S3DLIO_")}


def run_json(command, environment):
    done = subprocess.run([str(word) for word in command], env=environment, check=True,
                          stdout=subprocess.PIPE, timeout=300)
    return json.loads(done.stdout)


class Report:
    """Rows of the table: what, value, unit, target, verdict."""

    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, at_most=None, at_least=None, **details):
        met, target = None, None
        if at_most is not None:
            met, target = value <= at_most, f"<= {at_most}"
        if at_least is not None:
            met, target = value >= at_least, f">= {at_least}"
        self.rows.append({"what": what, "value": round(value, 4), "unit": unit, "target": target,
                          "met": met, **details})

    def show(self):
        width = max(len(row["what"]) for row in self.rows)
        for row in self.rows:
            target = "" if row["target"] is None else f"target {row['target']}"
            mark = "" if row["met"] in (None, True) else "  BEYOND"
            spread = row.get("spread", "")
            print(f"{row['what']:<{width}}  {row['value']:>10g} {row['unit']:<14} {target:<18}"
                  f"{spread}{mark}")


def spread_of(values):
    return f"[{min(values):.3g} .. {max(values):.3g}]"
