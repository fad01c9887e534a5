/* Files that are being written, found by their path, so that the process tree sees their size and
 * existence before anybody else, and so that all that open one path here have one content between
 * them.
 *
 * What the tree shares is an arena_node: name, length, attributes, what became of it. A process
 * that has a part in the content itself has a `struct staged` for the node, with the engine's
 * handle: a stream (an upload in sequence), which becomes a draft when somebody does what a stream
 * cannot, or a draft (random access). Open files and mappings hold a reference each.
 *
 * A draft is shared with children by fork, and with the programs that they execute. A stream stays
 * with the process that opened it; a child has a copy without a handle, which cannot be read or
 * written. Other processes see the node by its name and nothing of its content.
 *
 * Locking: the arena's table lock covers references, names, and which process has what. node->order
 * is held over whatever moves the length or changes the stream, as the kernel holds an inode's
 * lock.
 */
#ifndef S3DLIO_SHIM_STAGED_H
#define S3DLIO_SHIM_STAGED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "s3dlio_shim.h"
#include "shim/arena.h"
#include "shim/path.h"

struct staged {
    unsigned refs;
    _Atomic unsigned maps; /* how many of them are those of writable mappings */
    pid_t mapper;          /* the process that mapped it last; 0: none did */
    struct arena_node *node;
    pid_t pid;                              /* whose handles these are */
    _Atomic(struct s3dlio_draft *) draft;   /* once there, it stays */
    _Atomic(struct s3dlio_writer *) writer; /* a stream's, until it ends; under node->order */
    _Atomic bool sleeps; /* a draft from the program before, which the engine is to take over */
    int files[2];        /* that it does this from */
};

/* Staged files of this process. */
extern _Atomic unsigned staged_count;

static inline bool staged_any_own(void)
{
    return atomic_load_explicit(&staged_count, memory_order_relaxed) != 0;
}

/* Is any process of the tree writing anything? Without, no call here takes a lock. */
static inline bool staged_any(void)
{
    return arena_any_node();
}

/* ---- life ---- */

/* References are counted for the thread that gets or gives them, but for those of files and of maps
 * in their list: in_call.h. */

/* A staged file with one reference, the caller's; of draft and writer one is NULL. `uri` gives the
 * file number if attr has none. -EAGAIN: another thread opened this path meanwhile, look again;
 * -ENOMEM, -ENFILE. Takes draft or writer over when it succeeds. */
int staged_new(const char *path, const char *uri, const struct s3dlio_attr *attr,
               struct s3dlio_draft *draft, struct s3dlio_writer *writer,
               struct staged **ret_staged);
/* The same for a draft that is not found by its name, and not published while it has no other one:
 * which it may have, or never (`is_secret`). */
int staged_new_nameless(const struct vpath *path, const struct s3dlio_attr *attr, bool is_secret,
                        struct s3dlio_draft *draft, struct staged **ret_staged);
/* The one of that path whose content this process has a part in, with a reference; or NULL. */
struct staged *staged_find(const char *path);
void staged_ref(struct staged *staged);
/* Gives a reference back; NULL is fine. The last one of all processes publishes what was not
 * published yet, if `publishes`: 0 or the error. */
int staged_put(struct staged *staged, bool publishes);

/* ---- what stat says ---- */

/* Of a path that a process of the tree is writing; false when none is. */
bool staged_stat(const char *path, struct s3dlio_attr *ret_attr);
/* Calls back for each that any process of the tree is writing and that has a name, under a lock:
 * `visit` does not wait, and calls nothing of this header. It ends when `visit` says false. A name
 * may come twice, when processes write it apart from each other. */
struct staged_view {
    const char *path;
    struct s3dlio_attr attr;
};
void staged_each(bool (*visit)(const struct staged_view *view, void *arg), void *arg);
void staged_attr(const struct staged *staged, struct s3dlio_attr *ret_attr);
/* The path as it is now. */
void staged_path(const struct staged *staged, char ret_path[PATH_VIRTUAL_MAX]);
/* Attributes were set: they show from now on. */
void staged_set_attr(struct staged *staged, const struct s3dlio_attr *attr);
/* The content was changed, and is this long now. */
void staged_changed(struct staged *staged, uint64_t length_bytes);

