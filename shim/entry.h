/* What every interposed entry does besides its own work, in one place: keep errno of a success,
 * turn -errno into errno and -1. */
#ifndef S3DLIO_SHIM_ENTRY_H
#define S3DLIO_SHIM_ENTRY_H

#include <errno.h>

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The border: `saved` is errno at entry. */
static inline long entry_return(int saved, long result)
{
    errno = result < 0 ? (int)-result : saved;
    return result < 0 ? -1 : result;
}

#endif
