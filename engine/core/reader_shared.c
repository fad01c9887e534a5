/* The table of versions that are open. See reader_shared.h.
 *
 * Invariants: a seat whose `pid` is 0 is free; whoever makes it anything else by compare-and-swap
 * has it. `ticket` is written last at entering and first at leaving, so what speaks of a seat by its
 * ticket never means another reader's. The contents are read and written under `lock`, which holds
 * the process that has it: one that died in there is succeeded. `holder` is the process that
 * changes the object, 0 for none; readers sleep on it.
 */
#include "core/reader_shared.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/hash.h"
#include "core/attr.h"
#include "core/place.h"
#include "io/futex.h"

#define SEATS     1024u
#define DEAD_MAX  32u    /* of other processes to be asked for, for a seat: each is a system call */
#define SPINS_MAX 20000u /* of a yield each; the lock is held for a copy of two kilobytes */

struct seat {
    _Atomic uint32_t lock, holder;
    struct shared_version version;
};

struct shared_table {
    /* What is looked through lies close together. */
    _Atomic uint32_t pids[SEATS];
    _Atomic uint64_t names[SEATS];   /* hash of where the version is; 0: in a file */
    _Atomic uint64_t origins[SEATS]; /* hash of the version as it was opened */
    _Atomic uint64_t tickets[SEATS];
    _Atomic uint64_t next_ticket;
    struct seat seats[SEATS];
};

uint64_t shared_store_id(struct store *store)
{
    struct store_description description = {.endpoint = ""};

    if (store->ops->describe)
        store->ops->describe(store, &description);
    return hash_text(HASH_BASIS, description.endpoint);
}

static uint64_t hash_name(uint64_t store, const char *name)
{
    return hash_text(hash_bytes(HASH_BASIS, &store, sizeof store), name);
}

static uint64_t hash_origin(const struct shared_version *version, uint64_t name)
{
    return hash_text(hash_bytes(name, "\n", 1), version->etag);
}

/* Of another process id namespace every one looks dead: then its readers are not known here. */
static bool is_dead(uint32_t pid)
{
    return pid > INT_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH);
}

/* ---- a seat's lock --------------------------------------------------------------------------- */

static bool seat_lock(struct seat *seat)
{
    uint32_t self = (uint32_t)getpid();

    for (unsigned spins = 0; spins < SPINS_MAX; spins++) {
        uint32_t owner = 0;

        if (atomic_compare_exchange_strong(&seat->lock, &owner, self))
            return true;
        if (spins % 1000 == 999 && is_dead(owner) &&
            atomic_compare_exchange_strong(&seat->lock, &owner, self))
            return true;
        sched_yield();
    }
    return false;
}

static void seat_unlock(struct seat *seat)
{
    atomic_store(&seat->lock, 0);
}

/* The seat's contents while they are still those of the ticket; locked. NULL: no longer. */
static struct seat *seat_take(struct shared_table *table, const struct shared_seat *which)
{
    struct seat *seat;

    if (!table || !which->ticket || which->index >= SEATS)
        return NULL;
    seat = &table->seats[which->index];
    if (!seat_lock(seat))
        return NULL;
    if (atomic_load(&table->tickets[which->index]) == which->ticket)
        return seat;
    seat_unlock(seat);
    return NULL;
}

/* Others write there: what is read ends in any case. */
static void copy_version(struct shared_version *to, const struct shared_version *from)
{
    *to = *from;
    to->uri.scheme[sizeof to->uri.scheme - 1] = '\0';
    to->uri.bucket[sizeof to->uri.bucket - 1] = '\0';
    to->uri.key[sizeof to->uri.key - 1] = '\0';
    to->etag[sizeof to->etag - 1] = '\0';
    to->file[sizeof to->file - 1] = '\0';
}

static uint64_t name_of(const struct shared_version *version)
{
    char text[ATTR_URI_BYTES];

    if (version->file[0])
        return 0;
    attr_uri_text(&version->uri, text);
    return hash_name(version->store, text);
}

static void set_name(struct shared_table *table, unsigned index,
                     const struct shared_version *version)
{
    atomic_store(&table->names[index], name_of(version));
}

/* ---- files that were left -------------------------------------------------------------------- */

static bool speaks_of(struct shared_table *table, unsigned index, const char *file)
{
    struct shared_seat which = {index, atomic_load(&table->tickets[index])};
    struct seat *seat = which.ticket ? seat_take(table, &which) : NULL;
    bool speaks = seat && strncmp(seat->version.file, file, SHARED_PATH_MAX) == 0;

    if (seat)
        seat_unlock(seat);
    return speaks;
}

static void drop_file(struct shared_table *table, const char *file)
{
    for (unsigned i = 0; i < SEATS; i++)
        if (atomic_load(&table->pids[i]) && !atomic_load(&table->names[i]) &&
            speaks_of(table, i, file))
            return;
    unlink(file);
}

/* ---- taking a seat --------------------------------------------------------------------------- */

