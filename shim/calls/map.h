/* Memory maps of virtual files; see map.c. */
#ifndef S3DLIO_SHIM_CALLS_MAP_H
#define S3DLIO_SHIM_CALLS_MAP_H

#include <stdbool.h>
#include <sys/types.h>

#include "shim/file.h"

struct backing;

/* A reference on what a file's maps share; the last one drops it, and the maps themselves live on.
 * NULL is fine. */
void map_backing_ref(struct backing *backing);
void map_backing_free(struct backing *backing);

/* Are there maps of what the file's maps share, in this process? What is not known counts as yes. */
bool map_is_live(const struct file *file);

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

/* Is anything there a map that is followed? */
bool map_is_known(const void *address, size_t length);

/* Around fork. */
void map_fork_prepare(void);
void map_fork_done(void);
/* What the maps of this process have references on, once for each. In a fork child, while it has one
 * thread. */
void map_each(void (*visit_file)(struct file *file), void (*visit_staged)(struct staged *staged));

#endif
