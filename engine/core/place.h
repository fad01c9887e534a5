/* Where the processes of a user on this machine meet: a directory that is theirs alone.
 *
 * $XDG_RUNTIME_DIR/s3dlio, else /dev/shm/s3dlio-UID, made when it is missing. Owner and mode are
 * looked at, links not followed. Any thread, inside the gate. */
#ifndef S3DLIO_CORE_PLACE_H
#define S3DLIO_CORE_PLACE_H

#include <stddef.h>

/* The file of that name in it, made when it is missing: a close-on-exec descriptor, the caller's,
 * to read and write, or -errno. Within fd_room_begin. */
int place_open(const char *name);
void place_unlink(const char *name);
/* Memory that they share: the file of that name, mapped, with room for all of it. NULL: none. */
void *place_map(const char *name, size_t size_bytes);

#endif
