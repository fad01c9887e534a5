/* The bytes of a part, in memory for as long as they are on their way. See draft_private.h.
 *
 * They are sent from where they lie: from the spool itself while nobody can write to that behind
 * our back, else from memory into which they are collected. That memory is from the budget, or,
 * when nothing of our own is on the wire that would free some, from the spool.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/crc32c.h"
#include "core/draft_plan.h"
#include "core/draft_private.h"
#include "core/part_memory.h"
#include "core/spool.h"

#define PAGE_BYTES ((uint64_t)4096)

enum memory_kind { MEMORY_POOL, MEMORY_SPOOL, MEMORY_MAPPED };

struct memory {
    struct engine *engine;
    enum memory_kind kind;
    void *base;
    size_t size_bytes;
};

static void memory_drop(const struct memory *memory)
{
    if (memory->kind == MEMORY_MAPPED) {
        munmap(memory->base, memory->size_bytes);
    } else if (memory->kind == MEMORY_SPOOL) {
        spool_unmap(memory->base, memory->size_bytes);
    } else {
        part_memory_give(memory->engine, memory->base, memory->size_bytes);
    }
}

static void memory_free(void *arg)
{
    struct memory *memory = arg;

    memory_drop(memory);
    free(memory);
}

/* From the budget, after waiting for own parts, from the spool. */
static int obtain(struct upload *upload, struct memory *memory, const struct limits *limits,
                  struct error *err)
{
    unsigned ended_count = upload_ended_count(upload);
    int r = part_memory_take(memory->engine, memory->size_bytes, &memory->base);

    while (r == -EAGAIN && upload_busy(upload)) {
        r = upload_wait_since(upload, ended_count, limits, err);
        if (r < 0)
            return r;
        ended_count = upload_ended_count(upload);
        r = part_memory_take(memory->engine, memory->size_bytes, &memory->base);
    }
    if (r == -EAGAIN) {
        memory->kind = MEMORY_SPOOL;
        return spool_map(&memory->engine->options, memory->size_bytes, &memory->base, err);
    }
    return r < 0 ? error_set_errno(err, -r, "memory for a part") : 0;
}

static int collect(const struct draft_body_source *source, struct memory *memory,
                   struct limits *limits, struct upload_memory *ret_body, struct error *err)
{
    const struct draft_part *part = source->part;
    int r;

    memory->size_bytes = part->length;
    r = obtain(source->upload, memory, limits, err);
    if (r < 0)
        return r;
    r = draft_copy_out(source->draft, memory->base, part->offset, part->offset + part->length,
                       limits, err);
    if (r == -EAGAIN)
        error_set(err, ERROR_BUSY, "written to while being published");
    if (r < 0) {
        memory_drop(memory);
        return r;
    }
    ret_body->data = memory->base;
    return 0;
}

/* A part that is a hole: pages that cost nothing, however many. */
static int map_zeros(const struct draft_part *part, struct memory *memory,
                     struct upload_memory *ret_body, struct error *err)
{
    memory->kind = MEMORY_MAPPED;
    memory->size_bytes = part->length;
    memory->base = mmap(NULL, memory->size_bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory->base == MAP_FAILED)
        return error_set_errno(err, errno, "memory for a part");
    ret_body->data = memory->base;
    return 0;
}

/* The part where it lies in the spool. It has no hole: a page of one, read through a mapping, takes
 * room on a tmpfs, and where there is none that is a SIGBUS. */
static int map_part(struct draft *draft, const struct draft_part *part, struct memory *memory,
                    struct upload_memory *ret_body, struct error *err)
{
    uint64_t start = part->offset - part->offset % PAGE_BYTES;
    uint64_t end = part->offset + part->length;
    int r = draft_need_file(draft, end, err);

    if (r < 0)
        return r;
    memory->kind = MEMORY_MAPPED;
    memory->size_bytes = end - start;
    memory->base =
        mmap(NULL, memory->size_bytes, PROT_READ, MAP_SHARED, draft->spool_fd, (off_t)start);
    if (memory->base == MAP_FAILED)
        return spool_error(err, errno, "mapping a part of one");
    ret_body->data = (const char *)memory->base + (part->offset - start);
    return 0;
}

int draft_body(const struct draft_body_source *source, struct limits *limits,
               struct upload_memory *ret_body, struct error *err)
{
    struct draft *draft = source->draft;
    const struct draft_part *part = source->part;
    struct memory *memory = calloc(1, sizeof *memory);
    uint64_t end = part->offset + part->length;
    bool is_hole =
        extents_sum(&draft->extents, part->offset, end, 1u << EXTENT_ZERO) == part->length;
    bool is_here =
        !extents_sum(&draft->extents, part->offset, end, 1u << EXTENT_BASE | 1u << EXTENT_ZERO);
    struct upload_memory body = {.size_bytes = part->length, .release = memory_free, .arg = memory};
    int r;

    if (!memory)
        return error_set(err, ERROR_NO_MEMORY, "sending a part");
    memory->engine = draft->engine;
    if (is_hole && part->length)
        r = map_zeros(part, memory, &body, err);
    else if (is_here && !draft->shared->map_count)
        r = map_part(draft, part, memory, &body, err);
    else
        r = collect(source, memory, limits, &body, err);
    if (r < 0) {
        free(memory);
        return r;
    }
    body.crc32c = crc32c_update(0, body.data, body.size_bytes);
    *ret_body = body;
    return 0;
}
