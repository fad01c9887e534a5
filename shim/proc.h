/* Links that the kernel shows for descriptors and the working directory: /proc/self/fd/N,
 * /dev/fd/N, /dev/stdin, /proc/self/cwd. For virtual ones the kernel knows only the placeholder;
 * what they stand for is answered here. */
#ifndef S3DLIO_SHIM_PROC_H
#define S3DLIO_SHIM_PROC_H

#include <stdbool.h>

#include "shim/path.h"

struct file;

/* 1 with the canonical virtual path that the link stands for, " (deleted)" behind the last name of
 * an unlinked file; 0 when it is no such link, or real. The path must be readable. */
int proc_target(const char *path, char ret_target[PATH_VIRTUAL_MAX]);

/* The name of a real directory, the working one for AT_FDCWD; false when it has none, or none that
 * is short enough to lie above a mount. */
bool proc_directory(int dirfd, char ret_path[PATH_VIRTUAL_MAX]);

/* The open file that the link stands for, with a reference; NULL when it is no such link, or
 * real. */
struct file *proc_file(const char *path);

#endif
