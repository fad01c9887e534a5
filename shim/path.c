/* Mounts and the textual resolution of paths; see path.h.
 *
 * Invariant: mounts are sorted by length of prefix, longest first, so that the first match wins;
 * they never change after path_init. The working directory is a process-wide string as the kernel's
 * is; changing it while another thread resolves relative names is a race in any program, and here
 * it yields the old or the new directory, because the two strings are switched by one pointer.
 */
#include "shim/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/file.h"
#include "shim/proc.h"

struct path_filter path_filter;

#define MOUNTS_MAX 64

struct mount {
    char *prefix; /* "/s3", no slash at the end */
    size_t prefix_length;
    char *uri;    /* what the rest of the path is appended to: "s3://" or "s3://bucket/prefix" */
};

static struct {
    struct mount mounts[MOUNTS_MAX];
    unsigned count;
    _Atomic(char *) cwd; /* NULL: real */
} paths;

/* Schemes that are paths by themselves. */
static const struct {
    const char *scheme, *prefix, *uri;
} schemes[] = {
    {"s3:", "/s3", "s3://"},
    {"gs:", "/gs", "gs://"},
    {"az:", "/az", "az://"},
    {"file:", "/file", "file:///"},
    {"direct:", "/direct", "direct:///"},
};
#define SCHEME_COUNT (sizeof schemes / sizeof *schemes)

static int mount_add(const char *prefix, size_t length, const char *uri, size_t uri_length)
{
    while (length > 1 && prefix[length - 1] == '/')
        length--;
    while (uri_length > 1 && uri[uri_length - 1] == '/' && uri[uri_length - 2] != '/')
        uri_length--;
    if (length < 2 || prefix[0] != '/' || paths.count == MOUNTS_MAX)
        return -EINVAL;
    char *prefix_copy = strndup(prefix, length), *uri_copy = strndup(uri, uri_length);
    if (!prefix_copy || !uri_copy) {
        free(prefix_copy);
        free(uri_copy);
        return -ENOMEM;
    }

    unsigned at = 0;
    while (at < paths.count && paths.mounts[at].prefix_length >= length)
        at++;
    memmove(&paths.mounts[at + 1], &paths.mounts[at], (paths.count - at) * sizeof *paths.mounts);
    paths.mounts[at] = (struct mount){prefix_copy, length, uri_copy};
    paths.count++;
    path_filter.second[(unsigned char)prefix_copy[1]] = true;
    for (const char *slash = prefix_copy; slash; slash = strchr(slash + 1, '/'))
        path_filter.first[(unsigned char)slash[1]] = true; /* from a directory above it */
    return 0;
}

/* "/data=s3://bucket/prefix,/models=s3://models" */
static int mounts_parse(const char *text)
{
    while (*text) {
        size_t length = strcspn(text, ",");
        const char *equals = memchr(text, '=', length);
        int result = equals ? mount_add(text, (size_t)(equals - text), equals + 1,
                                        length - (size_t)(equals + 1 - text))
                            : -EINVAL;
        if (result < 0)
            return result;
        text += length;
        text += *text == ',';
    }
    return 0;
}

int path_init(const struct options *options)
{
    const char *text = option_text(options, MOUNTS);
    int result = text ? mounts_parse(text) : 0;
    for (unsigned i = 0; i < SCHEME_COUNT; i++) {
        mount_add(schemes[i].prefix, strlen(schemes[i].prefix), schemes[i].uri,
                  strlen(schemes[i].uri));
        path_filter.first[(unsigned char)schemes[i].scheme[0]] = true;
    }
    path_filter.first['.'] = true;  /* "../s3/…" */
    path_filter.second['/'] = true; /* "//s3/…" */
    path_filter.second['.'] = true; /* "/./s3/…" */
    return result;
}

static const struct mount *mount_find(const char *path)
{
    for (unsigned i = 0; i < paths.count; i++) {
        const struct mount *mount = &paths.mounts[i];
        if (!strncmp(path, mount->prefix, mount->prefix_length) &&
            (path[mount->prefix_length] == '/' || !path[mount->prefix_length]))
            return mount;
    }
    return NULL;
}

/* A canonical path under construction: absolute, no slash at the end, "" is the root. */
struct walk {
    char *text;
    size_t length;
    size_t floor; /* `..` does not go below: the length of the mount's prefix */
    bool ends_in_slash;
};

static void walk_up(struct walk *walk)
{
    while (walk->length > walk->floor && walk->text[--walk->length] != '/')
        ;
    walk->text[walk->length] = '\0';
}

