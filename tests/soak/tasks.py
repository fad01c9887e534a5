"""What the tasks of a soak do: shell and Python that works in a folder, {}.

A task begins with the files of `old`. `whole` says what a file may be when a process of the task was
killed, by the end of its name (the first that fits counts):
STRICT  the old one or the new one: one process writes it, or nobody else can go on without that one;
LINES   the old lines, or these and the new ones but for some: several processes write lines;
PREFIX  the old one, or the beginning of the new one: who reads a pipe does not learn why it ended;
ANY     anything (files of the kind that a killed program leaves).
Without a kill the folder is what it is on a disk, and the status 0."""
import dataclasses

STRICT, LINES, PREFIX, ANY = "strict", "lines", "prefix", "any"

NUMBERS = "".join(f"{n} some words of the line\n" for n in range(2000))
BLOCKS = bytes(range(256)) * 8192       # 2 MiB


@dataclasses.dataclass
class Task:
    name: str
    script: str
    old: dict = dataclasses.field(default_factory=dict)
    whole: dict = dataclasses.field(default_factory=lambda: {"": STRICT})
    interpreter: tuple = ("bash", "-c")


def python(name, script, **options):
    return Task(name, script, interpreter=("/usr/bin/python3", "-c"), **options)


TASKS = [
    Task("pipeline", "seq 1 20000 | sed s,1,one, | head -n 15000 >{}/out; wc -l <{}/out >{}/count",
         old={"out": "old\n"}, whole={"out": PREFIX, "count": ANY}),
    Task("a shell and its commands", "for i in $(seq 12); do echo shell $i; env echo program $i; done >{}/out",
         old={"out": "old\n"}, whole={"out": LINES}),
    Task("appending", "for i in $(seq 8); do echo shell $i >>{}/log; env echo program $i >>{}/log; done",
         old={"log": NUMBERS}, whole={"log": LINES}),
    Task("appending side by side", "for i in 1 2 3; do (for n in 1 2 3 4; do echo $i $n; done >{}/part$i) & "
         "done; wait; cat {}/part* >{}/all",
         whole={"part1": PREFIX, "part2": PREFIX, "part3": PREFIX, "all": LINES}),
    Task("a background job that goes on", "(sleep 0.2; echo late; env echo later) >{}/late & echo early >{}/early",
         old={"late": "old\n"}, whole={"late": LINES, "early": STRICT}),
    Task("execs that inherit", "exec 3>{}/out; echo a >&3; sh -c 'echo b >&3; exec sh -c \"echo c >&3; exec env "
         "echo d >&3\"'; exec 3>&-", old={"out": "old\n"}, whole={"out": LINES}),
    Task("copies", "mkdir {}/to && cp {}/blocks {}/numbers {}/to && cp -r {}/to {}/again && "
         "cmp {}/blocks {}/again/blocks",
         old={"blocks": BLOCKS, "numbers": NUMBERS}),
    Task("many parts", "cat {}/blocks {}/blocks {}/blocks {}/blocks {}/blocks {}/blocks >{}/made && "
         "cp {}/made {}/new",
         old={"blocks": BLOCKS, "new": "old\n"}, whole={"made": PREFIX, "new": PREFIX, "": STRICT}),
    Task("tar", "cd {} && tar -cf t.tar --mtime=@0 --owner=0 --group=0 --mode=644 blocks numbers && mkdir out && "
         "tar -xf t.tar -C out && cmp blocks out/blocks && rm t.tar", old={"blocks": BLOCKS, "numbers": NUMBERS},
         whole={"t.tar": ANY, "out/blocks": ANY, "out/numbers": ANY, "": STRICT}),
    Task("renames", "for i in 1 2 3 4; do mv {}/b {}/c; mv {}/a {}/b; cp {}/c {}/a; done",
         old={"a": "first\n", "b": NUMBERS}, whole={"": ANY}),
    Task("replaced by rename", "for i in 1 2 3; do sed s/words/$i/ {}/file >{}/file.new && "
         "mv {}/file.new {}/file; done; "
         "sed -i s/some/1/ {}/file; sort -o {}/file {}/file", old={"file": NUMBERS}, whole={"": ANY}),
    Task("descriptors", "exec 4<{}/numbers; for i in 1 2 3 4 5; do exec 5<&4 6>{}/out$i; read -r line <&5; "
         "echo $line >&6; exec 4<&5 5<&- 6>&-; done; env cat <&4 | tail -n 1 >{}/last",
         old={"numbers": NUMBERS}, whole={"last": ANY, "": STRICT}),
    python("changes in the middle", """
import os
fd = os.open("{}/blocks", os.O_RDWR)
for n in range(40):
    os.pwrite(fd, b"changed %d" % n, n * 50000 + 7)
os.ftruncate(fd, 2000000)
os.close(fd)""", old={"blocks": BLOCKS}),
    python("a shared map", """
import mmap
with open("{}/blocks", "r+b") as file, mmap.mmap(file.fileno(), 0) as shared:
    for n in range(20):
        shared[n * 100000:n * 100000 + 6] = b"mapped"
    shared.flush()
    shared[7:11] = b"more"
""", old={"blocks": BLOCKS}, whole={"": ANY}),
    python("children that write", """
import os
shared = os.open("{}/shared", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
pids = []
for n in range(4):
    pid = os.fork()
    if not pid:
        for i in range(10):
            os.write(shared, b"child %d line %d\\n" % (n, i))
        with open("{}/own%d" % n, "w") as own:
            own.write("all of it\\n" * 3000)
        os._exit(0)
    os.waitpid(pid, 0)
os.close(shared)""", old={"shared": "old\n"}, whole={"shared": LINES, "": STRICT}),
    python("dup2 and close", """
import os
fds = [os.open("{}/numbers", os.O_RDONLY) for _ in range(10)]
out = os.open("{}/out", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
for n, fd in enumerate(fds):
    os.dup2(fd, 40 + n)
    os.close(fd)
    os.write(out, os.pread(40 + n, 100, n * 100))
    os.dup2(40, 50 + n)
os.closerange(40, 70)
os.close(out)""", old={"numbers": NUMBERS, "out": "old\n"}),
    python("programs from threads", """
import subprocess, threading
def work(n):
    with open("{}/out%d" % n, "wb") as out, open("{}/numbers") as source:
        subprocess.run(["head", "-n", str(100 * n + 1)], stdin=source, stdout=out, check=False)
threads = [threading.Thread(target=work, args=[n]) for n in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()""", old={"numbers": NUMBERS}, whole={"numbers": STRICT, "": PREFIX}),
]
