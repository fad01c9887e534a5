/* A file that is open stays what it was when it was opened, whatever the same process does to its
 * name: unlink, rename, rename over, chmod. */
#include "tests/preload/preload.h"

#include <pthread.h>
#include <sys/mman.h>
#include <time.h>

#define LARGE (20 << 20) /* uploaded by parts: its ETag is another after a change of metadata */
#define SMALL 5000

static const size_t sizes[] = {SMALL, LARGE};

static void read_on(int fd, size_t size, size_t from, size_t to)
{
    static unsigned char buffer[1 << 18];
    for (size_t at = from; at < to;) {
        size_t wanted = to - at < sizeof buffer ? to - at : sizeof buffer;
        ssize_t n = read(fd, buffer, wanted);
        if (n <= 0)
            fail_msg("at %zu of %zu: %s", at, size, n ? strerror(errno) : "the end");
        assert_true(preload_matches(buffer, (size_t)n, at));
        at += (size_t)n;
    }
}

static void make_other(const char *name)
{
    int fd = open(preload_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "other", 5), 5);
    assert_int_equal(close(fd), 0);
}

static void do_unlink(void)
{
    assert_int_equal(unlink(preload_path("dir/file")), 0);
    assert_errno(open(preload_path("dir/file"), O_RDONLY), ENOENT);
}

static void do_rename(void)
{
    assert_int_equal(rename(preload_path("dir/file"), preload_path("dir/renamed")), 0);
}

static void do_rename_then_unlink(void)
{
    do_rename();
    assert_int_equal(unlink(preload_path("dir/renamed")), 0);
}

static void do_rename_over(void)
{
    make_other("dir/other");
    assert_int_equal(rename(preload_path("dir/other"), preload_path("dir/file")), 0);
}

static void do_rename_directory(void)
{
    assert_int_equal(rename(preload_path("dir"), preload_path("moved")), 0);
}

static void do_chmod(void)
{
    assert_int_equal(chmod(preload_path("dir/file"), 0600), 0);
}

static void do_utimens(void)
{
    const struct timespec times[2] = {{1000000000, 0}, {1000000000, 0}};
    assert_int_equal(utimensat(AT_FDCWD, preload_path("dir/file"), times, 0), 0);
}

static void (*const changes[])(void) = {do_unlink,      do_rename,           do_rename_then_unlink,
                                        do_rename_over, do_rename_directory, do_chmod,
                                        do_utimens};

static void clean_up(void)
{
    static const char *const names[] = {"dir/file", "dir/other", "dir/renamed", "moved/file"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(preload_path(names[i]));
    rmdir(preload_path("dir"));
    rmdir(preload_path("moved"));
}

static void try_one(void (*change)(void), size_t size, size_t position)
{
    clean_up();
    assert_int_equal(mkdir(preload_path("dir"), 0755), 0);
    preload_make(preload_path("dir/file"), size);
    int fd = open(preload_path("dir/file"), O_RDONLY);
    assert_true(fd >= 0);
    read_on(fd, size, 0, position);
    change();
    read_on(fd, size, position, size);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    assert_int_equal(lseek(fd, 10, SEEK_SET), 10);
    read_on(fd, size, 10, size);
    assert_int_equal(close(fd), 0);
    clean_up();
}

static void reads_on(void **state)
{
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        for (size_t j = 0; j < 2; j++)
            for (size_t part = 0; part <= 2; part++)
                try_one(changes[i], sizes[j], sizes[j] * part / 2);
}

static void on_a_stream(void **state)
{
    preload_make(preload_path("stream"), LARGE);
    FILE *stream = fopen(preload_path("stream"), "r");
    assert_non_null(stream);
    static unsigned char buffer[LARGE];
    assert_int_equal(fread(buffer, 1, 1000, stream), 1000);
    assert_int_equal(unlink(preload_path("stream")), 0);
    assert_int_equal(fread(buffer + 1000, 1, LARGE, stream), LARGE - 1000);
    assert_true(preload_matches(buffer, LARGE, 0));
    fclose(stream);
}

static void mapped_afterwards(void **state)
{
    preload_make(preload_path("mapped"), LARGE);
    int fd = open(preload_path("mapped"), O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(unlink(preload_path("mapped")), 0);
    void *memory = mmap(NULL, LARGE, PROT_READ, MAP_SHARED, fd, 0);
    assert_true(memory != MAP_FAILED);
    assert_true(preload_matches(memory, LARGE, 0));
    munmap(memory, LARGE);
    close(fd);
}

/* tmp, rename over: while others open and read. */
static void *replace_often(void *arg)
{
    for (int i = 0; i < 30; i++) {
        preload_make(preload_path("often.tmp"), 1 << 20);
        assert_int_equal(rename(preload_path("often.tmp"), preload_path("often")), 0);
    }
    return NULL;
}

static void replaced_often(void **state)
{
    char path[PATH_MAX];
    strcpy(path, preload_path("often"));
    preload_make(path, 1 << 20);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, replace_often, NULL), 0);
    do {
        int fd = open(path, O_RDONLY);
        assert_true(fd >= 0);
        read_on(fd, 1 << 20, 0, 1 << 20);
        close(fd);
    } while (pthread_tryjoin_np(thread, NULL));
    unlink(path);
}

/* What a request asks for may have another name or ETag by the time it arrives. */
static void *change_often(void *arg)
{
    char path[PATH_MAX], other[PATH_MAX];
    strcpy(path, preload_path("changing"));
    strcpy(other, preload_path("changed"));
    for (int i = 0; i < 20; i++) {
        assert_int_equal(chmod(path, i % 2 ? 0600 : 0644), 0);
        assert_int_equal(rename(path, other), 0);
        assert_int_equal(rename(other, path), 0);
    }
    return NULL;
}

static void changed_while_read(void **state)
{
    preload_make(preload_path("changing"), LARGE);
    int fd = open(preload_path("changing"), O_RDONLY);
    assert_true(fd >= 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, change_often, NULL), 0);
    do {
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        read_on(fd, LARGE, 0, LARGE);
    } while (pthread_tryjoin_np(thread, NULL));
    close(fd);
    unlink(preload_path("changing"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_on),           cmocka_unit_test(on_a_stream),
        cmocka_unit_test(mapped_afterwards),  cmocka_unit_test(replaced_often),
        cmocka_unit_test(changed_while_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
