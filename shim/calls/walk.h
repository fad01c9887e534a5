/* What the walkers (scandir, glob, nftw, fts) stand on: names and directories, virtual or real
 * alike. */
#ifndef S3DLIO_SHIM_CALLS_WALK_H
#define S3DLIO_SHIM_CALLS_WALK_H

#include <dirent.h>
#include <stdbool.h>

/* A stream for readdir, or NULL with errno set. */
DIR *walk_opendir(const char *path);
/* The next entry; NULL at the end, and with errno set after an error. */
struct dirent *walk_readdir(DIR *stream);
void walk_closedir(DIR *stream);
/* Is it, or may it become, one of ours? */
bool walk_is_virtual(const char *path);

#endif
