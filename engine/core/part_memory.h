/* Memory for the bytes of a part: counted in the budget, taken from the pool. Any thread; leaf
 * locks. */
#ifndef S3DLIO_CORE_PART_MEMORY_H
#define S3DLIO_CORE_PART_MEMORY_H

#include <stdint.h>

struct engine;

/* 0, -EAGAIN: the budget is spent, -ENOMEM. Does not wait. */
int part_memory_take(struct engine *engine, uint64_t bytes, void **ret_memory);
/* Beyond the budget, where nothing else can go on. 0 or -ENOMEM. */
int part_memory_force(struct engine *engine, uint64_t bytes, void **ret_memory);
void part_memory_give(struct engine *engine, void *memory, uint64_t bytes);

#endif
