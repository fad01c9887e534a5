/* Maps in a program whose allocator has a munmap and mremap of its own, between the library's and
 * libc's (libraries/allocator.c): neither calls the other for ever, and maps of files still end. */
#include "tests/preload/preload.h"

#include <sys/mman.h>

#define SIZE ((size_t)100000)

static void *map(int fd, size_t length)
{
    int type = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, type, fd, 0);
    assert_true(memory != MAP_FAILED);
    return memory;
}

static void test_memory(void **state)
{
    preload_make(preload_path("allocator.dat"), SIZE);
    char *memory = map(-1, SIZE);
    memory = mremap(memory, SIZE, 2 * SIZE, MREMAP_MAYMOVE);
    assert_true(memory != MAP_FAILED);
    memory[2 * SIZE - 1] = 'x';
    assert_int_equal(munmap(memory, 2 * SIZE), 0);
}

static void test_file(void **state)
{
    int fd = open(preload_path("allocator.dat"), O_RDWR);
    assert_true(fd >= 0);
    char *memory = map(fd, SIZE / 2);
    memory = mremap(memory, SIZE / 2, SIZE, MREMAP_MAYMOVE);
    assert_true(memory != MAP_FAILED);
    memory[SIZE - 1] = 'x';
    char *other = map(-1, SIZE);
    assert_int_equal(munmap(other, SIZE), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(munmap(memory, SIZE), 0);

    char byte = 0;
    fd = open(preload_path("allocator.dat"), O_RDONLY);
    assert_int_equal(pread(fd, &byte, 1, SIZE - 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_file),
    };
    return cmocka_run_group_tests_name("maps and an allocator", tests, NULL, NULL);
}