static int walk_down(struct walk *walk, const char *name, size_t length)
{
    if (walk->length + 1 + length >= PATH_VIRTUAL_MAX)
        return -ENAMETOOLONG;
    walk->text[walk->length++] = '/';
    memcpy(walk->text + walk->length, name, length);
    walk->length += length;
    walk->text[walk->length] = '\0';
    if (!walk->floor) {
        const struct mount *mount = mount_find(walk->text);
        if (mount && mount->prefix_length == walk->length)
            walk->floor = walk->length;
    }
    return 0;
}

static int walk_along(struct walk *walk, const char *path)
{
    while (*path) {
        size_t length = strcspn(path, "/");
        bool dot = length == 1 && path[0] == '.';
        bool up = length == 2 && path[0] == '.' && path[1] == '.';
        int result = 0;
        if (up)
            walk_up(walk);
        else if (length && !dot)
            result = walk_down(walk, path, length);
        if (result < 0)
            return result;
        path += length;
        walk->ends_in_slash = dot || up || *path == '/';
        path += *path == '/';
    }
    return 0;
}

/* Would the local store come back here? Then the name is none of ours: to programs that look for
 * "file:///s3/bucket" as for any name (git clone) it is not there, as it is to the kernel. */
static bool leads_back(const char *uri)
{
    bool is_local = !strncmp(uri, "file:///", 8) || !strncmp(uri, "direct:///", 10);
    return is_local && mount_find(strchr(uri, '/') + 2);
}

int path_from_virtual(const char *virtual_path, struct vpath *ret_path)
{
    const struct mount *mount = mount_find(virtual_path);
    if (!mount)
        return 0;
    const char *rest = virtual_path + mount->prefix_length;
    size_t uri_length = strlen(mount->uri);
    rest += *rest == '/' && mount->uri[uri_length - 1] == '/';
    if (ret_path->path != virtual_path)
        snprintf(ret_path->path, sizeof ret_path->path, "%s", virtual_path);
    int length = snprintf(ret_path->uri, sizeof ret_path->uri, "%s%s%s", mount->uri, rest,
                          ret_path->wants_directory && *rest ? "/" : "");
    if (length >= (int)sizeof ret_path->uri)
        return -ENAMETOOLONG;
    return !leads_back(ret_path->uri);
}

/* "s3://b/k", "s3:/b/k": the rest behind scheme and slashes; NULL when it is no URI of ours. */
static const char *uri_rest(const char *path, const char **ret_prefix)
{
    for (unsigned i = 0; i < SCHEME_COUNT; i++) {
        size_t length = strlen(schemes[i].scheme);
        if (!strncmp(path, schemes[i].scheme, length) && path[length] == '/') {
            *ret_prefix = schemes[i].prefix;
            return path + length;
        }
    }
    return NULL;
}

/* Where a relative path starts: NULL when that is a real directory. */
static const char *base_of(int dirfd, const struct file *directory)
{
    if (dirfd == AT_FDCWD)
        return path_cwd()[0] ? path_cwd() : NULL;
    return directory ? directory->path : NULL;
}

/* Might the path lead from a real directory to a mount? Then it begins, behind dots, with the
 * mount's last components. */
static bool leads_to_mount(const char *path)
{
    while (path[0] == '/' || (path[0] == '.' && (path[1] == '/' || path[1] == '.')))
        path++;
    for (unsigned i = 0; i < paths.count; i++)
        for (const char *tail = paths.mounts[i].prefix; tail; tail = strchr(tail, '/')) {
            size_t length = strlen(++tail);
            if (!strncmp(path, tail, length) && (!path[length] || path[length] == '/'))
                return true;
        }
    return false;
}

static int resolve_from(const char *base, const char *path, struct vpath *ret_path)
{
    struct walk walk = {.text = ret_path->path};
    ret_path->path[0] = '\0';
    ret_path->links = 0;
    if (base) {
        int result = walk_along(&walk, base);
        if (result < 0)
            return result;
    }
    walk.ends_in_slash = false;
    int result = walk_along(&walk, path);
    if (!walk.floor) /* whatever happened, it did not happen below a mount */
        return 0;
    if (result < 0)
        return result;
    if (strnlen(path, PATH_MAX) == PATH_MAX)
        return -ENAMETOOLONG;
    ret_path->wants_directory = walk.ends_in_slash;
    return path_from_virtual(ret_path->path, ret_path);
}

static int resolve_from_real(int dirfd, const char *path, struct vpath *ret_path)
{
    char base[PATH_VIRTUAL_MAX];
    int saved = errno;
    bool found = proc_directory(dirfd, base);
    errno = saved;
    return found ? resolve_from(base, path, ret_path) : 0;
}

