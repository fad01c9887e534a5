/* Files that this process is writing, found by their path, so that it sees their size and existence
 * before anybody else, and so that all that open one path here have one draft between them.
 *
 * A staged file is a stream (an upload in sequence) or a draft (random access). A stream becomes a
 * draft when its program does what a stream cannot. Open files hold one reference each; a shared writable map holds one until the process ends, because nobody sees what is written
 * through it.
 *
 * Only the process that opened a staged file may use it: a fork child's copies are dropped unused.
 */
#ifndef S3DLIO_SHIM_STAGED_H
#define S3DLIO_SHIM_STAGED_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "s3dlio.h"
#include "shim/arena.h"

struct staged {
    struct staged *next;                  /* the registry's, under its lock, as are refs and mapped */
    unsigned refs;
    bool mapped;                          /* one of the references is held until the end */
    char *path;                           /* canonical virtual path; owned */
    pid_t pid;                            /* whose it is */
    struct arena_slot *order;             /* lends its lock: writes that move the end, one by one */
    _Atomic(struct s3dlio_draft *) draft; /* NULL: a stream */
    struct s3dlio_writer *writer;         /* its file's; NULL for a draft, and at the end */
    uint64_t length_bytes;                /* of a stream without its writer */
    struct s3dlio_write_options options;  /* as it was opened; no pointers in it */
    struct s3dlio_attr attr;              /* all but the size; the time moves with writes */
    _Atomic int error;                    /* sticky negative errno of a failed write */
    _Atomic bool is_discarded;            /* unlinked, or never to be: nothing is published any more */
};

/* Staged files of this process; without any, no call takes a lock. */
extern _Atomic unsigned staged_count;

static inline bool staged_any(void)
{
    return atomic_load_explicit(&staged_count, memory_order_relaxed) != 0;
}

/* A staged file with one reference, the caller's. Takes the draft over; of drafts of one path that
 * two threads open at once, one is dropped, and both get the other. -ENOMEM, -ENFILE. */
int staged_new(const char *path, const char *uri, const struct s3dlio_write_options *options,
               const struct s3dlio_attr *attr, struct s3dlio_draft *draft,
               struct s3dlio_writer *writer, struct staged **ret_staged);
/* The staged file of that path, a draft rather than a stream, with a reference; or NULL. */
struct staged *staged_find(const char *path);
/* Calls back for each that has a name, under a lock: `visit` does not wait, and calls nothing of this
 * header. It ends when `visit` says false. */
struct staged_view {
    const char *path;
    struct s3dlio_attr attr;
};
void staged_each(bool (*visit)(const struct staged_view *view, void *arg), void *arg);
void staged_ref(struct staged *staged);
/* Gives a reference back; the last one drops what was not published. NULL is fine. */
void staged_put(struct staged *staged);

/* What stat says of a path that this process is writing; false when it is not. */
bool staged_stat(const char *path, struct s3dlio_attr *ret_attr);
uint64_t staged_length(struct staged *staged);
/* Attributes were set: they show from now on. */
void staged_set_attr(struct staged *staged, const struct s3dlio_attr *attr);
/* Written to now. */
void staged_touch(struct staged *staged);

/* Makes a draft of a stream; its writer is gone then, so the caller sees to it that nobody uses it.
 * -EOPNOTSUPP, said to people, when bytes that it has sent are not kept. */
int staged_make_draft(struct staged *staged);
/* Makes what is written so far the object; nothing is sent when nothing has changed. */
int staged_publish(struct staged *staged);
/* The stream's writer is about to go. */
void staged_writer_gone(struct staged *staged);
/* The name is being removed: nothing written under it is published. True if there was something. */
bool staged_unlink(const char *path);

/* A map keeps the staged file until the end. */
void staged_hold_for_map(struct staged *staged);
/* Publishes what maps wrote to: at the end of the process, msync, exec. The first error or 0. */
int staged_publish_maps(void);

/* Around fork. */
void staged_fork_prepare(void);
void staged_fork_parent(void);
void staged_fork_child(void);

#endif
