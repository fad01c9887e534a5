/* Which paths are ours, and what they are called there.
 *
 * The mounts are frozen in the constructor. The miss path looks at the first two bytes of a path,
 * takes no lock and allocates nothing; pointers into the first 68 KiB are never read. Resolution is
 * textual: `.`, `..` and empty components go, `..` stops at the mount's root. Symbolic links come
 * after that, and only where a path did not mean anything by itself: calls/link.h.
 */
#ifndef S3DLIO_SHIM_PATH_H
#define S3DLIO_SHIM_PATH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct options;

#define PATH_VIRTUAL_MAX 1536 /* bytes with NUL: mount, bucket and the longest key */
#define PATH_URI_MAX 1600

/* A virtual name, resolved. */
struct vpath {
    char path[PATH_VIRTUAL_MAX]; /* canonical: "/s3/bucket/key", no slash at the end */
    char uri[PATH_URI_MAX];      /* "s3://bucket/key", with a slash at the end if wants_directory */
    bool wants_directory;        /* the program wrote a slash (or /.) at the end */
    unsigned links;              /* how many symbolic links were followed to get here */
};

/* Reads S3DLIO_MOUNTS and adds the schemes' own prefixes. Returns 0 or -ENOMEM/-EINVAL. */
int path_init(const struct options *options);

struct path_filter {
    bool first[256];  /* first byte of a relative path that may be a URI ("s3:/…") or lead from a
                       * directory above a mount into it ("s3/…", "../s3/…") */
    bool second[256]; /* second byte of an absolute path */
    bool relative;    /* the working directory is virtual */
    bool proc;        /* "/proc/self/fd/N" and "/dev/fd/N" may be ours */
};
extern struct path_filter path_filter;

#define PATH_UNREAD ((uintptr_t)(64 + 4) << 10)

/* The cheap test: false for nearly every path that is not ours. dirfd-relative paths need
 * fdtab_is_virtual(dirfd) besides. */
static inline bool path_maybe(const char *path)
{
    if (__builtin_expect((uintptr_t)path < PATH_UNREAD, 0))
        return false;
    if (path[0] == '/')
        return path_filter.second[(unsigned char)path[1]];
    return path_filter.relative || path_filter.first[(unsigned char)path[0]];
}

/* 1: virtual, *ret_path filled. 0: not ours, the real call decides. -ENAMETOOLONG, as the kernel
 * from PATH_MAX on, whatever is left of the path when it is resolved; -ENOTDIR for a relative path
 * on a virtual descriptor that is no directory; -ENOENT for the empty path (unless the caller
 * handles AT_EMPTY_PATH before). */
int path_resolve(int dirfd, const char *path, struct vpath *ret_path);

/* path_maybe and path_resolve, dirfd included; what canonical operations start with. */
int path_classify(int dirfd, const char *path, struct vpath *ret_path);

/* The same for calls that follow links: /proc/self/fd/N and its like (proc.h) lead to the virtual
 * file. */
int path_classify_follow(int dirfd, const char *path, struct vpath *ret_path);

/* From now on such links may stand for something virtual; path_maybe lets them through. */
void path_watch_proc(void);

/* A link in the way: the first `link_bytes` of path->uri name it. *path becomes what `target` leads
 * to, with the rest of the path behind it: 1. 0: that is a real path, absolute, in path->path; its
 * uri means nothing. -ENAMETOOLONG. */
int path_through_link(struct vpath *path, size_t link_bytes, const char *target);

/* The same for a canonical virtual path (working directory, stored names): fills uri. */
int path_from_virtual(const char *virtual_path, struct vpath *ret_path);
/* May something of that name be made? -ENAMETOOLONG for more than NAME_MAX bytes behind the last
 * slash: what others have made with a longer one can be opened, renamed and removed. */
int path_check_new(const struct vpath *path);

/* Appends one component; -ENAMETOOLONG. */
int path_join(const struct vpath *directory, const char *name, struct vpath *ret_path);

/* The virtual working directory: "" when it is real. Set by chdir/fchdir (calls/name_cwd.c). */
void path_set_cwd(const char *virtual_path); /* "" or NULL: back to real */
const char *path_cwd(void);
/* In a vfork child, whose memory is the parent's: for this process alone. */
void path_set_child_cwd(const char *virtual_path);

/* The i-th mount's prefix, or NULL behind the last. */
const char *path_mount(unsigned index);

#endif
