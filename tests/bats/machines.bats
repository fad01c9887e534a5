#!/usr/bin/env bats
# Several machines at one bucket: what one of them does while another has the file open, or has looked at
# its name. Nothing is left to chance: the calls come in the order that is written here. These tests run
# against servers that are not ours, too, by `make check-bats-real`; most need their conditional requests.

load lib/shim
load lib/real

setup_file() { start_any_server; }

@test "an object that is replaced or removed elsewhere: ESTALE now and later, a new open sees the new one" {
    machines <<'PY'
a = Machine()
for how in ("replace", "remove"):
    put("read", "old" * 10_000_000)
    fd = a.open("@read", O_RDONLY)
    check(a.read(fd, 6), "oldold")
    put("read", "new") if how == "replace" else delete("read")
    check(a.pread(fd, 10, 29_000_000), "ESTALE")
    check(a.pread(fd, 10, 20_000_000), "ESTALE")
    check(a.close(fd), None)
    other = Machine()
    fd = other.open("@read", O_RDONLY)
    check(fd if how == "remove" else other.read(fd, 10), "ENOENT" if how == "remove" else "new")
PY
}

@test "what is being written shows at close, and at fsync" {
    machines <<'PY'
a, b = Machine(), Machine(S3DLIO_META_TTL_MS="0")
fd = a.open("@shown", O_WRONLY | O_CREAT)
check(a.write(fd, "one"), 3)
check([b.size("@shown"), get("shown")], ["ENOENT", None])
check(a.fsync(fd), None)
check([b.size("@shown"), get("shown")], [3, "one"])
check(a.write(fd, "two"), 3)
check([b.size("@shown"), get("shown")], [3, "one"])
check(a.close(fd), None)
check([b.size("@shown"), get("shown")], [6, "onetwo"])
PY
}

@test "O_EXCL on two machines: the second to close has EEXIST, and the first one's file stays" {
    machines <<'PY'
a, b = Machine(S3DLIO_PUT_PART_SIZE="5M"), Machine()
for name, length in (("empty", 0), ("small", 1000), ("large", 12_000_000)):
    for by in ("the shim", "another tool"):
        first = a.open("@" + name, O_WRONLY | O_CREAT | O_EXCL)
        check(a.write(first, "a" * length), length)
        if by == "the shim":
            second = b.open("@" + name, O_WRONLY | O_CREAT | O_EXCL)
            check(b.write(second, "b"), 1)
            check(b.close(second), None)
        else:
            put(name, "b")
        check(a.close(first), "EEXIST")
        check(get(name), "b")
        check(Machine().open("@" + name, O_WRONLY | O_CREAT | O_EXCL), "EEXIST")
        delete(name)
PY
}

@test "RENAME_NOREPLACE onto what another machine has just made: EEXIST by the store, both stay" {
    machines <<'PY'
for name, length in (("empty", 0), ("small", 1000), ("large", 12_000_000)):
    put("dir/" + name, "a" * length)
    a = Machine(S3DLIO_META_TTL_MS="3600000")
    check(a.listdir("@dir"), [name])   # what is not in there is not, for an hour
    check(a.size("@dir/target"), "ENOENT")
    put("dir/target", "b")
    check(a.renameat2("@dir/" + name, "@dir/target", NOREPLACE), "EEXIST")
    check([get("dir/" + name), get("dir/target")], ["a" * length, "b"])
    delete("dir/target")
    check(a.renameat2("@dir/" + name, "@dir/target", NOREPLACE), None)
    check([get("dir/" + name), get("dir/target")], [None, "a" * length])
    delete("dir/target")
PY
}

@test "changed in place while another replaces or removes it: ESTALE at close and fsync, the other's stays" {
    machines <<'PY'
a = Machine()
for text in ("a" * 1000, "a" * 12_000_000):
    for other in ("other", None):
        for publish in ("close", "fsync"):
            put("patched", text)
            fd = a.open("@patched", O_RDWR)
            check(a.pwrite(fd, "X", 500), 1)
            put("patched", other) if other else delete("patched")
            check(getattr(a, publish)(fd), "ESTALE")
            check(get("patched"), other)
            if publish == "fsync":
                a.close(fd)
                check(get("patched"), other)
PY
}

