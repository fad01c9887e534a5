/* Contract: keeper.h.
 *
 * keeper_main_left sets `main_left`, then looks for engine threads; thread_start counts its thread,
 * then looks at `main_left`: so one of them starts the keeper. There is one at most. How many
 * threads the process has the kernel says; a main thread that has left counts as a zombie.
 *
 * The kernel's number is older than ours when the two are compared. An engine thread that was
 * started between them would stand for one of the program, such as the main thread that runs exit
 * handlers after its pthread_exit, so what was seen counts only when none was.
 */
#include "io/keeper.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/fd.h"
#include "io/gate.h"
#include "io/proc_stat.h"
#include "io/thread.h"

/* How long after its last thread a process ends at most, when there is nothing left to upload. */
#define KEEPER_LOOK_NS (50 * NS_PER_MS)

static struct {
    _Atomic bool main_left, running;
} keeper;

/* -1: cannot be known. */
static int keeper_live_threads(int fd)
{
    struct proc_stat self;

    if (proc_stat_read(fd, &self) < 0)
        return -1;
    return self.state == 'Z' ? self.threads - 1 : self.threads;
}

/* 1: a thread of the program lives, 0: none, -1: cannot be known. */
static int keeper_look(int fd)
{
    unsigned started = thread_started();
    int live = keeper_live_threads(fd);
    int ours = thread_count() + 1;

    if (live < 0)
        return -1;
    return live > ours || thread_started() != started;
}

static void *keeper_main(void *arg)
{
    const struct timespec look = {.tv_nsec = KEEPER_LOOK_NS};
    struct gate_scope scope;
    int fd, others;

    (void)arg;
    gate_enter(&scope);
    fd_room_begin(FD_FOR_FILES);
    fd = fd_adopt(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
    fd_room_end();
    gate_leave(&scope);
    do {
        nanosleep(&look, NULL);
        others = keeper_look(fd);
        if (others == 0)
            exit(0);
    } while (others > 0 || thread_count() > 0);
    fd_close(fd);
    atomic_store(&keeper.running, false);
    return NULL;
}

static void keeper_start(void)
{
    const struct gate_scope *scope = gate_current();
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t before;
    int rc;

    if (atomic_exchange(&keeper.running, true))
        return;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_sigmask(SIG_SETMASK, scope ? &scope->caller_mask : NULL, &before);
    rc = pthread_create(&thread, &attr, keeper_main, NULL);
    if (rc == 0)
        pthread_setname_np(thread, "s3dlio-keeper");
    else
        log_debug("nobody watches for the end of the program's threads: error %d", rc);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        atomic_store(&keeper.running, false);
}

void keeper_main_left(void)
{
    struct gate_scope scope;

    gate_enter(&scope);
    atomic_store(&keeper.main_left, true);
    if (thread_count() > 0)
        keeper_start();
    gate_leave(&scope);
}

void keeper_on_thread(void)
{
    if (atomic_load(&keeper.main_left))
        keeper_start();
}

void keeper_reset_child(void)
{
    atomic_store(&keeper.main_left, false);
    atomic_store(&keeper.running, false);
}
