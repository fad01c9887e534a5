/* Files: allocation, references, descriptors, the close that reports; see file.h.
 *
 * Locking: `refs` is taken only while above zero, so a freed file cannot come back to life; the
 * free list has a small lock, which the fork wrapper takes (file_fork_prepare).
 */
#include "shim/file.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/calls/dir.h"
#include "shim/calls/lock.h"
#include "shim/calls/map.h"
#include "shim/engine.h"
#include "shim/fdtab.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define CHUNK_FILES 256u
#define CHUNKS 256u

static struct {
    pthread_mutex_t lock;
    struct file *chunks[CHUNKS];
    uint32_t made;              /* files handed out of chunks so far */
    uint32_t free;              /* index of the first free one, 0: none */
    _Atomic uint32_t open;
} files = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct file *file_at(uint32_t index)
{
    return &files.chunks[(index - 1) / CHUNK_FILES][(index - 1) % CHUNK_FILES];
}

static uint64_t entry_of(const struct file *file)
{
    return (uint64_t)atomic_load(&file->generation) << 32 | file->index;
}

static struct file *file_take(void)
{
    struct file *file = NULL;
    pthread_mutex_lock(&files.lock);
    if (files.free) {
        file = file_at(files.free);
        files.free = file->next_free;
    } else if (files.made < CHUNKS * CHUNK_FILES) {
        struct file **chunk = &files.chunks[files.made / CHUNK_FILES];
        if (!*chunk)
            *chunk = calloc(CHUNK_FILES, sizeof **chunk);
        if (*chunk) {
            file = &(*chunk)[files.made % CHUNK_FILES];
            file->index = ++files.made;
            atomic_store(&file->generation, 1);
        }
    }
    pthread_mutex_unlock(&files.lock);
    return file;
}

static void file_give_back(struct file *file)
{
    atomic_fetch_add(&file->generation, 1);
    pthread_mutex_lock(&files.lock);
    file->next_free = files.free;
    files.free = file->index;
    pthread_mutex_unlock(&files.lock);
}

static void file_init(struct file *file, enum file_kind kind, struct arena_slot *slot)
{
    uint32_t index = file->index, generation = atomic_load(&file->generation);
    memset(file, 0, sizeof *file);
    file->index = index;
    atomic_store(&file->generation, generation);
    file->kind = kind;
    file->slot = slot;
    file->opener = getpid();
    atomic_fetch_add(&files.open, 1);
}

int file_new_again(enum file_kind kind, struct arena_slot *slot, const char *path, const char *uri,
                   struct file **ret_file)
{
    char *path_copy = strdup(path), *uri_copy = strdup(uri);
    struct file *file = path_copy && uri_copy ? file_take() : NULL;
    if (!file) {
        int result = path_copy && uri_copy ? -ENFILE : -ENOMEM;
        free(path_copy);
        free(uri_copy);
        return result;
    }
    file_init(file, kind, slot);
    file->path = path_copy;
    file->uri = uri_copy;
    atomic_store(&file->refs, 1);
    *ret_file = file;
    return 0;
}

int file_new(enum file_kind kind, int flags, const char *path, const char *uri,
             struct file **ret_file)
{
    struct arena_slot *slot = NULL;
    int result = arena_alloc((uint32_t)flags, &slot);
    if (result < 0)
        return result;
    result = file_new_again(kind, slot, path, uri, ret_file);
    if (result < 0 && arena_drop(slot, false))
        arena_free(slot);
    return result;
}

/* ---- files from the program before ---- */

static int reader_wake(struct file *file)
{
    struct s3dlio_error error = {0};
    int result = engine_call(reader_reopen)(file->uri, &file->attr, &file->reader, &error);
    if (result < 0)
        report_error(&error);
    return result;
}

/* A signal handler that comes in between finds no such file. */
static int file_wake(struct file *file)
{
    static struct shared_lock lock;
    int result = engine_require();
    int locked = shared_lock_take(&lock);
    bool sleeps = atomic_load(&file->sleeps);
    if (!locked && sleeps)
        return -EBADF;
    if (!result && sleeps && file->kind == FILE_READER)
        result = reader_wake(file);
    else if (!result && sleeps && file->staged)
        result = staged_wake(file->staged, (file->slot->flags & O_ACCMODE) == O_WRONLY);
    if (!result && sleeps) {
        lock_wake(file);
        atomic_store(&file->sleeps, false);
    }
    if (locked)
        shared_lock_give(&lock);
    return result;
}