/* ---- content ---- */

/* Can this process get at the content? Not at a stream of another process. */
bool staged_is_ours(const struct staged *staged);
uint64_t staged_length(const struct staged *staged);
int staged_order(struct staged *staged); /* its value is the next one's argument */
void staged_unorder(struct staged *staged, int locked);
/* Makes a draft of a stream; node->order is held or taken. 0; -EOPNOTSUPP when bytes that it has
 * sent are not kept, or the stream is another process's: the caller says so. */
int staged_make_draft(struct staged *staged);
/* Nothing is in it from now on, whatever can be said of its stream. node->order is held or
 * taken. */
int staged_empty(struct staged *staged);
/* Makes what is written so far the object; nothing is sent when nothing has changed. */
int staged_publish(struct staged *staged);
/* For whoever has got a lock: what others have published meanwhile, unless something has been
 * changed here. 0 or -errno. */
int staged_refresh(struct staged *staged);
/* The last file of a stream goes: ends the upload, if it is this process's. Nothing for a draft. */
int staged_end_stream(struct staged *staged);

/* ---- names ---- */

/* The name was removed: nothing written under it is published, by no process. True if there was
 * something. Order is held of what this process has of it, so that nothing is on its way. */
bool staged_unlink(const char *path);
/* As staged_find, with its order held, so that nothing of it is on its way to the store: what other
 * threads are closing is at its end, and not found any more. Give it back with what is in
 * *ret_locked. */
struct staged *staged_take(const char *path, int *ret_locked);
void staged_give(struct staged *staged, int locked); /* NULL is fine */
/* It has this name from now on, and the file number of that; what had the name before is
 * unlinked. */
void staged_take_name(struct staged *staged, const struct vpath *path);
/* Opening it did not succeed: if nobody else has it, nothing is published. */
void staged_discard_new(struct staged *staged);

/* ---- mappings, and the end of a process ---- */

/* A writable mapping takes a reference, or gives it back: when nothing else of this process has the
 * file, what was written is published. 0 or its error. */
void staged_map(struct staged *staged);
int staged_unmap(struct staged *staged);
/* At the end of the process, and before exec: publishes what mappings wrote to, and what is still
 * open in calls that another thread never came back from, or that fork copied. The first error or
 * 0. */
int staged_publish_rest(void);

/* ---- exec ---- */

/* Before it. What is handed over: staged_share. Of the rest, which ends here: streams and what no
 * other process has are published, and what mappings wrote to; writing may go on if exec fails. */
int staged_settle(bool (*is_handed)(const struct staged *staged, void *arg), void *arg);
/* The two descriptors that the next program takes a draft over from. -EOPNOTSUPP: it is a stream,
 * or has none. */
int staged_handles(const struct staged *staged, int ret_fds[2]);
/* In a program that is told of it: a part in the node, which somebody holds who stays until this is
 * done, with a reference. 1: it sleeps, and the descriptors are its own now. 0: this process had
 * such a part already, and they are the caller's. -ENOMEM. */
int staged_adopt(struct arena_node *node, const int fds[2], struct staged **ret_staged);
/* The engine takes it over. One that nobody else has and in which nothing is becomes a stream
 * again, if it `streams`. Order is held or taken. Done by file_get, staged_find, staged_take and
 * publishing. */
int staged_wake(struct staged *staged, bool streams);

/* ---- fork ---- */

/* Before it: children are to have a part in this, a stream becomes a draft. What appends to an
 * object, and has sent parts that are not kept, stays this process's. */
void staged_share(struct staged *staged);
/* In the child, which the arena knows. */
void staged_fork_child(void);
/* In the child no reference is known, then one more for each call (NULL is fine); and, where it may
 * wait, those end that have none. */
void staged_found_none(void);
void staged_found(struct staged *staged);
void staged_found_end(void);

#endif
