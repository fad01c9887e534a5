/* The processes of an arena and what each holds; see arena.h.
 *
 * A process that is killed leaves its record behind. It is swept when somebody gives up a thing
 * that the record says is held, and when room runs out. A number that the kernel gave to another
 * process since is told apart by the time that one began. Flights are swept in the same way.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/arena_private.h"
#include "shim/private_fd.h"
#include "shim/real.h"

#define NONE          UINT32_MAX
#define TOKEN_MINIMUM 512

static uint32_t own = NONE; /* the index of this process's record */
/* During fork. */
static struct arena_child coming = {.record = NONE, .token_fd = -1};
static int fork_locked;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- holds ---- */

static bool has(const struct arena_process *process, uint32_t index)
{
    return atomic_load_explicit(&process->holds[index / 64], memory_order_relaxed) >> index % 64 & 1;
}

static bool is_held(struct arena *arena, const struct arena_process *except, uint32_t index,
                    bool sweeps);

static uint32_t processes_end(const struct arena *arena)
{
    return arena_end(arena->process_end, ARENA_PROCESSES);
}

/* Words of the bitmap that can be anything but 0, in two runs. */
static uint32_t word_next(const struct arena *arena, uint32_t word)
{
    uint32_t slots = (arena_end(arena->slot_end, ARENA_SLOTS) + 63) / 64;
    uint32_t nodes = (arena_end(arena->node_end, ARENA_NODES) + 63) / 64;
    if (word >= slots && word < ARENA_SLOTS / 64)
        word = ARENA_SLOTS / 64;
    return word < ARENA_SLOTS / 64 + nodes ? word : NONE;
}

static void process_free(struct arena *arena, struct arena_process *process)
{
    process->pid = 0;
    for (uint32_t i = word_next(arena, 0); i != NONE; i = word_next(arena, i + 1)) {
        uint64_t bits = atomic_exchange(&process->holds[i], 0);
        for (; bits; bits &= bits - 1) {
            uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(bits);
            if (!is_held(arena, NULL, index, false))
                arena_forget(index);
        }
    }
}

static void hold(struct arena_process *process, uint32_t index)
{
    atomic_fetch_or(&process->holds[index / 64], UINT64_C(1) << index % 64);
}

void arena_hold_take(uint32_t index)
{
    hold(&arena_mapped()->processes[own], index);
}

/* Takes everything from a dead process, but not the thing that the caller is about to have
 * alone. */
static void bury(struct arena *arena, struct arena_process *process, uint32_t kept)
{
    atomic_fetch_and(&process->holds[kept / 64], ~(UINT64_C(1) << kept % 64));
    process_free(arena, process);
}

/* Does a process besides `except` (NULL: any) hold it? `sweeps`: only living ones count. */
static bool is_held(struct arena *arena, const struct arena_process *except, uint32_t index,
                    bool sweeps)
{
    for (uint32_t i = 0; i < processes_end(arena); i++) {
        struct arena_process *process = &arena->processes[i];
        if (process == except || !process->pid || !has(process, index))
            continue;
        if (!sweeps || !arena_is_known_dead(process))
            return true;
        bury(arena, process, index);
    }
    return false;
}

bool arena_hold_drop(uint32_t index, bool sweeps)
{
    struct arena *arena = arena_mapped();
    struct arena_process *self = own == NONE ? NULL : &arena->processes[own];
    if (!self || self->pid != getpid() || !has(self, index))
        return false;
    atomic_fetch_and(&self->holds[index / 64], ~(UINT64_C(1) << index % 64));
    return !is_held(arena, NULL, index, sweeps);
}

bool arena_node_is_alone(struct arena_node *node)
{
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock();
    const struct arena_process *self = own == NONE ? NULL : &arena->processes[own];
    bool is_alone = !is_held(arena, self, ARENA_SLOTS + arena_node_index(node), true);
    arena_table_unlock(locked);
    return is_alone;
}

bool arena_node_lives(struct arena_node *node)
{
    struct arena *arena = arena_mapped();
    uint32_t index = ARENA_SLOTS + arena_node_index(node);
    if (is_held(arena, NULL, index, true))
        return true;
    arena_forget(index);
    return false;
}