struct file *file_get(int fd)
{
    struct file *file = file_look(fd);
    if (__builtin_expect(!file || !atomic_load(&file->sleeps), 1) || !file_wake(file))
        return file;
    file_put(file);
    return NULL;
}

struct file *file_look(int fd)
{
    for (;;) {
        uint64_t entry = fdtab_load(fd);
        if (!entry)
            return NULL;
        struct file *file = file_at((uint32_t)entry);
        uint32_t refs = atomic_load(&file->refs);
        while (refs && !atomic_compare_exchange_weak(&file->refs, &refs, refs + 1))
            ;
        if (!refs)
            continue;
        if (fdtab_load(fd) == entry && entry_of(file) == entry)
            return file;
        file_put(file);
    }
}

void file_ref(struct file *file)
{
    atomic_fetch_add(&file->refs, 1);
}

void file_path(struct file *file, char ret_path[PATH_VIRTUAL_MAX])
{
    if (file->staged)
        staged_path(file->staged, ret_path);
    else
        snprintf(ret_path, PATH_VIRTUAL_MAX, "%s", file->path);
}

void file_discard(struct file *file)
{
    file->publishes = false;
    if (file->staged)
        staged_discard_new(file->staged);
}

/* The description's end in this process: 0 or the error of what was published. */
static int description_end(struct file *file, bool is_last)
{
    struct staged *staged = file->staged;
    int result = 0, last;
    if (staged && file->publishes && (is_last || file->opener == getpid()))
        result = staged->writer ? staged_end_stream(staged) : staged_publish(staged);
    last = staged_put(staged, !result);
    file->staged = NULL;
    return result ? result : last;
}

int file_close(struct file *file)
{
    if (atomic_fetch_sub(&file->refs, 1) > 1)
        return 0;
    bool is_last = arena_drop(file->slot, file->publishes || file->lock_fd);
    int result = description_end(file, is_last);
    lock_end(file, is_last);
    if (is_last)
        arena_free(file->slot);
    if (file->reader)
        engine_call(reader_close)(file->reader);
    if (file->directory)
        directory_free(file->directory);
    map_backing_free(file->backing);
    free(file->path);
    free(file->uri);
    file->reader = NULL;
    file->directory = NULL;
    file->backing = NULL;
    file->path = file->uri = NULL;
    atomic_fetch_sub(&files.open, 1);
    file_give_back(file);
    return result;
}

void file_put(struct file *file)
{
    if (file)
        file_close(file);
}

int file_install_at(struct file *file, int fd)
{
    file_ref(file);
    path_watch_proc();
    uint64_t old = fdtab_exchange(fd, entry_of(file));
    if (old == UINT64_MAX) {
        file_put(file);
        return -EMFILE;
    }
    if (old)
        file_put(file_at((uint32_t)old));
    return 0;
}

int file_install(struct file *file, int minimum, bool cloexec)
{
    int fd = placeholder_open(minimum, cloexec);
    if (fd < 0)
        return fd;
    int result = file_install_at(file, fd);
    if (result < 0) {
        REAL(close)(fd);
        return result;
    }
    return fd;
}

struct file *file_detach(int fd)
{
    uint64_t entry = fdtab_load(fd) ? fdtab_exchange(fd, 0) : 0;
    return entry ? file_at((uint32_t)entry) : NULL;
}

int file_close_all(void)
{
    int first = 0;
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
        struct file *file = file_detach(fd);
        int result = file ? file_close(file) : 0;
        first = first ? first : result;
    }
    return first;
}

bool file_any(void)
{
    return atomic_load_explicit(&files.open, memory_order_relaxed) != 0;
}

void file_each(void (*visit)(int fd, struct file *file, void *arg), void *arg)
{
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1)) {
        struct file *file = file_look(fd);
        if (file)
            visit(fd, file, arg);
        file_put(file);
    }
}

/* ---- fork ---- */

int file_fork_prepare(void)
{
    int result = engine_is_loaded() ? arena_need() : 0;
    if (result < 0)
        return result;
    pthread_mutex_lock(&files.lock);
    result = arena_fork_prepare();
    if (result < 0)
        pthread_mutex_unlock(&files.lock);
    return result;
}

void file_fork_parent(pid_t pid)
{
    arena_fork_parent(pid);
    pthread_mutex_unlock(&files.lock);
}

void file_fork_child(void)
{
    arena_fork_child();
    staged_fork_child();
    pthread_mutex_unlock(&files.lock);
}
