/* The umask as it is now, read without setting it: umask() would have to be called twice, and what
 * other threads create in between would get no mask, or the process keep none. */
#ifndef S3DLIO_SHIM_CREATION_MASK_H
#define S3DLIO_SHIM_CREATION_MASK_H

#include <stdbool.h>
#include <sys/types.h>

/* Of the calling thread, from /proc; where there is none, what the process was started with. */
mode_t creation_mask(void);

/* The mode of what is made with `asked`, where `all` is what is asked for mostly: 0666 for files.
 * False: it is what everybody assumes of an object without one, and need not be stored. That is not
 * so under a umask that takes more than 022 does: others would show what this process took away. */
bool creation_mode(mode_t asked, mode_t all, mode_t *ret_mode);

#endif
