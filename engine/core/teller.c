/* Asleep on a counter of wakes. See teller.h.
 *
 * A fork child has the counter and no thread: `generation` tells that one is to be started. */
#include "core/teller.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/log.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

static struct {
    void (*_Atomic tell)(void);
    _Atomic uint32_t wakes;
    _Atomic uint64_t generation; /* of the process that has the thread, plus one; 0: none */
} teller;

static void *teller_main(void *arg)
{
    void (*tell)(void) = atomic_load(&teller.tell);
    uint32_t told = (uint32_t)(uintptr_t)arg;

    for (;;) {
        uint32_t wakes = atomic_load(&teller.wakes);

        if (wakes == told) {
            futex_wait(&teller.wakes, told, CLOCK_NEVER, FUTEX_BITS_ALL);
            continue;
        }
        told = wakes;
        tell();
    }
    return NULL;
}

void teller_set(void (*tell)(void))
{
    atomic_store(&teller.tell, tell);
}

void teller_wake(void)
{
    atomic_fetch_add(&teller.wakes, 1);
    futex_wake(&teller.wakes, 1, FUTEX_BITS_ALL);
}

void teller_start(void)
{
    uint64_t known = atomic_load(&teller.generation), generation = gate_generation() + 1;
    uintptr_t told = atomic_load(&teller.wakes);

    if (!atomic_load(&teller.tell) || known == generation ||
        !atomic_compare_exchange_strong(&teller.generation, &known, generation))
        return;
    if (thread_start("s3dlio-teller", THREAD_STACK_BYTES, teller_main, (void *)told, NULL) < 0)
        log_warn("no thread to tell statistics on a signal");
}
