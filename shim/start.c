/* Start-up; see start.h.
 *
 * Linked with -z initfirst, so this runs before the constructors of other libraries; whoever calls
 * in before that finds no mounts, hence only real paths, and raw system calls (real.c). Starts no
 * thread, opens nothing.
 */
#include "shim/start.h"

#include <stddef.h>
#include <sys/auxv.h>
#include <sys/stat.h>

#include "config/options.h"
#include "shim/exit.h"
#include "shim/handover.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"

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

bool start_is_active(void)
{
    return active;
}

/* Options that make no sense are named by the engine when it is loaded: programs that touch no
 * virtual path are not to be commented on. */
static void leave_to_engine(void *arg, const char *message)
{
}

__attribute__((constructor)) static void start(int argc, char **argv, char **envp)
{
    real_resolve();
    environment = envp;
    first_umask = umask(022);
    umask(first_umask);
    if (getauxval(AT_SECURE))
        return;
    if (options_load(envp, leave_to_engine, NULL, &options) < 0)
        return;
    ready = true;
    if (option_int(&options, DISABLE))
        return;
    if (path_init(&options) < 0)
        report_line("S3DLIO_MOUNTS: expected PREFIX=URI[,PREFIX=URI…] with absolute prefixes, at "
                    "most 64 of them");
    active = true;
    exit_init();
    handover_adopt(envp);
}

/* ASan insists on being first in the list of libraries; we come before it on purpose. */
__attribute__((visibility("default"))) const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "verify_asan_link_order=0";
}
