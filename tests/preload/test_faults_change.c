/* Files changed in place and copied, while the server goes wrong: see fault_cases.h. */
#include "tests/preload/fault_files.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

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

/* cp inside the bucket, as its first and its last resort. */
static void copy_bytes(int from, int to)
{
    static char chunk[1 << 18];
    ssize_t got;
    while (!first_error && (got = read(from, chunk, sizeof chunk)) != 0)
        note(got > 0 && write(to, chunk, (size_t)got) == got);
}

static void clone_bytes(int from, int to, bool is_changed)
{
    if (ioctl(to, FICLONE, from) < 0 && errno != EOPNOTSUPP)
        note(false);
    else if (errno == EOPNOTSUPP)
        copy_bytes(from, to);
    if (!first_error && is_changed)
        note(pwrite(to, "changed", 7, 10) == 7);
}

static int copy_by(bool clones, bool is_changed)
{
    int from = begin(O_RDONLY), to = -1;
    if (from >= 0) {
        to = open(case_path("copy"), O_RDWR | O_CREAT | O_TRUNC, 0644);
        note(to >= 0);
    }
    errno = 0;
    if (!first_error && clones)
        clone_bytes(from, to, is_changed);
    else
        copy_bytes(from, to);
    /* A program that cannot read all of it takes away what it began. */
    if (to >= 0)
        note((!first_error ? 0 : unlink(case_path("copy"))) == 0 || errno == ENOENT);
    if (to >= 0)
        note(close(to) == 0);
    return end(from);
}

static int copy(void)
{
    return copy_by(false, false);
}

static int clone_whole(void)
{
    return copy_by(true, false);
}

static int clone_and_change(void)
{
    return copy_by(true, true);
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
    {"change-small", small_file, change_small, NULL, false, false, false},
    {"change-large", large_file, change_large, NULL, true, false, false},
    {"change-by-map", small_file, change_by_map, NULL, false, false, false},
    {"cut-small", small_file, cut_small, NULL, false, false, false},
    {"cut-large", large_file, cut_large, NULL, true, false, false},
    {"lengthen", large_file, lengthen, NULL, true, false, false},
    {"copy", small_to_copy, copy, NULL, false, false, false},
    {"copy-large", large_to_copy, copy, NULL, true, false, false},
    {"clone", small_to_copy, clone_whole, NULL, false, false, false},
    {"clone-and-change", large_to_copy, clone_and_change, NULL, true, false, false},
};

int main(void)
{
    return fault_tests("faults_change", operations, sizeof operations / sizeof *operations);
}
