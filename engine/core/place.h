/* Where the processes of a user on this machine meet: a directory that is theirs alone. */
#ifndef S3DLIO_CORE_PLACE_H
#define S3DLIO_CORE_PLACE_H

/* $XDG_RUNTIME_DIR/s3dlio, else /dev/shm/s3dlio-UID, made when it is missing. Owner and mode are
 * looked at, links not followed. A close-on-exec descriptor, the caller's to close, or -errno. */
int place_open(void);

#endif
