/* Extended attributes: those of the kind user.* are stored with the object; of a file that is being
 * written they travel with the upload.
 *
 * Other kinds do not exist here (EOPNOTSUPP, which ls and cp remember for the whole device). Links
 * have none, as on a local file system. user.s3.* are the store's own: readable, not listed.
 */
#include <string.h>
#include <sys/xattr.h>

#include "shim/calls/entries.h"
#include "shim/calls/stat.h"
#include "shim/engine.h"
#include "shim/fdtab.h"
#include "shim/memory.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/staged.h"

#define VALUE_MAX 65536u /* XATTR_SIZE_MAX of Linux */

enum operation { GET, LIST, SET, REMOVE };

struct request {
    enum operation operation;
    const char *name;
    void *buffer; /* GET, LIST */
    const void *value;
    size_t size; /* of either */
    int flags;
};

/* What the kernel looks at before it asks a file system. */
static int request_check(const struct request *request)
{
    bool gives = request->operation == LIST || request->operation == GET;
    size_t room = request->size < VALUE_MAX ? request->size : VALUE_MAX;
    if (gives && room && !memory_is_given(request->buffer, room))
        return -EFAULT;
    if (request->operation == LIST)
        return 0;
    if ((uintptr_t)request->name < PATH_UNREAD || !memory_is_given(request->name, 1))
        return -EFAULT;
    size_t length = strnlen(request->name, XATTR_NAME_MAX + 1);
    if (!length || length > XATTR_NAME_MAX)
        return -ERANGE;
    if (request->operation != SET)
        return 0;
    if (request->flags & ~(XATTR_CREATE | XATTR_REPLACE))
        return -EINVAL;
    if (request->size > VALUE_MAX)
        return -E2BIG;
    return request->size && !memory_is_given(request->value, request->size) ? -EFAULT : 0;
}

static bool is_user(const struct request *request)
{
    return request->operation == LIST || !strncmp(request->name, "user.", 5);
}

/* What an attribute's name or size is to blame for, the errno says. */
static ssize_t told(ssize_t result, const struct s3dlio_error *error)
{
    static const int expected[] = {ENODATA, ERANGE, EOPNOTSUPP, EPERM, ENOSPC};
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        if (result == -expected[i])
            return result;
    if (result < 0)
        report_error(error);
    return result;
}

/* ---- by name, and of what is being written ---- */

static ssize_t run_on_name(const char *uri, const struct request *request)
{
    struct s3dlio_error error = {0};
    ssize_t result = 0;
    switch (request->operation) {
    case GET:
        result = engine_call(getxattr)(uri, request->name, request->buffer, request->size, NULL,
                                       &error);
        break;
    case LIST:
        result = engine_call(listxattr)(uri, request->buffer, request->size, NULL, &error);
        break;
    case SET:
        result = engine_call(setxattr)(uri, request->name, request->value, request->size,
                                       request->flags, NULL, &error);
        break;
    case REMOVE: result = engine_call(removexattr)(uri, request->name, NULL, &error); break;
    }
    return told(result, &error);
}

/* A value of no bytes is one all the same; to the engine none removes the attribute. */
static const void *value_of(const struct request *request)
{
    return request->operation == REMOVE ? NULL : request->size ? request->value : "";
}

