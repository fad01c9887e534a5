"""replaced.py FOLDER: does things to FOLDER/file while the server replaces it at the first, second, …
request that reads it. What is read is one version; what is published comes from the version that was
there and takes its place, or it is ESTALE and that version stays.

Each step runs in a process of its own, so that nothing is known of the file before."""
import errno
import os
import shutil
import sys
import urllib.request

FOLDER = sys.argv[1]
FILE, OTHER = FOLDER + "/file", FOLDER + "/other"
OLD = os.urandom(6 << 20)
MIDDLE = 3 << 20
REFUSALS = (errno.ESTALE, errno.EBUSY)
REQUESTS_MAX = 60


def server(method, path, body=None):
    request = urllib.request.Request(os.environ["AWS_ENDPOINT_URL"] + path, method=method, data=body)
    return urllib.request.urlopen(request).read().decode()


def replaced_at(nth):
    key = FILE.split("/", 3)[3]
    server("POST", "/-/faults", f"op=[GH]e*Object key={key} nth={nth} action=replace".encode())


def in_process(work):
    """What work returned: bytes, or an error number."""
    result, to_parent = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            answer = b"=" + (work() or b"")
        except OSError as error:
            answer = b"!" + str(error.errno).encode()
        with os.fdopen(to_parent, "wb") as pipe:
            pipe.write(answer)
        os._exit(0)
    os.close(to_parent)
    with os.fdopen(result, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(pid, 0)
    assert answer, "a child ended without an answer"
    return answer[1:] if answer[:1] == b"=" else int(answer[1:])


def read(path):
    with open(path, "rb") as file:
        return file.read()


def put(path, content):
    with open(path, "wb") as file:
        file.write(content)


def prepare():
    if os.path.exists(OTHER):
        os.unlink(OTHER)
    put(FILE, OLD)


def change():
    with open(FILE, "r+b", buffering=0) as file:
        file.seek(MIDDLE)
        file.write(b"changed")


def append():
    with open(FILE, "ab", buffering=0) as file:
        file.write(b"appended")


def changed(content):
    return content[:MIDDLE] + b"changed" + content[MIDDLE + 7:]


def whole(result, file, other, theirs):
    return result in (OLD, theirs) and file == theirs


def same_place(make):
    """The result of an operation in place; or it was replaced again behind it."""
    return lambda result, file, other, theirs: file in (make(theirs), theirs)


def copied(result, file, other, theirs):
    return file == theirs and other in (OLD, theirs)


def moved(result, file, other, theirs):
    return file == errno.ENOENT and other == theirs


OPERATIONS = {
    "read": (lambda: read(FILE), whole),
    "change": (change, same_place(changed)),
    "append": (append, same_place(lambda content: content + b"appended")),
    "truncate": (lambda: os.truncate(FILE, MIDDLE), same_place(lambda content: content[:MIDDLE])),
    "copy": (lambda: shutil.copyfile(FILE, OTHER) and None, copied),
    "rename": (lambda: os.rename(FILE, OTHER), moved),
    "chmod": (lambda: os.chmod(FILE, 0o600), same_place(lambda content: content)),
}


def attempt(name, nth, theirs):
    """False when no request was left to be met."""
    work, is_right = OPERATIONS[name]
    in_process(prepare)
    replaced_at(nth)
    result = in_process(work)
    was_met = "fired=0" not in server("GET", "/-/faults")
    server("DELETE", "/-/faults")
    file, other = in_process(lambda: read(FILE)), in_process(lambda: read(OTHER))
    if was_met and isinstance(result, int):
        assert result in REFUSALS, (name, nth, os.strerror(result))
        assert file == theirs, (name, nth, "refused, and the other version is not there")
    elif was_met:
        assert is_right(result, file, other, theirs), (name, nth, "done, and not as it should be")
    return was_met


def main():
    in_process(lambda: os.makedirs(FOLDER, exist_ok=True))
    in_process(prepare)
    replaced_at(1)
    theirs = in_process(lambda: read(FILE))
    server("DELETE", "/-/faults")
    assert len(theirs) == len(OLD) and theirs != OLD
    for name in OPERATIONS:
        nth = 1
        while attempt(name, nth, theirs):
            nth += 1
        assert 1 < nth < REQUESTS_MAX, (name, nth)


main()
