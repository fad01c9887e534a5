/* The umask as it is now, read without setting it: umask() would have to be called twice, and what
 * other threads create in between would get no mask, or the process keep none. */
#ifndef S3DLIO_SHIM_CREATION_MASK_H
#define S3DLIO_SHIM_CREATION_MASK_H

#include <sys/types.h>

/* Of the calling thread, from /proc; where there is none, what the process was started with. */
mode_t creation_mask(void);

#endif
