/* See part_memory.h. */
#include "core/part_memory.h"

#include <errno.h>

#include "core/engine.h"

static int get(struct engine *engine, uint64_t bytes, void **ret_memory)
{
    *ret_memory = pool_get(&engine->pool, bytes);
    if (*ret_memory)
        return 0;
    budget_release(&engine->budget, BUDGET_PARTS, bytes);
    return -ENOMEM;
}

int part_memory_take(struct engine *engine, uint64_t bytes, void **ret_memory)
{
    return budget_try(&engine->budget, BUDGET_PARTS, bytes) ? get(engine, bytes, ret_memory)
                                                            : -EAGAIN;
}

int part_memory_force(struct engine *engine, uint64_t bytes, void **ret_memory)
{
    budget_force(&engine->budget, BUDGET_PARTS, bytes);
    return get(engine, bytes, ret_memory);
}

void part_memory_give(struct engine *engine, void *memory, uint64_t bytes)
{
    pool_put(&engine->pool, memory, bytes);
    budget_release(&engine->budget, BUDGET_PARTS, bytes);
}
