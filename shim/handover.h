/* What a program hands to the one that it executes: virtual descriptors that are not close-on-exec,
 * the virtual working directory, its place in the arena.
 *
 * It is written to a sealed memfd, whose number goes into one environment variable. That is a hint
 * and no more: the new program's constructor takes it out of its environment and believes nothing
 * that it has not looked at: owner, size, seals, the process's number, each descriptor's inode,
 * each index. What does not hold is left aside, as if nothing had been said.
 *
 * The engine is loaded when one of the files is first used (file_get).
 */
#ifndef S3DLIO_SHIM_HANDOVER_H
#define S3DLIO_SHIM_HANDOVER_H

#include <stdbool.h>

#include "shim/file.h"

struct handover {
    int fd;
    char variable[48]; /* "NAME=value", for the new program's environment */
};

/* A descriptor that the next program gets. */
struct handed {
    int fd;          /* its number there */
    int placeholder; /* a descriptor here that it is a duplicate of */
    struct file *file;
};

/* Calls back for each virtual descriptor that exec leaves open, a reference held, until one call
 * returns other than 0, which is returned. Wakes nothing. */
int handover_each(int (*visit)(int fd, struct file *file, void *arg), void *arg);

/* Just before exec, after all that is handed over was made ready (staged_share): nothing that
 * belongs to it is close-on-exec any more. Allocates nothing. 0, -EOPNOTSUPP where the arena or a
 * draft has no descriptor, -EPERM where they are another user's, -EMFILE … */
int handover_begin(struct handover *ret_handover);
/* The exec failed: as it was before. */
void handover_undo(const struct handover *handover);

/* The same for a child that somebody else makes, and which executes the program: with `count`
 * descriptors, and `child` for its record. All stay close-on-exec here; `visit` is called for those
 * that the child has to leave open besides the letter: the arena, the token, locks and drafts. */
int handover_write(const struct handed *handed, unsigned count, const struct arena_child *child,
                   struct handover *ret_handover);
int handover_each_fd(const struct handed *handed, unsigned count,
                     const struct arena_child *child, int (*visit)(int fd, void *arg), void *arg);

/* In the constructor. */
void handover_adopt(char **environment);

/* Of a file that came and has not been used yet: `fd` is close-on-exec from now on, and closing
 * ranges go around it. */
void handover_keep(int fd);
/* Is it one of those? */
bool handover_keeps(int fd);
/* They are somebody else's now, or closed. */
void handover_release(const int fds[2]);

#endif
