/* Memory or a spool file with a count of references. See reader_copy.h. */
#include "core/reader_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/engine.h"
#include "core/spool.h"
#include "io/fd.h"

#define MEMORY_MAX_BYTES (UINT64_C(1) << 20)

struct reader_copy {
    struct engine *engine;
    atomic_uint references;
    uint64_t size_bytes;
    unsigned char *memory; /* NULL: in the file */
    int fd;
    bool is_shared; /* the file is no spool file of this process */
};

static bool take_memory(struct reader_copy *copy)
{
    struct engine *engine = copy->engine;

    if (copy->size_bytes > MEMORY_MAX_BYTES ||
        !budget_try(&engine->budget, BUDGET_BLOCKS, copy->size_bytes))
        return false;
    copy->memory = pool_get(&engine->pool, copy->size_bytes);
    if (!copy->memory)
        budget_release(&engine->budget, BUDGET_BLOCKS, copy->size_bytes);
    return copy->memory != NULL;
}

static int take_file(struct reader_copy *copy, struct error *err)
{
    int r = spool_reserve(&copy->engine->options, copy->size_bytes, err);

    if (r < 0)
        return r;
    r = spool_open(&copy->engine->options, &copy->fd, err);
    if (r == 0 && fallocate(copy->fd, 0, 0, (off_t)copy->size_bytes) < 0 && errno != EOPNOTSUPP &&
        errno != ENOSYS) {
        r = spool_error(err, errno, "reserving room in one");
        fd_close(copy->fd);
    }
    if (r < 0)
        spool_release(copy->size_bytes);
    return r;
}

int reader_copy_new(struct engine *engine, uint64_t size_bytes, struct reader_copy **ret_copy,
                    struct error *err)
{
    struct reader_copy *copy = calloc(1, sizeof *copy);
    int r = 0;

    if (!copy)
        return error_set(err, ERROR_NO_MEMORY, "keeping what is open");
    copy->engine = engine;
    copy->size_bytes = size_bytes;
    copy->fd = -1;
    atomic_init(&copy->references, 1);
    if (!take_memory(copy))
        r = take_file(copy, err);
    if (r < 0)
        free(copy);
    else
        *ret_copy = copy;
    return r;
}

int reader_copy_put(struct reader_copy *copy, const void *data, size_t length_bytes,
                    uint64_t offset_bytes, struct error *err)
{
    const char *from = data;

    if (copy->memory) {
        memcpy(copy->memory + offset_bytes, data, length_bytes);
        return 0;
    }
    while (length_bytes > 0) {
        ssize_t n = pwrite(copy->fd, from, length_bytes, (off_t)offset_bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return spool_error(err, n < 0 ? errno : EIO, "writing to one");
        from += n;
        offset_bytes += (uint64_t)n;
        length_bytes -= (size_t)n;
    }
    return 0;
}

int reader_copy_take(const struct reader_copy *copy, struct range_read *read, struct error *err)
{
    int r = copy->memory ? range_check_run(read, read->position, read->end, err) : 0;

    if (copy->memory && r == 0) {
        memcpy(read->buffer + (read->position - read->start), copy->memory + read->position,
               read->end - read->position);
        read->position = read->end;
    }
    while (r == 0 && read->position < read->end) {
        ssize_t n = pread(copy->fd, read->buffer + (read->position - read->start),
                          read->end - read->position, (off_t)read->position);

        if (n > 0)
            read->position += (uint64_t)n;
        else if (n == 0 || errno != EINTR)
            r = error_set_errno(err, n < 0 ? errno : EIO, "reading what was kept in the spool");
    }
    return r;
}

static bool write_all(int fd, const unsigned char *data, size_t length_bytes)
{
    while (length_bytes > 0) {
        ssize_t n = write(fd, data, length_bytes);

        if (n <= 0 && errno != EINTR)
            return false;
        data += n > 0 ? n : 0;
        length_bytes -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static bool copy_file(int to, int from, uint64_t size_bytes)
{
    off_t at = 0;

    while ((uint64_t)at < size_bytes)
        if (sendfile(to, from, &at, size_bytes - (uint64_t)at) <= 0)
            return false;
    return true;
}

bool reader_copy_leave(const struct reader_copy *copy, char *ret_path, size_t size)
{
    struct error ignored;
    bool done;
    int fd;

    if (spool_open_named(&copy->engine->options, ret_path, size, &fd, &ignored) < 0) {
        ret_path[0] = '\0';
        return false;
    }
    done = copy->memory ? write_all(fd, copy->memory, copy->size_bytes)
                        : copy_file(fd, copy->fd, copy->size_bytes);
    close(fd);
    if (!done) {
        unlink(ret_path);
        ret_path[0] = '\0';
    }
    return done;
}

struct reader_copy *reader_copy_take_over(struct engine *engine, const char *path,
                                          uint64_t size_bytes)
{
    struct reader_copy *copy = calloc(1, sizeof *copy);
    struct stat st;
    int fd;

    if (!copy)
        return NULL;
    fd_room_begin(FD_FOR_FILES);
    fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
    fd_room_end();
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
                    (uint64_t)st.st_size != size_bytes)) {
        close(fd);
        fd = -1;
    }
    fd = fd_adopt(fd);
    if (fd < 0) {
        free(copy);
        return NULL;
    }
    copy->engine = engine;
    copy->size_bytes = size_bytes;
    copy->fd = fd;
    copy->is_shared = true;
    atomic_init(&copy->references, 1);
    return copy;
}

struct reader_copy *reader_copy_ref(struct reader_copy *copy)
{
    atomic_fetch_add(&copy->references, 1);
    return copy;
}

void reader_copy_unref(struct reader_copy *copy)
{
    if (!copy || atomic_fetch_sub(&copy->references, 1) > 1)
        return;
    if (copy->memory) {
        budget_release(&copy->engine->budget, BUDGET_BLOCKS, copy->size_bytes);
        pool_put(&copy->engine->pool, copy->memory, copy->size_bytes);
    } else {
        fd_close(copy->fd);
        if (!copy->is_shared)
            spool_release(copy->size_bytes);
    }
    free(copy);
}
