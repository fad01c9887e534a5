/* The staged files of this process, and the names of all; see staged.h. */
#include "shim/staged.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/handover.h"
#include "shim/in_call.h"
#include "shim/real.h"

#define TAKE_TRIES 1000

_Atomic unsigned staged_count;

/* By the index of their nodes; under the table's lock. NULL until this process writes something: a
 * program that never does has no use for the memory. */
static struct staged **own;

static struct staged *own_of(const struct arena_node *node)
{
    return own ? own[arena_node_index(node)] : NULL;
}

/* Room for all: 0 or -ENOMEM. */
static int own_need(void)
{
    if (!own)
        own = calloc(ARENA_NODES, sizeof *own);
    return own ? 0 : -ENOMEM;
}

/* The file number that the engine gives to the name: a new file keeps it when it becomes an
 * object. */
static uint64_t inode_of(const char *uri)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (; *uri; uri++)
        hash = (hash ^ (unsigned char)*uri) * UINT64_C(0x100000001b3);
    hash ^= hash >> 33;
    hash *= UINT64_C(0xff51afd7ed558ccd);
    hash ^= hash >> 33;
    return hash > 1 ? hash : hash + 2;
}

/* ---- attributes ---- */

static struct timespec time_of(int64_t ns)
{
    struct timespec time = {ns / 1000000000, ns % 1000000000};
    if (time.tv_nsec < 0) {
        time.tv_nsec += 1000000000;
        time.tv_sec--;
    }
    return time;
}

static int64_t ns_of(const struct timespec *time)
{
    return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

static void node_attr(const struct arena_node *node, struct s3dlio_attr *ret_attr)
{
    *ret_attr = (struct s3dlio_attr){
        .type = S3DLIO_FILE,
        .has = node->has,
        .mode = node->mode,
        .uid = node->uid,
        .gid = node->gid,
        .size_bytes = node->length_bytes,
        .mtime = time_of(node->mtime_ns),
        .atime = time_of(node->has & S3DLIO_HAS_ATIME ? node->atime_ns : node->mtime_ns),
        .inode = node->inode,
    };
}

static void node_set_time(struct arena_node *node, const struct timespec *time)
{
    node->mtime_ns = ns_of(time);
}

static void node_set_attr(struct arena_node *node, const struct s3dlio_attr *attr)
{
    if (attr->has & S3DLIO_HAS_MODE)
        node->mode = attr->mode;
    if (attr->has & S3DLIO_HAS_UID)
        node->uid = attr->uid;
    if (attr->has & S3DLIO_HAS_GID)
        node->gid = attr->gid;
    if (attr->has & S3DLIO_HAS_ATIME)
        node->atime_ns = ns_of(&attr->atime);
    node->has |= attr->has;
}

void staged_attr(const struct staged *staged, struct s3dlio_attr *ret_attr)
{
    node_attr(staged->node, ret_attr);
    ret_attr->size_bytes = staged_length(staged);
}

void staged_path(const struct staged *staged, char ret_path[PATH_VIRTUAL_MAX])
{
    int locked = arena_table_lock();
    arena_node_path(staged->node, ret_path);
    arena_table_unlock(locked);
}

void staged_set_attr(struct staged *staged, const struct s3dlio_attr *attr)
{
    node_set_attr(staged->node, attr);
    if (attr->has & S3DLIO_HAS_MTIME)
        node_set_time(staged->node, &attr->mtime);
    staged->node->is_due = true;
}

void staged_changed(struct staged *staged, uint64_t length_bytes)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    node_set_time(staged->node, &now);
    staged->node->length_bytes = length_bytes;
    staged->node->is_stored = false;
    staged->node->is_due = true;
}

/* ---- finding ---- */

/* Under the table's lock. */
static struct staged *ref(struct staged *staged)
{
    if (staged) {
        in_call_begin();
        staged->refs++;
    }
    return staged;
}

/* Under the table's lock. One without a handle is at its end, or a stream of the parent's. */
static struct staged *own_find(const char *path)
{
    struct arena_node *node = arena_node_next(0, path);
    for (; node; node = arena_node_next(arena_node_index(node) + 1, path)) {
        struct staged *staged = own_of(node);
        if (staged && staged_is_ours(staged))
            return staged;
    }
    return NULL;
}

