/* Starting an engine thread, and its end. The mask is set before the thread exists, so that no
 * signal of the program is ever delivered to it. All state is atomic; no locks. */
#include "io/thread.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/own_files.h"
#include "io/gate.h"
#include "io/keeper.h"

/* What libraries that are loaded later may take of a stack for thread-local storage, and glibc
 * itself. */
#define LATER_TLS_BYTES ((size_t)128 << 10)

struct thread_task {
    void *(*main)(void *arg);
    void *arg;
    bool joined;
};

static struct {
    _Atomic int count;
    _Atomic unsigned started;
    _Atomic int64_t idle_ns;
    _Atomic size_t tls_bytes; /* 0: not known yet */
    void (*_Atomic on_end)(void);
} threads = {.idle_ns = NS_PER_S};

/* The engine's own, or adopted: the end of this thread is taken care of. */
static __thread bool thread_known;

static void end_in_gate(void *unused)
{
    void (*on_end)(void) = atomic_load(&threads.on_end);
    struct gate_scope scope;

    (void)unused;
    if (!on_end)
        return;
    gate_enter(&scope);
    on_end();
    gate_leave(&scope);
}

static void *thread_main(void *arg)
{
    struct thread_task task = *(struct thread_task *)arg;
    void (*on_end)(void);
    void *result;

    free(arg);
    thread_known = true;
    own_files_begin(); /* it opens no others */
    result = task.main(task.arg);
    on_end = atomic_load(&threads.on_end);
    if (!task.joined)
        end_in_gate(NULL);
    else if (on_end)
        on_end(); /* whoever joins may be inside, and then fork waits for both */
    atomic_fetch_sub(&threads.count, 1);
    return result;
}

/* Destructors of C++ objects run before those of pthread_key_create (glibc's start_thread), which
 * are what libraries use. Where there is no memory for it, the thread goes on without. */
void thread_adopt(void)
{
    extern int __cxa_thread_atexit_impl(void (*destructor)(void *), void *object, void *dso);
    extern void *__dso_handle;

    if (thread_known)
        return;
    thread_known = true;
    __cxa_thread_atexit_impl(end_in_gate, NULL, &__dso_handle);
}

static int thread_create(const pthread_attr_t *attr, const char *name, struct thread_task *task,
                         pthread_t *ret_thread)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(ret_thread, attr, thread_main, task);
    if (rc == 0) {
        /* After it exists, before anybody can have seen it end: never more than there are. */
        atomic_fetch_add(&threads.started, 1);
        atomic_fetch_add(&threads.count, 1);
        pthread_setname_np(*ret_thread, name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return -rc;
}

static int add_tls(struct dl_phdr_info *info, size_t size, void *arg)
{
    size_t *sum = arg;

    (void)size;
    for (unsigned i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_TLS)
            *sum += info->dlpi_phdr[i].p_memsz + info->dlpi_phdr[i].p_align;
    return 0;
}

/* The thread-local storage of the program and its libraries lies in the same mapping as the stack,
 * and a program may have megabytes of it. */
static size_t tls_bytes(void)
{
    size_t bytes = atomic_load_explicit(&threads.tls_bytes, memory_order_relaxed);

    if (bytes)
        return bytes;
    bytes = LATER_TLS_BYTES;
    dl_iterate_phdr(add_tls, &bytes);
    atomic_store_explicit(&threads.tls_bytes, bytes, memory_order_relaxed);
    return bytes;
}

int thread_start(const char *name, size_t stack_bytes, void *(*main)(void *), void *arg,
                 pthread_t *ret_thread)
{
    struct thread_task *task = malloc(sizeof *task);
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (!task)
        return -ENOMEM;
    *task = (struct thread_task){.main = main, .arg = arg, .joined = ret_thread != NULL};
    rc = -pthread_attr_init(&attr);
    if (rc < 0) {
        free(task);
        return rc;
    }
    stack_bytes += (size_t)PTHREAD_STACK_MIN + tls_bytes();
    pthread_attr_setstacksize(&attr, stack_bytes);
    if (!ret_thread)
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    keeper_on_thread(); /* before it, too: a thread that ends at once would be glibc's last */
    rc = thread_create(&attr, name, task, &thread);
    pthread_attr_destroy(&attr);
    if (rc < 0) {
        free(task);
        return rc;
    }
    if (ret_thread)
        *ret_thread = thread;
    keeper_on_thread();
    return 0;
}

int thread_error(struct error *err, int rc, const char *purpose)
{
    if (rc == -EAGAIN)
        return error_set(err, ERROR_THREADS, "for %s", purpose);
    return error_set_errno(err, -rc, "starting a thread for %s", purpose);
}

int thread_count(void)
{
    return atomic_load(&threads.count);
}

unsigned thread_started(void)
{
    return atomic_load(&threads.started);
}

int64_t thread_idle_ns(void)
{
    return atomic_load_explicit(&threads.idle_ns, memory_order_relaxed);
}

void thread_set_idle_ns(int64_t idle_ns)
{
    atomic_store_explicit(&threads.idle_ns, idle_ns, memory_order_relaxed);
}

void thread_set_on_end(void (*on_end)(void))
{
    atomic_store(&threads.on_end, on_end);
}

void thread_reset_child(void)
{
    atomic_store(&threads.count, 0);
}
