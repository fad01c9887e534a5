/* Maps of large objects whose pages come when they are touched: which calls of the program have to
 * do with them, and what they mean for memory that is anonymous to the kernel. How pages come is
 * the engine's (s3dlio.h, "maps").
 *
 * A shared map of a file that is open for reading is one, too, and stays read-only: mprotect says
 * EACCES. In the mode in which the kernel does not wait for pages (S3DLIO_LAZY_USER) buffers in such
 * maps are fetched before calls that read or write them; glibc's own calls, which nobody sees, are
 * those of fwrite and fread with large buffers. The engine gets such buffers whole in any mode, for
 * it cannot wait for itself.
 *
 * Locking: the engine's lock (s3dlio_lazy_begin) comes before that of map_range.c.
 */
#include "shim/calls/map_lazy.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "shim/calls/syscall.h"
#include "shim/engine.h"
#include "shim/memory.h"
#include "shim/real.h"

#define RW_MAX 0x7ffff000 /* the kernel's MAX_RW_COUNT */

struct map_lazy_bounds map_lazy_bounds;

static _Atomic bool has_ring;

bool map_lazy_reaches(uintptr_t start, size_t length)
{
    uintptr_t low = atomic_load_explicit(&map_lazy_bounds.low, memory_order_relaxed);
    return start >= low || length > low - start;
}

void map_lazy_note_ring(void)
{
    atomic_store(&has_ring, true);
}

/* High last: it is what map_lazy_near looks at first. */
static void bounds_grow(uintptr_t start, uintptr_t end)
{
    uintptr_t low = atomic_load(&map_lazy_bounds.low), high = atomic_load(&map_lazy_bounds.high);
    while ((!low || start < low) &&
           !atomic_compare_exchange_weak(&map_lazy_bounds.low, &low, start))
        ;
    while (end > high && !atomic_compare_exchange_weak(&map_lazy_bounds.high, &high, end))
        ;
}

static void made(const void *memory, size_t length)
{
    bounds_grow((uintptr_t)memory, (uintptr_t)memory + length + 4096);
}

int map_lazy(struct file *file, const struct map_request *request, void **ret_memory)
{
    int result = engine_call(lazy_map)(file_reader_begin(file), request->address, request->length,
                                       request->protection, request->flags,
                                       (uint64_t)request->offset, ret_memory);
    file_reader_end(file);
    if (result < 0)
        return result;
    made(*ret_memory, request->length);
    if (!atomic_load(&has_ring) || engine_call(lazy_mode)() == S3DLIO_LAZY_ALL)
        return 0;
    munmap(*ret_memory, request->length);
    return -EOPNOTSUPP;
}

bool map_lazy_is_live(const struct file *file)
{
    return map_lazy_near(NULL, SIZE_MAX) && engine_call(lazy_shows)(file->reader);
}

bool map_lazy_begin(const void *address, size_t length)
{
    return unlikely(map_lazy_near(address, length)) && engine_call(lazy_begin)(address, length);
}

void map_lazy_end(const void *address, size_t length, bool gone)
{
    engine_call(lazy_end)(address, length, gone);
}

int map_lazy_remap(void *old, size_t old_length, size_t new_length, int flags, void *target,
                   void **ret_memory)
{
    int result = engine_call(lazy_remap)(old, old_length, new_length, flags, target, ret_memory);
    if (!result)
        made(*ret_memory, new_length);
    return result;
}

bool map_lazy_is_there(const void *address, size_t length)
{
    return unlikely(map_lazy_near(address, length)) && engine_call(lazy_has)(address, length);
}

/* ---- buffers ---- */

void map_lazy_fill(const void *address, size_t length)
{
    int saved = errno;
    length = length > RW_MAX ? RW_MAX : length;
    if (engine_call(lazy_mode)() == S3DLIO_LAZY_USER && map_lazy_is_there(address, length)) {
        ENTRY_HOLD();
        engine_call(lazy_fill)(address, length);
    }
    errno = saved;
}

void map_lazy_fill_vector(const struct iovec *iov, size_t count)
{
    if (count > IOV_MAX || !memory_is_given(iov, count * sizeof *iov))
        return;
    for (size_t i = 0; i < count; i++)
        MAP_LAZY_BUFFER(iov[i].iov_base, iov[i].iov_len);
}

