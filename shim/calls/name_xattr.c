/* Extended attributes: user.s3.etag and user.s3.uri can be read, nothing can be stored yet.
 *
 * Other name spaces do not exist here (EOPNOTSUPP, which ls and cp remember for the whole device), and
 * listings show nothing, so that copying tools do not carry the store's own attributes along.
 */
#include <string.h>
#include <sys/xattr.h>

#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"

/* What is meant: attributes and URI, of a path or of a descriptor. */
struct subject {
    struct s3dlio_attr attr;
    char uri[PATH_URI_MAX];
};

/* 1 with *ret_subject filled, 0: not ours, -errno. */
static int subject_of_path(const char *path, struct subject *ret_subject)
{
    struct vpath resolved;
    int result = likely(!path_maybe(path)) ? 0 : path_classify(AT_FDCWD, path, &resolved);
    if (result <= 0)
        return result;
    result = stat_attr(&resolved, &ret_subject->attr);
    memcpy(ret_subject->uri, resolved.uri, sizeof resolved.uri);
    return result < 0 ? result : 1;
}

static int subject_of_fd(int fd, struct subject *ret_subject)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return 0;
    int result = file->kind == FILE_PATH || file->slot->flags & O_PATH ? -EBADF : 1;
    ret_subject->attr = file->attr;
    strncpy(ret_subject->uri, file->uri, sizeof ret_subject->uri - 1);
    ret_subject->uri[sizeof ret_subject->uri - 1] = '\0';
    file_put(file);
    return result;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return !strncmp(text, prefix, strlen(prefix));
}

static ssize_t value_get(const struct subject *subject, const char *name, void *value, size_t size)
{
    if ((uintptr_t)name < PATH_UNREAD)
        return -EFAULT;
    if (!has_prefix(name, "user."))
        return -EOPNOTSUPP;
    const char *text = !strcmp(name, "user.s3.etag")  ? subject->attr.etag
                       : !strcmp(name, "user.s3.uri") ? subject->uri
                                                      : "";
    size_t length = strlen(text);
    if (!length)
        return -ENODATA;
    if (size && size < length)
        return -ERANGE;
    if (size)
        memcpy(value, text, length);
    return (ssize_t)length;
}

#define XATTR_ENTRY(type, subject_call, real_call, virtual_call)                                   \
    struct subject subject;                                                                        \
    int found = subject_call;                                                                      \
    if (likely(!found))                                                                            \
        return real_call;                                                                          \
    int saved = errno;                                                                             \
    return (type)entry_return(saved, found < 0 ? found : virtual_call)

ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_path(path, &subject), REAL(getxattr)(path, name, value, size),
                value_get(&subject, name, value, size));
}

ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_path(path, &subject), REAL(lgetxattr)(path, name, value, size),
                value_get(&subject, name, value, size));
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_fd(fd, &subject), REAL(fgetxattr)(fd, name, value, size),
                value_get(&subject, name, value, size));
}

ssize_t listxattr(const char *path, char *list, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_path(path, &subject), REAL(listxattr)(path, list, size), 0);
}

ssize_t llistxattr(const char *path, char *list, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_path(path, &subject), REAL(llistxattr)(path, list, size), 0);
}

ssize_t flistxattr(int fd, char *list, size_t size)
{
    XATTR_ENTRY(ssize_t, subject_of_fd(fd, &subject), REAL(flistxattr)(fd, list, size), 0);
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    XATTR_ENTRY(int, subject_of_path(path, &subject),
                REAL(setxattr)(path, name, value, size, flags), -EOPNOTSUPP);
}

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    XATTR_ENTRY(int, subject_of_path(path, &subject),
                REAL(lsetxattr)(path, name, value, size, flags), -EOPNOTSUPP);
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    XATTR_ENTRY(int, subject_of_fd(fd, &subject), REAL(fsetxattr)(fd, name, value, size, flags),
                -EOPNOTSUPP);
}

int removexattr(const char *path, const char *name)
{
    XATTR_ENTRY(int, subject_of_path(path, &subject), REAL(removexattr)(path, name), -EOPNOTSUPP);
}

int lremovexattr(const char *path, const char *name)
{
    XATTR_ENTRY(int, subject_of_path(path, &subject), REAL(lremovexattr)(path, name), -EOPNOTSUPP);
}

int fremovexattr(int fd, const char *name)
{
    XATTR_ENTRY(int, subject_of_fd(fd, &subject), REAL(fremovexattr)(fd, name), -EOPNOTSUPP);
}