struct staged *staged_find(const char *path)
{
    if (!staged_any_own())
        return NULL;
    int locked = arena_table_lock();
    struct staged *staged = ref(own_find(path));
    arena_table_unlock(locked);
    if (staged && staged->sleeps && staged_wake(staged, false) < 0) {
        staged_put(staged, true);
        return NULL;
    }
    return staged;
}

/* Under the table's lock. What another process has open and has not changed since it was published
 * is the store's to tell of; so is one whose processes were all killed. */
static bool shows(struct arena_node *node)
{
    struct staged *staged = own_of(node);
    return (staged && staged_is_ours(staged)) || (node->is_due && arena_node_lives(node));
}

bool staged_stat(const char *path, struct s3dlio_attr *ret_attr)
{
    if (!staged_any())
        return false;
    int locked = arena_table_lock();
    struct staged *staged = own_find(path);
    struct arena_node *node = staged ? staged->node : arena_node_next(0, path);
    while (node && !shows(node))
        node = arena_node_next(arena_node_index(node) + 1, path);
    if (node)
        node_attr(node, ret_attr);
    arena_table_unlock(locked);
    return node != NULL;
}

void staged_each(bool (*visit)(const struct staged_view *view, void *arg), void *arg)
{
    if (!staged_any())
        return;
    bool goes_on = true;
    int locked = arena_table_lock();
    for (struct arena_node *node = arena_node_next(0, NULL); node && goes_on;
         node = arena_node_next(arena_node_index(node) + 1, NULL)) {
        char path[PATH_VIRTUAL_MAX];
        struct staged_view view = {.path = path};
        if (!shows(node))
            continue;
        arena_node_path(node, path);
        node_attr(node, &view.attr);
        goes_on = visit(&view, arg);
    }
    arena_table_unlock(locked);
}

/* ---- life ---- */

static void staged_init(struct staged *staged, const char *uri, const struct s3dlio_attr *attr)
{
    struct arena_node *node = staged->node;
    node->has = attr->has;
    node->mode = attr->mode;
    node->uid = attr->uid;
    node->gid = attr->gid;
    node->inode = attr->inode ? attr->inode : inode_of(uri);
    node_set_time(node, &attr->mtime);
    node->length_bytes = staged->draft ? engine_call(draft_length)(staged->draft)
                                       : engine_call(writer_length)(staged->writer);
    node->is_stored = false;
    node->is_due = true;
}

int staged_new(const char *path, const char *uri, const struct s3dlio_attr *attr,
               struct s3dlio_draft *draft, struct s3dlio_writer *writer,
               struct staged **ret_staged)
{
    struct staged *staged = calloc(1, sizeof *staged);
    int result = staged ? arena_need() : -ENOMEM;
    if (result < 0) {
        free(staged);
        return result;
    }
    staged->refs = 1;
    staged->pid = getpid();
    staged->draft = draft;
    staged->writer = writer;
    int locked = arena_table_lock();
    result = own_find(path) ? -EAGAIN : own_need();
    if (!result)
        result = arena_node_alloc(path, &staged->node);
    if (!result) {
        staged_init(staged, uri, attr);
        own[arena_node_index(staged->node)] = staged;
        atomic_fetch_add(&staged_count, 1);
    }
    arena_table_unlock(locked);
    if (result < 0) {
        free(staged);
    } else {
        in_call_begin();
        *ret_staged = staged;
    }
    return result;
}

int staged_new_nameless(const struct vpath *path, const struct s3dlio_attr *attr, bool is_secret,
                        struct s3dlio_draft *draft, struct staged **ret_staged)
{
    int result = arena_need();
    if (result < 0)
        return result;
    int locked = arena_table_lock();
    result = staged_new(path->path, path->uri, attr, draft, NULL, ret_staged);
    if (!result) {
        arena_node_discard((*ret_staged)->node);
        (*ret_staged)->node->is_nameless = !is_secret;
    }
    arena_table_unlock(locked);
    return result;
}

