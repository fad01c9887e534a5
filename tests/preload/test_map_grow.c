/* mremap of maps of files: what a map grows by is the file's, also when the descriptor has gone and
 * the file with it; behind the end is SIGBUS; what moves keeps what it shows. */
#include "tests/preload/preload.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE ((size_t)3 * 1024 * 1024 + 1234)

static char *data;
static size_t page;

static int setup(void **state)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    data = strdup(preload_path("grow.dat"));
    preload_make(data, SIZE);
    return 0;
}

/* How a map comes to be: what is opened, and how it is mapped. */
struct way {
    const char *name;
    int flags, protection, type;
};

static const struct way ways[] = {
    {"read, shared", O_RDONLY, PROT_READ, MAP_SHARED},
    {"read, private", O_RDONLY, PROT_READ | PROT_WRITE, MAP_PRIVATE},
    {"read and write, private", O_RDWR, PROT_READ | PROT_WRITE, MAP_PRIVATE},
    {"read and write, shared", O_RDWR, PROT_READ | PROT_WRITE, MAP_SHARED},
    {"read and write, shared for reading", O_RDWR, PROT_READ, MAP_SHARED},
};
#define WAYS (sizeof ways / sizeof *ways)

static unsigned char *map(const struct way *way, size_t length, off_t offset)
{
    int fd = open(data, way->flags);
    assert_true(fd >= 0);
    unsigned char *memory = mmap(NULL, length, way->protection, way->type, fd, offset);
    assert_int_equal(close(fd), 0);
    if (memory == MAP_FAILED)
        fail_msg("%s: %s", way->name, strerror(errno));
    return memory;
}

static void check(const struct way *way, const unsigned char *memory, size_t length, size_t offset)
{
    if (memory == MAP_FAILED)
        fail_msg("%s: %s", way->name, strerror(errno));
    if (!preload_matches(memory, length, offset))
        fail_msg("%s: the bytes at %zu are others", way->name, offset);
}

static void grown_and_shrunk(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        unsigned char *memory = map(&ways[i], page, (off_t)page);
        check(&ways[i], memory, page, page);
        memory = mremap(memory, page, 3 * page, MREMAP_MAYMOVE);
        check(&ways[i], memory, 3 * page, page);
        memory = mremap(memory, 3 * page, SIZE - page, MREMAP_MAYMOVE);
        check(&ways[i], memory, SIZE - page, page);
        memory = mremap(memory, SIZE - page, page, 0);
        check(&ways[i], memory, page, page);
        memory = mremap(memory, page, 100 * page, MREMAP_MAYMOVE);
        check(&ways[i], memory, 100 * page, page);
        assert_int_equal(munmap(memory, 100 * page), 0);
    }
}

/* In place, where there is room, and refused where there is none. */
static void grown_in_place(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        size_t length = 600 * page;
        unsigned char *memory = map(&ways[i], length, 0);
        assert_int_equal(munmap(memory + page, length - page), 0);
        unsigned char *grown = mremap(memory, page, length, 0);
        assert_ptr_equal(grown, memory);
        check(&ways[i], memory, length, 0);
        assert_errno(mremap(memory, page, 2 * page, 0), ENOMEM);
        check(&ways[i], memory, length, 0);
        assert_int_equal(munmap(memory, length), 0);
    }
}

static void moved_to_an_address(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        size_t length = 300 * page;
        unsigned char *room =
            mmap(NULL, length + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        unsigned char *memory = map(&ways[i], 2 * page, (off_t)(3 * page));
        unsigned char *moved =
            mremap(memory, 2 * page, length, MREMAP_MAYMOVE | MREMAP_FIXED, room + page);
        assert_ptr_equal(moved, room + page);
        check(&ways[i], moved, length, 3 * page);
        assert_int_equal(munmap(room, length + 2 * page), 0);
        assert_errno(mremap(room, page, page, MREMAP_MAYMOVE), EFAULT);
    }
}

/* A middle part of a map grows by what the file has behind it. */
static void a_part_of_a_map(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        unsigned char *memory = map(&ways[i], 8 * page, 0);
        unsigned char *part = mremap(memory + 2 * page, 3 * page, 500 * page, MREMAP_MAYMOVE);
        check(&ways[i], part, 500 * page, 2 * page);
        check(&ways[i], memory, 2 * page, 0);
        check(&ways[i], memory + 5 * page, 3 * page, 5 * page);
        assert_int_equal(munmap(memory, 8 * page), 0);
        assert_int_equal(munmap(part, 500 * page), 0);
    }
}

static void touch(volatile unsigned char *memory)
{
    signal(SIGBUS, SIG_DFL);
    _exit(*memory);
}

/* Of what is only read; a file that is being written has zeros there for up to 64 KiB. */
static void behind_the_end(void **state)
{
    for (size_t i = 0; i < WAYS && ways[i].flags == O_RDONLY; i++) {
        size_t length = SIZE + 3 * page, last = SIZE / page * page;
        int status;
        unsigned char *memory = map(&ways[i], page, 0);
        memory = mremap(memory, page, length, MREMAP_MAYMOVE);
        check(&ways[i], memory, SIZE, 0);
        for (size_t at = SIZE; at < last + page; at++)
            assert_int_equal(memory[at], 0);
        pid_t child = fork();
        if (!child)
            touch(memory + last + page);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGBUS);
        assert_int_equal(munmap(memory, length), 0);
    }
}

/* What was written into a private map stays its own; what it grows by is the file's. */
static void private_changes_stay(void **state)
{
    unsigned char *memory = map(&ways[1], page, 0);
    memset(memory, 'p', page);
    memory = mremap(memory, page, 400 * page, MREMAP_MAYMOVE);
    for (size_t at = 0; at < page; at++)
        assert_int_equal(memory[at], 'p');
    check(&ways[1], memory + page, 399 * page, page);
    assert_int_equal(munmap(memory, 400 * page), 0);
}

