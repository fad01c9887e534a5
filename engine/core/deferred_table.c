/* The table of deferred puts. See deferred_table.h.
 *
 * Invariants: a seat whose `pid` is 0 is free; whoever makes it anything else by compare-and-swap has
 * it, and is the only one who writes to it. `serial` is odd while the seat speaks of a put: who reads
 * copies, and looks whether it is still the same; `change` is odd while attributes are exchanged. A
 * name's seat is one of the SPREAD behind its
 * hash's. `taken` is raised before a seat is filled and lowered after it was left, so it is never
 * less than the number of puts; a killed process leaves it too high until somebody takes its seat.
 */
#include "core/deferred_table.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "core/place.h"
#include "core/reader_shared.h"
#include "io/futex.h"

#define SEATS  2048u
#define SPREAD 16u
#define LOOKS  1000u

struct seat {
    _Atomic uint32_t pid;
    _Atomic uint32_t serial;
    _Atomic uint32_t change;
    _Atomic uint32_t wanted; /* somebody waits; never taken back */
    _Atomic int64_t until_ns;
    _Atomic uint64_t hash[2];
    _Atomic uint64_t size_bytes;
    _Atomic int64_t mtime_ns, atime_ns; /* since the epoch */
    _Atomic uint64_t mode;              /* below it `has` */
    _Atomic uint64_t owner;             /* uid, below it gid */
};

struct deferred_table {
    _Atomic uint32_t taken;
    struct seat seats[SEATS];
};

struct deferred_table *deferred_table_open(void)
{
    struct deferred_table *table = place_map("deferred-3", sizeof *table);

    if (table)
        return table;
    table = mmap(NULL, sizeof *table, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return table == MAP_FAILED ? NULL : table;
}

void deferred_table_close(struct deferred_table *table)
{
    if (table)
        munmap(table, sizeof *table);
}

bool deferred_table_any(struct deferred_table *table)
{
    return table && atomic_load_explicit(&table->taken, memory_order_acquire) != 0;
}

void deferred_name_of(struct store *store, const struct uri *uri, struct deferred_name *ret_name)
{
    uint64_t store_id = shared_store_id(store);
    char text[ATTR_URI_BYTES];

    attr_uri_text(uri, text);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t basis = i ? UINT64_C(0x9e3779b97f4a7c15) : HASH_BASIS;

        ret_name->hash[i] =
            hash_mix(hash_text(hash_bytes(basis, &store_id, sizeof store_id), text));
    }
}

/* Of another process id namespace every one looks dead: then its puts are not known here. An id that
 * has a new process after a death is found out by the time. */
static bool is_dead(struct seat *seat)
{
    uint32_t pid = atomic_load(&seat->pid);

    return pid > INT_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH) ||
           clock_now_ns() > atomic_load(&seat->until_ns);
}

static struct seat *seat_at(struct deferred_table *table, const struct deferred_name *name,
                            unsigned i)
{
    return &table->seats[(name->hash[0] + i) % SEATS];
}

/* ---- one's own ------------------------------------------------------------------------------- */

/* It speaks of nothing from now on; still ours. */
static void fall_silent(struct deferred_table *table, struct seat *seat)
{
    if (!(atomic_load(&seat->serial) & 1))
        return;
    atomic_fetch_add(&seat->serial, 1);
    futex_wake_shared(&seat->serial, INT_MAX);
    atomic_fetch_sub(&table->taken, 1);
}

static bool claim(struct deferred_table *table, struct seat *seat)
{
    uint32_t pid = atomic_load(&seat->pid), self = (uint32_t)getpid();

    if (pid && (pid == self || !is_dead(seat)))
        return false;
    if (!atomic_compare_exchange_strong(&seat->pid, &pid, self))
        return false;
    fall_silent(table, seat);
    return true;
}

static int64_t ns_of(const struct timespec *time)
{
    return time->tv_sec * NS_PER_S + time->tv_nsec;
}

static void fill_attr(struct seat *seat, const struct attr *attr)
{
    atomic_store(&seat->size_bytes, attr->size_bytes);
    atomic_store(&seat->mtime_ns, ns_of(&attr->mtime));
    atomic_store(&seat->atime_ns, attr->has & ATTR_HAS_ATIME ? ns_of(&attr->atime) : 0);
    atomic_store(&seat->mode, (uint64_t)attr->mode << 32 | attr->has);
    atomic_store(&seat->owner, (uint64_t)attr->uid << 32 | attr->gid);
}

static void fill(struct seat *seat, const struct deferred_name *name, const struct attr *attr,
                 int64_t until_ns)
{
    atomic_store(&seat->until_ns, until_ns);
    for (unsigned i = 0; i < 2; i++)
        atomic_store(&seat->hash[i], name->hash[i]);
    atomic_store(&seat->wanted, 0);
    atomic_store(&seat->change, 0); /* the one before may have died within */
    fill_attr(seat, attr);
}

unsigned deferred_table_enter(struct deferred_table *table, const struct deferred_name *name,
                              const struct attr *attr, int64_t until_ns)
{
    for (unsigned i = 0; i < SPREAD; i++) {
        struct seat *seat = seat_at(table, name, i);

        if (!claim(table, seat))
            continue;
        atomic_fetch_add(&table->taken, 1);
        fill(seat, name, attr, until_ns);
        atomic_fetch_add(&seat->serial, 1);
        return (unsigned)(seat - table->seats) + 1;
    }
    return 0;
}

