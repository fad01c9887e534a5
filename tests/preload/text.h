/* Small files of text below the test root, by name: for tests of names rather than bytes. */
#ifndef S3DLIO_TESTS_PRELOAD_TEXT_H
#define S3DLIO_TESTS_PRELOAD_TEXT_H

#include "tests/preload/preload.h"

#include <dirent.h>

/* What two kinds of writing there are: from beginning to end, and where one likes. */
static inline int text_access(unsigned kind)
{
    return kind % 2 ? O_RDWR : O_WRONLY;
}

#define FOR_EACH_ACCESS(name) for (unsigned name = 0; name < 2; name++)

static inline int text_open(const char *name, int flags)
{
    int fd = open(preload_path(name), flags, 0644);
    if (fd < 0)
        fail_msg("%s: %s", name, strerror(errno));
    return fd;
}

static inline void text_add(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

/* A new file that is still open, with this in it so far. */
static inline int text_begin(const char *name, int access, const char *text)
{
    int fd = text_open(name, access | O_CREAT | O_TRUNC);
    text_add(fd, text);
    return fd;
}

static inline void text_put(const char *name, const char *text)
{
    assert_int_equal(close(text_begin(name, O_WRONLY, text)), 0);
}

static inline void text_is(const char *name, const char *text)
{
    char buffer[256] = "";
    int fd = text_open(name, O_RDONLY);
    ssize_t length = read(fd, buffer, sizeof buffer - 1);
    assert_int_equal(close(fd), 0);
    if (length < 0 || strcmp(buffer, text))
        fail_msg("%s: \"%s\" (%zd); expected \"%s\"", name, buffer, length, text);
}

static inline bool text_exists(const char *name)
{
    struct stat st;
    return !lstat(preload_path(name), &st);
}

/* -1: not there. */
static inline off_t text_size(const char *name)
{
    struct stat st;
    return lstat(preload_path(name), &st) < 0 ? -1 : st.st_size;
}

static inline nlink_t text_links(int fd)
{
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_nlink;
}

static inline int text_move(const char *from, const char *to)
{
    return rename(preload_path(from), preload_path(to));
}

static inline int text_remove(const char *name)
{
    return unlink(preload_path(name));
}

/* An empty directory of that name, whatever was there. */
static inline void text_directory(const char *name)
{
    if (mkdir(preload_path(name), 0755) < 0)
        fail_msg("%s: %s", name, strerror(errno));
}

/* How many names it shows, but for "." and "..". */
static inline int text_entries(const char *directory)
{
    int count = 0;
    DIR *stream = opendir(preload_path(directory));
    assert_non_null(stream);
    while (readdir(stream))
        count++;
    closedir(stream);
    return count - 2;
}

#endif