int path_resolve(int dirfd, const char *path, struct vpath *ret_path)
{
    const char *prefix = NULL;
    if (path[0] == '/')
        return resolve_from(NULL, path, ret_path);
    const char *rest = uri_rest(path, &prefix);
    if (rest)
        return resolve_from(prefix, rest, ret_path);

    struct file *directory = dirfd == AT_FDCWD ? NULL : file_get(dirfd);
    const char *base = base_of(dirfd, directory);
    int result = 0;
    if (base && !path[0])
        result = -ENOENT;
    else if (directory && directory->kind != FILE_DIRECTORY)
        result = -ENOTDIR;
    else if (base)
        result = resolve_from(base, path, ret_path);
    else if (unlikely(leads_to_mount(path)))
        result = resolve_from_real(dirfd, path, ret_path);
    file_put(directory);
    return result;
}

int path_classify(int dirfd, const char *path, struct vpath *ret_path)
{
    if (path_maybe(path) || (dirfd != AT_FDCWD && (uintptr_t)path >= PATH_UNREAD &&
                             path[0] != '/' && fdtab_is_virtual(dirfd)))
        return path_resolve(dirfd, path, ret_path);
    return 0;
}

/* "/p…" and "/d…" pass the filter once there is something to find behind them. */
void path_watch_proc(void)
{
    if (path_filter.proc)
        return;
    path_filter.second['p'] = path_filter.second['d'] = true;
    path_filter.proc = true;
}

int path_classify_follow(int dirfd, const char *path, struct vpath *ret_path)
{
    if (unlikely(path_filter.proc) && path_maybe(path) && path[0] == '/' &&
        proc_target(path, ret_path->path)) {
        ret_path->wants_directory = false;
        ret_path->links = 0;
        return path_from_virtual(ret_path->path, ret_path);
    }
    return path_classify(dirfd, path, ret_path);
}

/* Puts a real path into a vpath. */
static int path_become_real(struct vpath *path, const char *text)
{
    size_t length = strlen(text);
    if (length >= sizeof path->path)
        return -ENAMETOOLONG;
    memcpy(path->path, text, length + 1);
    return 0;
}

int path_through_link(struct vpath *path, size_t link_bytes, const char *target)
{
    char text[PATH_MAX], directory[PATH_VIRTUAL_MAX];
    const char *prefix, *tail = path->uri + link_bytes;
    size_t tail_length = strlen(tail), end = strlen(path->path);
    unsigned links = path->links;
    if (path->wants_directory) /* its slash is no part of path->path */
        end++;
    if (snprintf(text, sizeof text, "%s%s", target, tail) >= (int)sizeof text)
        return -ENAMETOOLONG;
    memcpy(directory, path->path, sizeof directory);
    directory[end - tail_length] = '\0';
    *strrchr(directory, '/') = '\0';

    bool starts_anew = target[0] == '/' || uri_rest(target, &prefix);
    int result = starts_anew ? path_resolve(AT_FDCWD, text, path)
                             : resolve_from(directory, text, path);
    path->links = links + 1;
    return result ? result : path_become_real(path, text);
}

int path_check_new(const struct vpath *path)
{
    const char *slash = strrchr(path->path, '/');
    return slash && strlen(slash + 1) > NAME_MAX ? -ENAMETOOLONG : 0;
}

int path_join(const struct vpath *directory, const char *name, struct vpath *ret_path)
{
    size_t length = strlen(directory->path), name_length = strlen(name);
    if (length + 1 + name_length >= PATH_VIRTUAL_MAX)
        return -ENAMETOOLONG;
    memmove(ret_path->path, directory->path, length);
    ret_path->path[length] = '/';
    memcpy(ret_path->path + length + 1, name, name_length + 1);
    ret_path->wants_directory = false;
    ret_path->links = 0;
    int result = path_from_virtual(ret_path->path, ret_path);
    return result < 0 ? result : 0;
}

void path_set_cwd(const char *virtual_path)
{
    bool is_virtual = virtual_path && virtual_path[0];
    char *copy = is_virtual ? strdup(virtual_path) : NULL;
    if (copy)
        path_watch_proc();
    /* The old string stays allocated: another thread may be reading it. chdir is rare. */
    atomic_store(&paths.cwd, copy);
    path_filter.relative = copy != NULL;
}

/* A vfork child runs on its parent's thread, which waits meanwhile. */
static _Thread_local struct {
    pid_t pid;
    char *path;
} child_cwd __attribute__((tls_model("initial-exec")));

void path_set_child_cwd(const char *virtual_path)
{
    free(child_cwd.path);
    child_cwd.pid = getpid();
    child_cwd.path = strdup(virtual_path ? virtual_path : "");
    if (virtual_path)
        path_filter.relative = true; /* stays, and costs the parent a look */
}

const char *path_cwd(void)
{
    const char *cwd = atomic_load(&paths.cwd);
    if (__builtin_expect(child_cwd.path && child_cwd.pid == getpid(), 0))
        cwd = child_cwd.path;
    return cwd ? cwd : "";
}

const char *path_mount(unsigned index)
{
    return index < paths.count ? paths.mounts[index].prefix : NULL;
}