void staged_ref(struct staged *staged)
{
    int locked = arena_table_lock();
    ref(staged);
    arena_table_unlock(locked);
}

/* Publishes what is due, while it is still found by its name: who finds it waits for that. Under
 * the table's lock, which is given up meanwhile. */
static int end_publish(struct staged *staged, int *locked)
{
    arena_node_hold(staged->node);
    staged->refs = 1;
    arena_table_unlock(*locked);
    int result = staged_publish(staged);
    *locked = arena_table_lock();
    return result;
}

/* No longer to be found. */
static void end(struct staged *staged, bool is_last)
{
    struct s3dlio_draft *draft = staged->draft;
    if (staged->writer)
        staged_end_stream(staged);
    if (draft && is_last)
        engine_call(draft_abort)(draft);
    else if (draft)
        engine_call(draft_forget)(draft);
    if (is_last)
        arena_node_free(staged->node);
    for (unsigned i = 0; staged->sleeps && i < 2; i++)
        REAL(close)(staged->files[i]);
    if (staged->sleeps)
        handover_release(staged->files);
    free(staged);
}

int staged_put(struct staged *staged, bool publishes)
{
    int result = 0;
    if (!staged)
        return 0;
    int locked = arena_table_lock();
    bool is_last = --staged->refs == 0 && arena_node_drop(staged->node);
    bool is_due = staged->node->is_due || staged->mapper; /* nobody sees what maps write */
    if (is_last && publishes && is_due && !staged->node->is_discarded) {
        result = end_publish(staged, &locked);
        is_last = --staged->refs == 0 && arena_node_drop(staged->node);
    }
    bool ends = staged->refs == 0;
    if (ends) {
        own[arena_node_index(staged->node)] = NULL;
        if (is_last)
            arena_node_hide(staged->node);
        atomic_fetch_sub(&staged_count, 1);
    }
    arena_table_unlock(locked);
    if (ends)
        end(staged, is_last);
    in_call_end();
    return result;
}

bool staged_unlink(const char *path)
{
    bool any = false;
    if (!staged_any())
        return false;
    int locked = arena_table_lock();
    for (struct arena_node *node; (node = arena_node_next(0, path)); any = true)
        arena_node_discard(node);
    arena_table_unlock(locked);
    return any;
}

/* Any part of this process in a file of that name, with a reference. */
static struct staged *own_take(const char *path)
{
    struct staged *found = NULL;
    int locked = arena_table_lock();
    struct arena_node *node = arena_node_next(0, path);
    for (; node && !found; node = arena_node_next(arena_node_index(node) + 1, path))
        found = own_of(node);
    ref(found);
    arena_table_unlock(locked);
    return found;
}

/* What is found without a handle comes to its end in another thread. Not for ever: it may be this
 * thread's own, interrupted by a signal, or a stream of the parent's. */
struct staged *staged_take(const char *path, int *ret_locked)
{
    struct staged *staged;
    for (unsigned i = 0; i < TAKE_TRIES && staged_any_own() && (staged = own_take(path)); i++) {
        *ret_locked = staged_order(staged);
        if (staged_is_ours(staged) && !staged->node->is_discarded && !staged_wake(staged, false))
            return staged;
        staged_give(staged, *ret_locked);
        sched_yield();
    }
    return NULL;
}

void staged_give(struct staged *staged, int locked)
{
    if (!staged)
        return;
    staged_unorder(staged, locked);
    staged_put(staged, true);
}

void staged_take_name(struct staged *staged, const struct vpath *path)
{
    struct arena_node *node = staged->node;
    int locked = arena_table_lock();
    for (struct arena_node *at = arena_node_next(0, path->path); at;
         at = arena_node_next(arena_node_index(at) + 1, path->path))
        if (at != node)
            arena_node_discard(at);
    node->inode = inode_of(path->uri);
    node->is_nameless = node->is_discarded = false;
    arena_node_rename(node, path->path);
    arena_table_unlock(locked);
}

void staged_discard_new(struct staged *staged)
{
    int locked = arena_table_lock();
    if (staged->refs == 1)
        arena_node_discard(staged->node);
    arena_table_unlock(locked);
}

