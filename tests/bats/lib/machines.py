"""Several machines at one bucket: runs the Python program on standard input, which makes them.

Machine() is a process under the shim that shares nothing with others but the server; its methods are
calls of os, carried out there one at a time: a.open(name, O_RDWR). They return what the call does, or
the name of its errno. Names are below FOLDER. put, get and delete are requests of another tool; the
bytes of files are text here. check(actual, expected) ends the program when they differ.
"""
import ctypes
import errno
import json
import os
import subprocess
import sys
import tempfile

FOLDER = "/s3/test/machines"
NOREPLACE = 1


# ---- the process on a machine --------------------------------------------------------------------
def renameat2(old, new, flags):
    if ctypes.CDLL(None, use_errno=True).renameat2(-100, old.encode(), -100, new.encode(), flags):
        raise OSError(ctypes.get_errno(), "renameat2")


def work():
    own = {"renameat2": renameat2, "write": lambda fd, text: os.write(fd, text.encode()),
           "pwrite": lambda fd, text, at: os.pwrite(fd, text.encode(), at),
           "read": lambda fd, length: os.read(fd, length).decode(),
           "pread": lambda fd, length, at: os.pread(fd, length, at).decode(),
           "size": lambda name: os.stat(name).st_size}
    for line in sys.stdin:
        name, args = json.loads(line)
        try:
            result = (own.get(name) or getattr(os, name))(*args)
        except OSError as error:
            result = errno.errorcode[error.errno]
        except TypeError as error:      # a descriptor that is the name of an errno
            result = str(error)
        print(json.dumps(result), flush=True)


class Machine:
    def __init__(self, **options):
        place = tempfile.mkdtemp(dir=os.environ["BATS_TEST_TMPDIR"])
        env = {**os.environ, "LD_PRELOAD": os.environ["MACHINE_PRELOAD"], "XDG_RUNTIME_DIR": place, **options}
        self.process = subprocess.Popen([sys.executable, __file__, "work"], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def begin(self, name, *args):
        """The call is under way when this returns; end() has its result."""
        args = [f"{FOLDER}/{arg[1:]}" if isinstance(arg, str) and arg[:1] == "@" else arg for arg in args]
        self.process.stdin.write(json.dumps([name, args]) + "\n")
        self.process.stdin.flush()

    def end(self):
        return json.loads(self.process.stdout.readline())

    def __getattr__(self, name):
        def call(*args):
            self.begin(name, *args)
            return self.end()
        return call


# ---- another tool --------------------------------------------------------------------------------
def request(method, name, *options):
    env = os.environ
    url = f"{env['AWS_ENDPOINT_URL']}/test/machines/{name}"
    command = ["curl", "-qsS", "--noproxy", "*", "-X", method, url, "--aws-sigv4", f"aws:amz:{env['AWS_REGION']}:s3",
               "--user", env["AWS_ACCESS_KEY_ID"] + ":" + env["AWS_SECRET_ACCESS_KEY"],
               "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", "-w", "\n%{http_code}", *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=60)
    body, _, status = done.stdout.rpartition(b"\n")
    return int(status), body.decode()


def put(name, text):
    with tempfile.NamedTemporaryFile("w", dir=os.environ["BATS_TEST_TMPDIR"]) as file:
        file.write(text)
        file.flush()
        check(request("PUT", name, "--upload-file", file.name)[0], 200)


def get(name):
    """The object's text; None: there is none."""
    status, body = request("GET", name)
    return body if status == 200 else None


def delete(name):
    check(request("DELETE", name)[0], 204)


def short(value):
    text = repr(value)
    return text if len(text) < 100 else f"{text[:60]}... ({len(value)} bytes) ...{text[-30:]}"


def check(actual, expected):
    if actual != expected:
        frame = sys._getframe(1)
        sys.exit(f"line {frame.f_lineno}: {short(actual)} instead of {short(expected)}")


if sys.argv[1:] == ["work"]:
    work()
else:
    put("", "")
    exec(compile(sys.stdin.read(), "stdin", "exec"),
         {"__name__": "machines", **{key: value for key, value in globals().items() if key[0] != "_"},
          **{name: getattr(os, name) for name in dir(os) if name.startswith("O_")}})
