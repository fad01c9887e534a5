/* The end of a process: virtual descriptors are closed as the kernel closes descriptors, and a
 * failed upload is on stderr and turns a status of 0 into 74 (EX_IOERR).
 *
 * exit and return from main run, in this order: atexit handlers, destructors of libraries, the
 * on_exit handler that our constructor registered first of all, stdio's last flush. Our handler
 * flushes our own streams and completes the uploads. It does not wait for stdio's flush, which
 * holds the lock of the list of streams: an engine thread that resolves a name opens /etc/hosts
 * with fopen, and would wait for that lock for ever. Streams of glibc never write to virtual
 * descriptors, so nothing is missed, except what a program's own fopencookie stream writes to one
 * that late.
 *
 * pthread_exit of the main thread is no end of the process yet; the engine is told, and makes it
 * end with the program's last thread (s3dlio_main_thread_left).
 *
 * quick_exit: the same without streams. _exit: the uploads, then the kernel. A signal or abort:
 * nothing; if this process was the last holder, the object stays as it was.
 *
 * OpenSSL registers an atexit handler that tears down what signing needs. Handlers of that kind
 * (atexit's, which take no argument) are registered through a step of ours, which leaves this one
 * out when the engine uses the same libcrypto. Which one that is need not be known before the end: an
 * engine that nobody has needed until then is loaded before the first handler, if there is a file
 * to write.
 */
#include "shim/exit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/calls/process.h"
#include "shim/calls/stdio.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/stats.h"

#define STATUS_FAILED 74

static _Atomic(void *) left_out;
static _Atomic int quick_status;
static pthread_key_t main_key; /* its destructor runs when the main thread leaves, not at exit */

/* Closes one descriptor and names the object if its upload fails. */
static int close_one(int fd)
{
    struct file *file = file_detach(fd);
    if (file && !file->staged)
        file_leave(file);
    if (!file || !file->staged)
        return 0;
    char path[PATH_VIRTUAL_MAX];
    file_path(file, path);
    int result = file_close(file);
    if (result < 0)
        report_line("%s was not stored: %s", path, strerrordesc_np(-result));
    return result;
}

static int close_all(void)
{
    int first = 0;
    arena_ask_once(true);
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
        int result = close_one(fd);
        first = first ? first : result;
    }
    int result = staged_publish_rest();
    arena_ask_once(false);
    arena_leave();
    if (engine_is_loaded())
        engine_call(end)();
    return first ? first : result;
}

/* What the program has closed, written and removed reaches the store: 0, or the first failure. */
static int end_all(void)
{
    int result = file_any() || staged_any_own() ? close_all() : 0;
    int settled = engine_settle();
    engine_flush_log();
    return result ? result : settled;
}

static void last_handler(int status, void *unused)
{
    if (file_any() || staged_any_own())
        stdio_flush_all();
    int result = end_all();
    stats_tell();
    if (result < 0 && !status)
        exit(STATUS_FAILED); /* goes on behind us: stdio's flush, then the end */
}

static void last_quick_handler(void)
{
    int result = end_all();
    stats_tell();
    if (result < 0 && !quick_status)
        REAL(_exit)(STATUS_FAILED);
}

static void on_main_left(void *unused)
{
    engine_main_left();
}

void exit_init(void)
{
    if (on_exit(last_handler, NULL) || at_quick_exit(last_quick_handler))
        report_line("no memory at start: files that are open at exit will not be stored");
    if (!pthread_key_create(&main_key, on_main_left))
        pthread_setspecific(main_key, &main_key);
}

void exit_fork_child(void)
{
    pthread_setspecific(main_key, &main_key);
}

void quick_exit(int status)
{
    quick_status = status;
    REAL(quick_exit)(status);
    __builtin_unreachable();
}

void _exit(int status)
{
    if (unlikely(engine_is_loaded() || file_any()) && !process_is_vfork_child()) {
        if (end_all() < 0 && !status)
            status = STATUS_FAILED;
        stats_tell();
    }
    REAL(_exit)(status);
    __builtin_unreachable();
}

/* ---- handlers ---- */

void exit_leave_out(void *handler)
{
    atomic_store(&left_out, handler);
}

/* What glibc calls a handler with: its argument and the status. */
typedef void handler_fn(void *argument, int status);

/* A program that got a file to write from the one before may have written nothing to it yet, but to a
 * stream's buffer. The engine is loaded before handlers take away what it needs. */
static void load_in_time(void)
{
    if (!engine_is_loaded() && staged_any_own())
        engine_require();
}

/* Libraries are still there: ours goes before those that it needs. */
__attribute__((destructor)) static void before_libraries_go(void)
{
    load_in_time();
}

static void handler_step(void *handler, int status)
{
    load_in_time();
    if (handler != atomic_load(&left_out))
        ((handler_fn *)handler)(NULL, status);
}

int __cxa_atexit(void (*function)(void *), void *argument, void *library)
{
    if (argument || !function || !library)
        return REAL(__cxa_atexit)(function, argument, library);
    return REAL(__cxa_atexit)((void (*)(void *))(void *)handler_step, (void *)function, library);
}

#include "alias_exit.h"
