/* The processes of an arena and what each holds; see arena.h.
 *
 * A process that is killed leaves its record behind. It is swept when somebody gives up a thing
 * that the record says is held, and when room runs out. A number that the kernel gave to another
 * process since is told apart by the time that one began.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/arena_private.h"
#include "shim/real.h"

#define NONE UINT32_MAX

/* Indexes of records: ours, and during fork the child's. */
static uint32_t own = NONE, coming = NONE;
static int fork_locked;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- who is alive ---- */

/* When the process of that number began, by CLOCK_BOOTTIME; 0 where it cannot be known: the 22nd
 * field of stat (proc(5)), behind a name in parentheses. */
static int64_t process_began_ns(pid_t pid)
{
    char name[32], text[512];
    snprintf(name, sizeof name, "/proc/%d/stat", (int)pid);
    int fd = REAL(open)(name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t length = REAL(read)(fd, text, sizeof text - 1);
    REAL(close)(fd);
    text[length > 0 ? length : 0] = '\0';
    const char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    unsigned long long ticks = 0;
    long rate = sysconf(_SC_CLK_TCK);
    if (!at || sscanf(at, " %llu", &ticks) != 1 || rate <= 0)
        return 0;
    return (int64_t)ticks * (1000000000 / rate);
}

static bool is_dead(const struct arena_process *process)
{
    pid_t pid = process->pid;
    if (pid == PROCESS_COMING || pid == getpid())
        return false;
    return shared_lock_process_ended(pid) || process_began_ns(pid) > process->since_ns;
}

/* ---- holds ---- */

static bool has(const struct arena_process *process, uint32_t index)
{
    return atomic_load_explicit(&process->holds[index / 64], memory_order_relaxed) >> index % 64 & 1;
}

static bool is_held(struct arena *arena, const struct arena_process *except, uint32_t index,
                    bool sweeps);

/* Words of the bitmap that can be anything but 0, in two runs. */
static uint32_t word_next(const struct arena *arena, uint32_t word)
{
    uint32_t slots = (arena->slot_end + 63) / 64, nodes = (arena->node_end + 63) / 64;
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

void arena_hold_take(uint32_t index)
{
    struct arena_process *self = &arena_mapped()->processes[own];
    atomic_fetch_or(&self->holds[index / 64], UINT64_C(1) << index % 64);
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
    for (uint32_t i = 0; i < arena->process_end; i++) {
        struct arena_process *process = &arena->processes[i];
        if (process == except || !process->pid || !has(process, index))
            continue;
        if (!sweeps || !is_dead(process))
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
    for (uint32_t i = 0; i < arena->process_end; i++)
        if (arena->processes[i].pid && is_dead(&arena->processes[i]))
            process_free(arena, &arena->processes[i]);
    /* What a process that was killed between two steps had in its hands. */
    for (uint32_t i = 0; i < arena->node_end; i++)
        if (arena->nodes[i].used && !is_held(arena, NULL, ARENA_SLOTS + i, false))
            arena_forget(ARENA_SLOTS + i);
    for (uint32_t i = 0; i < arena->slot_end; i++)
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
    arena->processes[index].since_ns = now_ns();
    arena->processes[index].pid = pid;
    *ret_index = index;
    return 0;
}

int arena_join(void)
{
    return own == NONE ? process_new(getpid(), &own) : 0;
}

/* ---- exec ---- */

uint32_t arena_record(void)
{
    return own;
}

/* Locks that this thread had when it called exec have no owner any more who would give them
 * back. */
int arena_join_again(uint32_t record)
{
    struct arena *arena = arena_mapped();
    if (record >= ARENA_PROCESSES || record >= arena->process_end ||
        arena->processes[record].pid != getpid())
        return -EINVAL;
    shared_lock_exec(&arena->table);
    own = record;
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
    for (uint32_t i = 0; arena && i < arena->process_end; i++)
        if (i != own && arena->processes[i].pid)
            return true;
    return false;
}

/* ---- fork and the end ---- */

static bool holds_any(const struct arena *arena, const struct arena_process *process)
{
    for (uint32_t i = word_next(arena, 0); i != NONE; i = word_next(arena, i + 1))
        if (process->holds[i])
            return true;
    return false;
}

int arena_fork_prepare(void)
{
    struct arena *arena = arena_mapped();
    if (!arena)
        return 0;
    fork_locked = arena_table_lock();
    if (own == NONE || !holds_any(arena, &arena->processes[own]))
        return 0; /* a child with nothing makes a record when it has something */
    int result = process_new(PROCESS_COMING, &coming);
    if (result < 0) {
        arena_table_unlock(fork_locked);
        return result;
    }
    for (uint32_t i = word_next(arena, 0); i != NONE; i = word_next(arena, i + 1))
        arena->processes[coming].holds[i] = arena->processes[own].holds[i];
    return 0;
}

static void child_is(pid_t pid)
{
    struct arena_process *child = &arena_mapped()->processes[coming];
    child->since_ns = now_ns();
    child->pid = pid;
}

void arena_fork_parent(pid_t pid)
{
    if (!arena_mapped())
        return;
    if (coming != NONE && pid > 0)
        child_is(pid);
    else if (coming != NONE)
        process_free(arena_mapped(), &arena_mapped()->processes[coming]);
    coming = NONE;
    arena_table_unlock(fork_locked);
}

/* The parent has the table's lock, and gives it back. */
void arena_fork_child(void)
{
    shared_lock_fork_child();
    own = coming;
    if (own != NONE)
        child_is(getpid());
    coming = NONE;
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
