/* Writing, while the server goes wrong: see fault_cases.h. */
#include "tests/preload/fault_table.h"

#include <sys/mman.h>

#define SMALL 1000
#define LARGE ((6 << 20) + 77) /* two parts */

static int first_error;

static void note(bool is_right)
{
    if (!is_right && !first_error)
        first_error = errno ? errno : EPROTO;
}

static int begin(int flags)
{
    first_error = 0;
    int fd = open(case_path("file"), flags, 0644);
    note(fd >= 0);
    return fd;
}

static void add(int fd, size_t length, uint64_t seed)
{
    static unsigned char chunk[1 << 20];
    while (fd >= 0 && length > 0 && !first_error) {
        size_t part = length < sizeof chunk ? length : sizeof chunk;
        preload_fill(chunk, part, seed);
        note(write(fd, chunk, part) == (ssize_t)part);
        length -= part;
        seed += part;
    }
}

static int end(int fd)
{
    if (fd >= 0)
        note(close(fd) == 0);
    return -first_error;
}

static int make(size_t length, uint64_t seed)
{
    int fd = begin(O_WRONLY | O_CREAT | O_TRUNC);
    add(fd, length, seed);
    return end(fd);
}

static void prepared(int r)
{
    if (r == 0 || r == -ENOENT)
        return;
    fprintf(stderr, "%s: preparing: %s\n", operation->name, strerror(-r));
    _exit(1);
}

static void nothing(void)
{
    prepared(unlink(case_path("file")) < 0 ? -errno : 0);
}

static void small_file(void)
{
    prepared(make(SMALL, 0));
}

static void large_file(void)
{
    prepared(make(LARGE, 0));
}

static int put_small(void)
{
    return make(2 * SMALL, 7);
}

static int put_large(void)
{
    return make(LARGE, 7);
}

static int append(size_t length)
{
    int fd = begin(O_WRONLY | O_APPEND);
    add(fd, length, 3);
    return end(fd);
}

static int append_little(void)
{
    return append(SMALL);
}

static int append_much(void)
{
    return append(6 << 20);
}

static int change_at(off_t offset)
{
    int fd = begin(O_RDWR);
    if (fd >= 0)
        note(pwrite(fd, "changed", 7, offset) == 7);
    return end(fd);
}

static int change_small(void)
{
    return change_at(SMALL / 2);
}

static int change_large(void)
{
    return change_at(LARGE / 2);
}

static int change_by_map(void)
{
    int fd = begin(O_RDWR);
    if (fd < 0)
        return -first_error;
    char *map = mmap(NULL, SMALL, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    note(map != MAP_FAILED);
    if (map != MAP_FAILED) {
        memcpy(map + 10, "changed", 7);
        msync(map, SMALL, MS_SYNC); /* close tries again, and has the last word */
        munmap(map, SMALL);
    }
    return end(fd);
}

static int cut(off_t length)
{
    return truncate(case_path("file"), length) < 0 ? -errno : 0;
}

static int cut_small(void)
{
    return cut(SMALL / 2);
}

static int cut_large(void)
{
    return cut(LARGE / 2);
}

static int lengthen(void)
{
    return cut(LARGE + SMALL);
}

static int synced(size_t first, size_t second)
{
    int fd = begin(O_WRONLY | O_CREAT | O_TRUNC);
    add(fd, first, 0);
    if (fd >= 0 && !first_error)
        note(fsync(fd) == 0);
    add(fd, second, first);
    if (fd >= 0 && !first_error && second)
        note(fsync(fd) == 0);
    return end(fd);
}

static int sync_twice(void)
{
    return synced(SMALL, SMALL / 2);
}

static int sync_once(void)
{
    return synced(SMALL, 0);
}

static int sync_large_twice(void)
{
    return synced(LARGE, SMALL);
}

static int sync_large_once(void)
{
    return synced(LARGE, 0);
}

/* cp inside the bucket, as the simplest of them does it. */
static int copy(void)
{
    static char chunk[1 << 18];
    int from = begin(O_RDONLY), fd = -1;
    ssize_t got = 0;
    if (from >= 0) {
        fd = open(case_path("copy"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
        note(fd >= 0);
    }
    while (!first_error && (got = read(from, chunk, sizeof chunk)) > 0)
        note(write(fd, chunk, (size_t)got) == got);
    note(got >= 0);
    /* A program that cannot read all of it takes away what it began. */
    bool is_whole = !first_error;
    if (fd >= 0)
        note((is_whole ? 0 : unlink(case_path("copy"))) == 0 || errno == ENOENT);
    if (fd >= 0)
        note(close(fd) == 0);
    return end(from);
}

static void small_to_copy(void)
{
    small_file();
    prepared(unlink(case_path("copy")) < 0 ? -errno : 0);
}

static void large_to_copy(void)
{
    large_file();
    prepared(unlink(case_path("copy")) < 0 ? -errno : 0);
}

static const struct operation operations[] = {
    {"create", nothing, put_small, NULL, false, false},
    {"create-in-parts", nothing, put_large, NULL, false, false},
    {"replace", small_file, put_small, NULL, false, false},
    {"replace-in-parts", small_file, put_large, NULL, true, false},
    {"append-to-small", small_file, append_little, NULL, false, false},
    {"append-to-large", large_file, append_little, NULL, true, false},
    {"append-parts", small_file, append_much, NULL, true, false},
    {"change-small", small_file, change_small, NULL, false, false},
    {"change-large", large_file, change_large, NULL, true, false},
    {"change-by-map", small_file, change_by_map, NULL, false, false},
    {"cut-small", small_file, cut_small, NULL, false, false},
    {"cut-large", large_file, cut_large, NULL, true, false},
    {"lengthen", large_file, lengthen, NULL, true, false},
    {"fsync-between", nothing, sync_twice, sync_once, false, false},
    {"fsync-of-parts", nothing, sync_large_twice, sync_large_once, true, false},
    {"copy", small_to_copy, copy, NULL, false, false},
    {"copy-large", large_to_copy, copy, NULL, true, false},
};

int main(void)
{
    return fault_tests("faults_write", operations, sizeof operations / sizeof *operations);
}
