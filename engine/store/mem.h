/* The in-memory store's own interface, for tests. */
#ifndef S3DLIO_STORE_MEM_H
#define S3DLIO_STORE_MEM_H

#include <stdint.h>

#include "store/store.h"

/* How often each operation was submitted since the store was opened. Any thread. */
void mem_store_counts(struct store *store, uint64_t ret_counts[STORE_OPERATION_COUNT]);

#endif
