#!/usr/bin/env bats
# Programs that remove whole trees: what it costs, and that nothing is said to be gone which is not.

load lib/shim

setup_file() { start_server; }

setup() {
    fault
    shim python3 - <<'PY'
import os
os.makedirs("/s3/test/tree/sub/empty", exist_ok=True)
for n in range(200):
    open(f"/s3/test/tree/f{n}", "w").write("x")
for n in range(20):
    open(f"/s3/test/tree/sub/f{n}.txt", "w").write("x")
PY
    admin stats/reset -X POST
}

# What the server has, whatever this machine remembers.
on_server() { aws_list | grep -c "^$1" || :; }
aws_list() {
    S3DLIO_META_TTL_MS=0 XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR shim find /s3/test -type f -printf '%P\n'
}

RMTREE='import shutil, sys; shutil.rmtree(sys.argv[1])'

cheaply() {
    shim "$@"
    [[ $(requests DeleteObject) -le 6 ]] || explain "$(admin stats)"
    [[ $(requests) -le 20 ]] || explain "$(admin stats)"
    [[ $(on_server tree) -eq 0 ]] || explain "$(aws_list)"
}

@test "rm -r: some requests for hundreds of files" { cheaply rm -r /s3/test/tree; }
@test "find -delete: some requests for hundreds of files" { cheaply find /s3/test/tree -delete; }
@test "python's rmtree: some requests for hundreds of files" { cheaply python3 -c "$RMTREE" /s3/test/tree; }

@test "S3DLIO_UNLINK=each: a request for each file" {
    shim S3DLIO_UNLINK=each rm -r /s3/test/tree
    [[ $(requests DeleteObject) -ge 220 && $(requests DeleteObjects) -eq 0 ]] || explain "$(admin stats)"
    [[ $(on_server tree) -eq 0 ]]
}

@test "files that others added meanwhile stay, with their directory" {
    run shim python3 - <<'PY'
import os, subprocess
fd = os.open("/s3/test/tree/sub", os.O_RDONLY)
names = [name for name in os.listdir(fd) if name.endswith(".txt")]
elsewhere = dict(os.environ, XDG_RUNTIME_DIR="/nonexistent")
subprocess.run(["sh", "-c", "echo new >/s3/test/tree/sub/new"], env=elsewhere, check=True)
for name in names:
    os.unlink(name, dir_fd=fd)
os.rmdir("/s3/test/tree/sub/empty")
try:
    os.rmdir("/s3/test/tree/sub")
except OSError as error:
    print(error.strerror)
PY
    [[ $output == "Directory not empty" ]] || explain "$output"
    [[ $(on_server tree/sub) -eq 1 ]] || explain "$(aws_list)"
}

@test "the answer is lost, the store is busy, a batch is refused: each file is deleted all the same" {
    fault 'op=DeleteObjects nth=1 count=1 action=lose-answer
op=DeleteObjects nth=2 count=1 action=status:503:SlowDown
op=DeleteObjects nth=3 action=status:403:AccessDenied'
    shim rm -r /s3/test/tree
    [[ $(on_server tree) -eq 0 ]] || explain "$(aws_list)"
}

refused() {
    fault "op=DeleteObjects action=status:403:AccessDenied
op=DeleteObject key=tree/sub/f7.txt action=status:403:AccessDenied"
    run --separate-stderr shim "$@"
}

@test "a file that may not be deleted: rm says so of its directory, and stderr names it" {
    refused rm -r /s3/test/tree
    [[ $status -eq 1 && $stderr == *"tree/sub/f7.txt was not removed"* ]] || explain "$status" "$stderr"
    [[ $stderr == *"rm: cannot remove '/s3/test/tree/sub'"* ]] || explain "$stderr"
    [[ $(aws_list) == tree/sub/f7.txt ]] || explain "$(aws_list)"
}

@test "a file that may not be deleted: nobody asks for the directory, so the status says it" {
    refused find /s3/test/tree -name '*.txt' -delete
    [[ $status -eq 74 && $stderr == *"tree/sub/f7.txt was not removed"* ]] || explain "$status" "$stderr"
    [[ $(on_server tree/sub) -eq 1 ]] || explain "$(aws_list)"
}

@test "what a program removed is gone for the program that it becomes, starts or forks" {
    fault 'op=DeleteObjects action=delay:300'
    local how
    for how in 'os.execvp("ls", ["ls", root])' \
        'subprocess.run(["ls", root])' \
        'os.waitpid(os.posix_spawnp("ls", ["ls", root], os.environ), 0)' \
        'os.system("ls " + root)' \
        'os.waitpid(os.fork() or os.write(1, " ".join(os.listdir(root)).encode()) and os._exit(0), 0)'; do
        run shim python3 -c 'import os, subprocess, sys
root = "/s3/test/tree/sub"
for name in ("a", "b", "c", "d", "e"):
    open(f"{root}/gone-{name}", "w").close()
fd = os.open(root, os.O_RDONLY)
for name in os.listdir(fd):
    if name.startswith("gone"):
        os.unlink(name, dir_fd=fd)
os.close(fd)
'"$how"
        [[ $status -eq 0 && $output == *f7.txt* && $output != *gone* ]] || explain "$how" "$output"
    done
}

@test "made anew at once: the new file stays" {
    fault 'op=DeleteObjects action=delay:300'
    run shim python3 -c 'import os
root = "/s3/test/tree/sub"
fd = os.open(root, os.O_RDONLY)
for n in range(20):
    os.unlink(f"f{n}.txt", dir_fd=fd)
open(f"{root}/f9.txt", "w").write("new")
print(os.listdir(root), open(f"{root}/f9.txt").read())'
    [[ $output == *"'f9.txt'] new" ]] || explain "$output"
    [[ $(on_server tree/sub) -eq 1 ]] || explain "$(aws_list)"
}
