/* Threads with a descriptor table of their own, one for each piece of work: it is rare (a name
 * every minute, a file at start), and a slow one never delays another.
 *
 * The waiting side of aside_run owns the task; the thread's last touch of it is the futex wake,
 * which uses the address only. No locks.
 */
#include "io/aside.h"

#include <errno.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

struct aside_task {
    void (*work)(void *arg);
    void *arg;
    _Atomic uint32_t *done; /* NULL: nobody waits */
};

static void *aside_main(void *arg)
{
    struct aside_task task = *(struct aside_task *)arg;

    free(arg);
    /* Before Linux 5.9 the table is copied whole; the copies close when the thread ends. */
    if (syscall(SYS_close_range, 3U, ~0U, CLOSE_RANGE_UNSHARE) < 0)
        (void)unshare(CLONE_FILES);
    task.work(task.arg);
    if (task.done) {
        atomic_store(task.done, 1);
        futex_wake(task.done, 1, FUTEX_BITS_ALL);
    }
    return NULL;
}

static int aside_spawn(const char *name, const struct aside_task *task)
{
    struct aside_task *copy = malloc(sizeof *copy);
    int rc;

    if (!copy)
        return -ENOMEM;
    *copy = *task;
    rc = thread_start(name, THREAD_STACK_LARGE_BYTES, aside_main, copy, NULL);
    if (rc < 0)
        free(copy);
    return rc;
}

int aside_start(const char *name, void (*work)(void *arg), void *arg)
{
    return aside_spawn(name, &(struct aside_task){.work = work, .arg = arg});
}

int aside_run(const char *name, void (*work)(void *arg), void *arg)
{
    bool inside = gate_current() != NULL;
    uint64_t generation = gate_generation();
    _Atomic uint32_t done = 0;
    int rc;

    rc = aside_spawn(name, &(struct aside_task){.work = work, .arg = arg, .done = &done});
    if (rc < 0)
        return rc;
    if (inside)
        gate_sleep_begin(1);
    while (!atomic_load(&done) && gate_generation() == generation)
        futex_wait(&done, 0, NS_PER_S, FUTEX_BITS_ALL);
    if (inside)
        gate_sleep_end(1);
    return gate_generation() == generation ? 0 : -EINTR;
}
