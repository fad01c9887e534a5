"""Large directories listed: ls, ls -l, find and du, beside one page after another."""
from harness import BUCKET, PYTHON, Server, measure, run_json
from raw_requests import Connection, middle

KEYS = 20000
SPLIT, PAGES = 0.6, 1.2  # at most so much of pages x first byte; where the keys can be split, and else
FIRST_ENTRY = """
import os, sys, time
os.path.exists(sys.argv[1] + "/..")
began = time.perf_counter()
next(iter(os.scandir(sys.argv[1])))
print((time.perf_counter() - began) * 1000)
os._exit(0)
"""
PROGRAMS = {"ls": ["ls"], "ls -l": ["ls", "-l"], "find": ["find"], "du": ["du", "-a"]}


def bench(options, report):
    with Server(options.build, "--synthetic", f"{BUCKET}/flat/%=100*{KEYS}", network="cloud") as server:
        environment, path = server.environment(options.build), f"/s3/{BUCKET}/flat"
        ours, pages, first, firsts = {name: [] for name in PROGRAMS}, [], [], []
        for _ in range(options.rounds):
            with Connection(server.port) as connection:
                pages.append(sum(connection.pages(BUCKET, "flat%2F")))
                firsts.append(1000 * middle([connection.get(f"/{BUCKET}/flat/{i:07}")[0]
                                             for i in range(20)]))
            for name, command in PROGRAMS.items():
                ours[name].append(measure([*command, path], environment).seconds)
            first.append(run_json([PYTHON, "-c", FIRST_ENTRY, path], environment))
    for name, took in ours.items():
        report.compare(f"{name} of {KEYS:,} keys", "cloud", took, pages, "s", "page after page",
                       at_most=SPLIT)
    report.compare(f"first entry of {KEYS:,} keys", "cloud", first, firsts, "ms", "first byte", at_most=2)