void arena_sweep_all(void)
{
    struct arena *arena = arena_mapped();
    for (uint32_t i = 0; i < processes_end(arena); i++)
        if (arena->processes[i].pid && arena_is_dead(&arena->processes[i]))
            process_free(arena, &arena->processes[i]);
    /* What a process that was killed between two steps had in its hands. */
    for (uint32_t i = 0; i < arena_end(arena->node_end, ARENA_NODES); i++)
        if (arena->nodes[i].used && !is_held(arena, NULL, ARENA_SLOTS + i, false))
            arena_forget(ARENA_SLOTS + i);
    for (uint32_t i = 0; i < arena_end(arena->slot_end, ARENA_SLOTS); i++)
        if (arena->slots[i].used && !is_held(arena, NULL, i, false))
            arena_forget(i);
}

/* ---- records ---- */

static uint32_t process_search(struct arena *arena)
{
    for (uint32_t i = 0; i < ARENA_PROCESSES; i++)
        if (!arena->processes[i].pid) {
            arena->process_end = arena->process_end > i ? arena->process_end : i + 1;
            return i;
        }
    return NONE;
}

static int process_new(pid_t pid, uint32_t *ret_index)
{
    struct arena *arena = arena_mapped();
    uint32_t index = process_search(arena);
    if (index == NONE) {
        arena_sweep_all();
        index = process_search(arena);
    }
    if (index == NONE)
        return -EAGAIN;
    arena->processes[index].token = arena->processes[index].since_ns = now_ns();
    arena->processes[index].pid = pid;
    *ret_index = index;
    return 0;
}

int arena_join(void)
{
    return own == NONE ? process_new(getpid(), &own) : 0;
}

static void child_is(struct arena_process *process, pid_t pid)
{
    process->since_ns = now_ns();
    process->pid = pid;
}

/* Its child may have told its number, and even have ended. Under the table's lock. */
static bool is_coming(const struct arena_process *process, int64_t which)
{
    return process->pid == PROCESS_COMING && process->token == which;
}

/* ---- exec ---- */

uint32_t arena_record(void)
{
    return own;
}

/* Is the record this process's, or that of the child which it is? */
static bool joins(const struct arena_key *key)
{
    struct arena *arena = arena_mapped();
    if (key->record >= processes_end(arena))
        return false;
    struct arena_process *process = &arena->processes[key->record];
    if (!key->coming)
        return process->pid == getpid();
    int locked = arena_table_lock();
    if (is_coming(process, key->coming))
        child_is(process, getpid());
    bool is_it = process->token == key->coming && process->pid == getpid();
    arena_table_unlock(locked);
    return is_it;
}

/* Locks that this thread had when it called exec have no owner any more who would give them
 * back. */
int arena_join_again(const struct arena_key *key)
{
    shared_lock_exec(&arena_mapped()->table);
    if (!joins(key))
        return -EINVAL;
    own = key->record;
    arena_parent_is(key->parent);
    return 0;
}

static bool holds(uint32_t index)
{
    return own != NONE && has(&arena_mapped()->processes[own], index);
}

struct arena_slot *arena_held_slot(uint32_t index)
{
    struct arena *arena = arena_mapped();
    if (index >= ARENA_SLOTS || !holds(index) || !arena->slots[index].used)
        return NULL;
    shared_lock_exec(&arena->slots[index].lock);
    return &arena->slots[index];
}

bool arena_holds_slot(const struct arena_slot *slot)
{
    return holds(arena_slot_index(slot));
}

struct arena_node *arena_held_node(uint32_t index)
{
    struct arena *arena = arena_mapped();
    if (index >= ARENA_NODES || !holds(ARENA_SLOTS + index) || !arena->nodes[index].used)
        return NULL;
    shared_lock_exec(&arena->nodes[index].order);
    return &arena->nodes[index];
}

