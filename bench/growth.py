"""Growth: objects, threads, keys and open files, from few and small to many and large. Plotted."""
from harness import BUCKET, GB, GIB, MIB, PYTHON, Server, measure, median, memory_budget_bytes
from report import size_name

BARE = 1.5  # what threads cost beside threads with bare sockets
FLAT = 1.3  # the cost of a byte or a key at the end, at most so many times what it is in the middle
TOTAL = 256 * MIB   # read of objects that are smaller than that: as many as make it
BYTES_COUNT = 16 * MIB  # below that it shows what an object costs beyond its bytes
OBJECTS = [(64 << 10) << (2 * step) for step in range(10)]  # 64 KiB to 16 GiB
THREADS = (1, 2, 4, 8, 16, 32, 64)
KEYS = (100, 1000, 10000, 100000, 1000000)
OPEN_FILES, FILES = (1, 10, 100, 1000), 1000

# Reads what there is in a directory, one object after the other.
ALL = """
import os, sys
block = bytearray(1 << 20)
for entry in os.scandir(sys.argv[1]):
    fd = os.open(entry.path, os.O_RDONLY)
    while os.readv(fd, [block]):
        pass
    os.close(fd)
"""
# Each thread reads its share of one object from beginning to end.
SHARES = """
import os, sys, threading
fd, count = os.open(sys.argv[1], os.O_RDONLY), int(sys.argv[2])
size = os.fstat(fd).st_size
def share(number):
    block, at, end = bytearray(1 << 20), size * number // count, size * (number + 1) // count
    while at < end:
        at += os.preadv(fd, [memoryview(block)[:min(len(block), end - at)]], at)
workers = [threading.Thread(target=share, args=(number,)) for number in range(count)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""
# Ranges by a bare socket, received into a block.
GET = r"""
import socket, sys, threading
def connect():
    return socket.create_connection(("127.0.0.1", int(sys.argv[1])))
def get(connection, path, at, block):
    answer, wanted = b"", len(block)
    asked = f"GET {path} HTTP/1.1\r\nHost: bench\r\nRange: bytes={at}-{at + wanted - 1}\r\n\r\n"
    connection.sendall(asked.encode())
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(4096)
    head, body = answer.split(b"\r\n\r\n", 1)
    assert b" 206 " in head
    got = len(body)
    while got < wanted:
        got += connection.recv_into(block[got:])
"""
# Each thread reads its share as above, by a socket and nothing else.
SOCKETS = GET + """
path, size, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
def share(number):
    block, at, end = memoryview(bytearray(1 << 20)), size * number // count, size * (number + 1) // count
    with connect() as connection:
        for at in range(at, end, len(block)):
            get(connection, path, at, block[:end - at])
workers = [threading.Thread(target=share, args=(number,)) for number in range(count)]
for worker in workers: worker.start()
for worker in workers: worker.join()
"""
LIST = "import os, sys; assert sum(1 for _ in os.scandir(sys.argv[1])) == int(sys.argv[2])"
# So many open at once, read in turns of 256 KiB, then the next ones.
TURNS = """
import os, sys
block, at_once = bytearray(256 << 10), int(sys.argv[2])
for first in range(0, int(sys.argv[3]), at_once):
    fds = [os.open(f"{sys.argv[1]}/{i:07}", os.O_RDONLY) for i in range(first, first + at_once)]
    reading = fds
    while reading:
        reading = [fd for fd in reading if os.readv(fd, [block])]
    for fd in fds:
        os.close(fd)
"""
# The same pieces one after another, by one socket.
PIECES = GET + """
block = memoryview(bytearray(256 << 10))
with connect() as connection:
    for at in range(0, int(sys.argv[3]), len(block)):
        for i in range(int(sys.argv[4])):
            get(connection, f"{sys.argv[2]}/{i:07}", at, block)
