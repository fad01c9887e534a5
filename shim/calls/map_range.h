/* Maps that are known by their addresses; see map_range.c. */
#ifndef S3DLIO_SHIM_CALLS_MAP_RANGE_H
#define S3DLIO_SHIM_CALLS_MAP_RANGE_H

#include <stdbool.h>
#include <stdint.h>

#include "shim/calls/map.h"

/* Of a file that is being written, or (file and backing) of one that is only read. It holds a
 * reference on each of them. */
struct map_range {
    struct map_range *next;
    uintptr_t start, end;
    uint64_t offset; /* of `start` in the file */
    struct staged *staged;
    bool publishes; /* what is written through it: its reference is one of staged_map */
    struct file *file;
    struct backing *backing;
};

/* A copy on the heap that holds what it names; NULL without memory. */
struct map_range *map_range_new(const struct map_range *range);
void map_range_free(struct map_range *range); /* NULL is fine; out of every list */

/* mmap(2) of this descriptor, noted as `range` (NULL: not at all), which is taken over. 0 or
 * -errno. */
int map_range_map(const struct map_request *request, int fd, struct map_range *range,
                  void **ret_memory);

/* The file has grown: what is written through its maps is to be seen in the new part, too. 0 or
 * -errno. */
int map_range_follow(struct staged *staged);

/* The file's bytes from the range's offset on are to be where the map shows them: 0 or -errno. */
int map_staged_fill(const struct map_range *range, uint64_t length); /* map_staged.c */
int map_reader_fill(const struct map_range *range, uint64_t length); /* map.c */

#endif