void arena_keep(bool (*keeps)(bool is_node, uint32_t index, const void *arg), const void *arg)
{
    struct arena *arena = arena_mapped();
    struct arena_process *self = &arena->processes[own];
    int locked = arena_table_lock();
    for (uint32_t i = word_next(arena, 0); i != NONE; i = word_next(arena, i + 1))
        for (uint64_t bits = self->holds[i]; bits; bits &= bits - 1) {
            uint32_t index = i * 64 + (uint32_t)__builtin_ctzll(bits);
            bool is_node = index >= ARENA_SLOTS;
            if (keeps(is_node, is_node ? index - ARENA_SLOTS : index, arg))
                continue;
            atomic_fetch_and(&self->holds[i], ~(UINT64_C(1) << index % 64));
            if (!is_held(arena, NULL, index, false))
                arena_forget(index);
        }
    arena_table_unlock(locked);
}

bool arena_is_used(void)
{
    return own != NONE && arena_mapped()->processes[own].pid == getpid();
}

bool arena_is_shared(void)
{
    struct arena *arena = arena_mapped();
    for (uint32_t i = 0; arena && i < processes_end(arena); i++)
        if (i != own && arena->processes[i].pid)
            return true;
    return false;
}

/* ---- in messages ---- */

/* An open file description of its own, which nobody has got by fork. */
static int token_open(void)
{
    char name[40];
    int file = arena_file();
    snprintf(name, sizeof name, "/proc/self/fd/%d", file);
    int fd = file < 0 ? -1 : REAL(open)(name, O_RDWR | O_CLOEXEC);
    return file < 0 || (fd < 0 && errno == ENOENT) ? -EOPNOTSUPP : fd < 0 ? -errno : fd;
}

/* A record that lives as long as the token. Under the table's lock. */
static int token_record(int token, pid_t kind, uint32_t *ret_index)
{
    int result = process_new(kind, ret_index);
    if (result < 0)
        return result;
    struct arena_process *process = &arena_mapped()->processes[*ret_index];
    struct flock lock = arena_token_lock(process);
    if (REAL(fcntl)(token, F_OFD_SETLK, &lock) == 0)
        return 0;
    result = -errno;
    process->pid = 0;
    return result;
}

/* Under the table's lock. */
static int flight_new(int token, struct arena_flight *ret_flight)
{
    uint32_t index;
    int result = token_record(token, PROCESS_FLIGHT, &index);
    if (!result)
        *ret_flight = (struct arena_flight){index, arena_mapped()->processes[index].since_ns};
    return result;
}

int arena_flight_begin(const struct arena_slot *slot, const struct arena_node *node,
                       struct arena_flight *ret_flight, int *ret_token)
{
    int token = token_open();
    if (token < 0)
        return token;
    int locked = arena_table_lock(), result = flight_new(token, ret_flight);
    if (!result) {
        struct arena_process *flight = &arena_mapped()->processes[ret_flight->record];
        hold(flight, arena_slot_index(slot));
        if (node)
            hold(flight, ARENA_SLOTS + arena_node_index(node));
        *ret_token = token;
    }
    arena_table_unlock(locked);
    if (result < 0)
        REAL(close)(token);
    return result;
}

static struct arena_process *flight_of(const struct arena_flight *flight)
{
    struct arena *arena = arena_mapped();
    struct arena_process *process =
        flight->record < ARENA_PROCESSES ? &arena->processes[flight->record] : NULL;
    bool is_it = process && process->pid == PROCESS_FLIGHT && process->since_ns == flight->since_ns;
    return is_it ? process : NULL;
}

void arena_flight_look(const struct arena_flight *flight)
{
    int locked = arena_table_lock();
    struct arena_process *process = flight_of(flight);
    if (process && arena_is_dead(process))
        process_free(arena_mapped(), process);
    arena_table_unlock(locked);
}

bool arena_is_in_flight(const struct arena_slot *slot)
{
    struct arena *arena = arena_mapped();
    bool found = false;
    int locked = arena_table_lock();
    for (uint32_t i = 0; i < processes_end(arena) && !found; i++)
        found = arena->processes[i].pid == PROCESS_FLIGHT &&
                has(&arena->processes[i], arena_slot_index(slot));
    arena_table_unlock(locked);
    return found;
}

