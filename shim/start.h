/* The life of the shim: constructor, state, the environment it was given. */
#ifndef S3DLIO_SHIM_START_H
#define S3DLIO_SHIM_START_H

#include <stdbool.h>
#include <sys/types.h>

struct options;

/* The frozen configuration; NULL before the constructor. */
const struct options *start_options(void);
/* What the library may ask for of the environment that the program was started with, in memory that
 * the program does not reach. Until the constructor's end all of it, where the program has it. */
char *const *start_environment(void);
/* Is a variable of the entry's name in the list, which may be NULL? */
bool start_names(char *const *list, const char *entry);
/* The same as the program has it now, and what it has no more as it was then; the caller frees it in
 * one piece. NULL without memory. For the engine, which a program may give its settings before its
 * first virtual path. */
char **start_environment_now(void);
/* The umask that the process was started with: what files without a mode of their own are shown
 * under, whatever the program sets later (tar and install work with 0). */
mode_t start_umask(void);
/* S3DLIO_METADATA=ignore: what programs set of modes, owners and times goes nowhere. */
bool start_ignores_metadata(void);
/* S3DLIO_FSYNC=publish: what asks for data to be durable makes it the object. */
bool start_publishes_at_sync(void);
/* Does close return while a small file is on its way (S3DLIO_CLOSE)? */
bool start_defers_close(void);
/* False in set-uid programs and with S3DLIO_DISABLE: then no path is ever virtual. */
bool start_is_active(void);

#endif
