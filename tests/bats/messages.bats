#!/usr/bin/env bats
# Descriptors over sockets, as Python's library sends them.

load lib/shim
load lib/data

setup_file() { serve_data; }

@test "socket.send_fds and recv_fds" {
    same_script python3 <<'PY'
import os, socket, sys
root = sys.argv[1]
here, there = socket.socketpair()
child = os.fork()
if not child:
    text, fds, flags, address = socket.recv_fds(there, 100, 8)
    line = os.read(fds[0], 4)
    os.write(fds[1], b"the child read " + line)
    os.write(fds[2], text)
    os._exit(0)
r, w = os.pipe()
short = open(root + "/text/short.txt", "rb", buffering=0)
new = open(root + "/sent.txt", "wb", buffering=0)
new.write(b"the parent wrote this; ")
socket.send_fds(here, [b"and a message"], [short.fileno(), new.fileno(), w])
print(os.waitpid(child, 0)[1], os.read(r, 100), short.readline(), new.tell())
new.write(b".\n")
new.close()
print(open(root + "/sent.txt").read())
PY
}

sharing_script() {
    cat <<'PY'
import multiprocessing as mp, os, sys
from multiprocessing import reduction

def work(conn):
    with os.fdopen(conn.recv().detach(), "rb") as f:          # resource_sharer
        conn.send(f.readline())
    with os.fdopen(reduction.recv_handle(conn), "ab", buffering=0) as f:
        f.write(b"from the worker\n")
        conn.send(f.tell())
    with open(conn.recv(), "wb", buffering=0) as f:           # and back
        f.write(b"begun in the worker, ")
        conn.send(os.getpid())
        reduction.send_handle(conn, f.fileno(), conn.recv())

def main(root, method):
    with open(root + "/text/short.txt", "rb") as first:
        first.read()
    context = mp.get_context(method)
    here, there = context.Pipe()
    worker = context.Process(target=work, args=(there,))
    worker.start()
    with open(root + "/text/short.txt", "rb", buffering=0) as f:
        f.seek(4)
        here.send(reduction.DupFd(f.fileno()))
        print(here.recv(), f.tell() >= 8)
    with open(root + "/" + method, "wb", buffering=0) as f:
        f.write(b"from the parent, ")
        reduction.send_handle(here, f.fileno(), worker.pid)
        print(here.recv(), f.tell())
    print(open(root + "/" + method).read())
    here.send(root + "/back")
    here.recv()
    here.send(os.getpid())
    fd = reduction.recv_handle(here)
    worker.join()
    os.write(fd, b"ended in the parent")
    os.close(fd)
    print(open(root + "/back").read(), worker.exitcode)

if __name__ == "__main__":
    main(*sys.argv[1:])
PY
}

@test "multiprocessing: DupFd through a pipe, send_handle, under fork" {
    sharing_script >"$BATS_TEST_TMPDIR/share.py"
    same "python3 '$BATS_TEST_TMPDIR/share.py' {} fork"
}

@test "multiprocessing: the same under spawn" {
    sharing_script >"$BATS_TEST_TMPDIR/share.py"
    same "python3 '$BATS_TEST_TMPDIR/share.py' {} spawn"
}

@test "multiprocessing: the same under forkserver" {
    sharing_script >"$BATS_TEST_TMPDIR/share.py"
    same "python3 '$BATS_TEST_TMPDIR/share.py' {} forkserver"
}

@test "multiprocessing: workers that have used the bucket before, below a working directory in it" {
    cat >"$BATS_TEST_TMPDIR/cwd.py" <<'PY'
import multiprocessing as mp, os, sys
from multiprocessing import reduction

def work(conn):
    with open("text/short.txt") as own:
        conn.send(own.readline())
        os.write(reduction.recv_handle(conn), own.readline().encode())

if __name__ == "__main__":
    os.chdir(sys.argv[1])
    for method in "fork", "spawn", "forkserver":
        context = mp.get_context(method)
        here, there = context.Pipe()
        worker = context.Process(target=work, args=(there,))
        worker.start()
        print(here.recv(), end="")
        with open("worked", "wb") as f:
            reduction.send_handle(here, f.fileno(), worker.pid)
        worker.join()
        print(worker.exitcode, open("worked").read(), end="")
PY
    same "python3 '$BATS_TEST_TMPDIR/cwd.py' {}"
}

@test "what has sent parts that are not kept, behind an object that is there, is not sent and says why" {
    cat >"$BATS_TEST_TMPDIR/append.py" <<'PY'
import os, socket, sys
here, there = socket.socketpair()
with open(sys.argv[1], "wb", buffering=0) as f:
    f.write(bytes(12 << 20))
    os.fsync(f.fileno())
    for _ in range(120):
        f.write(bytes(1 << 20))
    try:
        socket.send_fds(here, [b"!"], [f.fileno()])
    except OSError as error:
        print(error.errno, f.tell())
print(os.path.getsize(sys.argv[1]))
PY
    refuse 0 "cannot send $VIRTUAL/append.bin to another process: it is an append" \
        S3DLIO_MEMORY_BUDGET=1 python3 "$BATS_TEST_TMPDIR/append.py" "$VIRTUAL/append.bin"
    equal "$(<"$BATS_TEST_TMPDIR/out")" $'95 138412032\n138412032'
}
