"""Runs the Python program on standard input and shows how each call of `do` ended: do.pwrite(fd, b"x", 0)
is os.pwrite, and prints "pwrite: 1" or "pwrite: ENOSPC". Results that say nothing are shown as "ok". The
folder under test is ROOT, the only argument; do.NAME returns what the call did, or None."""
import ctypes
import errno
import mmap
import os
import sys

ROOT = sys.argv[1]
libc = ctypes.CDLL(None, use_errno=True)


def renameat2(old, new, flags):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def map_shared(fd, length):
    return mmap.mmap(fd, length)


def msync(mapping):
    mapping.flush()


class Calls:
    own = {"renameat2": renameat2, "mmap": map_shared, "msync": msync}
    silent = ("open", "lseek", "mmap", "stat")

    def __getattr__(self, name):
        function = self.own.get(name) or getattr(os, name)

        def call(*args):
            try:
                result = function(*args)
            except OSError as error:
                print(f"{name}: {errno.errorcode[error.errno]}", flush=True)
                return None
            print(f"{name}: {'ok' if result is None or name in self.silent else result}", flush=True)
            return result
        return call


def fill(fd, length, letter=b"n"):
    """Writes that many bytes; the errno of the first write that fails, or "ok"."""
    try:
        while length:
            length -= os.write(fd, letter * min(length, 1 << 20))
    except OSError as error:
        print("write:", errno.errorcode[error.errno], flush=True)
    else:
        print("write: ok", flush=True)


exec(compile(sys.stdin.read(), "stdin", "exec"),
     {"do": Calls(), "fill": fill, "ROOT": ROOT, "os": os, "NOREPLACE": 1,
      **{name: getattr(os, name) for name in dir(os) if name.startswith("O_")}})
