/* See part_memory.h. */
#include "core/part_memory.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/mman.h>

#include "core/engine.h"

#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif

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

int part_memory_gone(struct error *err)
{
    return error_set(
        err, ERROR_UNSUPPORTED,
        "bytes that were sent are not kept any more: S3DLIO_KEEP_PARTS=spool keeps them");
}

static bool is_handed_out(void *memory)
{
    unsigned char state;

    return mincore(memory, 1, &state) < 0 || (state & 1);
}

/* Failure is no error (before Linux 5.14 it is not known): the first touch does the rest. */
void part_memory_reach(void *memory, uint64_t from, uint64_t length_bytes)
{
    uint64_t at = (from + PART_MEMORY_STEP - 1) / PART_MEMORY_STEP * PART_MEMORY_STEP;

    for (; at < from + length_bytes; at += PART_MEMORY_STEP)
        if (!is_handed_out((char *)memory + at))
            (void)madvise((char *)memory + at, PART_MEMORY_STEP, MADV_POPULATE_WRITE);
}
