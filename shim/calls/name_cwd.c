/* Where a process stands and what a path is called: chdir, getcwd, realpath.
 *
 * When the working directory becomes virtual, the kernel's moves to a deleted empty directory, the
 * innermost of a chain of deleted ones, so that a relative name that is not intercepted, even one
 * with many `..`, gives ENOENT and never reaches a real file. From one virtual directory to another
 * the kernel's stays where it is.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/link.h"
#include "shim/calls/name.h"
#include "shim/calls/process.h"
#include "shim/calls/stat.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/real.h"
#include "shim/report.h"
#include "shim/start.h"

/* ---- the kernel's working directory meanwhile ---- */

#define LIMBO_DEPTH 16

static const char *environment_value(const char *name)
{
    size_t length = strlen(name);
    for (char *const *entry = start_environment(); entry && *entry; entry++)
        if (!strncmp(*entry, name, length) && (*entry)[length] == '=' && (*entry)[length + 1])
            return *entry + length + 1;
    return NULL;
}

/* Makes a 0700 directory in `place` with LIMBO_DEPTH more inside each other, opens the innermost
 * and deletes all. Returns the descriptor or -errno. */
static int limbo_make(const char *place)
{
    char name[PATH_MAX];
    int length = snprintf(name, sizeof name, "%s/.s3dlio-XXXXXX", place);
    if (length < 0 || length + 2 * LIMBO_DEPTH >= (int)sizeof name)
        return -ENAMETOOLONG;
    if (!REAL(mkdtemp)(name))
        return -errno;
    int depth = 0;
    while (depth < LIMBO_DEPTH) {
        memcpy(name + length + 2 * depth, "/d", 3);
        if (REAL(mkdir)(name, 0700) < 0)
            break;
        depth++;
    }
    name[length + 2 * depth] = '\0';
    int fd = REAL(open)(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    int result = depth < LIMBO_DEPTH || fd < 0 ? -errno : fd;
    for (; depth >= 0; depth--) {
        name[length + 2 * depth] = '\0';
        if (REAL(rmdir)(name) < 0 && result >= 0)
            result = -errno;
    }
    if (result < 0 && fd >= 0)
        REAL(close)(fd);
    return result;
}

static int limbo_enter(void)
{
    const char *places[] = {environment_value("XDG_RUNTIME_DIR"), "/dev/shm",
                            environment_value("TMPDIR"), "/tmp", "/var/tmp"};
    int result = -ENOENT;
    for (unsigned i = 0; i < sizeof places / sizeof *places; i++) {
        if (!places[i] || places[i][0] != '/' || path_maybe(places[i]))
            continue;
        int fd = limbo_make(places[i]);
        if (fd < 0) {
            result = fd;
            continue;
        }
        result = REAL(fchdir)(fd) < 0 ? -errno : 0;
        REAL(close)(fd);
        if (!result)
            return 0;
    }
    report_line("chdir into a bucket needs a writable /dev/shm, $TMPDIR or /tmp: %s",
                strerror(-result));
    return result;
}

static int directory_check(const void *path)
{
    struct s3dlio_attr attr;
    int result = stat_followed(path, &attr);
    return result < 0 || attr.type == S3DLIO_DIRECTORY ? result : -ENOTDIR;
}

/* A vfork child's is not its parent's. */
static void cwd_set(const char *virtual_path)
{
    if (process_is_vfork_child())
        path_set_child_cwd(virtual_path);
    else
        path_set_cwd(virtual_path);
}

static int cwd_become(const char *virtual_path)
{
    int result = path_cwd()[0] ? 0 : limbo_enter();
    if (!result)
        cwd_set(virtual_path);
    return result;
}

int name_chdir(const struct vpath *path)
{
    int result = process_is_vfork_child() ? process_apart(directory_check, path)
                                          : directory_check(path);
    return result < 0 ? result : cwd_become(path->path);
}

static int name_fchdir(int fd)
{
    struct file *file = file_get(fd);
    int result = !file ? -EBADF : file->kind != FILE_DIRECTORY ? -ENOTDIR : cwd_become(file->path);
    file_put(file);
    return result;
}

static int cwd_is_real(int result)
{
    if (!result && path_cwd()[0])
        cwd_set(NULL);
    return result;
}

int chdir(const char *path)
{
    struct vpath resolved;
    int result = path_classify(AT_FDCWD, path, &resolved);
    if (likely(!result))
        return cwd_is_real(REAL(chdir)(path));
    int saved = errno;
    if (result > 0)
        LINK_FOLLOW(&resolved, LINK_AT_END, result, name_chdir(&resolved));
    if (result == LINK_TO_REAL)
        return cwd_is_real(REAL(chdir)(resolved.path));
    return (int)entry_return(saved, result);
}

int fchdir(int fd)
{
    if (likely(!fdtab_is_virtual(fd)))
        return cwd_is_real(REAL(fchdir)(fd));
    int saved = errno;
    return (int)entry_return(saved, name_fchdir(fd));
}

/* ---- getcwd ---- */

char *getcwd(char *buffer, size_t size)
{
    const char *cwd = path_cwd();
    if (likely(!cwd[0]))
        return REAL(getcwd)(buffer, size);
    size_t needed = strlen(cwd) + 1;
    if (!size && buffer) {
        errno = EINVAL;
        return NULL;
    }
    if (size && size < needed) {
        errno = ERANGE;
        return NULL;
    }
    if (!buffer)
        buffer = malloc(size ? size : needed);
    return buffer ? memcpy(buffer, cwd, needed) : NULL;
}

char *__getcwd_chk(char *buffer, size_t size, size_t room)
{
    if (likely(!path_cwd()[0]) || size > room)
        return REAL(__getcwd_chk)(buffer, size, room);
    return getcwd(buffer, size);
}

/* $PWD is kept when it names the same directory; ours has one name. */
char *get_current_dir_name(void)
{
    return likely(!path_cwd()[0]) ? REAL(get_current_dir_name)() : getcwd(NULL, 0);
}

char *getwd(char *buffer)
{
    return likely(!path_cwd()[0]) ? REAL(getwd)(buffer) : getcwd(buffer, PATH_MAX);
}

char *__getwd_chk(char *buffer, size_t room)
{
    return likely(!path_cwd()[0]) ? REAL(__getwd_chk)(buffer, room) : getcwd(buffer, room);
}

/* ---- realpath ---- */

static char *realpath_virtual(int result, struct vpath *path, char *buffer)
{
    struct s3dlio_attr attr;
    int saved = errno;
    if (result > 0)
        LINK_FOLLOW(path, LINK_AT_END, result, stat_followed(path, &attr));
    if (result == LINK_TO_REAL)
        return REAL(realpath)(path->path, buffer);
    if (entry_return(saved, result) < 0)
        return NULL;
    size_t size = strlen(path->path) + 1;
    if (!buffer)
        buffer = malloc(size);
    return buffer ? memcpy(buffer, path->path, size) : NULL;
}

char *realpath(const char *path, char *buffer)
{
    struct vpath resolved;
    int result = path_classify_follow(AT_FDCWD, path, &resolved);
    if (likely(!result))
        return REAL(realpath)(path, buffer);
    return realpath_virtual(result, &resolved, buffer);
}

char *__realpath_chk(const char *path, char *buffer, size_t room)
{
    if (room < PATH_MAX)
        return REAL(__realpath_chk)(path, buffer, room); /* aborts, as it has to */
    return realpath(path, buffer);
}

char *canonicalize_file_name(const char *path)
{
    return realpath(path, NULL);
}
