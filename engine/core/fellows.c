/* The table of processes that move data. See fellows.h.
 *
 * Invariant: whoever makes a seat's `process` its own by compare and swap has it, until another does,
 * which nobody does while it is touched. A count that is taken at that moment may be off by one. */
#include "core/fellows.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "core/place.h"

struct seat {
    _Atomic uint64_t process; /* 0: free */
    _Atomic uint64_t endpoint;
    _Atomic int64_t at_ns;
};

struct fellows_table {
    struct seat seats[FELLOWS_SEATS];
};

struct fellows_table *fellows_open(void)
{
    return place_map("fellows-1", sizeof(struct fellows_table));
}

/* A time that lies ahead is of another boot. */
static bool is_active(const struct seat *seat, int64_t now_ns)
{
    int64_t at_ns = atomic_load(&seat->at_ns);

    return atomic_load(&seat->process) && at_ns <= now_ns && now_ns - at_ns <= FELLOWS_ACTIVE_NS;
}

static bool is_own(const struct seat *seat, const struct fellows_seat *own)
{
    return atomic_load(&seat->process) == own->process &&
           atomic_load(&seat->endpoint) == own->endpoint;
}

static struct seat *take_seat(struct fellows_table *table, struct fellows_seat *own, int64_t now_ns)
{
    for (unsigned i = 0; i < FELLOWS_SEATS; i++) {
        struct seat *seat = &table->seats[i];
        uint64_t before = atomic_load(&seat->process);

        if (is_active(seat, now_ns) ||
            !atomic_compare_exchange_strong(&seat->process, &before, own->process))
            continue;
        atomic_store(&seat->endpoint, own->endpoint);
        own->index = i;
        return seat;
    }
    return NULL;
}

void fellows_touch(struct fellows_table *table, struct fellows_seat *own, int64_t now_ns)
{
    struct seat *seat = table ? &table->seats[own->index] : NULL;

    if (seat && !is_own(seat, own))
        seat = take_seat(table, own, now_ns);
    if (seat)
        atomic_store(&seat->at_ns, now_ns);
}

void fellows_leave(struct fellows_table *table, struct fellows_seat *own)
{
    uint64_t process = own->process;

    if (table && is_own(&table->seats[own->index], own))
        atomic_compare_exchange_strong(&table->seats[own->index].process, &process, 0);
}

struct fellows_count fellows_count(struct fellows_table *table, const struct fellows_seat *own,
                                   int64_t now_ns)
{
    struct fellows_count count = {1, 1};
    uint64_t seen[FELLOWS_SEATS];

    for (unsigned i = 0; table && i < FELLOWS_SEATS; i++) {
        const struct seat *seat = &table->seats[i];
        uint64_t process = atomic_load(&seat->process);
        unsigned before = 0;

        if (process == own->process || !is_active(seat, now_ns))
            continue;
        count.at_endpoint += atomic_load(&seat->endpoint) == own->endpoint;
        while (before + 1 < count.processes && seen[before] != process)
            before++;
        if (before + 1 == count.processes)
            seen[count.processes++ - 1] = process;
    }
    return count;
}
