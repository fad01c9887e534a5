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

/* `virtual_call` acts on `file`. A descriptor that is not ours, or not any more when it is looked
 * up, is left to the real call. Another thread's dup2 may put a file of ours there between the look
 * and that call, which then meets a placeholder: EBADF is the answer only if the table stayed as it
 * was. FILE_POINT is for cancellation points. */
#define FILE_ENTRY(type, fd, real_call, virtual_call)                                              \
    FILE_BODY(type, fd, real_call, virtual_call, ENTRY_HOLD())
#define FILE_POINT(type, fd, real_call, virtual_call)                                              \
    FILE_BODY(type, fd, real_call, virtual_call, ENTRY_POINT())

#define FILE_BODY(type, fd, real_call, virtual_call, hold)                                         \
    for (;;) {                                                                                     \
        unsigned changes = fdtab_changes();                                                        \
        if (unlikely(fdtab_is_virtual(fd))) {                                                      \
            hold;                                                                                  \
            struct file *file = file_get(fd);                                                      \
            if (likely(file)) {                                                                    \
                int saved = errno;                                                                 \
                type result = (type)entry_return(saved, virtual_call);                             \
                file_put(file);                                                                    \
                return result;                                                                     \
            }                                                                                      \
        }                                                                                          \
        type real_result = real_call;                                                              \
        if (likely(real_result != (type)-1 || errno != EBADF || changes == fdtab_changes()))       \
            return real_result;                                                                    \
    }

/* `virtual_call` acts on `resolved` and follows links as link.h says; one that leads out of the
 * mounts gives `real_call` another `path`, a variable of the caller. */
#define PATH_ENTRY(type, dirfd, path, last, real_call, virtual_call)                               \
    struct vpath resolved;                                                                         \
    int is_virtual = path_classify(dirfd, path, &resolved);                                        \
    if (likely(!is_virtual))                                                                       \
        return real_call;                                                                          \
    ENTRY_HOLD();                                                                                  \
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
