/* open and close: every variant reduces to openat on a resolved path.
 *
 * The flags tell readers, streams, drafts and directories apart: O_RDONLY opens the object with one
 * request; O_WRONLY that begins with an empty file starts a stream, which becomes an object at
 * close; all else (O_RDWR, old content that is to be changed) is a draft. Where close does not wait,
 * an empty file that may be read, too, is a stream as long as it is small and nobody reads it. A path
 * that this process is writing already gets another file on the same content. O_NONBLOCK says that
 * open is not to wait: what is on its way to the store is waited for by the first read.
 */
#include "shim/calls/open.h"
#include "shim/calls/process.h"

#include <stdlib.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/lock.h"
#include "shim/calls/stat.h"
#include "shim/calls/stdio.h"
#include "shim/creation_mask.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/in_call.h"
#include "shim/inline_call.h"
#include "shim/proc.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"
#include "shim/staged_names.h"
#include "shim/start.h"

#define CALLER            __builtin_return_address(0)
#define NEEDS_MODE(flags) ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE)

static int file_for(const struct vpath *path, enum file_kind kind, int flags, struct file **ret)
{
    /* What F_GETFL shows: no creation flags (fcntl(2)). */
    int kept = flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
    return file_new(kind, kept, path->path, path->uri, ret);
}

