/* Configuration files and profiles as text: reading them, and cutting them into assignments.
 *
 * Reads with plain system calls and a cap, and never waits: a pipe or a device in the place of a
 * file is an error, not a hang. Knows nothing about options. */
#include "config/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* A regular file, or /dev/null, which people give for "no file". */
static int files_check(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0)
        return -errno;
    if (S_ISDIR(st.st_mode))
        return -EISDIR;
    if (S_ISREG(st.st_mode))
        return st.st_size > (off_t)FILES_MAX_BYTES ? -EFBIG : 0;
    return S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3) ? 0 : -EINVAL;
}

/* Everything up to the end of the file, at most `size` bytes; bytes read or -errno. */
static ssize_t files_read_all(int fd, char *text, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t n = read(fd, text + length, size - length);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        if (n == 0)
            break;
        length += (size_t)n;
    }
    return (ssize_t)length;
}

int files_read(const char *path, char **ret_text)
{
    char *text = NULL;
    ssize_t length;
    int fd, rc;

    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    rc = files_check(fd);
    if (rc < 0)
        goto out;
    rc = -ENOMEM;
    text = malloc(FILES_MAX_BYTES + 2);
    if (!text)
        goto out;
    length = files_read_all(fd, text, FILES_MAX_BYTES + 1);
    rc = length < 0 ? (int)length : (size_t)length > FILES_MAX_BYTES ? -EFBIG : 0;
    if (rc < 0)
        goto out;
    text[length] = '\0';
    *ret_text = text;
    text = NULL;
out:
    free(text);
    close(fd);
    return rc;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Without the blanks around it; ends it in place. */
static char *trim(char *text)
{
    size_t length;

    while (is_blank(*text))
        text++;
    length = strlen(text);
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    text[length] = '\0';
    return text;
}

/* A # begins a comment at the start of a line or after a blank, so that values may hold one. */
static void cut_comment(char *line)
{
    for (char *p = line; *p; p++)
        if (*p == '#' && (p == line || is_blank(p[-1]))) {
            *p = '\0';
            return;
        }
}

void files_each_line(char *text, files_line_fn *line, void *arg)
{
    unsigned number = 0;

    while (text) {
        char *next = strchr(text, '\n'), *value;

        number++;
        if (next)
            *next++ = '\0';
        cut_comment(text);
        text = trim(text);
        value = strchr(text, '=');
        if (value)
            *value++ = '\0';
        if (*text || value)
            line(arg, number, trim(text), value ? trim(value) : NULL);
        text = next;
    }
}
