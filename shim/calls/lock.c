/* Locks between processes: flock, lockf, fcntl.
 *
 * They are the kernel's own, on a small local file that stands for the object (s3dlio_lock_open):
 * who waits, who owns, what a fork shares, what a death releases, deadlocks are all as on a disk.
 * The file is opened when a description's first lock is asked for. It belongs to the description,
 * as flock and OFD locks do; a lock first asked for after a fork is the process's own, but where
 * lock_share has opened the file before. Ranges are shifted by one byte, whence is resolved here,
 * because the file's length and offset are not the object's.
 */
#include "shim/calls/lock.h"

#include <limits.h>
#include <string.h>
#include <sys/file.h>

#include "shim/calls/io.h"
#include "shim/calls/map.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/handover.h"
#include "shim/memory.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/start.h"

/* Held while a file of locks is opened or closed, and over fork: a child has no file of locks that it
 * does not know of, which would keep what its parent gives back. */
static struct {
    struct shared_lock lock;
    int forking; /* what the fork wrapper took */
} moves;

/* This process has taken fcntl locks; until then closing needs no look at them. */
static _Atomic bool has_process_locks;

struct search {
    const char *path;
    int lock_fd; /* -1: none found */
};

static void same_object(int fd, struct file *file, void *arg)
{
    struct search *search = arg;
    int lock_fd = atomic_load(&file->lock_fd) - 1;
    if (lock_fd >= 0 && !strcmp(file->path, search->path))
        search->lock_fd = lock_fd;
}

/* Of another description of this process; -1: none has been asked for a lock. */
static int lock_fd_of_object(const struct file *file)
{
    struct search search = {.path = file->path, .lock_fd = -1};
    file_each(same_object, &search);
    return search.lock_fd;
}

static int moves_begin(void)
{
    return shared_lock_take(&moves.lock);
}

static void moves_end(int locked)
{
    if (locked)
        shared_lock_give(&moves.lock);
}

void lock_fork_prepare(void)
{
    moves.forking = moves_begin();
}

void lock_fork_done(void)
{
    moves_end(moves.forking);
}

static bool may_have_process_locks(void)
{
    return atomic_load_explicit(&has_process_locks, memory_order_relaxed);
}

static int lock_fd_of(struct file *file)
{
    int fd = atomic_load(&file->lock_fd) - 1;
    if (fd >= 0)
        return fd;
    int locked = arena_lock(file->slot);
    fd = atomic_load(&file->lock_fd) - 1;
    if (fd < 0) {
        struct s3dlio_error error = {0};
        bool keeps_locks = may_have_process_locks() && lock_fd_of_object(file) >= 0;
        int moving = moves_begin();
        int result = engine_call(lock_open)(file->uri, keeps_locks, &fd, &error);
        if (!result)
            atomic_store(&file->lock_fd, fd + 1);
        moves_end(moving);
        if (result < 0) {
            report_error(&error);
            fd = result;
        }
    }
    if (locked)
        arena_unlock(file->slot);
    return fd;
}

static bool has_content(const struct file *file)
{
    return file->kind != FILE_PATH && !(file->slot->flags & O_PATH);
}

void lock_share(struct file *file)
{
    int fd;
    /* Where the process has locks of its own the descriptor might take a low number. */
    if (atomic_load(&file->lock_fd) || may_have_process_locks() || !has_content(file) ||
        file->kind == FILE_DIRECTORY)
        return;
    int locked = arena_lock(file->slot);
    struct s3dlio_error error = {0};
    if (!atomic_load(&file->lock_fd) && !engine_require() &&
        !engine_call(lock_open)(file->uri, false, &fd, &error))
        atomic_store(&file->lock_fd, fd + 1);
    if (locked)
        arena_unlock(file->slot);
}

static void lock_release(int fd)
{
    handover_release((int[2]){fd, fd});
}

void lock_wake(struct file *file)
{
    int fd = atomic_load(&file->lock_fd) - 1;
    if (fd < 0)
        return;
    engine_call(lock_adopt)(fd);
    lock_release(fd);
}