"""


def run(options, server, program, *arguments):
    """CPU seconds of each round, without what Python itself takes to begin, and peak MiB."""
    environment = server.environment(options.build)
    done = [measure([PYTHON, "-c", program, *arguments], environment) for _ in range(options.rounds)]
    return [each.cpu_seconds - run.idle_cpu for each in done], max(each.peak_kib for each in done) / 1024


run.idle_cpu = 0.0


def costs(figures, divisor):
    """(cost of each round, peak MiB)"""
    cpu, peak = figures
    return [seconds / divisor for seconds in cpu], peak


def by_size(options):
    """{size: (CPU s/GB, peak MiB)}"""
    found = {}
    for size in OBJECTS[:-2] if options.quick else OBJECTS:
        count = max(1, TOTAL // size)
        with Server(options.build, "--synthetic", f"{BUCKET}/o/%={size}*{count}", network="lan") as server:
            found[size] = costs(run(options, server, ALL, f"/s3/{BUCKET}/o"), size * count / GB)
    return found


def by_threads(options, report):
    size, found = options.size(4 * GIB), {}
    with Server(options.build, "--synthetic", f"{BUCKET}/big={size}", network="lan") as server:
        for threads in THREADS:
            found[threads] = costs(run(options, server, SHARES, f"/s3/{BUCKET}/big", threads), size / GB)
        bare, _ = costs(run(options, server, SOCKETS, server.port, f"/{BUCKET}/big", size, THREADS[-1]), size / GB)
    report.compare(f"growth by threads: CPU at {THREADS[-1]}, beside bare sockets", "lan", found[THREADS[-1]][0],
                   bare, "s/GB", f"a socket a thread, {THREADS[-1]} threads", at_most=BARE)
    return found


def by_keys(options):
    """{keys: (CPU us a key, peak MiB)}"""
    found = {}
    for keys in KEYS[:-1] if options.quick else KEYS:
        with Server(options.build, "--synthetic", f"{BUCKET}/d/%=10*{keys}", network="lan") as server:
            found[keys] = costs(run(options, server, LIST, f"/s3/{BUCKET}/d", keys), keys / 1e6)
    return found


def by_open_files(options, report):
    """{open at once: (CPU s/GB, peak MiB)}; the same files each time."""
    size, found = options.size(4 * MIB), {}
    with Server(options.build, "--synthetic", f"{BUCKET}/f/%={size}*{FILES}", network="lan") as server:
        for count in OPEN_FILES:
            found[count] = costs(run(options, server, TURNS, f"/s3/{BUCKET}/f", count, FILES),
                                 size * FILES / GB)
        bare, _ = costs(run(options, server, PIECES, server.port, f"/{BUCKET}/f", size, FILES), size * FILES / GB)
    report.compare(f"growth by open files: CPU at {OPEN_FILES[-1]}, beside a bare socket", "lan",
                   found[OPEN_FILES[-1]][0], bare, "s/GB", "a request for each read of 256 KiB")
    return found


def tell(report, name, found, unit, show, middle):
    """Rows of one plot: is the cost at the end what it is in the middle, does memory stay?"""
    last, budget = max(found), memory_budget_bytes() / MIB
    report.compare(f"growth by {name}: CPU at {show(last)}", "lan", found[last][0], found[middle][0], unit,
                   f"at {show(middle)}", at_most=FLAT)
    report.add(f"growth by {name}: peak memory", max(peak for _, peak in found.values()), "MiB",
               network="lan", at_most=budget + 32)
    word = name.replace(" ", "_")
    report.plot(f"growth_{word}_cpu", f"CPU by {name}", name, unit,
                {"CPU": [(x, median(each)) for x, (each, _) in found.items()]})
    report.plot(f"growth_{word}_memory", f"Peak memory by {name}", name, "MiB",
                {"process": [(x, peak) for x, (_, peak) in found.items()],
                 "budget": [(x, budget) for x in found]})


def bench(options, report):
    with Server(options.build) as server:
        run.idle_cpu = 0.0
        run.idle_cpu = median(run(options, server, "import os, sys, threading")[0])
    tell(report, "object size", by_size(options), "s/GB", size_name, BYTES_COUNT)
    tell(report, "threads", by_threads(options, report), "s/GB", str, 1)
    tell(report, "keys", by_keys(options), "us a key", "{:,}".format, 10000)
    tell(report, "open files", by_open_files(options, report), "s/GB", str, 1)