/* Whoever sat there has left, or died. */
static void clear(struct shared_table *table, unsigned index)
{
    struct seat *seat = &table->seats[index];
    char file[SHARED_PATH_MAX];

    atomic_store(&table->tickets[index], 0);
    if (!seat_lock(seat))
        return; /* for ever taken */
    memcpy(file, seat->version.file, sizeof file);
    file[sizeof file - 1] = '\0';
    seat->version.file[0] = '\0';
    atomic_store(&table->names[index], 0);
    atomic_store(&table->origins[index], 0);
    atomic_store(&seat->holder, 0);
    seat_unlock(seat);
    if (file[0])
        drop_file(table, file);
    atomic_store(&table->pids[index], 0);
}

static bool claim_free(struct shared_table *table, unsigned index, uint32_t pid)
{
    uint32_t owner = 0;

    return atomic_compare_exchange_strong(&table->pids[index], &owner, pid);
}

/* As ours first, so that nobody else clears it at the same time. */
static bool claim_dead(struct shared_table *table, unsigned index)
{
    uint32_t owner = atomic_load(&table->pids[index]);

    if (!is_dead(owner) ||
        !atomic_compare_exchange_strong(&table->pids[index], &owner, (uint32_t)getpid()))
        return false;
    clear(table, index);
    return true;
}

/* For that process, from where the last one was found on. SEATS: there is none. */
static unsigned claim(struct shared_table *table, uint32_t pid)
{
    static _Atomic unsigned next;
    uint32_t self = (uint32_t)getpid();
    unsigned from = atomic_load_explicit(&next, memory_order_relaxed), asked = 0;

    for (unsigned i = 0; i < SEATS; i++) {
        unsigned index = (from + i) % SEATS;
        uint32_t owner = atomic_load_explicit(&table->pids[index], memory_order_relaxed);

        if (owner && (owner == self || asked++ >= DEAD_MAX || !claim_dead(table, index)))
            continue;
        if (!claim_free(table, index, pid))
            continue;
        atomic_store_explicit(&next, index, memory_order_relaxed);
        return index;
    }
    return SEATS;
}

/* What processes that died have left, and will not be found by chance. */
static void sweep(struct shared_table *table)
{
    for (unsigned i = 0; i < SEATS; i++)
        if (atomic_load(&table->pids[i]) && !atomic_load(&table->names[i]))
            claim_dead(table, i);
}

struct shared_table *shared_table_open(void)
{
    struct shared_table *table = place_map("readers-2", sizeof *table);

    if (table)
        sweep(table);
    return table;
}

/* Where the version that was opened as this one is now, as far as anybody tells. */
static void follow(struct shared_table *table, uint64_t origin, struct shared_version *version)
{
    for (unsigned i = 0; i < SEATS; i++) {
        struct shared_seat which = {i, atomic_load(&table->tickets[i])};
        struct seat *seat;

        if (atomic_load(&table->origins[i]) != origin || !which.ticket)
            continue;
        seat = seat_take(table, &which);
        if (!seat)
            continue;
        if (seat->version.size_bytes == version->size_bytes)
            copy_version(version, &seat->version);
        seat_unlock(seat);
        return;
    }
}

/* Sits down on a seat that was claimed. */
static void sit(struct shared_table *table, unsigned index, const struct shared_version *version,
                uint64_t name, uint64_t origin, struct shared_seat *ret_seat)
{
    struct seat *seat = &table->seats[index];

    if (!seat_lock(seat))
        return;
    seat->version = *version;
    atomic_store(&seat->holder, 0);
    atomic_store(&table->names[index], name);
    atomic_store(&table->origins[index], origin);
    *ret_seat = (struct shared_seat){index, atomic_fetch_add(&table->next_ticket, 1) + 1};
    atomic_store(&table->tickets[index], ret_seat->ticket);
    seat_unlock(seat);
}

void shared_enter(struct shared_table *table, struct shared_version *version, bool handed_over,
                  struct shared_seat *ret_seat)
{
    char text[ATTR_URI_BYTES];
    uint64_t origin;
    unsigned index;

    *ret_seat = (struct shared_seat){0};
    if (!table)
        return;
    attr_uri_text(&version->uri, text);
    origin = hash_origin(version, hash_name(version->store, text));
    if (handed_over)
        follow(table, origin, version);
    index = claim(table, (uint32_t)getpid());
    if (index < SEATS)
        sit(table, index, version, name_of(version), origin, ret_seat);
}

/* A seat of that process that says the same as this one. False: this one is no more. */
static bool copy_seat(struct shared_table *table, struct shared_seat *which, uint32_t pid)
{
    struct shared_version version;
    struct seat *seat = seat_take(table, which);
    uint64_t name, origin;
    unsigned index;

    if (!seat)
        return false;
    copy_version(&version, &seat->version);
    name = atomic_load(&table->names[which->index]);
    origin = atomic_load(&table->origins[which->index]);
    seat_unlock(seat);
    *which = (struct shared_seat){0};
    index = claim(table, pid);
    if (index < SEATS)
        sit(table, index, &version, name, origin, which);
    return true;
}

