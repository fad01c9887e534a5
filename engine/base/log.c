/* One-line messages, by level.
 *
 * A line is built on the stack and leaves with one write(2), so lines of several threads and
 * processes do not mix and nothing is held when a process forks. Control characters are replaced:
 * part of a message may come from a server, and it ends on somebody's terminal. errno is kept.
 * A closed pipe as stderr must not kill a program that wrote nothing itself, so SIGPIPE is held
 * back for the moment of the write. What cannot be written is dropped. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES 1536 /* a whole error with its URI and its advice fits */

static atomic_int log_current_level = LOG_WARN;
static atomic_int log_current_fd = STDERR_FILENO;

static const char *const log_prefixes[] = {
    [LOG_OFF] = "",  [LOG_ERROR] = "",        [LOG_WARN] = "warning: ",
    [LOG_INFO] = "", [LOG_DEBUG] = "debug: ", [LOG_TRACE] = "trace: ",
};

void log_set_level(enum log_level level)
{
    atomic_store_explicit(&log_current_level, (int)level, memory_order_relaxed);
}

enum log_level log_level(void)
{
    return (enum log_level)atomic_load_explicit(&log_current_level, memory_order_relaxed);
}

void log_set_fd(int fd)
{
    atomic_store_explicit(&log_current_fd, fd, memory_order_relaxed);
}

/* write(2) that neither raises SIGPIPE nor takes away one that was pending before. */
static void log_write(int fd, const char *line, size_t length)
{
    const struct timespec no_wait = {0};
    sigset_t pipe_set, pending, saved;
    bool was_pending;
    ssize_t n;

    sigemptyset(&pipe_set);
    sigaddset(&pipe_set, SIGPIPE);
    sigemptyset(&pending);
    sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_set, &saved);
    do {
        n = write(fd, line, length);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno == EPIPE && !was_pending)
        sigtimedwait(&pipe_set, NULL, &no_wait);
    pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

/* The prefix of a level; debugging lines carry process and time. */
static int log_prefix(enum log_level level, char *line, size_t size)
{
    struct timespec now;

    if (level < LOG_DEBUG)
        return snprintf(line, size, "s3dlio: %s", log_prefixes[level]);
    clock_gettime(CLOCK_MONOTONIC, &now);
    return snprintf(line, size, "s3dlio: %s[%d %lld.%06ld] ", log_prefixes[level], (int)getpid(),
                    (long long)now.tv_sec, now.tv_nsec / 1000);
}

void log_line(enum log_level level, const char *format, ...)
{
    int saved_errno = errno;
    char line[LOG_LINE_BYTES];
    size_t length, room;
    va_list args;
    int n;

    if (level > log_level() || level == LOG_OFF)
        return;
    length = (size_t)log_prefix(level, line, sizeof line);
    room = sizeof line - length - 1; /* the last byte is for the newline */
    errno = saved_errno;             /* for %m */
    va_start(args, format);
    n = vsnprintf(line + length, room, format, args);
    va_end(args);
    if (n > 0)
        length += (size_t)n < room ? (size_t)n : room - 1;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = ' ';
    line[length++] = '\n';
    log_write(atomic_load_explicit(&log_current_fd, memory_order_relaxed), line, length);
    errno = saved_errno;
}
