/* Shared writable maps: seen by reads at once, by others after msync, close or the end of the process. */
#include "tests/preload/preload.h"

#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE (300u << 10)

static unsigned char *map(int fd, size_t length, int type)
{
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, type, fd, 0);
    assert_true(memory != MAP_FAILED);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shared),   cmocka_unit_test(closed_before), cmocka_unit_test(until_the_end),
        cmocka_unit_test(new_file), cmocka_unit_test(private_map),
    };
    return cmocka_run_group_tests_name("map_write", tests, NULL, NULL);
}
