/* Files written anew, appended to and published by fsync, while the server goes wrong: see fault_cases.h. */
#include "tests/preload/fault_files.h"

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

static const struct operation operations[] = {
    {"create", nothing, put_small, NULL, false, false, false},
    {"create-in-parts", nothing, put_large, NULL, false, false, false},
    {"replace", small_file, put_small, NULL, false, false, false},
    {"replace-in-parts", small_file, put_large, NULL, true, false, false},
    {"append-to-small", small_file, append_little, NULL, false, false, false},
    {"append-to-large", large_file, append_little, NULL, true, false, false},
    {"append-parts", small_file, append_much, NULL, true, false, false},
    {"fsync-between", nothing, sync_twice, sync_once, false, false, false},
    {"fsync-of-parts", nothing, sync_large_twice, sync_large_once, true, false, false},
};

int main(void)
{
    return fault_tests("faults_write", operations, sizeof operations / sizeof *operations);
}
