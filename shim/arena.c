/* Slots and nodes; see arena.h. */
#include "shim/arena.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "shim/arena_private.h"
#include "shim/real.h"

static _Atomic(struct arena *) mapped;

struct arena *arena_mapped(void)
{
    return atomic_load_explicit(&mapped, memory_order_acquire);
}

/* Shared with children by fork; nobody else needs to open it. Pages that nobody touches cost nothing. */
static int arena_map(void)
{
    struct arena *none = NULL;
    if (arena_mapped())
        return 0;
    void *memory = REAL(mmap)(NULL, sizeof *none, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        return -errno;
    if (!atomic_compare_exchange_strong(&mapped, &none, (struct arena *)memory))
        REAL(munmap)(memory, sizeof *none);
    return 0;
}

int arena_table_lock(void)
{
    return shared_lock_take(&arena_mapped()->table);
}

void arena_table_unlock(int locked)
{
    if (locked)
        shared_lock_give(&arena_mapped()->table);
}

int arena_need(void)
{
    int result = arena_map();
    if (result < 0)
        return result;
    int locked = arena_table_lock();
    result = arena_join();
    arena_table_unlock(locked);
    return result;
}

/* ---- slots ---- */

static struct arena_slot *slot_search(struct arena *arena)
{
    for (uint32_t i = 0; i < ARENA_SLOTS; i++) {
        struct arena_slot *slot = &arena->slots[(arena->slot_next + i) % ARENA_SLOTS];
        if (!slot->used) {
            arena->slot_next = (uint32_t)(slot - arena->slots) + 1;
            return slot;
        }
    }
    return NULL;
}

int arena_alloc(uint32_t flags, struct arena_slot **ret_slot)
{
    int result = arena_map();
    if (result < 0)
        return result;
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock();
    result = arena_join();
    struct arena_slot *slot = result < 0 ? NULL : slot_search(arena);
    if (!result && !slot) {
        arena_sweep_all();
        slot = slot_search(arena);
    }
    if (slot) {
        uint32_t index = (uint32_t)(slot - arena->slots);
        slot->used = 1;
        slot->lock.word = 0;
        slot->offset = 0;
        slot->flags = flags;
        arena->slot_end = arena->slot_end > index ? arena->slot_end : index + 1;
        arena_hold_take(index);
        *ret_slot = slot;
    }
    arena_table_unlock(locked);
    return result < 0 ? result : slot ? 0 : -ENFILE;
}

bool arena_drop(struct arena_slot *slot, bool sweeps)
{
    int locked = arena_table_lock();
    bool last = arena_hold_drop((uint32_t)(slot - arena_mapped()->slots), sweeps);
    arena_table_unlock(locked);
    return last;
}

void arena_free(struct arena_slot *slot)
{
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock();
    slot->used = 0;
    arena->slot_next = (uint32_t)(slot - arena->slots);
    arena_table_unlock(locked);
}

/* ---- nodes ---- */

static uint32_t path_hash(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash ? hash : 1;
}

static struct arena_node *node_search(struct arena *arena)
{
    for (uint32_t i = 0; i < ARENA_NODES; i++)
        if (!arena->nodes[i].used)
            return &arena->nodes[i];
    return NULL;
}

int arena_node_alloc(const char *path, struct arena_node **ret_node)
{
    int result = arena_map();
    if (result < 0)
        return result;
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock();
    result = arena_join();
    struct arena_node *node = result < 0 ? NULL : node_search(arena);
    if (!result && !node) {
        arena_sweep_all();
        node = node_search(arena);
    }
    if (node) {
        uint32_t index = arena_node_index(node);
        memset(node, 0, sizeof *node);
        node->used = 1;
        atomic_fetch_add(&arena->nodes_used, 1);
        if (arena->node_end <= index)
            arena->node_end = index + 1;
        arena_hold_take(ARENA_SLOTS + index);
        arena_node_rename(node, path);
        node->renames = 0;
        *ret_node = node;
    }
    arena_table_unlock(locked);
    return result < 0 ? result : node ? 0 : -ENFILE;
}

uint32_t arena_node_index(const struct arena_node *node)
{
    return (uint32_t)(node - arena_mapped()->nodes);
}

bool arena_node_drop(struct arena_node *node)
{
    int locked = arena_table_lock();
    bool last = arena_hold_drop(ARENA_SLOTS + arena_node_index(node), true);
    arena_table_unlock(locked);
    return last;
}

void arena_node_hold(struct arena_node *node)
{
    arena_hold_take(ARENA_SLOTS + arena_node_index(node));
}

void arena_node_hide(struct arena_node *node)
{
    arena_mapped()->node_hashes[arena_node_index(node)] = 0;
}

void arena_node_free(struct arena_node *node)
{
    int locked = arena_table_lock();
    arena_forget(ARENA_SLOTS + arena_node_index(node));
    arena_table_unlock(locked);
}

void arena_forget(uint32_t index)
{
    struct arena *arena = arena_mapped();
    if (index < ARENA_SLOTS) {
        arena->slots[index].used = 0;
    } else {
        arena->node_hashes[index - ARENA_SLOTS] = 0;
        arena->nodes[index - ARENA_SLOTS].used = 0;
        atomic_fetch_sub(&arena->nodes_used, 1);
    }
}

struct arena_node *arena_node_next(uint32_t index, const char *path)
{
    struct arena *arena = arena_mapped();
    uint32_t hash = path ? path_hash(path) : 0, end = arena->node_end;
    for (; index < end; index++) {
        uint32_t seen = atomic_load_explicit(&arena->node_hashes[index], memory_order_relaxed);
        if (seen && (!path || (seen == hash && !strcmp(arena->nodes[index].path, path))))
            return &arena->nodes[index];
    }
    return NULL;
}

void arena_node_rename(struct arena_node *node, const char *path)
{
    struct arena *arena = arena_mapped();
    int locked = arena_table_lock();
    strncpy(node->path, path, sizeof node->path - 1);
    node->renames++;
    if (!node->is_discarded)
        arena->node_hashes[arena_node_index(node)] = path_hash(path);
    arena_table_unlock(locked);
}

void arena_node_discard(struct arena_node *node)
{
    int locked = arena_table_lock();
    node->is_discarded = true;
    arena_mapped()->node_hashes[arena_node_index(node)] = 0;
    arena_table_unlock(locked);
}

bool arena_any_node(void)
{
    struct arena *arena = arena_mapped();
    return arena && atomic_load_explicit(&arena->nodes_used, memory_order_relaxed) != 0;
}
