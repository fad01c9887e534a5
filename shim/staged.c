/* The registry of staged files; see staged.h.
 *
 * Locking: `registry.lock` covers the list, references and the change from stream to draft; the
 * engine is not waited for under it. A draft serialises its own calls; staged->order is held over
 * those that first look at the length and then write, as the kernel holds an inode's lock.
 */
#include "shim/staged.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/report.h"

_Atomic unsigned staged_count;

static struct {
    pthread_mutex_t lock;
    struct staged *first;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The file number that the engine gives to the name: a new file keeps it when it becomes an object. */
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

/* ---- the list; under the lock ---- */

static struct staged *list_find(const char *path)
{
    struct staged *found = NULL;
    pid_t pid = getpid();
    for (struct staged *at = registry.first; at; at = at->next) {
        if (at->is_discarded || at->pid != pid || strcmp(at->path, path))
            continue;
        if (at->draft)
            return at;
        found = found ? found : at;
    }
    return found;
}

static void list_remove(struct staged *staged)
{
    struct staged **at = &registry.first;
    while (*at != staged)
        at = &(*at)->next;
    *at = staged->next;
    atomic_fetch_sub(&staged_count, 1);
}

/* ---- life ---- */

static void staged_free(struct staged *staged)
{
    if (staged->draft && staged->pid == getpid())
        engine_call(draft_abort)(staged->draft);
    else if (staged->draft)
        engine_call(draft_forget)(staged->draft);
    if (staged->order)
        arena_release(staged->order);
    free(staged->path);
    free(staged);
}

int staged_new(const char *path, const char *uri, const struct s3dlio_write_options *options,
               const struct s3dlio_attr *attr, struct s3dlio_draft *draft,
               struct s3dlio_writer *writer, struct staged **ret_staged)
{
    struct staged *staged = calloc(1, sizeof *staged);
    char *path_copy = strdup(path);
    int result = staged && path_copy ? arena_alloc(0, &staged->order) : -ENOMEM;
    if (result < 0) {
        free(path_copy);
        free(staged);
        return result;
    }
    staged->refs = 1;
    staged->path = path_copy;
    staged->pid = getpid();
    staged->draft = draft;
    staged->writer = writer;
    staged->options = *options;
    staged->attr = *attr;
    if (!staged->attr.inode)
        staged->attr.inode = inode_of(uri);

