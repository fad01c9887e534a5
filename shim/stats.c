/* Where S3DLIO_STATS says, in the format that its name asks for.
 *
 * Lines and JSON go by one write to stderr or behind what a file holds, so that those of many
 * processes do not mix; a Prometheus file is written beside its name and renamed, because its
 * readers come at any time. A fork child counts from nothing.
 *
 * The way to a file of lines is opened with the engine, and kept: many programs close stderr before
 * they end, and a name that cannot be written to is better told while somebody listens.
 *
 * The signal's handler only wakes a thread of the engine, which calls back. */
#include "shim/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/engine.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

#define KEPT_MINIMUM 256   /* above what programs expect to be given */
#define YIELDS_MAX   20000 /* the end waits for the signal's thread, but not for ever */

struct target {
    enum s3dlio_stats_format format;
    bool is_stderr;
    char path[PATH_MAX];
};

static char
    *from_start; /* what a relative name meant at the start; NULL: the option's own text counts */
static pid_t kept_for; /* who opened `kept` */

/* Whoever closes all descriptors closes these, too, and may use their numbers anew. */
struct kept {
    _Atomic int fd;
    struct stat identity;
};
static struct kept kept = {.fd = -1}; /* where lines go */
static struct kept said = {.fd = -1}; /* stderr as it was, for a failure when it is closed */
static _Atomic pid_t telling;

/* ---- where ----------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && !strcmp(text + length - end_length, end);
}

/* What stands for stderr, in the order of the formats. */
static int stderr_format(const char *where)
{
    static const char *const words[] = {"stderr", "json", "prom"};
    for (int i = 0; i < 3; i++)
        if (!strcmp(where, words[i]))
            return i;
    return options_truth(where) == 1 ? 0 : -1;
}

/* The option's text; NULL when statistics are not asked for. */
static const char *wish(void)
{
    const struct options *options = start_options();
    const char *where = options ? option_text(options, STATS) : NULL;
    return where && *where && options_truth(where) != 0 ? where : NULL;
}

/* %p is the process id; %% is %. False: the name is too long. */
static bool expand(const char *name, char path[PATH_MAX])
{
    size_t length = 0;
    for (; *name && length < PATH_MAX - 16; name++)
        if (name[0] == '%' && name[1] == 'p') {
            length += (size_t)snprintf(path + length, 16, "%d", (int)getpid());
            name++;
        } else {
            path[length++] = *name;
            name += name[0] == '%' && name[1] == '%';
        }
    path[length] = '\0';
    return !*name;
}

/* Where to, now; false: nowhere. */
static bool target_find(struct target *target, const char *where)
{
    int format = stderr_format(where);
    *target = (struct target){.is_stderr = format >= 0};
    if (format >= 0) {
        target->format = (enum s3dlio_stats_format)format;
        strcpy(target->path, "stderr");
        return true;
    }
    target->format = ends_with(where, ".json")   ? S3DLIO_STATS_JSON
                     : ends_with(where, ".prom") ? S3DLIO_STATS_PROMETHEUS
                                                 : S3DLIO_STATS_TEXT;
    if (expand(from_start ? from_start : where, target->path))
        return true;
    report_line("S3DLIO_STATS: the name is too long");
    return false;
}

static void keep(struct kept *what, int fd)
{
    if (fd >= 0 && REAL(fstat)(fd, &what->identity) < 0)
        fd = -1;
    atomic_store(&what->fd, fd);
}

/* The descriptor, or -1: it is not that file any more. */
static int still(const struct kept *what)
{
    struct stat now;
    int fd = atomic_load(&what->fd);
    bool same = fd >= 0 && !REAL(fstat)(fd, &now) && now.st_dev == what->identity.st_dev &&
                now.st_ino == what->identity.st_ino;
    return same ? fd : -1;
}

static void report_failure(const struct target *target)
{
    const char *why = strerrordesc_np(errno);
    char line[PATH_MAX + 128];
    int fd = still(&said);
    if (REAL(fcntl)(2, F_GETFD) >= 0 || fd < 0) {
        report_line("S3DLIO_STATS: cannot write to %s: %s", target->path, why);
        return;
    }
    int length = snprintf(line, sizeof line, "s3dlio: S3DLIO_STATS: cannot write to %s: %s\n",
                          target->path, why);
    (void)!REAL(write)(fd, line, (size_t)length);
}

/* ---- lines ----------------------------------------------------------------------------------- */

static bool is_replaced(const struct target *target)
{
    return !target->is_stderr && target->format == S3DLIO_STATS_PROMETHEUS;
}

