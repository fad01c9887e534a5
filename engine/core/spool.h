/* Memory that the kernel may write to a disk: a mapped, unlinked file in S3DLIO_SPOOL_DIR. For what
 * the budget has no room for. Blocks are reserved at once, so a full disk is an error here and not a
 * SIGBUS later. */
#ifndef S3DLIO_CORE_SPOOL_H
#define S3DLIO_CORE_SPOOL_H

#include <stddef.h>

#include "base/error.h"

struct options;

int spool_map(const struct options *options, size_t size_bytes, void **ret_memory,
              struct error *err);
void spool_unmap(void *memory, size_t size_bytes);

#endif
