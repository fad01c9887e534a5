/* The statistics that S3DLIO_STATS asks for: one block of lines, one write, to stderr or behind
 * what a file holds, so that the blocks of many processes do not mix. A fork child counts from
 * nothing.
 *
 * The way there is opened with the engine, and kept: many programs close stderr before they end,
 * and a name that cannot be written to is better told while somebody listens. */
#include "shim/stats.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/engine.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

#define KEPT_MINIMUM 256 /* above what programs expect to be given */

static int kept = -1; /* where the block goes; whoever closes all descriptors closes it */
static struct stat kept_identity;

static const char *target(void)
{
    const struct options *options = start_options();
    const char *where = options ? option_text(options, STATS) : NULL;
    return where && *where ? where : NULL;
}

/* A descriptor of its own, out of the program's way; or -1 and one line. */
static int target_open(const char *where)
{
    bool is_stderr = !strcmp(where, "stderr");
    int fd = 2;
    if (!is_stderr)
        fd = REAL(open)(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    else if (fdtab_is_virtual(2))
        return -1;
    int high = fd < 0 ? -1 : REAL(fcntl)(fd, F_DUPFD_CLOEXEC, KEPT_MINIMUM);
    if (high < 0)
        report_line("S3DLIO_STATS: cannot write to %s: %s", where, strerrordesc_np(errno));
    if (fd >= 0 && !is_stderr)
        REAL(close)(fd);
    return high;
}

void stats_prepare(void)
{
    const char *where = target();
    kept = where ? target_open(where) : -1;
    if (kept >= 0 && REAL(fstat)(kept, &kept_identity) < 0)
        kept = -1;
}

static bool is_kept(void)
{
    struct stat now;
    return kept >= 0 && REAL(fstat)(kept, &now) == 0 && now.st_dev == kept_identity.st_dev &&
           now.st_ino == kept_identity.st_ino;
}

static int format_block(const struct s3dlio_stats *stats, char *text, size_t size)
{
    return snprintf(
        text, size,
        "s3dlio: statistics of %s, process %d\n"
        "  requests     %" PRIu64 ": %" PRIu64 " get, %" PRIu64 " head, %" PRIu64 " put, %" PRIu64
        " list, %" PRIu64 " delete, %" PRIu64 " other; %" PRIu64 " repeated, %" PRIu64 " failed\n"
        "  bytes        %" PRIu64 " received, %" PRIu64 " sent\n"
        "  connections  %" PRIu64 " opened\n"
        "  memory       %" PRIu64 " at most, of %" PRIu64 " bytes\n",
        program_invocation_short_name, (int)getpid(), stats->requests, stats->requests_get,
        stats->requests_head, stats->requests_put, stats->requests_list, stats->requests_delete,
        stats->requests_other, stats->retries, stats->errors, stats->bytes_received,
        stats->bytes_sent, stats->connections_opened, stats->memory_peak_bytes,
        stats->memory_budget_bytes);
}

void stats_tell(void)
{
    static _Atomic pid_t told_by;
    const char *where = target();
    struct s3dlio_stats stats = {0};
    char text[1024];
    if (!where || !engine_is_loaded() || atomic_exchange(&told_by, getpid()) == getpid())
        return;
    engine_call(get_stats)(&stats);
    if (!stats.requests)
        return;
    if (!is_kept())
        kept = target_open(where);
    int length = format_block(&stats, text, sizeof text);
    if (kept >= 0)
        (void)!REAL(write)(kept, text,
                           (size_t)length < sizeof text ? (size_t)length : sizeof text - 1);
}