/* The file has gone, and its name belongs to another one. */
static void of_a_file_that_was_removed(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        unsigned char *memory = map(&ways[i], page, 0);
        assert_int_equal(unlink(data), 0);
        int fd = open(data, O_WRONLY | O_CREAT | O_TRUNC, 0644);
        assert_int_equal(write(fd, "another", 7), 7);
        assert_int_equal(close(fd), 0);
        memory = mremap(memory, page, SIZE, MREMAP_MAYMOVE);
        check(&ways[i], memory, SIZE, 0);
        assert_int_equal(munmap(memory, SIZE), 0);
        preload_make(data, SIZE);
    }
}

static void in_a_child(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        int status;
        unsigned char *memory = map(&ways[i], page, 0);
        pid_t child = fork();
        if (!child) {
            memory = mremap(memory, page, 200 * page, MREMAP_MAYMOVE);
            _exit(memory == MAP_FAILED || !preload_matches(memory, 200 * page, 0));
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status)
            fail_msg("%s: status %d", ways[i].name, status);
        memory = mremap(memory, page, 300 * page, MREMAP_MAYMOVE);
        check(&ways[i], memory, 300 * page, 0);
        assert_int_equal(munmap(memory, 300 * page), 0);
    }
}

/* The file grows, and then the map. */
static void with_the_file(void **state)
{
    const char *path = preload_path("grow.new");
    unsigned char bytes[4];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "abcd", 4), 4);
    unsigned char *memory = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_memory_equal(memory, "abcd", 4);
    assert_int_equal(ftruncate(fd, (off_t)(9 * page)), 0);
    assert_int_equal(pwrite(fd, "wxyz", 4, (off_t)(7 * page)), 4);
    memory = mremap(memory, page, 9 * page, MREMAP_MAYMOVE);
    assert_memory_equal(memory + 7 * page, "wxyz", 4);
    assert_int_equal(memory[5 * page], 0);
    memory[8 * page] = 'm';
    assert_int_equal(pread(fd, bytes, 1, (off_t)(8 * page)), 1);
    assert_int_equal(bytes[0], 'm');
    assert_int_equal(close(fd), 0);
    assert_int_equal(munmap(memory, 9 * page), 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(lseek(fd, 0, SEEK_END), 9 * page);
    assert_int_equal(pread(fd, bytes, 4, (off_t)(7 * page)), 4);
    assert_memory_equal(bytes, "wxyz", 4);
    assert_int_equal(pread(fd, bytes, 1, (off_t)(8 * page)), 1);
    assert_int_equal(bytes[0], 'm');
    assert_int_equal(close(fd), 0);
}

/* The map is longer than the file, which grows below it. */
static void below_a_map(void **state)
{
    const char *path = preload_path("grow.below");
    size_t length = (size_t)1 << 20;
    for (int by = 0; by < 3; by++) {
        unsigned char bytes[4];
        int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
        assert_int_equal(write(fd, "abcd", 4), 4);
        unsigned char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        memory[1] = 'B';
        if (by == 0)
            assert_int_equal(ftruncate(fd, (off_t)length), 0);
        else if (by == 1)
            assert_int_equal(pwrite(fd, "wxyz", 4, (off_t)length - 4), 4);
        else
            assert_int_equal(posix_fallocate(fd, 0, (off_t)length), 0);
        assert_int_equal(memory[length / 2], 0);
        memory[length / 2] = 'm';
        memory[length - 5] = 'v';
        assert_int_equal(close(fd), 0);
        memory[length / 4] = 'q';
        assert_int_equal(munmap(memory, length), 0);
        fd = open(path, O_RDONLY);
        assert_int_equal(lseek(fd, 0, SEEK_END), length);
        assert_int_equal(pread(fd, bytes, 4, 0), 4);
        assert_memory_equal(bytes, "aBcd", 4);
        assert_int_equal(pread(fd, bytes, 1, (off_t)length / 2), 1);
        assert_int_equal(bytes[0], 'm');
        assert_int_equal(pread(fd, bytes, 1, (off_t)length / 4), 1);
        assert_int_equal(bytes[0], 'q');
        assert_int_equal(pread(fd, bytes, 4, (off_t)length - 5), 4);
        assert_memory_equal(bytes, by == 1 ? "vwxy" : "v\0\0\0", 4);
        assert_int_equal(close(fd), 0);
    }
}

/* A length of 0 maps the same pages once more. */
static void mapped_twice(void **state)
{
    for (size_t i = 0; i < WAYS; i++) {
        if (ways[i].type != MAP_SHARED)
            continue;
        unsigned char *memory = map(&ways[i], page, 0);
        unsigned char *second = mremap(memory, 0, 50 * page, MREMAP_MAYMOVE);
        check(&ways[i], second, 50 * page, 0);
        check(&ways[i], memory, page, 0);
        assert_int_equal(munmap(memory, page), 0);
        second = mremap(second, 50 * page, 150 * page, MREMAP_MAYMOVE);
        check(&ways[i], second, 150 * page, 0);
        assert_int_equal(munmap(second, 150 * page), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grown_and_shrunk),
        cmocka_unit_test(grown_in_place),
        cmocka_unit_test(moved_to_an_address),
        cmocka_unit_test(a_part_of_a_map),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(private_changes_stay),
        cmocka_unit_test(of_a_file_that_was_removed),
        cmocka_unit_test(in_a_child),
        cmocka_unit_test(with_the_file),
        cmocka_unit_test(below_a_map),
        cmocka_unit_test(mapped_twice),
    };
    return cmocka_run_group_tests_name("map grow", tests, setup, NULL);
}
