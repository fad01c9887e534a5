/* What the links of descriptors stand for; see proc.h. */
#include "shim/proc.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/file.h"
#include "shim/real.h"
#include "shim/staged.h"

static const char *after(const char *path, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(path, prefix, length) ? NULL : path + length;
}

/* Behind "/proc/self/" and what else names this process there; NULL otherwise. */
static const char *proc_self(const char *path)
{
    const char *rest = after(path, "/proc/");
    if (!rest)
        return NULL;
    const char *self = after(rest, "self/");
    self = self ? self : after(rest, "thread-self/");
    if (self || *rest < '1' || *rest > '9')
        return self;
    char *end;
    long pid = strtol(rest, &end, 10);
    return *end == '/' && pid == getpid() ? end + 1 : NULL;
}

/* The N of /proc/self/fd/N and its like; -1 for any other path. */
static int proc_fd(const char *path)
{
    static const struct {
        const char *path;
        int fd;
    } streams[] = {{"/dev/stdin", 0}, {"/dev/stdout", 1}, {"/dev/stderr", 2}};
    for (unsigned i = 0; i < sizeof streams / sizeof *streams; i++)
        if (!strcmp(path, streams[i].path))
            return streams[i].fd;
    const char *digits = after(path, "/dev/fd/");
    if (!digits) {
        const char *self = proc_self(path);
        digits = self ? after(self, "fd/") : NULL;
    }
    if (!digits || *digits < '0' || *digits > '9')
        return -1;
    char *end;
    long fd = strtol(digits, &end, 10);
    return *end || fd > INT_MAX ? -1 : (int)fd;
}

struct file *proc_file(const char *path)
{
    int fd = proc_fd(path);
    return fd < 0 ? NULL : file_get(fd);
}

int proc_target(const char *path, char ret_target[PATH_VIRTUAL_MAX])
{
    const char *self = proc_self(path);
    if (self && !strcmp(self, "cwd") && path_cwd()[0]) {
        snprintf(ret_target, PATH_VIRTUAL_MAX, "%s", path_cwd());
        return 1;
    }
    struct file *file = proc_file(path);
    if (!file)
        return 0;
    file_path(file, ret_target);
    if (file->staged && file->staged->node->is_discarded)
        strncat(ret_target, " (deleted)", PATH_VIRTUAL_MAX - 1 - strlen(ret_target));
    file_put(file);
    return 1;
}

bool proc_directory(int dirfd, char ret_path[PATH_VIRTUAL_MAX])
{
    char link[32] = "/proc/self/cwd";
    if (dirfd != AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
    ssize_t length = REAL(readlink)(link, ret_path, PATH_VIRTUAL_MAX - 1);
    if (length <= 0 || ret_path[0] != '/')
        return false;
    ret_path[length] = '\0';
    return true;
}
