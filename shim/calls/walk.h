/* What the walkers (scandir, glob, nftw, fts) stand on: names and directories, virtual or real alike. */
#ifndef S3DLIO_SHIM_CALLS_WALK_H
#define S3DLIO_SHIM_CALLS_WALK_H

#include <dirent.h>
#include <stdbool.h>
#include <sys/stat.h>

/* A stream for readdir, or NULL with errno set. */
DIR *walk_opendir(const char *path);
/* The next entry; NULL at the end, and with errno set after an error. */
struct dirent *walk_readdir(DIR *stream);
void walk_closedir(DIR *stream);
/* 0 or -1 with errno set. */
int walk_stat(const char *path, struct stat *ret_stat);
int walk_lstat(const char *path, struct stat *ret_stat);
/* Is it, or may it become, one of ours? */
bool walk_is_virtual(const char *path);

#endif
