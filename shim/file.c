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
#include "shim/in_call.h"
#include "shim/path.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define CHUNK_FILES 16u /* few programs have more open at a time */
#define CHUNKS      4096u

__thread unsigned in_call_refs;

static struct {
    pthread_mutex_t lock;
    struct shared_lock waking;
    struct file *chunks[CHUNKS];
    _Atomic uint32_t made;      /* files handed out of chunks so far */
    uint32_t free;              /* index of the first free one, 0: none */
    uint32_t lost;              /* the same of those that a fork child has to close */
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
    in_call_begin();
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

/* ---- the reader ---- */

struct retired {
    struct retired *next;
    struct s3dlio_reader *reader;
};

/* Who counts itself and then looks has a reader that stays while it is counted; who has replaced a
 * reader and then sees nobody counted knows that nobody has the old one. */
struct s3dlio_reader *file_reader_begin(struct file *file)
{
    atomic_fetch_add(&file->reader_users, 1);
    return atomic_load(&file->reader);
}

void file_reader_end(struct file *file)
{
    atomic_fetch_sub(&file->reader_users, 1);
}

static void retired_close(struct file *file)
{
    while (file->retired) {
        struct retired *next = file->retired->next;
        engine_call(reader_close)(file->retired->reader);
        free(file->retired);
        file->retired = next;
    }
}

/* Without memory to remember it by, a reader that may be in use is not closed. */
void file_reader_replace(struct file *file, struct s3dlio_reader *reader)
{
    struct s3dlio_reader *old = atomic_exchange(&file->reader, reader);
    struct retired *retired = malloc(sizeof *retired);
    if (retired) {
        *retired = (struct retired){file->retired, old};
        file->retired = retired;
    }
    if (!atomic_load(&file->reader_users))
        retired_close(file);
}

void file_attr(struct file *file, struct s3dlio_attr *ret_attr)
{
    struct s3dlio_reader *reader = file_reader_begin(file);
    if (reader)
        engine_call(reader_attr)(reader, ret_attr);
    else
        *ret_attr = file->attr;
    file_reader_end(file);
}

/* ---- files from the program before ---- */

static int reader_wake(struct file *file)
{
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader;
    int result = engine_call(reader_reopen)(file->uri, &file->attr, &reader, &error);
    if (result < 0)
        report_error(&error);
    else
        atomic_store(&file->reader, reader);
    return result;
}

/* A signal handler that comes in between finds no such file. */
static int file_wake(struct file *file)
{
    int result = engine_require();
    int locked = shared_lock_take(&files.waking);
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
        shared_lock_give(&files.waking);
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

/* False: it has ended. */
static bool file_take_ref(struct file *file)
{
    uint32_t refs = atomic_load(&file->refs);
    in_call_begin();
    while (refs && !atomic_compare_exchange_weak(&file->refs, &refs, refs + 1))
        ;
    if (!refs)
        in_call_end();
    return refs != 0;
}

struct file *file_of_slot(const struct arena_slot *slot)
{
    for (uint32_t i = 1, made = files.made; i <= made; i++) {
        struct file *file = file_at(i);
        if (file->slot != slot || !file_take_ref(file))
            continue;
        if (file->slot == slot)
            return file;
        file_put(file);
    }
    return NULL;
}

struct file *file_look(int fd)
{
    for (;;) {
        uint64_t entry = fdtab_load(fd);
        if (!entry)
            return NULL;
        struct file *file = file_at((uint32_t)entry);
        if (!file_take_ref(file))
            continue;
        if (fdtab_load(fd) == entry && entry_of(file) == entry)
            return file;
        file_put(file);
    }
}

void file_ref(struct file *file)
{
    in_call_begin();
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
    /* What is on its way in a message may never be received. */
    if (staged)
        in_call_begin();
    if (staged && file->publishes &&
        (is_last || file->opener == getpid() || arena_is_in_flight(file->slot)))
        result = staged->writer ? staged_end_stream(staged) : staged_publish(staged);
    last = staged_put(staged, !result);
    file->staged = NULL;
    return result ? result : last;
}

static int file_end(struct file *file)
{
    bool is_last = arena_drop(file->slot, file->publishes || file->lock_fd);
    file->is_out = true;
    int result = description_end(file, is_last);
    lock_end(file, is_last);
    if (is_last)
        arena_free(file->slot);
    retired_close(file);
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

int file_close(struct file *file)
{
    int result = atomic_fetch_sub(&file->refs, 1) > 1 ? 0 : file_end(file);
    in_call_end();
    return result;
}

void file_leave(struct file *file)
{
    in_call_end();
    if (!file->lock_fd)
        return;
    bool is_last = arena_drop(file->slot, true);
    lock_end(file, is_last);
    if (is_last)
        arena_free(file->slot);
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
    in_call_end(); /* the table's */
    if (!old)
        return 0;
    in_call_begin();
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
    if (!entry)
        return NULL;
    in_call_begin();
    return file_at((uint32_t)entry);
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

void file_found(struct file *file)
{
    if (file)
        file->found++;
}

/* Nobody has it here, but it is the child's, too. One that was being closed has no references, and
 * its slot still, or only its locks. */
static bool is_lost(const struct file *file)
{
    if (file->found || file->is_out)
        return !file->found && file->lock_fd;
    return file->path && arena_holds_slot(file->slot);
}

static void lose(struct file *file)
{
    file->next_free = files.lost;
    files.lost = file->index;
}

/* The references that last, and one on what is lost but was not being closed. */
static void count_anew(void)
{
    uint32_t open = 0;
    for (uint32_t i = 1; i <= files.made; i++)
        file_at(i)->found = 0;
    staged_found_none();
    for (int fd = fdtab_next(0); fd >= 0; fd = fdtab_next(fd + 1))
        file_found(file_at((uint32_t)fdtab_load(fd)));
    map_each(file_found, staged_found);
    dir_each_file(file_found);
    for (uint32_t i = 1; i <= files.made; i++) {
        struct file *file = file_at(i);
        bool lost = is_lost(file);
        if (lost)
            lose(file);
        if (file->is_out || (!lost && !file->found))
            continue;
        open++;
        atomic_store(&file->refs, lost ? 1 : file->found);
        atomic_store(&file->reader_users, 0);
        staged_found(file->staged);
    }
    atomic_store(&files.open, open);
}

void file_fork_child(void)
{
    arena_fork_child();
    staged_fork_child();
    files.lost = 0;
    if (!in_call_refs) {
        files.waking = (struct shared_lock){0}; /* its thread will not give it back */
        if (file_any())
            count_anew();
    }
    pthread_mutex_unlock(&files.lock);
}

void file_fork_child_end(void)
{
    while (files.lost) {
        struct file *file = file_at(files.lost);
        files.lost = file->next_free;
        in_call_begin();
        if (file->is_out) {
            lock_end(file, false);
            in_call_end();
        } else {
            file_close(file);
        }
    }
    if (!in_call_refs)
        staged_found_end();
}