@test "written from the beginning: the last one to close has it" {
    machines <<'PY'
a = Machine()
put("anew", "old")
fd = a.open("@anew", O_WRONLY | O_TRUNC)
check(a.write(fd, "a"), 1)
put("anew", "other")
check(a.close(fd), None)
check(get("anew"), "a")
PY
}

@test "two that append overtake each other, or others replace, cut or remove the file: nothing is lost" {
    machines <<'PY'
a, b = Machine(), Machine()
for start in ("", "old\n", "x" * 12_000_000 + "\n"):
    for flags in (O_WRONLY, O_RDWR):
        put("log", start)
        first, second = a.open("@log", flags | O_APPEND), b.open("@log", flags | O_APPEND)
        check([a.write(first, "a\n"), b.write(second, "b\n")], [2, 2])
        check(b.fsync(second), None)
        check(a.fsync(first), None)
        check([b.write(second, "c\n"), a.write(first, "d\n")], [2, 2])
        check(b.close(second), None)
        check(a.close(first), None)
        check(get("log"), start + "b\na\nc\nd\n")
    for other in ("another file\n", "", None):
        put("log", start)
        fd = a.open("@log", O_WRONLY | O_APPEND)
        check(a.write(fd, "a\n"), 2)
        delete("log") if other is None else put("log", other)
        check(a.close(fd), None)
        check(get("log"), (other or "") + "a\n")
delete("log")
first, second = (m.open("@log", O_WRONLY | O_APPEND | O_CREAT) for m in (a, b))
check([a.write(first, "a\n"), b.write(second, "b\n")], [2, 2])
check([b.close(second), a.close(first)], [None, None])
check(get("log"), "b\na\n")
PY
}

@test "six machines append line after line, all at once: every line is there, those of one in order" {
    machines <<'PY'
machines = [Machine(S3DLIO_META_TTL_MS="0") for _ in range(6)]
for line in range(8):
    fds = [m.open("@race", O_WRONLY | O_APPEND | O_CREAT) for m in machines]
    for n, (m, fd) in enumerate(zip(machines, fds)):
        check(m.write(fd, f"{n} {line}\n"), 4)
    for m, fd in zip(machines, fds):
        m.begin("close", fd)
    check([m.end() for m in machines], [None] * 6)
lines = get("race").splitlines()
check(sorted(lines), sorted(f"{n} {line}" for n in range(6) for line in range(8)))
for n in range(6):
    check([line for line in lines if line[0] == str(n)], [f"{n} {line}" for line in range(8)])
PY
}

@test "a source that another replaces before the store copies it: ESTALE, and no target" {
    machines <<'PY'
a = Machine()
for length in (1000, 12_000_000):
    put("source", "a" * length)
    source, target = a.open("@source", O_RDONLY), a.open("@target", O_RDWR | O_CREAT)
    check(a.copy_file_range(source, target, length), length)
    put("source", "b" * length)
    check(a.close(target), "ESTALE")
    check(get("target"), None)
    a.close(source)
PY
}

@test "mode and name of a file that another has replaced: the new one keeps its bytes" {
    machines <<'PY'
a = Machine(S3DLIO_META_TTL_MS="3600000")
put("moving", "old")
check(a.size("@moving"), 3)
put("moving", "newer")
check(a.chmod("@moving", 0o600), None)
check(get("moving"), "newer")
put("moving", "newest of all")
check(a.rename("@moving", "@moved"), None)
check([get("moving"), get("moved")], [None, "newest of all"])
PY
}

@test "rmdir of a directory in which another has made a file: ENOTEMPTY" {
    machines <<'PY'
a = Machine(S3DLIO_META_TTL_MS="3600000")
check([a.mkdir("@shared"), a.listdir("@shared")], [None, []])
put("shared/file", "b")
check(a.rmdir("@shared"), "ENOTEMPTY")
check(get("shared/file"), "b")
delete("shared/file")
check(a.rmdir("@shared"), None)
PY
}