    pthread_mutex_lock(&registry.lock);
    struct staged *other = draft ? list_find(path) : NULL;
    if (other && other->draft) {
        other->refs++;
    } else {
        other = NULL;
        staged->next = registry.first;
        registry.first = staged;
        atomic_fetch_add(&staged_count, 1);
    }
    pthread_mutex_unlock(&registry.lock);
    if (other)
        staged_free(staged);
    *ret_staged = other ? other : staged;
    return 0;
}

struct staged *staged_find(const char *path)
{
    if (!staged_any())
        return NULL;
    pthread_mutex_lock(&registry.lock);
    struct staged *staged = list_find(path);
    if (staged)
        staged->refs++;
    pthread_mutex_unlock(&registry.lock);
    return staged;
}

void staged_ref(struct staged *staged)
{
    pthread_mutex_lock(&registry.lock);
    staged->refs++;
    pthread_mutex_unlock(&registry.lock);
}

void staged_put(struct staged *staged)
{
    if (!staged)
        return;
    pthread_mutex_lock(&registry.lock);
    bool is_last = --staged->refs == 0;
    if (is_last)
        list_remove(staged);
    pthread_mutex_unlock(&registry.lock);
    if (is_last)
        staged_free(staged);
}

/* ---- attributes ---- */

/* Under the lock: a writer may be about to go. */
static void staged_attr(const struct staged *staged, struct s3dlio_attr *ret_attr)
{
    *ret_attr = staged->attr;
    ret_attr->size_bytes = staged->draft    ? engine_call(draft_length)(staged->draft)
                           : staged->writer ? engine_call(writer_length)(staged->writer)
                                            : staged->length_bytes;
}

uint64_t staged_length(struct staged *staged)
{
    struct s3dlio_attr attr;
    pthread_mutex_lock(&registry.lock);
    staged_attr(staged, &attr);
    pthread_mutex_unlock(&registry.lock);
    return attr.size_bytes;
}

bool staged_stat(const char *path, struct s3dlio_attr *ret_attr)
{
    if (!staged_any())
        return false;
    pthread_mutex_lock(&registry.lock);
    struct staged *staged = list_find(path);
    if (staged)
        staged_attr(staged, ret_attr);
    pthread_mutex_unlock(&registry.lock);
    return staged != NULL;
}

void staged_each(bool (*visit)(const struct staged_view *view, void *arg), void *arg)
{
    if (!staged_any())
        return;
    pid_t pid = getpid();
    bool goes_on = true;
    pthread_mutex_lock(&registry.lock);
    for (struct staged *at = registry.first; at && goes_on; at = at->next) {
        struct staged_view view = {.path = at->path};
        if (at->is_discarded || at->pid != pid)
            continue;
        staged_attr(at, &view.attr);
        goes_on = visit(&view, arg);
    }
    pthread_mutex_unlock(&registry.lock);
}

void staged_touch(struct staged *staged)
{
    clock_gettime(CLOCK_REALTIME_COARSE, &staged->attr.mtime);
}

void staged_set_attr(struct staged *staged, const struct s3dlio_attr *attr)
{
    struct s3dlio_attr *shown = &staged->attr;
    if (attr->has & S3DLIO_HAS_MODE)
        shown->mode = attr->mode;
    if (attr->has & S3DLIO_HAS_UID)
        shown->uid = attr->uid;
    if (attr->has & S3DLIO_HAS_GID)
        shown->gid = attr->gid;
    if (attr->has & S3DLIO_HAS_MTIME)
        shown->mtime = attr->mtime;
    shown->has |= attr->has;
}

/* ---- from stream to draft to object ---- */

int staged_make_draft(struct staged *staged)
{
    if (staged->draft)
        return 0;
    struct s3dlio_writer *writer = staged->writer;
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error = {0};
    staged_writer_gone(staged);
    int result = engine_call(draft_from_writer)(writer, &draft, &error);
    pthread_mutex_lock(&registry.lock);
    if (result < 0)
        staged->writer = writer;
    else
        staged->draft = draft;
    pthread_mutex_unlock(&registry.lock);
    if (result < 0)
        report_error(&error);
    return result;
}

void staged_writer_gone(struct staged *staged)
{
    pthread_mutex_lock(&registry.lock);
    if (staged->writer)
        staged->length_bytes = engine_call(writer_length)(staged->writer);
    staged->writer = NULL;
    pthread_mutex_unlock(&registry.lock);
}

int staged_publish(struct staged *staged)
{
    if (staged->pid != getpid() || !staged->draft || staged->is_discarded)
        return 0;
    if (staged->error)
        return staged->error;
    struct s3dlio_error error = {0};
    int result = engine_call(draft_publish)(staged->draft, NULL, &error);
    if (result < 0)
        report_error(&error);
    return result;
}

bool staged_unlink(const char *path)
{
    bool any = false;
    if (!staged_any())
        return false;
    pthread_mutex_lock(&registry.lock);
    for (struct staged *staged; (staged = list_find(path)); any = true)
        staged->is_discarded = true;
    pthread_mutex_unlock(&registry.lock);
    return any;
}

/* ---- maps ---- */

void staged_hold_for_map(struct staged *staged)
{
    pthread_mutex_lock(&registry.lock);
    staged->refs += !staged->mapped;
    staged->mapped = true;
    pthread_mutex_unlock(&registry.lock);
}

/* The next mapped one behind `after` (NULL: the first), with a reference. */
static struct staged *next_mapped(struct staged *after)
{
    pthread_mutex_lock(&registry.lock);
    struct staged *at = after ? after->next : registry.first;
    while (at && !at->mapped)
        at = at->next;
    if (at)
        at->refs++;
    pthread_mutex_unlock(&registry.lock);
    return at;
}

int staged_publish_maps(void)
{
    int first = 0;
    struct staged *staged = staged_any() ? next_mapped(NULL) : NULL;
    while (staged) {
        int result = staged_publish(staged);
        first = first ? first : result;
        struct staged *next = next_mapped(staged);
        staged_put(staged);
        staged = next;
    }
    return first;
}

/* ---- fork ---- */

void staged_fork_prepare(void)
{
    pthread_mutex_lock(&registry.lock);
}

void staged_fork_parent(void)
{
    pthread_mutex_unlock(&registry.lock);
}

void staged_fork_child(void)
{
    pthread_mutex_unlock(&registry.lock);
}
