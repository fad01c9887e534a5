/* When other processes of this user last changed names, so that no cache outlives a change nearby.
 *
 * One small table for each user and machine, mapped by everybody who touches virtual paths: a slot for
 * each hash of a name holds the time of the last change and how many there were. Who changes a name
 * notes it at the name and at every directory above; who answers from a cache asks whether another
 * process noted something since. Names that share a slot cost requests, never wrong answers. Without
 * a place for the table each process, with the children it forks, has one of its own.
 *
 * Part of attr_cache.c, under its mutex.
 */
#ifndef S3DLIO_CORE_ATTR_CACHE_SHARED_H
#define S3DLIO_CORE_ATTR_CACHE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct attr_shared;

/* What is noted of a name. */
enum attr_shared_kind {
    ATTR_SHARED_SELF,  /* the object of this name came, went, or is another */
    ATTR_SHARED_BELOW, /* something below it */
};

/* NULL without memory: then nothing is known of others. */
struct attr_shared *attr_shared_new(void);
void attr_shared_free(struct attr_shared *shared);

/* This process has changed the object of that name. */
void attr_shared_note(struct attr_shared *shared, enum attr_shared_kind kind, const char *name,
                      size_t length);
/* Has another one, at since_ns or later? */
bool attr_shared_changed(struct attr_shared *shared, enum attr_shared_kind kind, const char *name,
                         size_t length, int64_t since_ns);

#endif
