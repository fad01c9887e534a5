/* An open file description as this process sees it: the engine's handle, the shared slot, the name.
 *
 * Files are type-stable: they come from chunks that are never freed, so a stale pointer always
 * points at a file. References: one for each descriptor of this process, one for each call in
 * progress, one for each stream or mapping that needs it. The last one closes the engine's handle;
 * file_close does so explicitly to return the result of an upload.
 *
 * A file that came with exec from another program (handover.h) sleeps: the engine, which may not
 * even be loaded, learns of it when somebody gets it.
 *
 * After fork the child's copy holds the same slot (file_fork_prepare saw to that) and its reader
 * goes on with connections of its own. What is written through a description is published when the
 * process that opened it closes it, and when its last holder does.
 */
#ifndef S3DLIO_SHIM_FILE_H
#define S3DLIO_SHIM_FILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "s3dlio.h"
#include "shim/arena.h"
#include "shim/path.h"

enum file_kind { FILE_READER = 1, FILE_STAGED, FILE_DIRECTORY, FILE_PATH };

struct directory; /* calls/dir_list.c */
struct staged;    /* staged.h */
struct backing;   /* calls/map.c */

struct file {
    _Atomic uint32_t refs;       /* 0: free */
    uint32_t index;              /* of this file among the chunks, from 1 */
    uint32_t next_free;          /* the free list's */
    _Atomic uint32_t generation; /* advances each time it is freed */
    enum file_kind kind;
    _Atomic bool sleeps;         /* file_get wakes it: reader or staged's handles are to come */
    struct arena_slot *slot;
    struct s3dlio_reader *reader;
    struct staged *staged;       /* FILE_STAGED: the content, which others of this path share */
    bool publishes;              /* by closing it: not when a path being written is only read */
    pid_t opener;                /* the process that opened it */
    struct directory *directory;
    struct backing *backing;     /* what its memory maps share */
    _Atomic int lock_fd;         /* calls/lock.c's, plus one; 0: no lock was asked for yet */
    struct s3dlio_attr attr;     /* as of open */
    char *path;                  /* canonical virtual path, as it was opened; owned */
    char *uri;                   /* owned */
};

/* The file of a virtual descriptor with a reference taken, or NULL. */
struct file *file_get(int fd);
/* The same, asleep if it is. */
struct file *file_look(int fd);
void file_put(struct file *file); /* NULL is fine; errors of a last close are reported once */
void file_ref(struct file *file);
/* The path as it is now. */
void file_path(struct file *file, char ret_path[PATH_VIRTUAL_MAX]);

/* A file with one reference, owned by the caller; path and uri copied. 0, -ENOMEM, -ENFILE. */
int file_new(enum file_kind kind, int flags, const char *path, const char *uri,
             struct file **ret_file);
/* The same on a slot that this process holds already. */
int file_new_again(enum file_kind kind, struct arena_slot *slot, const char *path, const char *uri,
                   struct file **ret_file);

/* Gives the file a descriptor: the lowest free number at or above `minimum`, a placeholder in the
 * kernel. Takes a reference of its own. Returns the descriptor or -errno. */
int file_install(struct file *file, int minimum, bool cloexec);
/* Makes `fd`, whose placeholder exists already (dup2, inherited), point at the file. */
int file_install_at(struct file *file, int fd);
static inline bool file_is_staged(const struct file *file)
{
    return file->kind == FILE_STAGED;
}
/* What was just opened will not be used: its close sends nothing. */
void file_discard(struct file *file);

/* Takes the descriptor out of the table (not out of the kernel); the table's reference becomes the
 * caller's. NULL when it is not ours. */
struct file *file_detach(int fd);

/* Drops the caller's reference to a detached file and, if that was the last of this process, may
 * publish: 0 or the -errno that close(2) has to return. */
int file_close(struct file *file);

/* Closes every virtual descriptor, for a program that will not know of them. Returns the first
 * error or 0. */
int file_close_all(void);
/* Is anything open in this process? */
bool file_any(void);

/* Around fork. */
int file_fork_prepare(void);       /* each slot gets the child as a holder; -EAGAIN: do not fork */
void file_fork_parent(pid_t pid);  /* as fork returned it: below 0, no child came to be */
void file_fork_child(void);

/* Calls back for each descriptor, with a reference held. Wakes nothing. */
void file_each(void (*visit)(int fd, struct file *file, void *arg), void *arg);

/* A descriptor of an inode that answers EBADF, ENXIO or ENOTDIR to everything, at or above
 * `minimum`. Returns it or -errno. */
int placeholder_open(int minimum, bool cloexec);

#endif