bool shared_inherit(struct shared_table *table, struct shared_seat *which)
{
    return copy_seat(table, which, (uint32_t)getpid());
}

void shared_give_all(struct shared_table *table, int pid)
{
    uint32_t self = (uint32_t)getpid();

    for (unsigned i = 0; table && i < SEATS; i++) {
        struct shared_seat which = {i, atomic_load(&table->tickets[i])};

        if (atomic_load(&table->pids[i]) == self)
            copy_seat(table, &which, (uint32_t)pid);
    }
}

void shared_move(struct shared_table *table, const struct shared_seat *which, const struct uri *uri,
                 const char *etag, uint64_t stored_bytes)
{
    struct seat *seat = seat_take(table, which);

    if (!seat)
        return;
    seat->version.uri = *uri;
    seat->version.stored_bytes = stored_bytes;
    memset(seat->version.etag, 0, sizeof seat->version.etag);
    memcpy(seat->version.etag, etag, strnlen(etag, sizeof seat->version.etag - 1));
    set_name(table, which->index, &seat->version);
    seat_unlock(seat);
}

void shared_leave(struct shared_table *table, struct shared_seat *which)
{
    if (table && which->ticket && atomic_load(&table->tickets[which->index]) == which->ticket)
        clear(table, which->index);
    which->ticket = 0;
}

void shared_leave_all(struct shared_table *table)
{
    uint32_t self = (uint32_t)getpid();

    for (unsigned i = 0; table && i < SEATS; i++)
        if (atomic_load_explicit(&table->pids[i], memory_order_relaxed) == self)
            clear(table, i);
}

bool shared_look(struct shared_table *table, const struct shared_seat *which,
                 struct shared_version *ret_version, _Atomic uint32_t **ret_word,
                 uint32_t *ret_value)
{
    struct seat *seat = seat_take(table, which);
    uint32_t holder;

    *ret_word = NULL;
    if (!seat)
        return false;
    copy_version(ret_version, &seat->version);
    holder = atomic_load(&seat->holder);
    seat_unlock(seat);
    if (holder && !is_dead(holder)) {
        *ret_word = &seat->holder;
        *ret_value = holder;
    }
    return true;
}

/* ---- those of others ------------------------------------------------------------------------- */

static bool covers(const char *name, bool below, const char *text)
{
    size_t length = strlen(name);

    return strncmp(text, name, length) == 0 && (!text[length] || (below && text[length] == '/'));
}

/* Is it worth a closer look? */
static bool may_be(struct shared_table *table, unsigned index, uint64_t hash, uint32_t self)
{
    uint64_t name = atomic_load_explicit(&table->names[index], memory_order_relaxed);
    uint32_t pid;

    if (!name || (hash && name != hash))
        return false;
    pid = atomic_load(&table->pids[index]);
    return pid && pid != self && !is_dead(pid);
}

void shared_find(struct shared_table *table, uint64_t store, const char *name, bool below,
                 bool (*found)(void *arg, const struct shared_seat *seat,
                               const struct shared_version *version),
                 void *arg)
{
    uint64_t hash = below || !table ? 0 : hash_name(store, name);
    uint32_t self = (uint32_t)getpid();
    struct shared_version version;
    char text[ATTR_URI_BYTES];
    bool more = table != NULL;

    for (unsigned i = 0; more && i < SEATS; i++) {
        struct shared_seat which = {i, 0};
        struct seat *seat;

        if (!may_be(table, i, hash, self))
            continue;
        which.ticket = atomic_load(&table->tickets[i]);
        seat = seat_take(table, &which);
        if (!seat)
            continue;
        copy_version(&version, &seat->version);
        attr_uri_text(&version.uri, text);
        if (version.store != store || version.file[0] || !covers(name, below, text)) {
            seat_unlock(seat);
            continue;
        }
        atomic_store(&seat->holder, self);
        seat_unlock(seat);
        more = found(arg, &which, &version);
    }
}

bool shared_has(struct shared_table *table, uint64_t store, const char *name)
{
    uint64_t hash = table ? hash_name(store, name) : 0;
    uint32_t self = (uint32_t)getpid();

    for (unsigned i = 0; table && i < SEATS; i++)
        if (may_be(table, i, hash, self))
            return true;
    return false;
}

void shared_tell(struct shared_table *table, const struct shared_seat *which,
                 const struct shared_version *version)
{
    struct seat *seat = seat_take(table, which);

    if (!seat) {
        if (version->file[0])
            drop_file(table, version->file); /* its reader was closed meanwhile */
        return;
    }
    seat->version = *version;
    set_name(table, which->index, version);
    seat_unlock(seat);
}

void shared_let_go(struct shared_table *table, const struct shared_seat *which)
{
    struct seat *seat = seat_take(table, which);
    uint32_t self = (uint32_t)getpid();

    if (!seat)
        return;
    atomic_compare_exchange_strong(&seat->holder, &self, 0);
    seat_unlock(seat);
    futex_wake(&seat->holder, INT_MAX, FUTEX_BITS_ALL);
}
