"""Large directories listed: ls, ls -l, find and du, beside one page after another."""
from harness import BUCKET, PYTHON, Server, TookTooLong, measure, median, run_json, spread_of
from raw_requests import Connection, middle

KEYS, PAGE_KEYS, LIMIT_S = 20000, 1000, 60
SPLIT = 0.6  # at most so much of pages x first byte, as the keys can be split; else 1.2
FIRST_ENTRY = """
import os, sys, time
os.path.exists(sys.argv[1] + "/..")
began = time.perf_counter()
next(iter(os.scandir(sys.argv[1])))
print((time.perf_counter() - began) * 1000)
os._exit(0)
"""
PROGRAMS = {"ls": ["ls"], "ls -l": ["ls", "-l"], "find": ["find"], "du": ["du", "-a"]}


def seconds(command, environment):
    """At most LIMIT_S: what takes longer has missed its target by far, and is ended."""
    try:
        return measure(command, environment, LIMIT_S).seconds
    except TookTooLong:
        return LIMIT_S


def bench(options, report):
    with Server(options.build, "--synthetic", f"{BUCKET}/flat/%=100*{KEYS}", network="cloud") as server:
        environment, path = server.environment(options.build), f"/s3/{BUCKET}/flat"
        ours, requests = ({name: [] for name in PROGRAMS} for _ in range(2))
        pages, first, firsts = [], [], []
        for _ in range(options.rounds):
            with Connection(server.port) as connection:
                pages.append(sum(connection.pages(BUCKET, "flat%2F")))
                firsts.append(1000 * middle([connection.get(f"/{BUCKET}/flat/{i:07}")[0]
                                             for i in range(20)]))
            for name, command in PROGRAMS.items():
                before = server.stats()["requests"]
                ours[name].append(seconds([*command, path], environment))
                requests[name].append((server.stats()["requests"] - before) / (KEYS / PAGE_KEYS))
            first.append(run_json([PYTHON, "-c", FIRST_ENTRY, path], environment))
    for name, took in ours.items():
        report.compare(f"{name} of {KEYS:,} keys", "cloud", took, pages, "s", "page after page",
                       at_most=SPLIT)
        report.add(f"{name} of {KEYS:,} keys: requests a page", median(requests[name]), "", network="cloud",
                   spread=spread_of(requests[name]))
    report.compare(f"first entry of {KEYS:,} keys", "cloud", first, firsts, "ms", "first byte", at_most=2)
