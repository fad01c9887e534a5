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
 * A reader stands for one version. A lock may put another one in its place (calls/lock.c): calls
 * take it by file_reader_begin, and the old one is closed when none of them has it.
 *
 * After fork the child's copy holds the same slot (file_fork_prepare saw to that) and its reader
 * goes on with connections of its own. What is written through a description is published when the
 * process that opened it closes it, when its last holder does, and by whoever closes it while it is
 * on its way in a message, which may never be received.
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
struct retired;   /* file.c */

struct file {
    _Atomic uint32_t refs;       /* 0: free */
    uint32_t index;              /* of this file among the chunks, from 1 */
    uint32_t next_free;          /* the free list's */
    _Atomic uint32_t generation; /* advances each time it is freed */
    enum file_kind kind;
    _Atomic bool sleeps;         /* file_get wakes it: reader or staged's handles are to come */
    struct arena_slot *slot;
    _Atomic(struct s3dlio_reader *) reader; /* of the version that is open: file_reader_begin */
    _Atomic uint32_t reader_users;          /* calls that are at work with it */
    uint32_t found;                         /* references that a fork child has found */
    struct retired *retired;     /* readers that one of them may have; under the slot's lock */
    struct staged *staged;       /* FILE_STAGED: the content, which others of this path share */
    bool is_out;                 /* its last reference went, and with it this process's hold */
    bool publishes;              /* by closing it: not when a path being written is only read */
    pid_t opener;                /* the process that opened it */
    struct directory *directory;
    struct backing *backing;     /* what its memory maps share */
    _Atomic int lock_fd;         /* calls/lock.c's, plus one; 0: no lock was asked for yet */
    struct s3dlio_attr attr;     /* as of open, or (of a reader) of the program before: file_attr */
    char *path;                  /* canonical virtual path, as it was opened; owned */
    char *uri;                   /* owned */
};

/* The file of a virtual descriptor with a reference taken, or NULL. References are counted for the
 * thread that gets or gives them: in_call.h. */
struct file *file_get(int fd);
/* The same, asleep if it is. */
struct file *file_look(int fd);
void file_put(struct file *file); /* NULL is fine; errors of a last close are reported once */
void file_ref(struct file *file);
/* This process's file of that slot, with a reference taken, asleep if it is; or NULL. */
struct file *file_of_slot(const struct arena_slot *slot);
/* The path as it is now. */
void file_path(struct file *file, char ret_path[PATH_VIRTUAL_MAX]);

/* The engine's reader for the length of a call, NULL where there is none; end it in any case. What
 * a lock puts in its place meanwhile is the next call's. */
struct s3dlio_reader *file_reader_begin(struct file *file);
void file_reader_end(struct file *file);
/* Takes `reader` over: the version that the file shows from now on. Under the slot's lock. */
void file_reader_replace(struct file *file, struct s3dlio_reader *reader);
/* What is open, as of open or of the last file_reader_replace; of a staged file as of open. */
void file_attr(struct file *file, struct s3dlio_attr *ret_attr);

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

/* The process ends, and nothing is written through the detached file: the lock on it is given back.
 * All else of it goes with the process. */
void file_leave(struct file *file);

/* Closes every virtual descriptor, for a program that will not know of them. Returns the first
 * error or 0. */
int file_close_all(void);
/* Is anything open in this process? */
bool file_any(void);

/* Around fork. */
int file_fork_prepare(void);       /* each slot gets the child as a holder; -EAGAIN: do not fork */
void file_fork_parent(pid_t pid);  /* as fork returned it: below 0, no child came to be */
void file_fork_child(void);
/* In the child, where it may wait: what none but other threads of the parent had ends as if they had
 * given it back. */
void file_fork_child_end(void);
/* For map_each and dir_each_file, once for each reference; NULL is fine. */
void file_found(struct file *file);

/* Calls back for each descriptor, with a reference held. Wakes nothing. */
void file_each(void (*visit)(int fd, struct file *file, void *arg), void *arg);

/* A descriptor of an inode that answers EBADF, ENXIO or ENOTDIR to everything, at or above
 * `minimum`. Returns it or -errno. */
int placeholder_open(int minimum, bool cloexec);
/* Does it look like one, of whatever process? */
bool placeholder_is(int fd);

#endif