struct arena_slot *arena_flight_slot(const struct arena_flight *flight, uint32_t index)
{
    struct arena_process *process = flight_of(flight);
    return process && index < ARENA_SLOTS && has(process, index) ? &arena_mapped()->slots[index]
                                                                 : NULL;
}

struct arena_node *arena_flight_node(const struct arena_flight *flight, uint32_t index)
{
    struct arena_process *process = flight_of(flight);
    return process && index < ARENA_NODES && has(process, ARENA_SLOTS + index)
               ? &arena_mapped()->nodes[index]
               : NULL;
}

bool arena_slot_hold(struct arena_slot *slot)
{
    uint32_t index = arena_slot_index(slot);
    if (holds(index))
        return false;
    arena_hold_take(index);
    return true;
}

/* ---- fork and the end ---- */

static bool holds_any(const struct arena *arena, const struct arena_process *process)
{
    for (uint32_t i = word_next(arena, 0); i != NONE; i = word_next(arena, i + 1))
        if (process->holds[i])
            return true;
    return false;
}

/* Fork copies the token, and exec leaves it open: so whether there is a child can be known also
 * when its parent was killed before the number was told. Without a token (no descriptors left) the
 * record stays. */
static int coming_begin(struct arena_child *child)
{
    int token = token_open(), result;
    if (token >= 0) {
        token = private_fd_raise(token, TOKEN_MINIMUM);
        result = token_record(token, PROCESS_COMING, &child->record);
        child->token_fd = result < 0 ? -1 : token;
        if (result < 0)
            REAL(close)(token);
        else
            child->coming = arena_mapped()->processes[child->record].token;
        return result;
    }
    child->coming = 0;
    child->token_fd = -1;
    result = process_new(PROCESS_COMING, &child->record);
    if (!result)
        arena_mapped()->processes[child->record].token = 0;
    return result;
}

int arena_child_begin(struct arena_child *ret_child)
{
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock(), result = coming_begin(ret_child);
    for (uint32_t i = word_next(arena, 0); !result && own != NONE && i != NONE;
         i = word_next(arena, i + 1))
        arena->processes[ret_child->record].holds[i] = arena->processes[own].holds[i];
    arena_table_unlock(locked);
    return result;
}

/* In parent and child: the token has done its work. */
static void child_forget(struct arena_child *child)
{
    if (child->token_fd >= 0)
        REAL(close)(child->token_fd);
    *child = (struct arena_child){.record = NONE, .token_fd = -1};
}

void arena_child_end(struct arena_child *child, pid_t pid)
{
    struct arena *arena = arena_mapped();
    struct arena_process *process = &arena->processes[child->record];
    int locked = arena_table_lock();
    if (pid > 0)
        arena_child_is(child->record);
    if (is_coming(process, child->coming) && pid > 0)
        child_is(process, pid);
    else if (is_coming(process, child->coming))
        process_free(arena, process);
    child_forget(child);
    arena_table_unlock(locked);
}

int arena_fork_prepare(void)
{
    struct arena *arena = arena_mapped();
    if (!arena)
        return 0;
    fork_locked = arena_table_lock();
    if (own == NONE || !holds_any(arena, &arena->processes[own]))
        return 0; /* a child with nothing makes a record when it has something */
    int result = arena_child_begin(&coming);
    if (result < 0)
        arena_table_unlock(fork_locked);
    return result;
}

void arena_fork_parent(pid_t pid)
{
    if (!arena_mapped())
        return;
    if (coming.record != NONE)
        arena_child_end(&coming, pid);
    arena_table_unlock(fork_locked);
}

/* The parent has the table's lock, and gives it back. */
void arena_fork_child(void)
{
    shared_lock_fork_child();
    arena_parent_is(own);
    own = coming.record;
    if (own != NONE)
        child_is(&arena_mapped()->processes[own], getpid());
    child_forget(&coming);
}

void arena_leave(void)
{
    struct arena *arena = arena_mapped();
    if (!arena || own == NONE || arena->processes[own].pid != getpid())
        return;
    int locked = arena_table_lock();
    process_free(arena, &arena->processes[own]);
    own = NONE;
    arena_table_unlock(locked);
}
