/* The public functions about memory whose pages are fetched when they are touched. */
#include <errno.h>
#include <sys/mman.h>

#include "api/api.h"
#include "core/lazy.h"

#ifndef MADV_POPULATE_READ
#    define MADV_POPULATE_READ 22
#endif
#ifndef MADV_POPULATE_WRITE
#    define MADV_POPULATE_WRITE 23
#endif

enum s3dlio_lazy_mode s3dlio_lazy_mode(void)
{
    return (enum s3dlio_lazy_mode)lazy_mode();
}

/* NOLINTNEXTLINE(readability-function-size): mmap's own arguments */
int s3dlio_lazy_map(struct s3dlio_reader *reader, void *address, size_t length_bytes, int protection,
                    int flags, uint64_t offset_bytes, void **ret_memory)
{
    const struct lazy_request request = {address, length_bytes, protection, flags, offset_bytes};
    struct api api;
    int result = api_enter(&api, NULL, NULL);
    if (!result)
        result = lazy_map(api.engine, (struct reader *)reader, &request, ret_memory, &api.error);
    error_clear(&api.error); /* it is mapped in another way, or mmap says it all */
    return (int)api_leave(&api, result);
}

bool s3dlio_lazy_has(const void *address, size_t length_bytes)
{
    return lazy_has(address, length_bytes);
}

bool s3dlio_lazy_shows(const struct s3dlio_reader *reader)
{
    return lazy_shows((const struct reader *)reader);
}

bool s3dlio_lazy_begin(const void *address, size_t length_bytes)
{
    return lazy_begin(address, length_bytes);
}

void s3dlio_lazy_end(const void *address, size_t length_bytes, bool gone)
{
    lazy_end(address, length_bytes, gone);
}

int s3dlio_lazy_remap(void *old, size_t old_bytes, size_t new_bytes, int flags, void *target,
                      void **ret_memory)
{
    const struct lazy_remap remap = {old, target, old_bytes, new_bytes, flags};
    struct gate_scope scope;
    gate_enter(&scope);
    int result = lazy_remap(&remap, ret_memory);
    gate_leave(&scope);
    return result;
}

bool s3dlio_lazy_is_read_only(const void *address, size_t length_bytes)
{
    return lazy_is_read_only(address, length_bytes);
}

int s3dlio_lazy_fill(const void *address, size_t length_bytes)
{
    struct api api;
    int result = api_enter(&api, NULL, NULL);
    if (!result)
        result = lazy_fill(api.engine, address, length_bytes, false, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

void s3dlio_lazy_hold(bool held)
{
    if (held)
        lazy_hold();
    else
        lazy_release();
}

/* ---- advice ---- */

static int give_back(void *address, size_t length_bytes)
{
    if (!lazy_begin(address, length_bytes))
        return 1;
    int result = lazy_is_held() || !madvise(address, length_bytes, MADV_DONTNEED) ? 0 : -errno;
    lazy_end(address, length_bytes, false);
    return result;
}

static int fill_soon(const void *address, size_t length_bytes)
{
    struct gate_scope scope;
    gate_enter(&scope);
    lazy_fill_soon(address, length_bytes);
    gate_leave(&scope);
    return 1;
}

int s3dlio_lazy_advise(void *address, size_t length_bytes, int advice)
{
    switch (advice) {
    case MADV_NORMAL: lazy_advise(address, length_bytes, READER_NORMAL); break;
    case MADV_RANDOM: lazy_advise(address, length_bytes, READER_RANDOM); break;
    case MADV_SEQUENTIAL: lazy_advise(address, length_bytes, READER_SEQUENTIAL); break;
    case MADV_WILLNEED: return fill_soon(address, length_bytes);
    case MADV_DONTNEED: return give_back(address, length_bytes);
    case MADV_POPULATE_READ:
    case MADV_POPULATE_WRITE:
        return s3dlio_lazy_fill(address, length_bytes) < 0 ? -EFAULT : 1;
    case MADV_DONTFORK:
    case MADV_DOFORK:
        lazy_set_inherited(address, length_bytes, advice == MADV_DOFORK);
        return 0;
    case MADV_FREE: /* of a file there are none of these (madvise(2)) */
    case MADV_WIPEONFORK: return -EINVAL;
    default: break;
    }
    return 1;
}
