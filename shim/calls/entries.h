/* The two shapes that most entries have: a call on a descriptor, and a call on a path. Each is the
 * whole body of its function, returns from it, and does nothing else for descriptors and paths that
 * are real.
 */
#ifndef S3DLIO_SHIM_CALLS_ENTRIES_H
#define S3DLIO_SHIM_CALLS_ENTRIES_H

#include "shim/calls/link.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/path.h"

/* `virtual_call` acts on `file`. A descriptor that is not ours any more when it is looked up is
 * left to the real call, which answers EBADF. */
#define FILE_ENTRY(type, fd, real_call, virtual_call)                                              \
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);                       \
    if (likely(!file))                                                                             \
        return real_call;                                                                          \
    int saved = errno;                                                                             \
    type result = (type)entry_return(saved, virtual_call);                                         \
    file_put(file);                                                                                \
    return result

/* `virtual_call` acts on `resolved` and follows links as link.h says; one that leads out of the
 * mounts gives `real_call` another `path`, a variable of the caller. */
#define PATH_ENTRY(type, dirfd, path, last, real_call, virtual_call)                               \
    struct vpath resolved;                                                                         \
    int is_virtual = path_classify(dirfd, path, &resolved);                                        \
    if (likely(!is_virtual))                                                                       \
        return real_call;                                                                          \
    int saved = errno;                                                                             \
    long result = is_virtual;                                                                      \
    if (is_virtual > 0)                                                                            \
        LINK_FOLLOW(&resolved, last, result, virtual_call);                                        \
    if (result == LINK_TO_REAL) {                                                                  \
        path = resolved.path;                                                                      \
        return real_call;                                                                          \
    }                                                                                              \
    return (type)entry_return(saved, result)

#endif
