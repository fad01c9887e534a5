/* See part_memory.h. */
#include "core/part_memory.h"

#include <errno.h>

#include "core/engine.h"

int part_memory_take(struct engine *engine, uint64_t bytes, void **ret_memory)
{
    if (!budget_try(&engine->budget, BUDGET_PARTS, bytes))
        return -EAGAIN;
    *ret_memory = pool_get(&engine->pool, bytes);
    if (*ret_memory)
        return 0;
    budget_release(&engine->budget, BUDGET_PARTS, bytes);
    return -ENOMEM;
}

void part_memory_give(struct engine *engine, void *memory, uint64_t bytes)
{
    pool_put(&engine->pool, memory, bytes);
    budget_release(&engine->budget, BUDGET_PARTS, bytes);
}
