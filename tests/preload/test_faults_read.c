/* Reading and listing, while the server goes wrong: see fault_cases.h. */
#include "tests/preload/fault_table.h"

#include <dirent.h>

#define SMALL 1000
#define LARGE ((3 << 20) + 77)
#define FILES 5

static void make(const char *name, size_t length)
{
    preload_make(case_path(name), length);
}

static void small_file(void)
{
    make("file", SMALL);
}

static void large_file(void)
{
    make("file", LARGE);
}

static void several_files(void)
{
    for (unsigned i = 0; i < FILES; i++) {
        char name[8];
        snprintf(name, sizeof name, "%u", i);
        make(name, i);
    }
}

static int check(int fd, size_t length)
{
    static unsigned char chunk[100000];
    size_t at = 0;
    ssize_t got;
    while ((got = read(fd, chunk, sizeof chunk)) > 0) {
        if (!preload_matches(chunk, (size_t)got, at))
            return -WRONG_BYTES;
        at += (size_t)got;
    }
    if (got < 0)
        return -errno;
    return at == length ? 0 : -WRONG_BYTES;
}

static int read_whole(size_t length)
{
    int fd = open(case_path("file"), O_RDONLY);
    if (fd < 0)
        return -errno;
    int r = check(fd, length);
    if (close(fd) < 0 && r == 0)
        r = -errno;
    return r;
}

static int read_small(void)
{
    return read_whole(SMALL);
}

static int read_large(void)
{
    return read_whole(LARGE);
}

static int read_here_and_there(void)
{
    static const off_t offsets[] = {LARGE - 500, 1 << 20, 77, 2 << 20};
    unsigned char bytes[400];
    int fd = open(case_path("file"), O_RDONLY), r = fd < 0 ? -errno : 0;
    for (unsigned i = 0; r == 0 && i < sizeof offsets / sizeof *offsets; i++) {
        ssize_t got = pread(fd, bytes, sizeof bytes, offsets[i]);
        if (got < 0)
            r = -errno;
        else if (got != sizeof bytes || !preload_matches(bytes, sizeof bytes, (uint64_t)offsets[i]))
            r = -WRONG_BYTES;
    }
    if (fd >= 0)
        close(fd);
    return r;
}

static int list(void)
{
    unsigned seen = 0;
    DIR *dir = opendir(case_path(""));
    if (!dir)
        return -errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(dir));)
        seen += entry->d_name[0] != '.';
    int r = errno ? -errno : seen == FILES ? 0 : -WRONG_BYTES;
    closedir(dir);
    return r;
}

static int look(void)
{
    struct stat st;
    if (stat(case_path("file"), &st) < 0)
        return -errno;
    return st.st_size == SMALL ? 0 : -WRONG_BYTES;
}

static const struct operation operations[] = {
    {"read-small", small_file, read_small, NULL, false, false, false},
    {"read-large", large_file, read_large, NULL, false, false, false},
    {"read-here-and-there", large_file, read_here_and_there, NULL, false, false, false},
    {"list", several_files, list, NULL, false, false, false},
    {"stat", small_file, look, NULL, false, false, false},
};

int main(void)
{
    return fault_tests("faults_read", operations, sizeof operations / sizeof *operations);
}