bool lock_adopt(struct file *file, int fd)
{
    struct stat st;
    if (REAL(fstat)(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())
        return false;
    atomic_store(&file->lock_fd, fd + 1);
    atomic_store(&has_process_locks, true);
    return true;
}

/* ---- what a lock is for ---- */

/* Under the slot's lock: what is mapped stays, and the bytes of two versions are never mixed. */
static int show_newer(struct file *file)
{
    struct s3dlio_error error = {0};
    struct s3dlio_reader *newer;
    int result = engine_call(reader_newer)(file->reader, &newer, &error);
    if (result < 0)
        report_error(&error);
    if (result <= 0)
        return result;
    if (map_is_live(file)) {
        engine_call(reader_close)(newer);
        report_line("%s: another version is there; this descriptor, which is mapped, keeps the one "
                    "it has: unmap it before the lock is asked for, or open it anew",
                    file->path);
        return 0;
    }
    map_backing_free(file->backing);
    file->backing = NULL;
    file_reader_replace(file, newer);
    return 0;
}

/* Not in a handler that interrupted a read of this very file. */
static int reader_refresh(struct file *file)
{
    int locked = arena_lock(file->slot);
    int result = locked && file->reader ? show_newer(file) : 0;
    if (locked)
        arena_unlock(file->slot);
    return result;
}

/* Who has a lock sees what was stored under it before, as on a network's file system: what is
 * open becomes the version that is there, and what is open for writing, too, is stored before the
 * lock goes. */
static int see_others(struct file *file)
{
    if (file->kind == FILE_READER)
        return reader_refresh(file);
    if (file->staged && !file->staged->draft && (file->slot->flags & O_ACCMODE) == O_RDWR)
        staged_make_draft(file->staged); /* a stream shows nothing before its close */
    return file->staged && file->staged->draft ? staged_refresh(file->staged) : 0;
}

static int show_others(struct file *file)
{
    bool is_draft = file->staged && file->staged->draft;
    return is_draft && start_publishes_at_sync() ? staged_publish(file->staged) : 0;
}

bool lock_is_anothers(struct file *file)
{
    int fd = atomic_load(&file->lock_fd) - 1;
    struct flock any = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 1};
    return fd >= 0 && !REAL(fcntl)(fd, F_GETLK, &any) && any.l_type != F_UNLCK && any.l_pid > 0;
}

/* ---- fcntl ---- */

static int check(const struct file *file, const struct flock *lock, bool asks)
{
    uint32_t access = file->slot->flags & O_ACCMODE;
    switch (lock->l_type) {
    case F_RDLCK: return !asks && access == O_WRONLY ? -EBADF : 0;
    case F_WRLCK: return !asks && access == O_RDONLY ? -EBADF : 0;
    case F_UNLCK: return asks ? -EINVAL : 0;
    default: return -EINVAL;
    }
}

/* The range of the lock file that stands for the one asked for, as SEEK_SET. */
static int translate(struct file *file, struct flock *lock)
{
    int64_t base = 0, start, length = lock->l_len;
    switch (lock->l_whence) {
    case SEEK_SET: break;
    case SEEK_CUR: base = atomic_load(&file->slot->offset); break;
    case SEEK_END: base = file->kind == FILE_DIRECTORY ? 0 : io_size(file); break;
    default: return -EINVAL;
    }
    if (__builtin_add_overflow(base, lock->l_start, &start))
        return -EOVERFLOW;
    if (length < 0) { /* the bytes before it */
        start += length;
        length = -length;
    }
    if (start < 0)
        return -EINVAL;
    if (start == INT64_MAX || length - 1 > INT64_MAX - 1 - start)
        return -EOVERFLOW;
    lock->l_whence = SEEK_SET;
    lock->l_start = start + 1;
    lock->l_len = length;
    return 0;
}

static void give_back(void *file)
{
    file_put(file);
}

/* A wait for a lock may last for ever, and may be cancelled: then the file goes back that the
 * entry has got. */
static int lock_set(struct file *file, int command, struct flock *lock, int cancel_state)
{
    int fd = atomic_load(&file->lock_fd) - 1, result;
    if (command != F_SETLKW && command != F_OFD_SETLKW)
        return REAL(fcntl)(fd, command, lock);
    pthread_cleanup_push(give_back, file);
    pthread_setcancelstate(cancel_state, NULL);
    result = REAL(fcntl)(fd, command, lock);
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    pthread_cleanup_pop(0);
    return result;
}

