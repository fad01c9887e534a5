/* Shared writable maps: seen by reads at once, by others after msync, close, the last munmap, or
 * the end of the process. */
#include "tests/preload/preload.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE (300u << 10)

static unsigned char *map(int fd, size_t length, int type)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, type, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static void assert_byte(const char *path, off_t offset, unsigned char expected)
{
    unsigned char byte = 0;
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    assert_int_equal(byte, expected);
    close(fd);
}

static void shared(void **state)
{
    const char *path = preload_path("shared");
    preload_make(path, SIZE);
    int fd = open(path, O_RDWR);
    unsigned char *memory = map(fd, SIZE, MAP_SHARED), byte;
    assert_true(preload_matches(memory, SIZE, 0));
    memory[100000] = 1;
    assert_int_equal(pread(fd, &byte, 1, 100000), 1);
    assert_int_equal(byte, 1);
    assert_int_equal(pwrite(fd, "\2", 1, 200000), 1);
    assert_int_equal(memory[200000], 2);
    assert_int_equal(munmap(memory, SIZE), 0);
    assert_int_equal(close(fd), 0);
    assert_byte(path, 100000, 1);
    assert_byte(path, 200000, 2);
}

static void closed_before(void **state)
{
    const char *path = preload_path("closed");
    preload_make(path, SIZE);
    int fd = open(path, O_RDWR);
    unsigned char *memory = map(fd, SIZE, MAP_SHARED);
    assert_int_equal(close(fd), 0);
    memory[5] = 77;
    assert_byte(path, 5, 77);
    assert_int_equal(msync(memory, SIZE, MS_SYNC), 0);
    pid_t child = fork(); /* another process asks the store */
    if (!child) {
        unsigned char byte = 0;
        int other = open(path, O_RDONLY);
        _exit(pread(other, &byte, 1, 5) == 1 && byte == 77 ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(munmap(memory, SIZE), 0);
}

/* Mapped, closed, written to, ended: a process of its own. */
static void until_the_end(void **state)
{
    const char *path = preload_path("end");
    preload_make(path, SIZE);
    pid_t child = fork();
    if (!child) {
        int fd = open(path, O_RDWR);
        unsigned char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        memory[1] = 99;
        munmap(memory, SIZE);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_byte(path, 1, 99);
}

static void new_file(void **state)
{
    const char *path = preload_path("new");
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    unsigned char *memory = map(fd, SIZE, MAP_SHARED);
    preload_fill(memory, SIZE, 0);
    assert_int_equal(munmap(memory, SIZE), 0);
    assert_int_equal(close(fd), 0);
    unsigned char *buffer = malloc(SIZE);
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, buffer, SIZE), SIZE);
    assert_true(preload_matches(buffer, SIZE, 0));
    close(fd);
    free(buffer);
}

static void private_map(void **state)
{
    const char *path = preload_path("private");
    preload_make(path, SIZE);
    int fd = open(path, O_RDWR);
    unsigned char *memory = map(fd, SIZE, MAP_PRIVATE);
    assert_true(preload_matches(memory, SIZE, 0));
    memory[7] = (unsigned char)~preload_byte(7);
    assert_int_equal(munmap(memory, SIZE), 0);
    assert_int_equal(close(fd), 0);
    assert_byte(path, 7, preload_byte(7));
}

/* ---- the last map goes ---- */

/* Asks the store: forked before anything was written, so that it has no part in it. */
struct reader {
    pid_t pid;
    int go[2], answer[2];
};

static struct reader reader_new(const char *path)
{
    struct reader reader;
    assert_int_equal(pipe(reader.go), 0);
    assert_int_equal(pipe(reader.answer), 0);
    reader.pid = fork();
    if (reader.pid)
        return reader;
    int offset;
    while (read(reader.go[0], &offset, sizeof offset) == sizeof offset && offset >= 0) {
        unsigned char byte = 0;
        int fd = open(path, O_RDONLY);
        if (pread(fd, &byte, 1, offset) != 1 || close(fd) || write(reader.answer[1], &byte, 1) != 1)
            _exit(1);
    }
    _exit(0);
}

static unsigned char reader_asks(const struct reader *reader, int offset)
{
    unsigned char byte = 0;
    assert_int_equal(write(reader->go[1], &offset, sizeof offset), sizeof offset);
    assert_int_equal(read(reader->answer[0], &byte, 1), 1);
    return byte;
}

static void reader_end(const struct reader *reader)
{
    int status, end = -1;
    assert_int_equal(write(reader->go[1], &end, sizeof end), sizeof end);
    assert_int_equal(waitpid(reader->pid, &status, 0), reader->pid);
    assert_int_equal(status, 0);
    for (int i = 0; i < 2; i++) {
        close(reader->go[i]);
        close(reader->answer[i]);
    }
}

/* Closed at once, then written to through the map. */
static unsigned char *map_only(const char *path, size_t length)
{
    int fd = open(path, O_RDWR);
    unsigned char *memory = map(fd, length, MAP_SHARED);
    assert_int_equal(close(fd), 0);
    return memory;
}

static void published_by_munmap(void **state)
{
    const char *path = preload_path("by-munmap");
    preload_make(path, SIZE);
    struct reader reader = reader_new(path);
    unsigned char *memory = map_only(path, SIZE);
    memory[9] = 9;
    memory[200000] = 20;
    assert_int_equal(munmap(memory, 4096), 0);
    assert_int_equal(munmap(memory + 8192, 4096), 0); /* a hole in the middle */
    if (preload_is_virtual())
        assert_int_equal(reader_asks(&reader, 9), preload_byte(9));
    memory[100000] = 10;
    assert_int_equal(munmap(memory + 4096, SIZE - 4096), 0);
    assert_int_equal(reader_asks(&reader, 9), 9);
    assert_int_equal(reader_asks(&reader, 100000), 10);
    assert_int_equal(reader_asks(&reader, 200000), 20);
    reader_end(&reader);
}

static void published_by_a_map_over_it(void **state)
{
    const char *path = preload_path("by-fixed");
    preload_make(path, SIZE);
    struct reader reader = reader_new(path);
    unsigned char *memory = map_only(path, SIZE);
    memory[9] = 77;
    assert_ptr_equal(mmap(memory, SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                     memory);
    assert_int_equal(memory[9], 0);
    assert_int_equal(reader_asks(&reader, 9), 77);
    assert_int_equal(munmap(memory, SIZE), 0);
    reader_end(&reader);
}

static void moved_and_grown(void **state)
{
    const char *path = preload_path("by-mremap");
    preload_make(path, SIZE);
    struct reader reader = reader_new(path);
    unsigned char *memory = map_only(path, 8192);
    memory[0] = 11;
    memory = mremap(memory, 8192, SIZE, MREMAP_MAYMOVE);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(memory[0], 11);
    assert_true(preload_matches(memory + 1, SIZE - 1, 1)); /* what it grew by is there */
    memory[250000] = 25;
    memory = mremap(memory, SIZE, 4096, 0);
    if (preload_is_virtual())
        assert_int_equal(reader_asks(&reader, 0), preload_byte(0));
    assert_int_equal(munmap(memory, 4096), 0);
    assert_int_equal(reader_asks(&reader, 0), 11);
    assert_int_equal(reader_asks(&reader, 250000), 25);
    reader_end(&reader);
}

/* A child that maps, writes and unmaps; the parent's description sees it, and publishes nothing
 * new. */
static void in_a_child(void **state)
{
    const char *path = preload_path("by-child");
    preload_make(path, SIZE);
    struct reader reader = reader_new(path);
    int fd = open(path, O_RDWR);
    pid_t child = fork();
    if (!child) {
        unsigned char *memory = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        memory[4] = 44;
        _exit(munmap(memory, SIZE) != 0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(reader_asks(&reader, 4), 44);
    unsigned char byte;
    assert_int_equal(pread(fd, &byte, 1, 4), 1);
    assert_int_equal(byte, 44);
    assert_int_equal(close(fd), 0);
    reader_end(&reader);
}

/* An inherited map is one memory; the file lives as long as one of them. */
static void inherited(void **state)
{
    const char *path = preload_path("inherited");
    preload_make(path, SIZE);
    struct reader reader = reader_new(path);
    unsigned char *memory = map_only(path, SIZE);
    pid_t child = fork();
    if (!child) {
        memory[3] = 33;
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(memory[3], 33);
    memory[2] = 22;
    assert_int_equal(munmap(memory, SIZE), 0);
    assert_int_equal(reader_asks(&reader, 3), 33);
    assert_int_equal(reader_asks(&reader, 2), 22);
    reader_end(&reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared),   cmocka_unit_test(closed_before), cmocka_unit_test(until_the_end),
        cmocka_unit_test(new_file), cmocka_unit_test(private_map),
        cmocka_unit_test(published_by_munmap),
        cmocka_unit_test(published_by_a_map_over_it),
        cmocka_unit_test(moved_and_grown),
        cmocka_unit_test(in_a_child),
        cmocka_unit_test(inherited),
    };
    return cmocka_run_group_tests_name("map_write", tests, NULL, NULL);
}
