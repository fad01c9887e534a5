"""Reads what statistics are written as, strictly: statistics.py json|prom|server FILE...

json: each line is an object; prints one line each, "command requests received sent" and then the kinds in
order, "GetObject=3". prom: the text format as Prometheus has it (one HELP and TYPE before all lines of a
metric, which stand together; histograms that grow up to +Inf; no line twice); prints the same lines.
server: the bundled server's /-/stats, "requests received sent" as a client counts, and the kinds.
"""
import json
import re
import sys

NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(rf'({NAME})\{{((?:{NAME}="(?:[^"\\\n]|\\[\\"n])*",?)*)\}} (-?[0-9.e+-]+)$')
LABEL = re.compile(rf'({NAME})="((?:[^"\\\n]|\\[\\"n])*)"')


def line_of(*words, kinds):
    shown = [f"{kind}={count}" for kind, count in sorted(kinds.items()) if count]
    print(*words, *shown)


def read_json(path):
    with open(path) as lines:
        for line in lines:
            assert line.endswith("\n"), "a line is cut off"
            told = json.loads(line)
            kinds = {kind: row["requests"] for kind, row in told["by_kind"].items()}
            assert sum(kinds.values()) == told["requests"]
            for row in told["by_kind"].values():
                for times in (row["first_byte_us"], row["total_us"]):
                    values = [times[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
                    assert values == sorted(values), values
            intervals = told["course"]["intervals"]
            assert max(row["in_flight"] for row in intervals) == told["in_flight_peak"]
            line_of(told["command"], told["requests"], told["bytes_received"], told["bytes_sent"],
                    kinds=kinds)


class Metrics:
    """The samples of one file, by name and labels."""

    def __init__(self, path):
        self.types, self.samples, self.helps = {}, {}, set()
        current = None
        with open(path) as file:
            text = file.read()
        assert text.endswith("\n")
        for line in text[:-1].split("\n"):
            if line.startswith("# "):
                _, kind, name, rest = line.split(" ", 3)
                if kind == "HELP":
                    assert name not in self.helps, f"{name} stands in two places"
                    self.helps.add(name)
                else:
                    assert kind == "TYPE" and name in self.helps and name not in self.types, line
                    assert rest in ("counter", "gauge", "histogram")
                    self.types[name] = rest
                current = name
                continue
            match = SAMPLE.match(line)
            assert match, line
            name, labels, value = match[1], LABEL.findall(match[2]), float(match[3])
            base = name
            if self.types[current] == "histogram":
                base = re.sub(r"_(bucket|sum|count)$", "", name)
            assert base == current, f"{name} below {current}"
            key = (name, tuple(sorted(labels)))
            assert key not in self.samples, f"{line} is there twice"
            self.samples[key] = value
        assert set(self.types) == self.helps
        for name, kind in self.types.items():
            if kind == "counter":
                assert name.endswith("_total"), name
            if kind == "histogram":
                self.check_histogram(name)

    def check_histogram(self, name):
        rows = {}
        for (sample, labels), value in self.samples.items():
            if sample == f"{name}_bucket":
                labels = dict(labels)
                bound = float(labels.pop("le").replace("+Inf", "inf"))
                rows.setdefault(tuple(sorted(labels.items())), []).append((bound, value))
        for labels, row in rows.items():
            counts = [count for _, count in sorted(row)]
            assert counts == sorted(counts), f"{name} {labels} falls"
            assert sorted(row)[-1] == (float("inf"), self.samples[f"{name}_count", labels])
            assert (f"{name}_sum", labels) in self.samples

    def by(self, name, label):
        return {dict(labels)[label]: int(value) for (sample, labels), value in self.samples.items()
                if sample == name}


def read_prom(path):
    metrics = Metrics(path)
    kinds = metrics.by("s3dlio_requests_total", "operation")
    [(command, received)] = metrics.by("s3dlio_received_bytes_total", "command").items()
    [sent] = metrics.by("s3dlio_sent_bytes_total", "command").values()
    line_of(command, sum(kinds.values()), received, sent, kinds=kinds)


def read_server(path):
    with open(path) as file:
        rows = json.load(file)["operations"]
    kinds = {kind.replace("ListObjectsV2", "ListObjects"): row["requests"] for kind, row in rows.items()}
    line_of(sum(kinds.values()), rows.get("GetObject", {}).get("bytes_out", 0),
            sum(row["bytes_in"] for kind, row in rows.items() if kind in ("PutObject", "UploadPart")),
            kinds=kinds)


for path in sys.argv[2:]:
    {"json": read_json, "prom": read_prom, "server": read_server}[sys.argv[1]](path)
