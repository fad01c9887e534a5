"""The rows of the table, and the forms that it is shown in."""
import json
import statistics
import sys


def number(value):
    """Three digits, without an exponent."""
    if value is None:
        return ""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def size_name(count):
    """1.5 MiB"""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024 or unit == "GiB":
            return f"{count:.3g} {unit}"
        count /= 1024
    return ""


class Report:
    """Rows: what was done on which network; ours, what it is compared with, their ratio, its target."""

    COLUMNS = ("work", "network", "ours", "floor or peer", "ratio", "spread", "target", "met")

    def __init__(self):
        self.rows, self.plots, self.part = [], [], None
        self.how = {}   # of each part: when and how it was measured

    def keep(self, path):
        """Begins with the results of an earlier run."""
        if path.exists():
            earlier = json.loads(path.read_text())
            self.rows, self.plots, self.how = (earlier[name] for name in ("rows", "plots", "how"))

    def begin(self, part, how):
        """What was known of the part is measured anew."""
        self.rows = [row for row in self.rows if row["part"] != part]
        self.plots = [plot for plot in self.plots if plot.get("part") != part]
        self.part, self.how[part] = part, how

    def sort(self, parts):
        self.rows.sort(key=lambda row: parts.index(row["part"]))

    def add(self, work, value, unit, at_most=None, at_least=None, network="", spread=""):
        """One figure of ours. A unit of "x" says that it is a ratio already."""
        row = {"ours": None if unit == "x" else value, "unit": unit,
               "ratio": value if unit == "x" else None, "spread": spread}
        self._append(work, network, row, value, at_most, at_least)

    def compare(self, work, network, ours, theirs, unit, against, at_most=None, at_least=None):
        """Ours and theirs are lists, one value a round; the ratio is the median of the rounds' ratios."""
        each = [one / other for one, other in zip(ours, theirs)]
        row = {"ours": statistics.median(ours), "unit": unit, "theirs": statistics.median(theirs),
               "against": against, "ratio": statistics.median(each),
               "spread": f"{min(each):.3g} .. {max(each):.3g}", "rounds": len(each)}
        self._append(work, network, row, row["ratio"], at_most, at_least)

    def skip(self, work, network, reason):
        self._append(work, network, {"skipped": reason}, None, None, None)

    def plot(self, name, title, x, y, lines):
        """Data of a plot: x and y are axis labels, lines {label: [(x, y), ...]}."""
        self.plots.append({"name": name, "title": title, "x": x, "y": y, "lines": lines,
                           "part": self.part})

    def _append(self, work, network, row, judged, at_most, at_least):
        met, target = None, ""
        if at_most is not None:
            met, target = judged <= at_most, f"<= {number(at_most)}"
        if at_least is not None:
            met, target = judged >= at_least, f">= {number(at_least)}"
        row = {"part": self.part, "work": work, "network": network, **row, "target": target, "met": met}
        self.rows.append(row)
        print("  ".join(word for word in self.cells(row) if word), file=sys.stderr, flush=True)

    @staticmethod
    def cells(row):
        """The row as text, a word a column."""
        if "skipped" in row:
            return [row["work"], row["network"], "skipped: " + row["skipped"], "", "", "", "", ""]
        ours = "" if row["ours"] is None else f"{number(row['ours'])} {row['unit']}".rstrip()
        theirs = "" if row.get("theirs") is None else \
            f"{row['against']}: {number(row['theirs'])} {row['unit']}".rstrip()
        ratio = "" if row["ratio"] is None else number(row["ratio"])
        met = {None: "", True: "yes", False: "MISSED"}[row["met"]]
        return [row["work"], row["network"], ours, theirs, ratio, row["spread"], row["target"], met]

    def text(self):
        table = [list(self.COLUMNS)] + [self.cells(row) for row in self.rows]
        measured = [line for line in table if not line[2].startswith("skipped")]
        widths = [max(len(line[i]) for line in measured) for i in range(len(self.COLUMNS))]
        return "".join("  ".join(word.ljust(width) for word, width in zip(line, widths)).rstrip() + "\n"
                       for line in table)

    def markdown(self):
        lines = ["| " + " | ".join(self.COLUMNS) + " |", "|" + "---|" * len(self.COLUMNS)]
        part = None
        for row in self.rows:
            if row["part"] != part:
                part = row["part"]
                lines.append(f"| **`{part}`**: {self.how.get(part, '')} |" + " |" * (len(self.COLUMNS) - 1))
            lines.append("| " + " | ".join(word.replace("|", "\\|") for word in self.cells(row)) + " |")
        return "\n".join(lines) + "\n"

    def missed(self):
        return [row for row in self.rows if row["met"] is False]

    def write(self, folder, machine):
        """results.json and table.txt"""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_text(
            json.dumps({"machine": machine, "how": self.how, "rows": self.rows, "plots": self.plots},
                       indent=2) + "\n")
        (folder / "table.txt").write_text(self.text())

    def draw(self, folder):
        """An SVG of each plot where matplotlib is there; lines that say what became of it."""
        try:
            import matplotlib
        except ImportError:
            return ["no plots: matplotlib is not installed (scripts/bootstrap bench)"] if self.plots else []
        matplotlib.use("svg")
        return [str(draw(plot, folder)) for plot in self.plots]


def draw(plot, folder):
    from matplotlib import pyplot
    figure, axes = pyplot.subplots(figsize=(7, 4.2))
    for label, points in plot["lines"].items():
        axes.plot([x for x, _ in points], [y for _, y in points], marker="o", label=label)
    axes.set(title=plot["title"], xlabel=plot["x"], ylabel=plot["y"], xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(True, alpha=0.3)
    axes.legend()
    path = folder / f"{plot['name']}.svg"
    figure.savefig(path, bbox_inches="tight")
    pyplot.close(figure)
    return path
