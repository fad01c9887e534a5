/* A thread with the smallest stack that there is opens, reads, lists, writes and removes: what a
 * call needs of the program's stack is little, and the rest is elsewhere. */
#define _XOPEN_SOURCE 700
#include <dirent.h>
#include <ftw.h>
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

/* ---- links, and walks over them ---- */

static char links[9][320];

static int make_links(void)
{
    int fd = open(work.file, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "text", 4) != 4 || close(fd) < 0)
        return failed(20);
    if (symlink("file", links[0]) < 0 || symlink("link-0", links[1]) < 0 ||
        symlink(work.folder, links[2]) < 0 || symlink("nowhere", links[3]) < 0)
        return failed(21);
    return 0;
}

static int follow_links(void)
{
    struct stat attr;
    char text[64];
    int fd;
    if (stat(links[1], &attr) < 0 || attr.st_size != 4 || !S_ISREG(attr.st_mode))
        return failed(22);
    if (stat(links[5], &attr) < 0 || attr.st_size != 4) /* through a directory */
        return failed(23);
    if (lstat(links[1], &attr) < 0 || !S_ISLNK(attr.st_mode) || access(links[6], R_OK) < 0)
        return failed(24);
    if (stat(links[3], &attr) == 0 || errno != ENOENT)
        return failed(25);
    if (readlink(links[1], text, sizeof text) != 6)
        return failed(26);
    fd = open(links[6], O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text) != 4 || close(fd) < 0)
        return failed(27);
    if (chmod(links[1], 0600) < 0 || stat(work.file, &attr) < 0 || (attr.st_mode & 0777) != 0600)
        return failed(28);
    return 0;
}

static int seen[2];

static int count_name(const char *path, const struct stat *attr, int type, struct FTW *position)
{
    seen[0] += type == FTW_F || type == FTW_D;
    seen[1] += type == FTW_SL || type == FTW_SLN;
    return 0;
}

static int walk_names(void)
{
    memset(seen, 0, sizeof seen);
    if (nftw(work.folder, count_name, 4, FTW_PHYS) < 0)
        return failed(30);
    if (seen[0] != 5 || seen[1] != 4) /* the folder, the file, three below; four links */
        return failed(31);
    memset(seen, 0, sizeof seen);
    if (nftw(work.folder, count_name, 4, 0) < 0)
        return failed(32);
    if (seen[0] != 7 || seen[1] != 1) /* two links are the file's, one is the folder's, again */
        return failed(33);
    memset(seen, 0, sizeof seen);
    return nftw(work.folder, count_name, 4, FTW_PHYS | FTW_CHDIR | FTW_DEPTH) < 0 ? failed(34) : 0;
}

static int make_folders(void)
{
    return mkdir(links[4], 0755) < 0 || mkdir(links[7], 0755) < 0 || mkdir(links[8], 0755) < 0
               ? failed(35)
               : 0;
}

static int remove_links(void)
{
    static const int folders[] = {8, 7, 4};
    for (int i = 0; i < 4; i++)
        if (unlink(links[i]) < 0)
            return failed(36);
    for (int i = 0; i < 3; i++)
        if (rmdir(links[folders[i]]) < 0)
            return failed(37);
    return unlink(work.file) < 0 ? failed(38) : 0;
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

static void links_and_walks(void **state)
{
    in_small_thread(make_links);
    in_small_thread(follow_links);
    in_small_thread(make_folders);
    in_small_thread(walk_names);
    in_small_thread(remove_links);
}

static int setup(void **state)
{
    static const char *const names[] = {"link-0",        "link-1",    "link-2",
                                        "link-3",        "below",     "link-2/file",
                                        "link-2/link-1", "below/one", "below/one/two"};
    snprintf(work.folder, sizeof work.folder, "%s/small-stack", preload_root());
    snprintf(work.file, sizeof work.file, "%s/file", work.folder);
    snprintf(work.other, sizeof work.other, "%s/other", work.folder);
    memset(work.buffer, CANARY, sizeof work.buffer);
    for (int i = 0; i < 9; i++)
        snprintf(links[i], sizeof links[i], "%s/%s", work.folder, names[i]);
    return mkdir(work.folder, 0755);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(folders),
        cmocka_unit_test(changes),
        cmocka_unit_test(links_and_walks),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
