/* A thread with the smallest stack that there is opens, reads, lists, writes and removes: what a
 * call needs of the program's stack is little, and the rest is elsewhere. */
#include <dirent.h>
#include <pthread.h>

#include "preload.h"

#define SIZE   ((size_t)12 << 20) /* more than a part */
#define PIECE  ((size_t)1 << 20)
#define CANARY 0x5a

/* Everything that the threads need lies outside their stacks; assertions are for the main
 * thread. */
static struct {
    char folder[256], file[300], other[300];
    char buffer[PIECE];
    int step; /* of the task, after which something failed */
    int errnum;
} work;

static int failed(int step)
{
    work.step = step;
    work.errnum = errno;
    return -1;
}

static int write_file(void)
{
    int fd = open(work.file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return failed(1);
    for (size_t at = 0; at < SIZE; at += PIECE)
        if (write(fd, work.buffer, PIECE) != (ssize_t)PIECE)
            return failed(2);
    return close(fd) < 0 ? failed(3) : 0;
}

static int read_file(void)
{
    struct stat attr;
    int fd = open(work.file, O_RDONLY);
    if (fd < 0)
        return failed(4);
    if (fstat(fd, &attr) < 0 || attr.st_size != (off_t)SIZE)
        return failed(5);
    for (size_t at = 0; at < SIZE; at += PIECE)
        if (read(fd, work.buffer, PIECE) != (ssize_t)PIECE)
            return failed(6);
    if (pread(fd, work.buffer, 100, 5000000) != 100 || lseek(fd, 0, SEEK_SET) != 0)
        return failed(7);
    return close(fd) < 0 ? failed(8) : 0;
}

static int ask_names(void)
{
    struct stat attr;
    if (stat(work.file, &attr) < 0 || lstat(work.file, &attr) < 0 || access(work.file, R_OK) < 0)
        return failed(9);
    if (stat(work.other, &attr) == 0 || errno != ENOENT)
        return failed(10);
    return 0;
}

static int list_folder(void)
{
    const struct dirent *entry;
    int count = 0;
    DIR *dir = opendir(work.folder);
    if (!dir)
        return failed(11);
    while ((entry = readdir(dir)))
        count += entry->d_name[0] != '.';
    if (closedir(dir) < 0)
        return failed(12);
    return count == 1 ? 0 : failed(13);
}

static int change_names(void)
{
    if (rename(work.file, work.other) < 0)
        return failed(14);
    if (chmod(work.other, 0600) < 0)
        return failed(15);
    return unlink(work.other) < 0 ? failed(16) : 0;
}

static void *task(void *run)
{
    int (*function)(void) = (int (*)(void))run;
    return (void *)(long)function();
}

static void in_small_thread(int (*function)(void))
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    printf("skip: what a sanitizer adds to frames does not fit into a small stack\n");
    skip();
#endif
    pthread_attr_t attr;
    pthread_t thread;
    void *result;
    work.step = 0;
    assert_int_equal(pthread_attr_init(&attr), 0);
    assert_int_equal(pthread_attr_setstacksize(&attr, 16384), 0);
    assert_int_equal(pthread_create(&thread, &attr, task, (void *)function), 0);
    pthread_attr_destroy(&attr);
    assert_int_equal(pthread_join(thread, &result), 0);
    if (result)
        fail_msg("step %d: %s", work.step, strerror(work.errnum));
}

static void files(void **state)
{
    in_small_thread(write_file);
    in_small_thread(read_file);
    in_small_thread(ask_names);
}

static void folders(void **state)
{
    in_small_thread(list_folder);
}

static void changes(void **state)
{
    in_small_thread(change_names);
}

static int setup(void **state)
{
    snprintf(work.folder, sizeof work.folder, "%s/small-stack", preload_root());
    snprintf(work.file, sizeof work.file, "%s/file", work.folder);
    snprintf(work.other, sizeof work.other, "%s/other", work.folder);
    memset(work.buffer, CANARY, sizeof work.buffer);
    return mkdir(work.folder, 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(folders),
        cmocka_unit_test(changes),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