static int open_directory(const struct vpath *path, int flags, const struct s3dlio_attr *attr,
                          struct file **ret_file)
{
    if ((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT)
        return -EISDIR;
    int result = file_for(path, FILE_DIRECTORY, flags | O_DIRECTORY, ret_file);
    if (!result)
        (*ret_file)->attr = *attr;
    return result;
}

static int open_reader(const struct vpath *path, int flags, struct file **ret_file)
{
    struct s3dlio_error error = {0};
    struct s3dlio_reader *reader = NULL;
    bool is_quick = flags & O_NONBLOCK && start_defers_close();
    int result = is_quick ? engine_call(reader_open_soon)(path->uri, &reader) : 0;
    if (result <= 0)
        result = staged_explain(path->path,
                                engine_call(reader_open)(path->uri, NULL, &reader, &error));
    if (result == -EISDIR) {
        struct s3dlio_attr attr;
        result = stat_attr(path, &attr);
        return result < 0 ? result : open_directory(path, flags, &attr, ret_file);
    }
    if (result < 0) {
        report_name_error(&error, path->uri);
        return result;
    }
    struct s3dlio_attr attr;
    engine_call(reader_attr)(reader, &attr);
    result = attr.type == S3DLIO_SYMLINK ? -ELOOP : file_for(path, FILE_READER, flags, ret_file);
    if (result < 0) {
        engine_call(reader_close)(reader);
        return result;
    }
    (*ret_file)->reader = reader;
    (*ret_file)->attr = attr;
    return 0;
}

/* What stands there now, as far as creating needs it: 1 exists, 0 free, or -errno. */
static int writer_target(const struct vpath *path, int flags, struct s3dlio_attr *ret_attr)
{
    if (path->wants_directory)
        return -EISDIR;
    int result = stat_attr(path, ret_attr);
    if (result == -ENOENT)
        return flags & O_CREAT ? stat_parent(path) : -ENOENT;
    if (result < 0)
        return result;
    if (flags & O_CREAT && flags & O_EXCL)
        return -EEXIST;
    if (ret_attr->type == S3DLIO_DIRECTORY)
        return -EISDIR;
    return ret_attr->type == S3DLIO_SYMLINK ? -ELOOP : 1;
}

static bool is_nameless(int flags)
{
    return (flags & O_TMPFILE) == O_TMPFILE;
}

/* Is all that is written to go behind what is there, whatever others do meanwhile? */
static bool is_appending(int flags)
{
    return (flags & O_APPEND) && !(flags & (O_TRUNC | O_EXCL)) && !is_nameless(flags);
}

/* What a new version starts with: the mode and owner of what it replaces, else of the call. */
static void version_begin(const struct s3dlio_attr *old, int flags, mode_t mode,
                          struct s3dlio_write_options *ret_options, struct s3dlio_attr *ret_attr)
{
    *ret_options = (struct s3dlio_write_options){
        .flags = is_nameless(flags) ? S3DLIO_WRITE_UNNAMED
                 : flags & O_EXCL   ? S3DLIO_WRITE_EXCLUSIVE
                                    : 0,
    };
    *ret_attr = (struct s3dlio_attr){.type = S3DLIO_FILE, .has = S3DLIO_HAS_MODE};
    if (old) {
        ret_options->has = old->has & (S3DLIO_HAS_MODE | S3DLIO_HAS_UID | S3DLIO_HAS_GID);
        ret_options->mode = old->mode;
        ret_options->uid = old->uid;
        ret_options->gid = old->gid;
        if (old->has_xattr && flags & O_TRUNC)
            ret_options->flags |= S3DLIO_WRITE_EMPTIES;
        *ret_attr = *old;
    } else {
        ret_options->flags |= S3DLIO_WRITE_SOUGHT; /* by writer_target */
        if (creation_mode(mode & 07777, 0666, &ret_options->mode))
            ret_options->has = S3DLIO_HAS_MODE;
        ret_attr->mode = ret_options->mode;
    }
    clock_gettime(CLOCK_REALTIME, &ret_attr->mtime);
}

/* Takes over the caller's reference to `staged`. */
static int open_on(const struct vpath *path, int flags, struct staged *staged, bool publishes,
                   struct file **ret_file)
{
    int result = file_for(path, FILE_STAGED, flags, ret_file);
    if (result < 0) {
        staged_discard_new(staged);
        staged_put(staged, true);
        return result;
    }
    (*ret_file)->staged = staged;
    in_call_end();
    (*ret_file)->publishes = publishes || (flags & O_ACCMODE) != O_RDONLY;
    staged_attr(staged, &(*ret_file)->attr);
    return 0;
}

static int open_stream(const struct vpath *path, int flags, mode_t mode,
                       const struct s3dlio_attr *old, struct file **ret_file)
{
    struct s3dlio_error error = {0};
    struct s3dlio_write_options options;
    struct s3dlio_attr attr;
    struct s3dlio_writer *writer = NULL;
    struct staged *staged = NULL;
    version_begin(old, flags, mode, &options, &attr);
    if (is_appending(flags))
        options.flags |= S3DLIO_WRITE_APPEND;
    int result = engine_call(writer_open)(path->uri, &options, NULL, &writer, &error);
    if (result < 0) {
        report_error(&error);
        return result;
    }
    result = staged_new(path->path, path->uri, &attr, NULL, writer, &staged);
    if (result < 0) {
        engine_call(writer_abort)(writer);
        return result;
    }
    return open_on(path, flags, staged, true, ret_file);
}

static int open_draft(const struct vpath *path, int flags, mode_t mode,
                      const struct s3dlio_attr *old, struct file **ret_file)
{
    bool keeps = old && !(flags & O_TRUNC);
    struct s3dlio_error error = {0};
    struct s3dlio_write_options options;
    struct s3dlio_attr attr;
    struct s3dlio_draft *draft;
    struct staged *staged;
    version_begin(old, flags, mode, &options, &attr);
    if (is_appending(flags))
        options.flags |= S3DLIO_WRITE_APPEND;
    if (keeps) { /* its metadata with it */
        options.has = 0;
        attr.mtime = old->mtime;
    }
    int result = engine_call(draft_open)(path->uri, &options,
                                         keeps ? S3DLIO_DRAFT_KEEP : S3DLIO_DRAFT_EMPTY, NULL,
                                         &draft, &error);
    if (result < 0) {
        report_name_error(&error, path->uri);
        return result;
    }
    result = is_nameless(flags)
                 ? staged_new_nameless(path, &attr, flags & O_EXCL, draft, &staged)
                 : staged_new(path->path, path->uri, &attr, draft, NULL, &staged);
    if (result < 0) {
        engine_call(draft_abort)(draft);
        return result;
    }
    staged->node->is_stored = keeps;
    return open_on(path, flags, staged, true, ret_file);
}

/* open(2), O_TMPFILE. The file has a name that nobody else has, but is not found by it. */
static int open_nameless(const struct vpath *path, int flags, mode_t mode, struct file **ret_file)
{
    static _Atomic unsigned count;
    struct s3dlio_attr attr;
    struct vpath unique;
    char name[48];
    if (flags & O_CREAT || (flags & O_ACCMODE) == O_RDONLY)
        return -EINVAL;
    int result = stat_followed(path, &attr);
    if (!result && attr.type != S3DLIO_DIRECTORY)
        result = -ENOTDIR;
    snprintf(name, sizeof name, "#%d.%u", getpid(), atomic_fetch_add(&count, 1));
    if (!result)
        result = path_join(path, name, &unique);
    return result < 0 ? result : open_draft(&unique, flags, mode, NULL, ret_file);
}

/* Does the program begin with an empty file and write it from its beginning to its end? One that
 * may read it as well is believed to where it gains by that: content_write_at makes a draft of what
 * grows. */
static bool is_stream(int flags, const struct s3dlio_attr *old)
{
    if (old && old->size_bytes && !(flags & O_TRUNC))
        return false;
    if ((flags & O_ACCMODE) == O_RDWR)
        return start_defers_close() && !(flags & O_APPEND) && flags & (O_TRUNC | O_EXCL);
    return (flags & O_ACCMODE) == O_WRONLY && flags & (O_TRUNC | O_EXCL | O_APPEND);
}

static int open_to_write(const struct vpath *path, int flags, mode_t mode, struct file **ret_file)
{
    struct s3dlio_attr attr = {0};
    int exists = writer_target(path, flags, &attr);
    if (exists < 0)
        return exists;
    const struct s3dlio_attr *old = exists ? &attr : NULL;
    if (exists && (flags & (O_ACCMODE | O_TRUNC)) == O_RDONLY) /* O_CREAT had nothing to do */
        return open_reader(path, flags, ret_file);
    if (is_stream(flags, old))
        return open_stream(path, flags, mode, old, ret_file);
    int result = open_draft(path, flags, mode, old, ret_file);
    /* What is there may be what another process is writing: to the store it is not, yet. */
    if (result == -ENOENT && exists && flags & O_CREAT)
        result = open_draft(path, flags, mode, NULL, ret_file);
    return result;
}

/* A path that this process is writing; takes over the reference. */
static int open_staged(const struct vpath *path, int flags, struct staged *staged,
                       struct file **ret_file)
{
    int result = 0;
    if (path->wants_directory)
        result = flags & O_CREAT ? -EISDIR : -ENOTDIR;
    else if ((flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
        result = -EEXIST;
    else if (flags & O_TRUNC)
        result = staged_empty(staged);
    else
        result = staged_make_draft(staged);
    if (!result)
        return open_on(path, flags, staged, flags & O_TRUNC, ret_file);
    if (result == -EOPNOTSUPP)
        result = staged_is_ours(staged)
                     ? report_refusal("open once more, while a stream is written to", path->path)
                     : -EAGAIN; /* the stream has just come to its end */
    staged_put(staged, true);
    return result;
}

static int open_path_only(const struct vpath *path, int flags, struct file **ret_file)
{
    struct s3dlio_attr attr;
    int result = stat_attr(path, &attr);
    if (result < 0)
        return result;
    bool is_directory = attr.type == S3DLIO_DIRECTORY;
    if (attr.type == S3DLIO_SYMLINK && !(flags & O_NOFOLLOW))
        return -ELOOP;
    if (flags & O_DIRECTORY && !is_directory)
        return -ENOTDIR;
    result = file_for(path, is_directory ? FILE_DIRECTORY : FILE_PATH, flags, ret_file);
    if (!result)
        (*ret_file)->attr = attr;
    return result;
}

/* By its name with a slash: it is going to be listed, and its first page may tell all of it. */
static int stat_directory(const struct vpath *path, struct s3dlio_attr *ret_attr)
{
    struct vpath slashed = *path;
    size_t length = strlen(slashed.uri);
    const char *bucket = strstr(slashed.uri, "://");
    const char *key = bucket ? strchr(bucket + 3, '/') : NULL;
    if (key && key[1] && !path->wants_directory && length + 1 < sizeof slashed.uri)
        memcpy(slashed.uri + length, "/", 2);
    return stat_attr(&slashed, ret_attr);
}

int open_file(const struct vpath *path, int flags, mode_t mode, struct file **ret_file)
{
    if (process_is_vfork_child()) /* its descriptors are its own, our tables are its parent's */
        return report_refusal("open in a child of vfork", path->path);
    int result = engine_require();
    if (result < 0)
        return result;
    if (!(flags & O_CREAT) && !is_nameless(flags)) /* means something for devices only */
        flags &= ~O_EXCL;
    if (flags & O_PATH)
        return open_path_only(path, flags, ret_file);
    if (is_nameless(flags))
        return open_nameless(path, flags, mode, ret_file);
    if (flags & O_DIRECTORY) {
        struct s3dlio_attr attr;
        result = flags & O_CREAT ? -EINVAL : stat_directory(path, &attr);
        if (!result && attr.type == S3DLIO_SYMLINK && !(flags & O_NOFOLLOW))
            result = -ELOOP;
        else if (!result && attr.type != S3DLIO_DIRECTORY)
            result = -ENOTDIR;
        return result < 0 ? result : open_directory(path, flags, &attr, ret_file);
    }
    do { /* again, if another thread was quicker */
        struct staged *staged = staged_find(path->path);
        if (staged)
            result = open_staged(path, flags, staged, ret_file);
        else if (flags & (O_ACCMODE | O_CREAT | O_TRUNC))
            result = open_to_write(path, flags, mode, ret_file);
        else
            result = open_reader(path, flags, ret_file);
    } while (result == -EAGAIN);
    return result;
}

/* Takes over the reference. */
static int fd_of(struct file *file, int flags)
{
    int fd = file_install(file, 0, flags & O_CLOEXEC);
    if (fd < 0)
        file_discard(file); /* nothing was written: leave the old object alone */
    file_put(file);
    if (fd >= 0 && fd <= 2)
        stdio_fd_changed(fd);
    return fd;
}

int open_fd(const struct vpath *path, int flags, mode_t mode)
{
    struct file *file = NULL;
    int result = open_file(path, flags, mode, &file);
    return result < 0 ? result : fd_of(file, flags);
}

/* By a link of a descriptor (/proc/self/fd/N): a file whose name is gone is opened once more all
 * the same. False when this is not that. */
static bool open_by_descriptor(const char *path, int flags, int *ret_result)
{
    bool may_be = path_filter.proc && path_maybe(path) && path[0] == '/' &&
                  !(flags & (O_NOFOLLOW | O_PATH | O_DIRECTORY));
    struct file *file = unlikely(may_be) ? proc_file(path) : NULL, *again = NULL;
    bool is_gone = file && file->staged && file->staged->node->is_discarded;
    if (is_gone) {
        struct vpath name = {0};
        file_path(file, name.path);
        path_from_virtual(name.path, &name);
        staged_ref(file->staged);
        int result = open_staged(&name, flags, file->staged, &again);
        *ret_result = result < 0 ? result : fd_of(again, flags);
    }
    file_put(file);
    return is_gone;
}

int open_followed(struct vpath *path, int flags, mode_t mode)
{
    enum link_last last = flags & O_NOFOLLOW ? LINK_BY_SLASH : LINK_AT_END;
    int result;
    LINK_FOLLOW(path, last, result, open_fd(path, flags, mode));
    return result;
}

int close_fd(int fd)
{
    struct file *file = file_detach(fd);
    if (!file)
        return -EBADF;
    REAL(close)(fd);
    if (fd <= 2)
        stdio_fd_changed(fd);
    lock_descriptor_closed(file);
    return file_close(file);
}

/* `caller` is the program's code. */
static int open_common(const void *caller, int dirfd, const char *path, int flags, mode_t mode)
{
    struct vpath resolved;
    int saved = errno, result;
    if (open_by_descriptor(path, flags, &result))
        return (int)entry_return(saved, result);
    int is_virtual = flags & O_NOFOLLOW ? path_classify(dirfd, path, &resolved)
                                        : path_classify_follow(dirfd, path, &resolved);
    if (!is_virtual)
        return REAL(openat)(dirfd, path, flags, mode);
    inline_call_meet(caller);
    pthread_testcancel(); /* not afterwards: the descriptor would be nobody's */
    ENTRY_HOLD();
    result = is_virtual < 0 ? is_virtual : open_followed(&resolved, flags, mode);
    if (result == LINK_TO_REAL)
        return REAL(openat)(AT_FDCWD, resolved.path, flags, mode);
    return (int)entry_return(saved, result);
}

int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (NEEDS_MODE(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (likely(!path_maybe(path)))
        return REAL(open)(path, flags, mode);
    return open_common(CALLER, AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (NEEDS_MODE(flags)) {
        va_list args;
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (likely(!path_maybe(path) && !fdtab_is_virtual(dirfd)))
        return REAL(openat)(dirfd, path, flags, mode);
    return open_common(CALLER, dirfd, path, flags, mode);
}

int creat(const char *path, mode_t mode)
{
    if (likely(!path_maybe(path)))
        return REAL(creat)(path, mode);
    return open_common(CALLER, AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* The fortified forms are called without a mode: O_CREAT would abort in libc, and does. */
int __open_2(const char *path, int flags)
{
    if (likely(!path_maybe(path)) || NEEDS_MODE(flags))
        return REAL(__open_2)(path, flags);
    return open_common(CALLER, AT_FDCWD, path, flags, 0);
}

int __openat_2(int dirfd, const char *path, int flags)
{
    if (likely(!path_maybe(path) && !fdtab_is_virtual(dirfd)) || NEEDS_MODE(flags))
        return REAL(__openat_2)(dirfd, path, flags);
    return open_common(CALLER, dirfd, path, flags, 0);
}

/* The program never opened that number: a loop that closes everything, as daemons do, meets it. */
static bool is_not_the_programs(int fd)
{
    return !fdtab_is_aside &&
           (arena_owns_fd(fd) || (engine_is_loaded() && engine_call(owns_fd)(fd)));
}

int close(int fd)
{
    if (likely(!fdtab_is_virtual(fd))) {
        if (likely(!is_not_the_programs(fd)))
            return REAL(close)(fd);
        errno = EBADF;
        return -1;
    }
    ENTRY_POINT();
    int saved = errno;
    return (int)entry_return(saved, close_fd(fd));
}

#include "alias_open.h"
