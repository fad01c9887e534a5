/* Directories that a program reads; see dir_list.c (what a descriptor lists) and dir.c
 * (streams). */
#ifndef S3DLIO_SHIM_CALLS_DIR_H
#define S3DLIO_SHIM_CALLS_DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "shim/file.h"
#include "shim/path.h"

struct directory;

void directory_free(struct directory *directory); /* NULL is fine */

/* Fills `buffer` with whole records from `position` on, as getdents64(2) does: each record's d_off
 * is the position behind it; 0 is the beginning. Returns the bytes filled, 0 at the end, -EINVAL
 * when the next record does not fit, or what the store said. Moves nothing: the caller keeps
 * positions. Any thread; one caller at a time lists, under the slot's lock. */
ssize_t directory_fill(struct file *file, int64_t position, void *buffer, size_t size);
/* What is listed from the beginning after this is fresh. Costs nothing now. */
void directory_rewind(struct file *file);
/* A program keeps `position` (telldir) and may come back to it: it stands behind the entry `name`,
 * so that entries which appear or vanish meanwhile do not shift it. */
void directory_mark(struct file *file, int64_t position, const char *name, bool is_directory);

/* opendir(3) of a virtual path; *ret_stream is a stream that readdir and the others know as
 * ours. */
int dir_open(const struct vpath *path, DIR **ret_stream);
/* The next entry or, at the end, NULL; 0 or -errno. Valid until the stream's next call. */
int dir_next(DIR *stream, struct dirent **ret_entry);
int dir_close(DIR *stream);
/* The files that streams of this process have references on, once for each stream. In a fork child,
 * while it has one thread. */
void dir_each_file(void (*visit)(struct file *file));
/* Safe with any pointer, real streams included. */
bool dir_is_ours(const void *stream);

#endif
