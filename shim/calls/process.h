/* Processes: what fork copies, what exec and spawn may hand on. Functions return 0 or -errno unless
 * they say otherwise. */
#ifndef S3DLIO_SHIM_CALLS_PROCESS_H
#define S3DLIO_SHIM_CALLS_PROCESS_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "shim/path.h"

/* An open virtual file, or a virtual working directory. */
bool process_has_virtual(void);

/* Between a real vfork and its exec or _exit: memory, and with it every table here, is the
 * parent's. Nothing of ours may be changed then. */
bool process_is_vfork_child(void);

/* fork by the given call, with everything of ours made ready for it. `keep_fd` survives in the
 * child, other vfork pipes do not; -1 for none. As fork(2): -1 with errno. */
pid_t process_fork(pid_t (*real)(void), int keep_fd);

/* What vfork jumps to; for the assembly only. */
void *process_vfork_target(void);

/* One line on stderr: `program` cannot be started with `path` as descriptor `fd`, and what to write
 * instead. Returns -EOPNOTSUPP. */
int process_refuse_fd(const char *program, int fd, const char *path, bool writes);
/* The same for a virtual working directory. */
int process_refuse_cwd(const char *program);

/* Ends the uploads that this process owns: exec closes their descriptors, all close-on-exec. The
 * first error, or the number of uploads ended. */
int process_uploads_complete(void);

/* A program or script in a bucket: what to give to the real execve instead. */
struct image {
    char path[PATH_MAX];     /* interpreter, /proc/self/fd/N of a copy in memory, or what a link
                              * in the bucket leads to outside of it */
    char head[256];          /* the script's first line; the next two point into it */
    const char *interpreter; /* NULL for a binary */
    const char *argument;    /* of the interpreter; NULL for none */
    const char *script;      /* becomes argv[1] or argv[2] of the interpreter; a virtual path */
    int fd;                  /* the copy, or -1 */
};
/* -EACCES without permission, -ENOEXEC for neither script nor ELF. image_fini after success. */
int image_init(const struct vpath *path, struct image *ret_image);
void image_fini(struct image *image);
/* Room that image_arguments needs for `count` arguments, argv[0] included, in pointers. */
#define IMAGE_EXTRA 4
void image_arguments(const struct image *image, char *const argv[], const char **ret_argv);

#endif