bool map_lazy_fill_arguments(const long arguments[6])
{
    bool any = false;
    for (unsigned i = 0; i < 5; i++) {
        const void *address = (const void *)arguments[i];
        size_t length = arguments[i + 1] > 0 ? (size_t)arguments[i + 1] : 1;
        if (!map_lazy_near(address, 1))
            continue;
        map_lazy_fill(address, length);
        any = true;
    }
    return any;
}

bool map_lazy_take(const void *address, size_t length, long *ret_result)
{
    *ret_result = 0;
    length = length > RW_MAX ? RW_MAX : length;
    if (!map_lazy_is_there(address, length))
        return false;
    engine_call(lazy_hold)(true);
    if (engine_call(lazy_fill)(address, length) < 0)
        *ret_result = -EFAULT;
    return true;
}

void map_lazy_give(bool taken)
{
    if (taken)
        engine_call(lazy_hold)(false);
}

/* ---- stdio hands large buffers to the kernel past us ---- */

size_t fwrite(const void *buffer, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(fwrite)(buffer, size, count, file);
}

size_t fwrite_unlocked(const void *buffer, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(fwrite_unlocked)(buffer, size, count, file);
}

size_t fread(void *buffer, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(fread)(buffer, size, count, file);
}

size_t fread_unlocked(void *buffer, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(fread_unlocked)(buffer, size, count, file);
}

size_t __fread_chk(void *buffer, size_t room, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(__fread_chk)(buffer, room, size, count, file);
}

size_t __fread_unlocked_chk(void *buffer, size_t room, size_t size, size_t count, FILE *file)
{
    MAP_LAZY_BUFFER(buffer, size * count);
    return REAL(__fread_unlocked_chk)(buffer, room, size, count, file);
}

/* ---- the memory itself; where it is in a map, the kernel itself is called, past allocators that have
 * such functions of their own: theirs would come back here (syscall.c) ---- */

int mprotect(void *address, size_t length, int protection)
{
    if (likely(!map_lazy_is_there(address, length)))
        return REAL(mprotect)(address, length, protection);
    if (protection & PROT_WRITE && engine_call(lazy_is_read_only)(address, length))
        return (int)entry_return(errno, -EACCES);
    return (int)syscall_answer(
        syscall_kernel(SYS_mprotect, (long)address, (long)length, protection, 0, 0, 0));
}

int pkey_mprotect(void *address, size_t length, int protection, int key)
{
    if (protection & PROT_WRITE && unlikely(map_lazy_near(address, length)) &&
        engine_call(lazy_is_read_only)(address, length))
        return (int)entry_return(errno, -EACCES);
    return REAL(pkey_mprotect)(address, length, protection, key);
}

/* What is locked is there. */
static long lock(const void *address, size_t length, unsigned flags)
{
    ENTRY_HOLD();
    if (!(flags & MLOCK_ONFAULT))
        engine_call(lazy_fill)(address, length);
    return syscall_kernel(flags ? SYS_mlock2 : SYS_mlock, (long)address, (long)length, flags, 0, 0,
                          0);
}

int mlock(const void *address, size_t length)
{
    if (likely(!map_lazy_is_there(address, length)))
        return REAL(mlock)(address, length);
    return (int)syscall_answer(lock(address, length, 0));
}

int mlock2(const void *address, size_t length, unsigned flags)
{
    if (likely(!map_lazy_is_there(address, length)))
        return REAL(mlock2)(address, length, flags);
    return (int)syscall_answer(lock(address, length, flags));
}

static int advise(void *address, size_t length, int advice)
{
    ENTRY_HOLD();
    int result = engine_call(lazy_advise)(address, length, advice);
    if (result > 0)
        result = (int)syscall_kernel(SYS_madvise, (long)address, (long)length, advice, 0, 0, 0);
    return result;
}

int madvise(void *address, size_t length, int advice)
{
    if (likely(!map_lazy_is_there(address, length)))
        return REAL(madvise)(address, length, advice);
    return (int)entry_return(errno, advise(address, length, advice));
}

/* POSIX_MADV_DONTNEED means less than MADV_DONTNEED: the C library does nothing for it. */
int posix_madvise(void *address, size_t length, int advice)
{
    if (likely(!map_lazy_is_there(address, length)))
        return REAL(posix_madvise)(address, length, advice);
    return advice == POSIX_MADV_DONTNEED ? 0 : -advise(address, length, advice);
}