/* A descriptor of its own, out of the program's way; or -1 and one line. */
static int target_open(const struct target *target)
{
    int fd = 2;
    if (!target->is_stderr)
        fd = REAL(open)(target->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    else if (fdtab_is_virtual(2))
        return -1;
    int high = fd < 0 ? -1 : REAL(fcntl)(fd, F_DUPFD_CLOEXEC, KEPT_MINIMUM);
    if (high < 0)
        report_failure(target);
    if (fd >= 0 && !target->is_stderr)
        REAL(close)(fd);
    return high;
}

/* Where lines go now: as it was kept, or opened anew. */
static int target_fd(const struct target *target, const char *where)
{
    int fd = kept_for == getpid() || !strchr(where, '%') ? still(&kept) : -1;
    if (fd >= 0)
        return fd;
    kept_for = getpid();
    keep(&kept, target_open(target));
    return atomic_load(&kept.fd);
}

/* All of it at once, or it is not there: errno. */
static bool write_whole(int fd, const char *text, size_t length)
{
    ssize_t written = REAL(write)(fd, text, length);
    if (written >= 0 && (size_t)written < length)
        errno = ENOSPC;
    return written == (ssize_t)length;
}

/* ---- a file that is replaced ----------------------------------------------------------------- */

static void replace(const struct target *target, const char *text, size_t length)
{
    char beside[PATH_MAX + 32];
    snprintf(beside, sizeof beside, "%s.%d.tmp", target->path, (int)getpid());
    int fd = REAL(open)(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    bool done = fd >= 0 && write_whole(fd, text, length) && !REAL(rename)(beside, target->path);
    if (!done)
        report_failure(target);
    if (fd >= 0)
        REAL(close)(fd);
    if (fd >= 0 && !done)
        REAL(unlink)(beside);
}

/* ---- telling --------------------------------------------------------------------------------- */

/* One at a time in a process; who was telling when it forked is not in the child. */
static bool begin_telling(int yields)
{
    pid_t self = getpid(), who = 0;
    while (!atomic_compare_exchange_strong(&telling, &who, self)) {
        if (who == self && yields-- <= 0)
            return false;
        if (who == self) {
            sched_yield();
            who = 0;
        }
    }
    return true;
}

static void tell(const char *where)
{
    struct target target;
    char *text;
    size_t length;
    if (!target_find(&target, where) ||
        engine_call(format_stats)(target.format, &text, &length) < 0)
        return;
    if (is_replaced(&target)) {
        replace(&target, text, length);
    } else {
        int fd = target_fd(&target, where);
        if (fd >= 0 && !write_whole(fd, text, length))
            report_failure(&target);
    }
    free(text);
}

void stats_tell(void)
{
    static _Atomic pid_t told_by;
    const char *where = wish();
    if (!where || !engine_is_loaded() || atomic_exchange(&told_by, getpid()) == getpid() ||
        !begin_telling(YIELDS_MAX))
        return;
    engine_call(drop_unused)();
    tell(where);
    atomic_store(&telling, 0);
}

/* On a thread of the engine. */
static void tell_meanwhile(void)
{
    const char *where = wish();
    if (!begin_telling(0))
        return;
    tell(where ? where : "stderr");
    atomic_store(&telling, 0);
}

static void on_signal(int number)
{
    int saved = errno;
    if (engine_is_loaded())
        engine_call(wake_teller)();
    errno = saved;
}

/* ---- beginning ------------------------------------------------------------------------------- */

/* 0: none. */
static int signal_wish(void)
{
    static const int numbers[] = {0, SIGUSR1, SIGUSR2, SIGHUP}; /* the order of options.def */
    const struct options *options = start_options();
    return options ? numbers[option_int(options, STATS_SIGNAL)] : 0;
}

static void handle_signal(void)
{
    struct sigaction now, ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK};
    int number = signal_wish();
    if (number && !REAL(sigaction)(number, NULL, &now) && !(now.sa_flags & SA_SIGINFO) &&
        now.sa_handler == SIG_DFL)
        REAL(sigaction)(number, &ours, NULL);
}

/* Where there is no working directory, or a virtual one, opening the relative name will say so. */
void stats_start(void)
{
    const char *where = wish();
    char directory[PATH_MAX];
    handle_signal();
    if (!where || *where == '/' || stderr_format(where) >= 0 ||
        !REAL(getcwd)(directory, sizeof directory) || *directory != '/')
        return;
    if (asprintf(&from_start, "%s/%s", directory, where) < 0)
        from_start = NULL;
}

void stats_prepare(void)
{
    const char *where = wish();
    struct target target;
    if (signal_wish())
        engine_call(set_teller)(tell_meanwhile);
    if (!where || !target_find(&target, where))
        return;
    if (!target.is_stderr && !fdtab_is_virtual(2) && option_int(start_options(), LOG))
        keep(&said, REAL(fcntl)(2, F_DUPFD_CLOEXEC, KEPT_MINIMUM));
    if (!is_replaced(&target)) {
        target_fd(&target, where);
        return;
    }
    char *slash = strrchr(target.path, '/');
    char last = slash ? slash[1] : '\0';
    if (slash)
        slash[1] = '\0';
    bool writable = !REAL(access)(slash ? target.path : ".", W_OK | X_OK);
    if (slash)
        slash[1] = last;
    if (!writable)
        report_failure(&target);
}
