/* Calls of an unmodified program under the shim, for bench/instructions: see counted.h.
 *
 * COUNTED_LOCAL in the environment is a directory that the shim leaves alone, COUNTED_VIRTUAL one in
 * the store in memory of this process. The kernel's part is not counted. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench/counted/counted.h"

#define FILE_BYTES 4096u
#define FILES      100u

static char local[512], virtual[600], directory[512];
static int fd = -1;

static void make_file(const char *path, size_t length)
{
    char block[FILE_BYTES];
    int out = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    memset(block, 'x', sizeof block);
    COUNTED_REQUIRE(out >= 0);
    for (size_t at = 0; at < length; at += sizeof block)
        COUNTED_REQUIRE(write(out, block, sizeof block) == sizeof block);
    COUNTED_REQUIRE(close(out) == 0);
}

static const char *root(const char *variable)
{
    const char *value = getenv(variable);

    COUNTED_REQUIRE(value);
    return value;
}

static void local_prepare(void)
{
    snprintf(local, sizeof local, "%s/file", root("COUNTED_LOCAL"));
    make_file(local, FILE_BYTES);
    fd = open(local, O_RDONLY);
    COUNTED_REQUIRE(fd >= 0);
}

static void virtual_prepare(void)
{
    mkdir(root("COUNTED_VIRTUAL"), 0755);
    snprintf(virtual, sizeof virtual, "%s/file", root("COUNTED_VIRTUAL"));
    make_file(virtual, 64 * FILE_BYTES);
    fd = open(virtual, O_RDONLY);
    COUNTED_REQUIRE(fd >= 0);
}

static void directory_prepare(void)
{
    virtual_prepare();
    snprintf(directory, sizeof directory, "%s/many", root("COUNTED_VIRTUAL"));
    COUNTED_REQUIRE(mkdir(directory, 0755) == 0);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(virtual, sizeof virtual, "%s/%03u", directory, i);
        make_file(virtual, FILE_BYTES);
    }
}

static void preads(unsigned count, size_t length)
{
    static char block[FILE_BYTES];

    for (unsigned i = 0; i < count; i++)
        COUNTED_REQUIRE(pread(fd, block, length, 0) == (ssize_t)length);
}

static void local_read_run(void)
{
    preads(2000, 1);
}

static void local_stat_run(void)
{
    struct stat st;

    for (unsigned i = 0; i < 2000; i++)
        COUNTED_REQUIRE(stat(local, &st) == 0);
}

static void local_open_run(void)
{
    for (unsigned i = 0; i < 2000; i++) {
        int opened = open(local, O_RDONLY);

        COUNTED_REQUIRE(opened >= 0 && close(opened) == 0);
    }
}

static void virtual_read_run(void)
{
    char block[FILE_BYTES];

    COUNTED_REQUIRE(lseek(fd, 0, SEEK_SET) == 0);
    for (unsigned i = 0; i < 64; i++)
        COUNTED_REQUIRE(read(fd, block, sizeof block) == sizeof block);
}

static void virtual_open_run(void)
{
    char block[FILE_BYTES];

    for (unsigned i = 0; i < 100; i++) {
        int opened = open(virtual, O_RDONLY);

        COUNTED_REQUIRE(opened >= 0);
        COUNTED_REQUIRE(read(opened, block, sizeof block) == sizeof block);
        COUNTED_REQUIRE(close(opened) == 0);
    }
}

static void virtual_stat_run(void)
{
    struct stat st;

    for (unsigned i = 0; i < 1000; i++)
        COUNTED_REQUIRE(stat(virtual, &st) == 0);
}

static void virtual_write_run(void)
{
    for (unsigned i = 0; i < 50; i++)
        make_file(virtual, FILE_BYTES);
}

static void directory_run(void)
{
    DIR *open_directory = opendir(directory);
    unsigned count = 0;

    COUNTED_REQUIRE(open_directory);
    while (readdir(open_directory))
        count++;
    closedir(open_directory);
    COUNTED_REQUIRE(count == FILES + 2);
}

int main(int argc, char **argv)
{
    static const struct counted table[] = {
        {"local file: 2,000 reads", local_prepare, local_read_run},
        {"local file: 2,000 times stat", local_prepare, local_stat_run},
        {"local file: 2,000 times open and close", local_prepare, local_open_run},
        {"virtual file: 64 reads of 4 KiB", virtual_prepare, virtual_read_run},
        {"virtual file: 100 times open, read and close", virtual_prepare, virtual_open_run},
        {"virtual file: 1,000 times stat", virtual_prepare, virtual_stat_run},
        {"virtual file: 50 times made", virtual_prepare, virtual_write_run},
        {"virtual directory of 100 files listed", directory_prepare, directory_run},
        {NULL, NULL, NULL},
    };

    return counted_main(argc, argv, table);
}
