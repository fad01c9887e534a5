/* fopen, fdopen, fclose: a virtual path or descriptor gets a cookie stream, everything else the
 * real call. */
#include <errno.h>
#include <fcntl.h>
#include <langinfo.h>
#include <string.h>
#include <strings.h>
#include <wchar.h>

#include "shim/calls/link.h"
#include "shim/calls/open.h"
#include "shim/calls/stdio.h"
#include "shim/engine.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"
#include "shim/report.h"

#define MODE_MAX 7 /* what glibc looks at */

int stream_mode_flags(const char *mode)
{
    int flags, access;
    switch (mode[0]) {
    case 'r': flags = 0, access = O_RDONLY; break;
    case 'w': flags = O_CREAT | O_TRUNC, access = O_WRONLY; break;
    case 'a': flags = O_CREAT | O_APPEND, access = O_WRONLY; break;
    default: return -EINVAL;
    }
    for (int i = 1; i < MODE_MAX && mode[i] && mode[i] != ','; i++) {
        if (mode[i] == '+')
            access = O_RDWR;
        else if (mode[i] == 'x')
            flags |= O_EXCL;
        else if (mode[i] == 'e')
            flags |= O_CLOEXEC;
    }
    return flags | access;
}

int stream_target(const char *path, struct vpath *ret_path)
{
    return path_classify_follow(AT_FDCWD, path, ret_path);
}

/* "r,ccs=UTF-8": a cookie stream converts by the locale alone, so nothing else is promised. */
static bool character_set_fits(const char *mode, bool *ret_wide)
{
    const char *name = strstr(mode, ",ccs=");
    *ret_wide = name != NULL;
    if (!name)
        return true;
    name += strlen(",ccs=");
    size_t length = strcspn(name, ",/");
    const char *locale = nl_langinfo(CODESET);
    return strlen(locale) == length && !strncasecmp(locale, name, length);
}

/* Nothing was written: the old object stays. */
static void discard(int fd)
{
    struct file *file = file_get(fd);
    if (file)
        file_discard(file);
    file_put(file);
    close_fd(fd);
}

static FILE *open_virtual(struct vpath *path, const char *mode)
{
    int saved = errno;
    int flags = stream_mode_flags(mode);
    bool wide;
    if (flags >= 0 && !character_set_fits(mode, &wide))
        flags = report_refusal("another character set than the locale's for", path->path);
    int fd = flags < 0 ? flags : open_followed(path, flags, 0666);
    if (fd == LINK_TO_REAL)
        return REAL(fopen)(path->path, mode);
    if (fd < 0) {
        errno = -fd;
        return NULL;
    }
    FILE *file = stream_new(fd, flags);
    if (!file) {
        discard(fd);
        errno = ENOMEM;
        return NULL;
    }
    if (flags & O_APPEND && (flags & O_ACCMODE) == O_WRONLY)
        fseeko(file, 0, SEEK_END); /* where fopen(3) says appending starts; "a+" reads from 0 */
    if (wide)
        fwide(file, 1);
    errno = saved;
    return file;
}

FILE *fopen(const char *path, const char *mode)
{
    if (likely(!path_maybe(path) && !file_any()))
        return REAL(fopen)(path, mode);
    struct vpath target;
    int result = stream_target(path, &target);
    if (!result)
        return REAL(fopen)(path, mode);
    if (result < 0) {
        errno = -result;
        return NULL;
    }
    return open_virtual(&target, mode);
}

/* 0, or -EINVAL when the descriptor is not open for what the mode asks (fdopen(3)). */
static int mode_check(const struct file *file, int flags)
{
    int has = (int)(file->slot->flags & O_ACCMODE), wants = flags & O_ACCMODE;
    return has == O_RDWR || has == wants ? 0 : -EINVAL;
}

/* As glibc's: a description that did not append does from now on. */
static void append_from_now(struct file *opened, FILE *stream, int flags)
{
    uint32_t old = atomic_fetch_or(&opened->slot->flags, O_APPEND);
    if (!(old & O_APPEND) && (flags & O_ACCMODE) == O_WRONLY)
        fseeko(stream, 0, SEEK_END);
}

FILE *fdopen(int fd, const char *mode)
{
    struct file *opened = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!opened))
        return REAL(fdopen)(fd, mode);
    int saved = errno;
    int flags = stream_mode_flags(mode);
    int result = flags < 0 ? flags : mode_check(opened, flags);
    FILE *file = result < 0 ? NULL : stream_new(fd, flags);
    if (file && flags & O_APPEND)
        append_from_now(opened, file, flags);
    file_put(opened);
    errno = file ? saved : result < 0 ? -result : ENOMEM;
    return file;
}

/* A standard stream is used after its fclose by more programs than one would think; glibc's own
 * object outlives it, and so does ours. */
static int close_standard(int index)
{
    FILE *cookie = standard_cookie(index);
    int result = fflush(cookie), error = errno;
    if (close_fd(index) == -EBADF)
        REAL(close)(index);
    standard_switch(index, false);
    errno = error;
    return result;
}

int fclose(FILE *file)
{
    if (unlikely(file == stderr))
        engine_sync(); /* while there is where to say what was not stored: many end like this */
    struct stream *stream = stream_find(file);
    if (likely(!stream))
        return REAL(fclose)(file);
    if (stream->standard)
        return close_standard(standard_index(file));
    stream_take(file);
    int result = REAL(fclose)(file), error = errno;
    stream_free(stream);
    errno = error;
    return result;
}

#include "alias_stdio.h"
