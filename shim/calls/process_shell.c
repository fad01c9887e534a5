/* system, popen, pclose: a shell that inherits what is virtual; see process_spawn.c. Without
 * anything virtual they are glibc's. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/process.h"
#include "shim/entry.h"
#include "shim/real.h"

#define SHELL "/bin/sh"

static int shell_start(const char *command, const posix_spawn_file_actions_t *actions,
                       const posix_spawnattr_t *attributes, pid_t *ret_pid)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)command, NULL};
    struct process_program program = {SHELL, false, argv, environ, actions, attributes};
    return process_spawn(&program, ret_pid);
}

static int child_wait(pid_t pid, int *ret_status)
{
    pid_t got;
    do
        got = waitpid(pid, ret_status, 0);
    while (got < 0 && errno == EINTR);
    return got < 0 ? -errno : 0;
}

/* ---- system ---- */

/* system(3): meanwhile the caller ignores what the terminal sends, and hears of no child. */
struct quiet {
    struct sigaction interrupt, quit;
    sigset_t mask;
};

static void quiet_begin(struct quiet *quiet)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigset_t child;
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    REAL(sigaction)(SIGINT, &ignore, &quiet->interrupt);
    REAL(sigaction)(SIGQUIT, &ignore, &quiet->quit);
    REAL(pthread_sigmask)(SIG_BLOCK, &child, &quiet->mask);
}

static void quiet_end(const struct quiet *quiet)
{
    REAL(sigaction)(SIGINT, &quiet->interrupt, NULL);
    REAL(sigaction)(SIGQUIT, &quiet->quit, NULL);
    REAL(pthread_sigmask)(SIG_SETMASK, &quiet->mask, NULL);
}

static void attributes_of(const struct quiet *quiet, posix_spawnattr_t *attributes)
{
    sigset_t defaults;
    sigemptyset(&defaults);
    if (quiet->interrupt.sa_handler != SIG_IGN)
        sigaddset(&defaults, SIGINT);
    if (quiet->quit.sa_handler != SIG_IGN)
        sigaddset(&defaults, SIGQUIT);
    posix_spawnattr_init(attributes);
    posix_spawnattr_setsigdefault(attributes, &defaults);
    posix_spawnattr_setsigmask(attributes, &quiet->mask);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
}

int system(const char *command)
{
    if (likely(process_exec_is_plain(SHELL, environ)) || !command)
        return REAL(system)(command);
    struct quiet quiet;
    posix_spawnattr_t attributes;
    pid_t pid = -1;
    int saved = errno, status = W_EXITCODE(127, 0); /* as if the shell could not be started */
    quiet_begin(&quiet);
    attributes_of(&quiet, &attributes);
    int result = shell_start(command, NULL, &attributes, &pid);
    if (!result)
        result = child_wait(pid, &status);
    posix_spawnattr_destroy(&attributes);
    quiet_end(&quiet);
    errno = result < 0 ? -result : saved;
    return status;
}

/* ---- popen ---- */

/* Streams of popen that are open, for pclose and for children, which close them. */
struct pipe_stream {
    FILE *file;
    pid_t pid;
    struct pipe_stream *next;
};

static struct {
    pthread_mutex_t lock;
    struct pipe_stream *first;
} pipes = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int actions_fill(posix_spawn_file_actions_t *actions, const int ends[2], int child_end)
{
    int wanted = child_end == 0 ? 0 : 1, result = 0;
    pthread_mutex_lock(&pipes.lock);
    for (struct pipe_stream *at = pipes.first; at && !result; at = at->next)
        if (at->file->_fileno != wanted)
            result = posix_spawn_file_actions_addclose(actions, at->file->_fileno);
    pthread_mutex_unlock(&pipes.lock);
    return result ? -result
                  : -posix_spawn_file_actions_adddup2(actions, ends[child_end], wanted);
}

static int pipe_start(const char *command, const int ends[2], int child_end, pid_t *ret_pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    int result = actions_fill(&actions, ends, child_end);
    if (!result)
        result = shell_start(command, &actions, NULL, ret_pid);
    posix_spawn_file_actions_destroy(&actions);
    return result;
}

/* The stream of our end, on the list; NULL with errno, and the end is closed. */
static FILE *stream_make(int fd, bool reads, pid_t pid)
{
    struct pipe_stream *stream = malloc(sizeof *stream);
    FILE *file = stream ? REAL(fdopen)(fd, reads ? "r" : "w") : NULL;
    if (!file) {
        free(stream);
        REAL(close)(fd);
        return NULL;
    }
    *stream = (struct pipe_stream){.file = file, .pid = pid};
    pthread_mutex_lock(&pipes.lock);
    stream->next = pipes.first;
    pipes.first = stream;
    pthread_mutex_unlock(&pipes.lock);
    return file;
}

FILE *popen(const char *command, const char *mode)
{
    bool reads = mode[0] == 'r';
    if (likely(process_exec_is_plain(SHELL, environ)) || (!reads && mode[0] != 'w'))
        return REAL(popen)(command, mode);
    int saved = errno, ends[2], child_end = reads ? 1 : 0;
    pid_t pid = -1;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return NULL;
    int result = pipe_start(command, ends, child_end, &pid);
    REAL(close)(ends[child_end]);
    if (result < 0) {
        REAL(close)(ends[!child_end]);
        errno = -result;
        return NULL;
    }
    if (!strchr(mode, 'e'))
        REAL(fcntl)(ends[!child_end], F_SETFD, 0);
    FILE *file = stream_make(ends[!child_end], reads, pid);
    if (file)
        errno = saved;
    return file;
}

static pid_t stream_remove(FILE *file)
{
    pid_t pid = 0;
    pthread_mutex_lock(&pipes.lock);
    for (struct pipe_stream **at = &pipes.first; *at; at = &(*at)->next)
        if ((*at)->file == file) {
            struct pipe_stream *found = *at;
            pid = found->pid;
            *at = found->next;
            free(found);
            break;
        }
    pthread_mutex_unlock(&pipes.lock);
    return pid;
}

int pclose(FILE *file)
{
    pid_t pid = likely(!pipes.first) ? 0 : stream_remove(file);
    if (likely(!pid))
        return REAL(pclose)(file);
    int saved = errno, status = -1;
    REAL(fclose)(file);
    int result = child_wait(pid, &status);
    errno = result < 0 ? -result : saved;
    return result < 0 ? -1 : status;
}
