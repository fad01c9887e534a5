/* Whose turn it is to append to an object, among the processes of one user on this machine.
 *
 * Where the store takes conditions on what it stores, this only saves tries: those that append at
 * once come one after the other instead of finding out by refusals. Where it does not, it is what
 * keeps them apart from the look at what is there up to the put; other machines are not kept apart
 * then, which is said once.
 */
#ifndef S3DLIO_CORE_APPEND_TURN_H
#define S3DLIO_CORE_APPEND_TURN_H

#include <stdbool.h>

#include "base/uri.h"
#include "core/limits.h"

struct store;

struct append_turn {
    int fd; /* of the lock file (core/lock_file.h); -1: none is held */
    struct store *store;
    struct uri uri;
};

#define APPEND_TURN_NONE ((struct append_turn){.fd = -1})

/* Does the store not refuse by itself to put something in the place of another version? */
bool append_turn_is_needed(const struct store *store);
/* Waits for it; where it is not needed no more than a second, and 0 whether it came or not. One
 * that is held stays. 0, or what ends the call, or -ENOLCK. */
int append_turn_take(struct append_turn *turn, struct store *store, const struct uri *uri,
                     const struct limits *limits, struct error *err);
/* A try has ended with r, the one before was overtaken for `reason`: when there was no time left,
 * that says more. */
int append_turn_judge(int r, const struct error *reason, struct error *err);
void append_turn_give(struct append_turn *turn);

#endif
