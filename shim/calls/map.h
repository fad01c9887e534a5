/* Memory maps of virtual files; see map.c. */
#ifndef S3DLIO_SHIM_CALLS_MAP_H
#define S3DLIO_SHIM_CALLS_MAP_H

#include <sys/types.h>

#include "shim/file.h"

struct backing;

/* Drops what a file's maps share; the maps themselves live on. NULL is fine. */
void map_backing_free(struct backing *backing);

/* What mmap(2) is asked for. */
struct map_request {
    void *address;
    size_t length;
    int protection, flags;
    off_t offset;
};

/* mmap(2) of a staged file, once mmap's own checks are done: 0 or -errno. */
int map_staged(struct file *file, const struct map_request *request, void **ret_memory);

/* Another map is about to take the place of what is mapped there. */
void map_end(const void *address, size_t length);

/* Around fork. */
void map_fork_prepare(void);
void map_fork_done(void);

#endif
