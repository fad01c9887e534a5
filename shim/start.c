/* Start-up; see start.h.
 *
 * Linked with -z initfirst, so this runs before the constructors of other libraries; whoever calls
 * in before that finds no mounts, hence only real paths, and raw system calls (real.c). Starts no
 * thread, opens nothing.
 */
#include "shim/start.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/exit.h"
#include "shim/handover.h"
#include "shim/inline_call.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/stats.h"

static struct options options;
static char *const *environment;
static bool ready, active;
static mode_t first_umask = 022;

const struct options *start_options(void)
{
    return ready ? &options : NULL;
}

char *const *start_environment(void)
{
    return environment;
}

mode_t start_umask(void)
{
    return first_umask;
}

bool start_ignores_metadata(void)
{
    enum { STORE, IGNORE }; /* the order of the words in options.def */

    return ready && option_int(&options, METADATA) == IGNORE;
}

bool start_publishes_at_sync(void)
{
    enum { PUBLISH }; /* the order of the words in options.def */

    return !ready || option_int(&options, FSYNC) == PUBLISH;
}

bool start_defers_close(void)
{
    enum { WAIT, DEFERRED }; /* the order of the words in options.def */

    return ready && option_int(&options, CLOSE) == DEFERRED;
}

bool start_is_active(void)
{
    return active;
}

/* What begins the variables that this library asks for later. */
static const char *const kept_prefixes[] = {
    "S3DLIO_",     "AWS_",  "CURL_CA_BUNDLE=", "SSL_CERT_FILE=",
    "LD_PRELOAD=", "HOME=", "TMPDIR=",         "XDG_",
};

static bool is_kept(const char *entry)
{
    for (size_t i = 0; i < sizeof kept_prefixes / sizeof *kept_prefixes; i++)
        if (!strncmp(entry, kept_prefixes[i], strlen(kept_prefixes[i])))
            return true;
    return false;
}

bool start_names(char *const *list, const char *entry)
{
    size_t length = strcspn(entry, "=") + 1;
    for (; list && *list; list++)
        if (!strncmp(*list, entry, length))
            return true;
    return false;
}

/* The variables that matter, of `first` and then those of `second` that have other names, in memory
 * of their own: a program that shows a title of its own in ps (perl's $0, setproctitle) writes it
 * over the strings that it was started with. NULL without memory. */
static char **environment_keep(char *const *first, char *const *second)
{
    char *const *const lists[] = {first, second};
    size_t count = 1, size = 0;
    for (int i = 0; i < 2; i++)
        for (char *const *entry = lists[i]; entry && *entry; entry++) {
            count += is_kept(*entry);
            size += is_kept(*entry) ? strlen(*entry) + 1 : 0;
        }
    char **kept = malloc(count * sizeof *kept + size), **to = kept;
    if (!kept)
        return NULL;
    char *text = (char *)(kept + count);
    for (int i = 0; i < 2; i++)
        for (char *const *entry = lists[i]; entry && *entry; entry++)
            if (is_kept(*entry) && !(i && start_names(first, *entry))) {
                *to++ = text;
                text = stpcpy(text, *entry) + 1;
            }
    *to = NULL;
    return kept;
}

char **start_environment_now(void)
{
    return environment_keep(environ, environment);
}

static void begin(char **envp)
{
    real_resolve();
    environment = envp;
    first_umask = umask(022);
    umask(first_umask);
    if (getauxval(AT_SECURE))
        return;
    /* Those that make no sense are named by the engine when it is loaded: programs that touch no
     * virtual path are not to be commented on. */
    if (options_load(envp, NULL, NULL, &options) < 0)
        return;
    ready = true;
    if (option_int(&options, DISABLE))
        return;
    if (path_init(&options) < 0)
        report_line("S3DLIO_MOUNTS: expected PREFIX=URI[,PREFIX=URI…] with absolute prefixes, at "
                    "most 64 of them");
    active = true;
    stats_start();
    exit_init();
    handover_adopt(envp);
    char **kept = environment_keep(envp, NULL);
    environment = kept ? kept : envp;
    inline_call_start();
}

/* The runtime of clang's ThreadSanitizer, in programs that have it; it makes itself ready after
 * us otherwise, and what it has in the place of libc's functions fails until then. */
void __tsan_init(void) __attribute__((weak));

/* A program begins with errno 0, and some look at it without setting it before. */
__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
    if (__tsan_init)
        __tsan_init();
    begin(envp);
    errno = 0;
}

/* ASan insists on being first in the list of libraries; we come before it on purpose. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0";
}
