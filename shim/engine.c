/* Loading the engine; see engine.h. `loading` serialises and guards main_left; what was loaded
 * stays. */
#include "shim/engine.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "shim/calls/link.h"
#include "shim/calls/stdio.h"
#include "shim/command_line.h"
#include "shim/exit.h"
#include "shim/inline_call.h"
#include "shim/report.h"
#include "shim/stack.h"
#include "shim/start.h"
#include "shim/stats.h"

struct engine_calls engine_calls;

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int state; /* 0 not tried, 1 loaded, negative errno */
static bool main_left;
static _Atomic pthread_t loader; /* who is in engine_load, which opens files: HOME may be virtual */

static void library_path(char *path, size_t size)
{
    const char *option = option_text(start_options(), ENGINE);
    Dl_info info;
    if (option && *option) {
        snprintf(path, size, "%s", option);
        return;
    }
    const char *slash = NULL;
    if (dladdr((void *)&engine_calls, &info) && info.dli_fname)
        slash = strrchr(info.dli_fname, '/');
    if (slash)
        snprintf(path, size, "%.*s/libs3dlio.so.0", (int)(slash - info.dli_fname), info.dli_fname);
    else
        snprintf(path, size, "libs3dlio.so.0");
}

static int symbols_load(void *library)
{
    static const char *const names[] = {
#define F(name) "s3dlio_" #name,
        ENGINE_FUNCTIONS(F)
#undef F
    };
    _Static_assert(sizeof names / sizeof *names < STACK_LINK, "an entry for each");
    void **slots = (void **)&engine_calls;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        void *function = dlsym(library, names[i]);
        if (!function) {
            report_line("the engine library lacks %s: shim and engine are of different versions",
                        names[i]);
            return -ELIBACC;
        }
        slots[i] = stack_wrap((unsigned)i + 1, function);
    }
    return 0;
}

static int engine_load(void)
{
    char path[PATH_MAX];
    library_path(path, sizeof path);
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        report_line("cannot load the engine: %s: set S3DLIO_ENGINE to the path of libs3dlio.so.0",
                    dlerror());
        return -ELIBACC;
    }
    int result = symbols_load(library);
    struct s3dlio_error error = {0};
    exit_leave_out(dlsym(library, "OPENSSL_cleanup"));
    stdio_prepare();
    if (!result)
        stats_prepare();
    link_prepare();
    char **now = start_environment_now();
    if (!result)
        result = engine_calls.init(now ? now : start_environment(), &error);
    free(now);
    if (!result)
        command_line_expect();
    if (result < 0 && error.errnum)
        report_line("%s", error.message);
    return result;
}

int engine_require(void)
{
    int now = atomic_load_explicit(&state, memory_order_acquire);
    if (now)
        return now < 0 ? now : 0;
    if (pthread_equal(atomic_load_explicit(&loader, memory_order_relaxed), pthread_self()))
        return -ENOENT; /* what the engine needs to begin with is not in a bucket */
    pthread_mutex_lock(&loading);
    now = state;
    if (!now) {
        int (*load)(void) = (int (*)(void))stack_wrap(0, (void *)engine_load);
        atomic_store_explicit(&loader, pthread_self(), memory_order_relaxed);
        int result = load();
        atomic_store_explicit(&loader, (pthread_t)0, memory_order_relaxed);
        now = result < 0 ? result : 1;
        atomic_store_explicit(&state, now, memory_order_release);
        if (now == 1 && main_left)
            engine_call(main_thread_left)();
    }
    pthread_mutex_unlock(&loading);
    inline_call_use();
    return now < 0 ? now : 0;
}

bool engine_is_loaded(void)
{
    return atomic_load_explicit(&state, memory_order_acquire) == 1;
}

bool engine_is_settled(void)
{
    return !engine_is_loaded() || engine_call(is_settled)();
}

int engine_settle(void)
{
    struct s3dlio_error error = {0};
    return engine_is_loaded() ? engine_call(settle)(NULL, &error) : 0;
}

int engine_sync(void)
{
    struct s3dlio_error error = {0};
    return engine_is_loaded() ? engine_call(sync)(NULL, &error) : 0;
}

int engine_sync_everywhere(void)
{
    struct s3dlio_error error = {0};
    return engine_is_loaded() ? engine_call(sync_everywhere)(NULL, &error) : 0;
}

void engine_flush_log(void)
{
    if (engine_is_loaded())
        engine_call(flush_log)();
}

void engine_main_left(void)
{
    pthread_mutex_lock(&loading);
    main_left = true;
    if (engine_is_loaded())
        engine_call(main_thread_left)();
    pthread_mutex_unlock(&loading);
}

void engine_fork_prepare(void)
{
    pthread_mutex_lock(&loading);
    if (engine_is_loaded())
        engine_call(fork_prepare)();
}

void engine_fork_parent(void)
{
    if (engine_is_loaded())
        engine_call(fork_parent)();
    pthread_mutex_unlock(&loading);
}

void engine_fork_child(void)
{
    main_left = false;
    if (engine_is_loaded())
        engine_call(fork_child)();
    pthread_mutex_unlock(&loading);
}
