/* Slots and nodes; see arena.h. */
#include "shim/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "shim/arena_private.h"
#include "shim/private_fd.h"
#include "shim/real.h"

#define SEALS      (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define FD_MINIMUM 512
#define LOOKS      1000

static _Atomic(struct arena *) mapped;
/* Of its memory, for exec and messages; -1 where it has no file, COMING between it and `mapped`. */
#define COMING (-2)
static _Atomic int arena_fd = COMING;
static uint64_t arena_device, arena_inode;

struct arena *arena_mapped(void)
{
    return atomic_load_explicit(&mapped, memory_order_acquire);
}

/* ---- the memory ---- */

/* -1 where it cannot be had: a limit on the size of files is one on memory of this kind, too. */
static int file_make(void)
{
    int fd = memfd_create("s3dlio-arena", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    fd = private_fd_raise(fd, FD_MINIMUM);
    struct rlimit limit;
    bool fits = !getrlimit(RLIMIT_FSIZE, &limit) && limit.rlim_cur >= sizeof(struct arena);
    if (fd >= 0 && fits && !REAL(ftruncate)(fd, sizeof(struct arena)) &&
        !REAL(fcntl)(fd, F_ADD_SEALS, SEALS))
        return fd;
    if (fd >= 0)
        REAL(close)(fd);
    return -1;
}

static struct arena *file_map(int fd)
{
    int flags = MAP_SHARED | MAP_NORESERVE | (fd < 0 ? MAP_ANONYMOUS : 0);
    void *memory =
        REAL(mmap)(NULL, sizeof(struct arena), PROT_READ | PROT_WRITE, flags, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool is_arena(const struct stat *st)
{
    return S_ISREG(st->st_mode) && st->st_uid == geteuid() &&
           st->st_size == (off_t)sizeof(struct arena);
}

/* From now on it is this process's. False: another thread was quicker. */
static bool file_use(struct arena *arena, int fd)
{
    struct arena *none = NULL;
    struct stat st;
    if (!atomic_compare_exchange_strong(&mapped, &none, arena))
        return false;
    bool has_file = fd >= 0 && !REAL(fstat)(fd, &st);
    if (has_file) {
        arena_device = st.st_dev;
        arena_inode = st.st_ino;
    }
    atomic_store(&arena_fd, has_file ? fd : -1);
    return true;
}

/* Shared with children by fork. Pages that nobody touches cost nothing. */
static int arena_map(void)
{
    if (arena_mapped())
        return 0;
    int fd = file_make();
    struct arena *arena = file_map(fd);
    if (!arena)
        return -ENOMEM;
    arena->magic = ARENA_MAGIC;
    if (!file_use(arena, fd)) {
        REAL(munmap)(arena, sizeof *arena);
        if (fd >= 0)
            REAL(close)(fd);
    }
    return 0;
}

/* ---- exec ---- */

/* *ret_st as fstat(2) says, -1 where the program has closed it. */
static int file_look(struct stat *ret_st)
{
    int fd = atomic_load(&arena_fd);
    bool is_it = fd >= 0 && !REAL(fstat)(fd, ret_st) && ret_st->st_dev == arena_device &&
                 ret_st->st_ino == arena_inode;
    return is_it ? fd : -1;
}

bool arena_is_file(int fd)
{
    struct stat st;
    return !REAL(fstat)(fd, &st) && st.st_dev == arena_device && st.st_ino == arena_inode;
}

int arena_file(void)
{
    struct stat st;
    return file_look(&st);
}

int arena_key(struct arena_key *ret_key)
{
    struct stat st;
    int fd = file_look(&st);
    if (fd < 0)
        return -EOPNOTSUPP;
    if (!is_arena(&st))
        return -EPERM;
    *ret_key = (struct arena_key){.fd = fd,
                                  .record = arena_record(),
                                  .parent = arena_parent(),
                                  .device = arena_device,
                                  .inode = arena_inode};
    return 0;
}

/* 0, -EINVAL, -ENOMEM. */
static int key_map(const struct arena_key *key, struct arena **ret_arena)
{
    struct stat st;
    if (REAL(fstat)(key->fd, &st) < 0 || !is_arena(&st) || st.st_dev != key->device ||
        st.st_ino != key->inode || REAL(fcntl)(key->fd, F_GET_SEALS) != SEALS)
        return -EINVAL;
    struct arena *arena = file_map(key->fd);
    if (!arena)
        return -ENOMEM;
    if (arena->magic != ARENA_MAGIC) {
        REAL(munmap)(arena, sizeof *arena);
        return -EINVAL;
    }
    *ret_arena = arena;
    return 0;
}

int arena_adopt(const struct arena_key *key)
{
    struct arena *arena;
    int result = key_map(key, &arena);
    if (result < 0)
        return result;
    result = file_use(arena, key->fd) ? arena_join_again(key) : -EINVAL;
    if (result < 0) {
        atomic_store(&arena_fd, COMING);
        atomic_store(&mapped, NULL);
        REAL(munmap)(arena, sizeof *arena);
        return result;
    }
    REAL(fcntl)(key->fd, F_SETFD, FD_CLOEXEC);
    return 0;
}

static int key_use(const struct arena_key *key)
{
    struct arena *arena;
    int result = key_map(key, &arena);
    if (result < 0)
        return result;
    int fd = REAL(fcntl)(key->fd, F_DUPFD_CLOEXEC, FD_MINIMUM);
    if (fd < 0)
        fd = REAL(fcntl)(key->fd, F_DUPFD_CLOEXEC, 0);
    result = fd < 0 ? -errno : 0;
    if (!result && file_use(arena, fd))
        return 0;
    REAL(munmap)(arena, sizeof *arena); /* another thread was quicker */
    if (fd >= 0)
        REAL(close)(fd);
    return result;
}

/* Not for ever: the thread that makes one may be this one, under a signal handler. */
static bool is_known(void)
{
    for (unsigned i = 0; i < LOOKS && atomic_load(&arena_fd) == COMING; i++)
        sched_yield();
    return atomic_load(&arena_fd) >= 0;
}

int arena_meet(const struct arena_key *key)
{
    int result = arena_mapped() ? 0 : key_use(key);
    if (result < 0)
        return result;
    if (!is_known() || arena_device != key->device || arena_inode != key->inode)
        return -EXDEV;
    return arena_need();
}

bool arena_owns_fd(int fd)
{
    return fd >= 0 && fd == atomic_load_explicit(&arena_fd, memory_order_relaxed);
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

/* Under the table's lock: what `search` finds, if need be after the dead have been cleared away.
 * 0, -EAGAIN, -ENFILE. */
static int find_free(struct arena *arena, long (*search)(struct arena *), uint32_t *ret_index)
{
    int result = arena_join();
    if (result < 0)
        return result;
    long index = search(arena);
    if (index < 0) {
        arena_sweep_all();
        index = search(arena);
    }
    if (index < 0)
        return -ENFILE;
    *ret_index = (uint32_t)index;
    return 0;
}

static long slot_search(struct arena *arena)
{
    for (uint32_t i = 0; i < ARENA_SLOTS; i++) {
        uint32_t index = (arena->slot_next + i) % ARENA_SLOTS;
        if (!arena->slots[index].used) {
            arena->slot_next = index + 1;
            return index;
        }
    }
    return -1;
}

int arena_alloc(uint32_t flags, struct arena_slot **ret_slot)
{
    int result = arena_map();
    if (result < 0)
        return result;
    struct arena *arena = arena_mapped();
    uint32_t index;
    int locked = arena_table_lock();
    result = find_free(arena, slot_search, &index);
    if (!result) {
        struct arena_slot *slot = &arena->slots[index];
        slot->used = 1;
        slot->lock.word = 0;
        slot->offset = 0;
        slot->flags = flags;
        arena->slot_end = arena->slot_end > index ? arena->slot_end : index + 1;
        arena_hold_take(index);
        *ret_slot = slot;
    }
    arena_table_unlock(locked);
    return result;
}

bool arena_drop(struct arena_slot *slot, bool sweeps)
{
    int locked = arena_table_lock();
    bool last = arena_hold_drop(arena_slot_index(slot), sweeps);
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

uint32_t arena_slot_index(const struct arena_slot *slot)
{
    return (uint32_t)(slot - arena_mapped()->slots);
}

/* ---- nodes ---- */

static uint32_t path_hash(const char *path)
{
    uint32_t hash = 2166136261u;
    for (; *path; path++)
        hash = (hash ^ (unsigned char)*path) * 16777619u;
    return hash ? hash : 1;
}

static long node_search(struct arena *arena)
{
    for (uint32_t i = 0; i < ARENA_NODES; i++)
        if (!arena->nodes[i].used)
            return i;
    return -1;
}

int arena_node_alloc(const char *path, struct arena_node **ret_node)
{
    int result = arena_map();
    if (result < 0)
        return result;
    struct arena *arena = arena_mapped();
    uint32_t index;
    int locked = arena_table_lock();
    result = find_free(arena, node_search, &index);
    if (!result) {
        struct arena_node *node = &arena->nodes[index];
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
    return result;
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
    uint32_t hash = path ? path_hash(path) : 0, end = arena_end(arena->node_end, ARENA_NODES);
    for (; index < end; index++) {
        uint32_t seen = atomic_load_explicit(&arena->node_hashes[index], memory_order_relaxed);
        if (seen && (!path || (seen == hash && !strcmp(arena->nodes[index].path, path))))
            return &arena->nodes[index];
    }
    return NULL;
}

void arena_node_path(const struct arena_node *node, char ret_path[PATH_VIRTUAL_MAX])
{
    memcpy(ret_path, node->path, PATH_VIRTUAL_MAX);
    ret_path[PATH_VIRTUAL_MAX - 1] = '\0';
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

bool arena_is_there(void)
{
    return arena_mapped() != NULL;
}

bool arena_any_node(void)
{
    struct arena *arena = arena_mapped();
    return arena && atomic_load_explicit(&arena->nodes_used, memory_order_relaxed) != 0;
}