void deferred_table_change(struct deferred_table *table, unsigned number, const struct attr *attr)
{
    struct seat *seat = &table->seats[number - 1];

    if (atomic_load(&seat->pid) != (uint32_t)getpid())
        return;
    atomic_fetch_add(&seat->change, 1);
    fill_attr(seat, attr);
    atomic_fetch_add(&seat->change, 1);
}

bool deferred_table_is_wanted(struct deferred_table *table, unsigned number)
{
    return atomic_load(&table->seats[number - 1].wanted) != 0;
}

void deferred_table_leave(struct deferred_table *table, unsigned number)
{
    struct seat *seat = &table->seats[number - 1];

    if (atomic_load(&seat->pid) != (uint32_t)getpid())
        return; /* it took too long, and was given to another */
    fall_silent(table, seat);
    atomic_store(&seat->pid, 0);
}

/* ---- those of others ------------------------------------------------------------------------- */

/* Does it speak of a put of another process that lives? Then *ret_serial. One of the dead is free
 * afterwards. */
static bool speaks(struct deferred_table *table, struct seat *seat,
                   const struct deferred_name *name, uint32_t *ret_serial)
{
    uint32_t serial = atomic_load(&seat->serial), pid = atomic_load(&seat->pid);

    if (!(serial & 1) || !pid || pid == (uint32_t)getpid())
        return false;
    if (is_dead(seat)) {
        if (claim(table, seat))
            atomic_store(&seat->pid, 0);
        return false;
    }
    if (name && (atomic_load(&seat->hash[0]) != name->hash[0] ||
                 atomic_load(&seat->hash[1]) != name->hash[1]))
        return false;
    *ret_serial = serial;
    return true;
}

static struct timespec time_of(int64_t ns)
{
    struct timespec time = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

    if (time.tv_nsec < 0) { /* before 1970 */
        time.tv_nsec += NS_PER_S;
        time.tv_sec--;
    }
    return time;
}

static void copy(struct seat *seat, struct attr *ret_attr)
{
    uint64_t mode = atomic_load(&seat->mode), owner = atomic_load(&seat->owner);

    ret_attr->size_bytes = atomic_load(&seat->size_bytes);
    ret_attr->mtime = time_of(atomic_load(&seat->mtime_ns));
    ret_attr->atime = time_of(atomic_load(&seat->atime_ns));
    ret_attr->mode = (uint32_t)(mode >> 32) & 07777;
    ret_attr->has = (uint32_t)mode &
                    (ATTR_HAS_MODE | ATTR_HAS_UID | ATTR_HAS_GID | ATTR_HAS_MTIME | ATTR_HAS_ATIME);
    ret_attr->uid = (uint32_t)(owner >> 32);
    ret_attr->gid = (uint32_t)owner;
}

/* Not for ever: whoever exchanges them may have been stopped there. */
static void copy_whole(struct seat *seat, struct attr *ret_attr)
{
    uint32_t change;
    unsigned tries = 0;

    do {
        change = atomic_load(&seat->change);
        copy(seat, ret_attr);
    } while ((change & 1 || atomic_load(&seat->change) != change) && ++tries < LOOKS);
}

bool deferred_table_look(struct deferred_table *table, const struct deferred_name *name,
                         struct attr *ret_attr)
{
    for (unsigned i = 0; i < SPREAD; i++) {
        struct seat *seat = seat_at(table, name, i);
        struct attr attr = {.type = ATTR_FILE};
        uint32_t serial;

        if (!speaks(table, seat, name, &serial))
            continue;
        copy_whole(seat, &attr);
        if (atomic_load(&seat->serial) != serial)
            continue;
        *ret_attr = attr;
        return true;
    }
    return false;
}

/* Who holds them back is to send them all, and not one after the other. */
static void want_all(struct deferred_table *table)
{
    uint32_t serial;

    for (unsigned i = 0; i < SEATS; i++)
        if (speaks(table, &table->seats[i], NULL, &serial))
            atomic_store(&table->seats[i].wanted, 1);
}

static int wait_for(struct seat *seat, uint32_t serial, const struct limits *limits,
                    struct error *err)
{
    int r = 0;

    atomic_store(&seat->wanted, 1); /* if it is another's by now, that one is not held for long */
    while (r == 0 && atomic_load(&seat->serial) == serial && !is_dead(seat))
        r = limits_wait_shared(limits, &seat->serial, serial, err);
    return r;
}

int deferred_table_wait(struct deferred_table *table, const struct deferred_name *name,
                        const struct limits *limits, struct error *err)
{
    unsigned seats = name ? SPREAD : SEATS;
    int r = 0;

    if (!name)
        want_all(table);
    for (unsigned i = 0; r == 0 && i < seats; i++) {
        struct seat *seat = name ? seat_at(table, name, i) : &table->seats[i];
        uint32_t serial;

        if (speaks(table, seat, name, &serial))
            r = wait_for(seat, serial, limits, err);
    }
    return r;
}
