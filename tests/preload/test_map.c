/* mmap of files: the bytes, what lies behind the end, who may write, and what outlives what. */
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
    data = strdup(preload_path("map.dat"));
    preload_make(data, SIZE);
    return 0;
}

static int data_open(void)
{
    int fd = open(data, O_RDONLY);
    assert_true(fd >= 0);
    return fd;
}

static unsigned char *map(int fd, size_t length, int protection, int flags, off_t offset)
{
    unsigned char *memory = mmap(NULL, length, protection, flags, fd, offset);
    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

static void whole_file(void **state)
{
    static const int types[] = {MAP_SHARED, MAP_PRIVATE};
    for (int i = 0; i < 2; i++) {
        int fd = data_open();
        unsigned char *memory = map(fd, SIZE, PROT_READ, types[i], 0);
        assert_int_equal(close(fd), 0);
        assert_true(preload_matches(memory, SIZE, 0));
        for (size_t at = SIZE; at % page; at++)
            assert_int_equal(memory[at], 0);
        assert_int_equal(munmap(memory, SIZE), 0);
    }
}

static void parts(void **state)
{
    int fd = data_open();
    unsigned char *late = map(fd, 100, PROT_READ, MAP_SHARED, (off_t)(200 * page));
    unsigned char *early = map(fd, 5 * page, PROT_READ, MAP_SHARED, (off_t)page);
    unsigned char *last = map(fd, 10 * page, PROT_READ, MAP_PRIVATE, (off_t)(SIZE / page * page));
    assert_true(preload_matches(late, 100, 200 * page));
    assert_true(preload_matches(early, 5 * page, page));
    assert_true(preload_matches(last, SIZE % page, SIZE / page * page));
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    munmap(late, 100);
    munmap(early, 5 * page);
    munmap(last, 10 * page);
    close(fd);
}

/* A fork child touches what lies behind the last page: it has to die of SIGBUS. */
static void behind_the_end(void **state)
{
    int fd = data_open(), status;
    size_t length = SIZE + 3 * page;
    unsigned char *memory = map(fd, length, PROT_READ, MAP_PRIVATE, 0);
    pid_t child = fork();
    if (!child) {
        signal(SIGBUS, SIG_DFL);
        _exit(((volatile unsigned char *)memory)[(SIZE / page + 1) * page]);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
    munmap(memory, length);
    close(fd);
}

static void private_writing(void **state)
{
    int fd = data_open();
    unsigned char *memory = map(fd, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, 0);
    unsigned char *other = map(fd, SIZE, PROT_READ, MAP_SHARED, 0);
    memset(memory, 0, page);
    assert_true(preload_matches(other, SIZE, 0));
    unsigned char bytes[64];
    assert_int_equal(pread(fd, bytes, sizeof bytes, 0), sizeof bytes);
    assert_true(preload_matches(bytes, sizeof bytes, 0));
    munmap(memory, SIZE);
    munmap(other, SIZE);
    close(fd);
}

static void refusals(void **state)
{
    int fd = data_open();
    assert_errno(mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
    assert_errno(mmap(NULL, 0, PROT_READ, MAP_SHARED, fd, 0), EINVAL);
    assert_errno(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 100), EINVAL);
    assert_errno(mmap(NULL, page, PROT_READ, 0, fd, 0), EINVAL);
    unsigned char *memory = map(fd, page, PROT_READ, MAP_SHARED, 0);
    assert_errno(mprotect(memory, page, PROT_READ | PROT_WRITE), EACCES);
    munmap(memory, page);
    close(fd);
    assert_errno(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0), EBADF);
    int directory = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_errno(mmap(NULL, page, PROT_READ, MAP_SHARED, directory, 0), ENODEV);
    close(directory);
    fd = open(preload_path("map.new"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_errno(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0), EACCES);
    close(fd);
    fd = open(data, O_PATH);
    assert_errno(mmap(NULL, page, PROT_READ, MAP_SHARED, fd, 0), EBADF);
    close(fd);
}

static void at_an_address(void **state)
{
    int fd = data_open();
    unsigned char *room = mmap(NULL, 4 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char *memory =
        mmap(room + page, 2 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, (off_t)page);
    assert_ptr_equal(memory, room + page);
    assert_true(preload_matches(memory, 2 * page, page));
    munmap(room, 4 * page);
    close(fd);
}

static void moved_and_inherited(void **state)
{
    int fd = data_open(), status;
    unsigned char *memory = map(fd, 2 * page, PROT_READ, MAP_SHARED, 0);
    close(fd);
    memory = mremap(memory, 2 * page, 2 * page, MREMAP_MAYMOVE);
    assert_ptr_not_equal(memory, MAP_FAILED);
    pid_t child = fork();
    if (!child)
        _exit(preload_matches(memory, 2 * page, 0) ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    munmap(memory, 2 * page);
}

static void mapped_again(void **state)
{
    int fd = data_open();
    for (int i = 0; i < 200; i++) {
        size_t offset = (size_t)(i * 37 % 700) * page;
        unsigned char *memory =
            map(fd, page, PROT_READ, i % 2 ? MAP_SHARED : MAP_PRIVATE, (off_t)offset);
        assert_true(preload_matches(memory, page, offset));
        munmap(memory, page);
    }
    for (int i = fd + 1; i < 1024; i++) /* whoever closes everything takes nothing from the maps */
        close(i);
    unsigned char *memory = map(fd, SIZE, PROT_READ, MAP_SHARED, 0);
    assert_true(preload_matches(memory, SIZE, 0));
    munmap(memory, SIZE);
    close(fd);
}

static void empty_file(void **state)
{
    const char *path = preload_path("map.empty");
    preload_make(path, 0);
    int fd = open(path, O_RDONLY);
    unsigned char *memory = map(fd, page, PROT_READ, MAP_SHARED, 0);
    munmap(memory, page);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_file),
        cmocka_unit_test(parts),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(private_writing),
        cmocka_unit_test(refusals),
        cmocka_unit_test(at_an_address),
        cmocka_unit_test(moved_and_inherited),
        cmocka_unit_test(mapped_again),
        cmocka_unit_test(empty_file),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