/* ---- mappings ---- */

void staged_map(struct staged *staged)
{
    staged_ref(staged);
    atomic_fetch_add(&staged->maps, 1);
    staged->mapper = getpid();
    staged->node->is_due = true;
}

int staged_unmap(struct staged *staged)
{
    bool was_last = atomic_fetch_sub(&staged->maps, 1) == 1;
    bool publishes = was_last && staged->refs == 1 && staged->mapper == getpid();
    int result = publishes ? staged_publish(staged) : 0;
    int last = staged_put(staged, !result);
    return result ? result : last;
}

/* The next one at or behind `index`, with a reference. */
static struct staged *next_own(uint32_t index)
{
    struct staged *found = NULL;
    int locked = arena_table_lock();
    for (; own && index < ARENA_NODES && !found; index++)
        found = own[index];
    ref(found);
    arena_table_unlock(locked);
    return found;
}

int staged_publish_rest(void)
{
    int first = 0;
    struct staged *staged = staged_any_own() ? next_own(0) : NULL;
    while (staged) {
        uint32_t index = arena_node_index(staged->node);
        bool is_mapper = staged->maps && staged->mapper == getpid();
        bool is_due = is_mapper || (staged->node->is_due && arena_node_is_alone(staged->node));
        int result = !staged->writer && is_due ? staged_publish(staged) : 0;
        first = first ? first : result;
        staged_put(staged, !result);
        staged = next_own(index + 1);
    }
    return first;
}

/* ---- exec ---- */

static bool ends_with_program(const struct staged *staged, bool is_handed)
{
    if (staged->maps && staged->mapper == getpid())
        return true;
    return !is_handed && staged->node->is_due && staged_is_ours(staged) &&
           (staged->writer || arena_node_is_alone(staged->node));
}

int staged_settle(bool (*is_handed)(const struct staged *staged, void *arg), void *arg)
{
    int result = 0;
    struct staged *staged = staged_any_own() ? next_own(0) : NULL;
    while (staged) {
        uint32_t index = arena_node_index(staged->node);
        if (!result && ends_with_program(staged, is_handed(staged, arg)))
            result = staged_publish(staged);
        staged_put(staged, !result);
        staged = next_own(index + 1);
    }
    return result;
}

/* Under the table's lock. NULL: no memory. */
static struct staged *own_make(struct arena_node *node)
{
    struct staged *staged = own_need() < 0 ? NULL : calloc(1, sizeof *staged);
    if (!staged)
        return NULL;
    staged->node = node;
    arena_node_hold(node);
    atomic_fetch_add(&staged_count, 1);
    own[arena_node_index(node)] = staged;
    return staged;
}

int staged_adopt(struct arena_node *node, const int fds[2], struct staged **ret_staged)
{
    int locked = arena_table_lock();
    struct staged *staged = own_of(node);
    bool sleeps = !staged || !staged_is_ours(staged);
    if (!staged)
        staged = own_make(node);
    if (staged && sleeps) {
        staged->pid = getpid();
        staged->files[0] = fds[0];
        staged->files[1] = fds[1];
        staged->sleeps = true;
    }
    if (staged)
        *ret_staged = ref(staged);
    arena_table_unlock(locked);
    return staged ? sleeps : -ENOMEM;
}

/* ---- fork ---- */

void staged_fork_child(void)
{
    pid_t pid = getpid();
    for (uint32_t i = 0; staged_any_own() && i < ARENA_NODES; i++)
        if (own[i] && (own[i]->draft || own[i]->sleeps))
            own[i]->pid = pid;
}

void staged_found_none(void)
{
    for (uint32_t i = 0; staged_any_own() && i < ARENA_NODES; i++)
        if (own[i])
            own[i]->refs = 0;
}

void staged_found(struct staged *staged)
{
    if (staged)
        staged->refs++;
}

void staged_found_end(void)
{
    for (uint32_t i = 0; staged_any_own() && i < ARENA_NODES; i++)
        if (own[i] && !own[i]->refs)
            staged_put(ref(own[i]), true);
}
