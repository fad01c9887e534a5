/* When other processes of this user last changed names, so that no cache outlives a change nearby.
 *
 * One file for each user and machine, mapped by everybody who touches virtual paths. Who changes a
 * name notes it at the name and at every directory above; who answers from a cache asks whether
 * another process noted something since. Names are found by their hash: those that share a slot
 * cost requests, never wrong answers. Directories have a table of their own, because they are few:
 * what is written elsewhere, however much, hardly ever meets them, and a name is looked for only
 * when something in its directory has changed. Without a place for the file each process, with the
 * children it forks, has tables of its own.
 *
 * Beside them hints: directories that had a marker object lately (core/names_hint.c). Whoever takes
 * one asks the store, so that hints which are wrong, lost or another name's cost requests only.
 *
 * And the times of directories: when something directly in one was made, written or removed last,
 * as far as these processes did it. Stores keep none; programs tell by it that they have to look
 * again. It goes by the name alone, so that the same name at another endpoint shares it; where two
 * names share a slot the older time is lost.
 *
 * Part of attr_cache.c, under its mutex; hints and times need no lock.
 */
#ifndef S3DLIO_CORE_ATTR_CACHE_SHARED_H
#define S3DLIO_CORE_ATTR_CACHE_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct attr_shared;

/* NULL without memory: then nothing is known of others. */
struct attr_shared *attr_shared_new(void);
void attr_shared_free(struct attr_shared *shared);

/* This process has changed the object of that name, or (below) something below it. */
void attr_shared_note_name(struct attr_shared *shared, const char *name, size_t length);
void attr_shared_note_below(struct attr_shared *shared, const char *name, size_t length);

/* Has another process changed something below the directory, at since_ns or later? */
bool attr_shared_below_changed(struct attr_shared *shared, const char *directory, size_t length,
                               int64_t since_ns);
/* The object of that name, in a directory whose name has so many bytes? Also true when this process
 * did it, while others were busy there. */
bool attr_shared_name_changed(struct attr_shared *shared, const char *name, size_t length,
                              size_t directory_length, int64_t since_ns);

/* A name by its hash (attr_inode): sets the hint or clears it. */
void attr_shared_set_hint(struct attr_shared *shared, uint64_t hash, bool has_marker);
/* Set within the last ATTR_HINT_S seconds, and not overwritten by a name of the same slot? */
bool attr_shared_has_hint(struct attr_shared *shared, uint64_t hash);

#define ATTR_HINT_S 600u

/* The directory of that name (none without length) changes now: its time is later than before. */
void attr_shared_note_time(struct attr_shared *shared, const char *name, size_t length);
/* By its inode (attr_inode). Leaves *ret_time alone when none is known. */
void attr_shared_get_time(struct attr_shared *shared, uint64_t inode, struct timespec *ret_time);

#endif