int lock_fcntl(struct file *file, int command, struct flock *lock, int cancel_state)
{
    bool asks = command == F_GETLK || command == F_OFD_GETLK;
    if (!memory_is_readable(lock, sizeof *lock))
        return -EFAULT;
    struct flock real = *lock;
    int result = check(file, &real, asks);
    if (!result)
        result = translate(file, &real);
    int fd = result < 0 ? result : lock_fd_of(file);
    if (fd < 0)
        return fd;
    if (command == F_SETLK || command == F_SETLKW)
        atomic_store(&has_process_locks, true);
    if (!asks && real.l_type != F_WRLCK)
        result = show_others(file);
    if (lock_set(file, command, &real, cancel_state) < 0)
        return -errno;
    if (!asks && real.l_type != F_UNLCK && !result)
        result = see_others(file);
    if (result < 0) { /* then it is not had */
        real.l_type = F_UNLCK;
        REAL(fcntl)
        (fd,
         command == F_SETLKW       ? F_SETLK
         : command == F_OFD_SETLKW ? F_OFD_SETLK
                                   : command,
         &real);
        return result;
    }
    if (asks && real.l_type == F_UNLCK) {
        lock->l_type = F_UNLCK;
    } else if (asks) {
        real.l_start--;
        *lock = real;
    }
    return 0;
}

/* The lock may have been taken through another description; if none has the lock file open, this
 * process has no lock on the object. */
void lock_descriptor_closed(struct file *file)
{
    if (likely(!may_have_process_locks()))
        return;
    int saved = errno, fd = atomic_load(&file->lock_fd) - 1;
    if (fd < 0)
        fd = lock_fd_of_object(file);
    struct flock all = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_start = 1};
    if (fd >= 0) {
        show_others(file); /* closing says what went wrong */
        REAL(fcntl)(fd, F_SETLK, &all);
    }
    errno = saved;
}

void lock_end(struct file *file, bool is_last)
{
    if (!atomic_load(&file->lock_fd))
        return;
    bool has_engine = engine_is_loaded() || (is_last && !engine_require());
    int moving = moves_begin();
    int fd = atomic_exchange(&file->lock_fd, 0) - 1;
    lock_release(fd);
    if (has_engine)
        engine_call(lock_close)(fd, is_last ? file->uri : NULL);
    else
        REAL(close)(fd); /* never used by this program */
    moves_end(moving);
}

int lockf(int fd, int command, off_t length)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(lockf)(fd, command, length);
    if (command == F_LOCK)
        pthread_testcancel();
    ENTRY_HOLD();
    struct file *file = file_get(fd);
    if (unlikely(!file))
        return REAL(lockf)(fd, command, length);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_CUR, .l_len = length};
    int saved = errno, result;
    switch (has_content(file) ? command : -1) {
    case F_ULOCK:
        lock.l_type = F_UNLCK;
        result = lock_fcntl(file, F_SETLK, &lock, entry_state);
        break;
    case F_LOCK: result = lock_fcntl(file, F_SETLKW, &lock, entry_state); break;
    case F_TLOCK: result = lock_fcntl(file, F_SETLK, &lock, entry_state); break;
    case F_TEST:
        result = lock_fcntl(file, F_GETLK, &lock, entry_state);
        if (!result && lock.l_type != F_UNLCK && lock.l_pid != getpid())
            result = -EACCES; /* lockf(3) */
        break;
    default: result = has_content(file) ? -EINVAL : -EBADF;
    }
    file_put(file);
    return (int)entry_return(saved, result);
}

/* ---- flock ---- */

int flock(int fd, int operation)
{
    if (likely(!fdtab_is_virtual(fd)))
        return REAL(flock)(fd, operation);
    ENTRY_HOLD();
    struct file *file = file_get(fd);
    if (unlikely(!file))
        return REAL(flock)(fd, operation);
    int saved = errno, kind = operation & ~LOCK_NB;
    int result = kind == LOCK_SH || kind == LOCK_EX || kind == LOCK_UN ? 0 : -EINVAL;
    if (!has_content(file))
        result = -EBADF;
    int lock = result < 0 ? result : lock_fd_of(file);
    if (lock < 0)
        result = lock;
    else if (kind != LOCK_EX)
        result = show_others(file);
    if (lock >= 0 && REAL(flock)(lock, operation) < 0)
        result = -errno;
    else if (lock >= 0 && kind != LOCK_UN && !result)
        result = see_others(file);
    if (lock >= 0 && result < 0 && result != -EWOULDBLOCK && result != -EINTR)
        REAL(flock)(lock, LOCK_UN); /* then it is not had */
    file_put(file);
    return (int)entry_return(saved, result);
}

#include "alias_lock.h"
