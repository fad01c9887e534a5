/* The life of the shim: constructor, state, the environment it was given. */
#ifndef S3DLIO_SHIM_START_H
#define S3DLIO_SHIM_START_H

#include <stdbool.h>
#include <sys/types.h>

struct options;

/* The frozen configuration; NULL before the constructor. */
const struct options *start_options(void);
/* The environment of the constructor's third argument (libc's `environ` may still be NULL). */
char *const *start_environment(void);
/* The umask that the process was started with: what files without a mode of their own are shown
 * under, whatever the program sets later (tar and install work with 0). */
mode_t start_umask(void);
/* False in set-uid programs and with S3DLIO_DISABLE: then no path is ever virtual. */
bool start_is_active(void);

#endif
