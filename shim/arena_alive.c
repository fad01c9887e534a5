/* Which processes of an arena are alive; see arena_private.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "shim/arena_private.h"
#include "shim/real.h"

/* arena_ask_once; under the table's lock. */
static struct {
    bool asks_once;
    uint64_t alive[ARENA_PROCESSES / 64];
} answers;

/* The records of the process that made this one, and of those that it has made: by them these are
 * told from others of their numbers. */
static uint32_t parent = ARENA_PROCESSES;
static _Atomic uint64_t children[ARENA_PROCESSES / 64];

void arena_parent_is(uint32_t record)
{
    parent = record;
    for (unsigned i = 0; i < ARENA_PROCESSES / 64; i++)
        if (children[i])
            children[i] = 0;
}

void arena_child_is(uint32_t record)
{
    atomic_fetch_or(&children[record / 64], UINT64_C(1) << record % 64);
}

uint32_t arena_parent(void)
{
    return parent;
}

/* A process has its parent as long as that lives. */
static bool is_parent(const struct arena_process *process)
{
    return parent < ARENA_PROCESSES && process == &arena_mapped()->processes[parent] &&
           process->pid == getppid();
}

/* Until it was waited for its number is nobody else's; one that has ended is told by waitid(2). */
static bool is_living_child(const struct arena_process *process)
{
    size_t index = (size_t)(process - arena_mapped()->processes);
    siginfo_t info = {0};
    if (!(children[index / 64] >> index % 64 & 1))
        return false;
    int saved = errno;
    bool lives =
        !waitid(P_PID, (id_t)process->pid, &info, WEXITED | WNOHANG | WNOWAIT) && !info.si_pid;
    errno = saved;
    return lives;
}

/* When the process of that number began, by CLOCK_BOOTTIME; 0 where it cannot be known: the 22nd
 * field of stat (proc(5)), behind a name in parentheses. */
static int64_t process_began_ns(pid_t pid)
{
    char name[32], text[512];
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    int fd = REAL(open)(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = REAL(read)(fd, text, sizeof text - 1);
    REAL(close)(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    long rate = sysconf(_SC_CLK_TCK);
    return at && rate > 0 ? (int64_t)strtoull(at, NULL, 10) * (1000000000 / rate) : 0;
}

struct flock arena_token_lock(const struct arena_process *process)
{
    return (struct flock){.l_type = F_WRLCK, .l_start = process->token, .l_len = 1};
}

/* Where that cannot be known, and without a token, it has not. */
static bool token_has_ended(const struct arena_process *process)
{
    int fd = arena_file();
    struct flock lock = arena_token_lock(process);
    return fd >= 0 && process->token && !REAL(fcntl)(fd, F_OFD_GETLK, &lock) &&
           lock.l_type == F_UNLCK;
}

bool arena_is_dead(const struct arena_process *process)
{
    pid_t pid = process->pid;
    if (pid == PROCESS_FLIGHT)
        return token_has_ended(process);
    if (pid == PROCESS_COMING) { /* a child closes the token when it has its number here */
        if (!token_has_ended(process))
            return false;
        pid = process->pid;
        if (pid == PROCESS_COMING)
            return true;
    }
    if (pid == getpid() || is_parent(process) || is_living_child(process))
        return false;
    return shared_lock_process_ended(pid) || process_began_ns(pid) > process->since_ns;
}

bool arena_is_known_dead(const struct arena_process *process)
{
    size_t index = (size_t)(process - arena_mapped()->processes);
    uint64_t bit = UINT64_C(1) << index % 64;
    if (answers.asks_once && answers.alive[index / 64] & bit)
        return false;
    if (arena_is_dead(process))
        return true;
    if (answers.asks_once)
        answers.alive[index / 64] |= bit;
    return false;
}

void arena_ask_once(bool begins)
{
    if (!arena_mapped())
        return;
    int locked = arena_table_lock();
    answers.asks_once = begins;
    memset(answers.alive, 0, sizeof answers.alive);
    arena_table_unlock(locked);
}