#define ON_STAGED(kind, handle)                                                                    \
    (request->operation == GET                                                                     \
         ? engine_call(kind##_getxattr)(handle, request->name, request->buffer, request->size,     \
                                        &error)                                                    \
     : request->operation == LIST                                                                  \
         ? engine_call(kind##_listxattr)(handle, request->buffer, request->size, &error)           \
         : engine_call(kind##_setxattr)(handle, request->name, value_of(request), request->size,   \
                                        request->flags, &error))

static ssize_t run_on_staged(struct staged *staged, const struct request *request)
{
    struct s3dlio_error error = {0};
    ssize_t result = -EBADF;
    int locked = staged_order(staged);
    if (staged->draft)
        result = ON_STAGED(draft, staged->draft);
    else if (staged->writer)
        result = ON_STAGED(writer, staged->writer);
    staged_unorder(staged, locked);
    return told(result, &error);
}

/* Of a link, user.* cannot be (xattr(7)). */
static ssize_t run_on_link(const struct request *request)
{
    static const int answers[] = {
        [GET] = -ENODATA, [LIST] = 0, [SET] = -EPERM, [REMOVE] = -EPERM};
    return answers[request->operation];
}

/* ---- paths and descriptors ---- */

static ssize_t run_on_path(const struct vpath *path, bool follows, const struct request *request)
{
    struct s3dlio_attr attr = {0};
    ssize_t result = request_check(request);
    if (!result)
        result = follows ? stat_followed(path, &attr) : stat_attr(path, &attr);
    if (!result && !is_user(request))
        result = -EOPNOTSUPP;
    if (result < 0)
        return result;
    if (attr.type == S3DLIO_SYMLINK)
        return run_on_link(request);
    struct staged *staged = staged_any() ? staged_find(path->path) : NULL;
    if (!staged)
        return run_on_name(path->uri, request);
    result = run_on_staged(staged, request);
    staged_put(staged, true);
    return result;
}

static ssize_t run_on_file(struct file *file, const struct request *request)
{
    ssize_t result = request_check(request);
    if (file->kind == FILE_PATH || file->slot->flags & O_PATH)
        return -EBADF;
    if (!result && !is_user(request))
        result = -EOPNOTSUPP;
    if (result < 0)
        return result;
    if (!file_is_staged(file))
        return run_on_name(file->uri, request);
    if (!staged_is_ours(file->staged))
        return report_refusal("extended attributes, in a forked child, of", file->path);
    return run_on_staged(file->staged, request);
}

#define GET_REQUEST    GET, .name = name, .buffer = value, .size = size
#define LIST_REQUEST   LIST, .buffer = list, .size = size
#define SET_REQUEST    SET, .name = name, .value = value, .size = size, .flags = flags
#define REMOVE_REQUEST REMOVE, .name = name

ssize_t getxattr(const char *path, const char *name, void *value, size_t size)
{
    PATH_ENTRY(ssize_t, AT_FDCWD, path, LINK_AT_END, REAL(getxattr)(path, name, value, size),
               run_on_path(&resolved, true, &(struct request){GET_REQUEST}));
}

ssize_t lgetxattr(const char *path, const char *name, void *value, size_t size)
{
    PATH_ENTRY(ssize_t, AT_FDCWD, path, LINK_BY_SLASH, REAL(lgetxattr)(path, name, value, size),
               run_on_path(&resolved, false, &(struct request){GET_REQUEST}));
}

ssize_t fgetxattr(int fd, const char *name, void *value, size_t size)
{
    FILE_ENTRY(ssize_t, fd, REAL(fgetxattr)(fd, name, value, size),
               run_on_file(file, &(struct request){GET_REQUEST}));
}

ssize_t listxattr(const char *path, char *list, size_t size)
{
    PATH_ENTRY(ssize_t, AT_FDCWD, path, LINK_AT_END, REAL(listxattr)(path, list, size),
               run_on_path(&resolved, true, &(struct request){LIST_REQUEST}));
}

ssize_t llistxattr(const char *path, char *list, size_t size)
{
    PATH_ENTRY(ssize_t, AT_FDCWD, path, LINK_BY_SLASH, REAL(llistxattr)(path, list, size),
               run_on_path(&resolved, false, &(struct request){LIST_REQUEST}));
}

ssize_t flistxattr(int fd, char *list, size_t size)
{
    FILE_ENTRY(ssize_t, fd, REAL(flistxattr)(fd, list, size),
               run_on_file(file, &(struct request){LIST_REQUEST}));
}

int setxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_AT_END, REAL(setxattr)(path, name, value, size, flags),
               run_on_path(&resolved, true, &(struct request){SET_REQUEST}));
}

int lsetxattr(const char *path, const char *name, const void *value, size_t size, int flags)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_BY_SLASH, REAL(lsetxattr)(path, name, value, size, flags),
               run_on_path(&resolved, false, &(struct request){SET_REQUEST}));
}

int fsetxattr(int fd, const char *name, const void *value, size_t size, int flags)
{
    FILE_ENTRY(int, fd, REAL(fsetxattr)(fd, name, value, size, flags),
               run_on_file(file, &(struct request){SET_REQUEST}));
}

int removexattr(const char *path, const char *name)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_AT_END, REAL(removexattr)(path, name),
               run_on_path(&resolved, true, &(struct request){REMOVE_REQUEST}));
}

int lremovexattr(const char *path, const char *name)
{
    PATH_ENTRY(int, AT_FDCWD, path, LINK_BY_SLASH, REAL(lremovexattr)(path, name),
               run_on_path(&resolved, false, &(struct request){REMOVE_REQUEST}));
}

int fremovexattr(int fd, const char *name)
{
    FILE_ENTRY(int, fd, REAL(fremovexattr)(fd, name),
               run_on_file(file, &(struct request){REMOVE_REQUEST}));
}
