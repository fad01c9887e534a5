/* Memory for the bytes of a part: counted in the budget, taken from the pool. Any thread; leaf
 * locks. */
#ifndef S3DLIO_CORE_PART_MEMORY_H
#define S3DLIO_CORE_PART_MEMORY_H

#include <stdint.h>

#include "base/error.h"

struct engine;

/* 0, -EAGAIN: the budget is spent, -ENOMEM. Does not wait. */
int part_memory_take(struct engine *engine, uint64_t bytes, void **ret_memory);
/* Beyond the budget, where nothing else can go on. 0 or -ENOMEM. */
int part_memory_force(struct engine *engine, uint64_t bytes, void **ret_memory);
void part_memory_give(struct engine *engine, void *memory, uint64_t bytes);

/* Of memory taken here, of this size or more: the next `length_bytes` from `from` on are going to be
 * filled, behind those before them. What the system has not handed out yet is fetched in steps of
 * this size, rather than page by page at the first touch, which costs more. */
#define PART_MEMORY_STEP ((uint64_t)1 << 20)
void part_memory_reach(void *memory, uint64_t from, uint64_t length_bytes);
/* Bytes of a part are wanted that were sent and given up: -EOPNOTSUPP, and what keeps them. */
int part_memory_gone(struct error *err);

#endif
