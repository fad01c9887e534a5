"""The process that outlives all others of a soak: it runs under the library and starts the tasks.

resident.py LOG: a line of JSON on stdin for each task: its number, arguments, and how to start it. Every
task inherits LOG, open for appending, as descriptor 9. Answers `started NUMBER PID` and `ended NUMBER
STATUS` (a negative one is a signal). At the end of input it closes LOG, says `closed` and waits to be
ended."""
import fcntl
import json
import os
import subprocess
import sys
import threading

LOG_FD, ALIVE_FD = 9, 100
said = threading.Lock()


def say(*words):
    with said:
        print(*words, flush=True)


def alive_open(task):
    """What all of a task's processes have open, out of the way of its own descriptors."""
    opened = os.open(task["alive"], os.O_WRONLY)
    try:
        return fcntl.fcntl(opened, fcntl.F_DUPFD_CLOEXEC, ALIVE_FD)
    finally:
        os.close(opened)


def start_forked(task, alive):
    pid = os.fork()
    if not pid:
        try:
            os.set_inheritable(alive, True)
            os.setsid()
            os.environ.update(task["env"])
            os.dup2(os.open(task["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), 1)
            os.dup2(1, 2)
            os.execvp(task["argv"][0], task["argv"])
        finally:
            os._exit(127)
    os.close(alive)
    say("started", task["number"], pid)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def start_spawned(task, alive):
    with open(task["output"], "wb") as output:
        process = subprocess.Popen(task["argv"], env={**os.environ, **task["env"]}, stdout=output,
                                   stderr=output, pass_fds=[LOG_FD, alive], start_new_session=True)
    os.close(alive)
    say("started", task["number"], process.pid)
    return process.wait()


def run(task):
    try:
        status = (start_forked if task["forked"] else start_spawned)(task, alive_open(task))
    except OSError as error:
        status = f"not started: {error}"
    say("ended", task["number"], status)


def main():
    log = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, LOG_FD)
    os.close(log)
    tasks = []
    for line in iter(sys.stdin.buffer.raw.readline, b""):
        tasks.append(threading.Thread(target=run, args=[json.loads(line)]))
        tasks[-1].start()
        tasks = [task for task in tasks if task.is_alive()]
    for task in tasks:
        task.join()
    os.close(LOG_FD)
    say("closed")
    threading.Event().wait()


main()
