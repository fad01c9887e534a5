"""The same large object over TLS, beside curl."""
import subprocess
import tempfile

from harness import BUCKET, GIB, Server
from reading import RANGE, cpu_per_gb, curl, dd, fastest, named, rate


def certificate(folder):
    """(certificate, key, authority): one that signs itself, for 127.0.0.1."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost", "-keyout",
                    f"{folder}/key", "-out", f"{folder}/certificate"], check=True,
                   stderr=subprocess.DEVNULL, timeout=60)
    return f"{folder}/certificate", f"{folder}/key", f"{folder}/certificate"


def bench(options, report):
    size = options.size(2 * GIB)
    with tempfile.TemporaryDirectory() as folder:
        files = certificate(folder)
        with Server(options.build, "--synthetic", f"{BUCKET}/big={size}", network="lan", tls=files) as server:
            environment = server.environment(options.build)

            def run_curl(setting, length=size):
                return curl(options.build, server, "big", length, setting, files[2])

            best = fastest(lambda setting: run_curl(setting, size // 4), [(n, RANGE) for n in (1, 2, 4)])
            ours, curls = [], []
            for _ in range(options.rounds):
                curls.append(run_curl(best))
                ours.append(dd(environment, f"/s3/{BUCKET}/big", size))
    what, against = f"TLS, dd bs=1M of {size / GIB:g} GiB", named("curl", best)
    report.compare(f"{what}: CPU", "lan", [cpu_per_gb(figure, size) for figure in ours],
                   [cpu_per_gb(figure, size) for figure in curls], "s/GB", against, at_most=1.1)
    report.compare(f"{what}: speed", "lan", [rate(size, figure["seconds"]) for figure in ours],
                   [rate(size, figure["seconds"]) for figure in curls], "MB/s", against)
