/* Where each byte of a file under construction is: an ordered map of byte ranges.
 *
 * The map covers [0, length) without gaps. A mark is one number, the start of an extent and its
 * kind; the extent ends where the next begins. Neighbours of one kind are always joined, so the
 * count of marks follows how scattered the changes are and not how many there were.
 *
 * Plain data in memory of the owner's, no lock. A change needs room for two more marks at most: the
 * owner sees to that beforehand, and the changes themselves cannot fail then.
 */
#ifndef S3DLIO_CORE_EXTENTS_H
#define S3DLIO_CORE_EXTENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum extent_kind {
    EXTENT_BASE,  /* as in the version that is at the store, and only there */
    EXTENT_CLEAN, /* as there, and in the spool */
    EXTENT_DIRTY, /* in the spool, and different */
    EXTENT_ZERO,  /* zeros that are not at the store */
    EXTENT_SENT,  /* only in an upload that is not complete: neither read nor changed before that */
};

#define EXTENT_KIND_BITS 3u /* of a mark; above them is where the extent starts */

struct extent {
    uint64_t start, end;
    enum extent_kind kind;
};

struct extents {
    uint64_t *marks; /* the owner's, with room for what is to come */
    size_t count;
    uint64_t length_bytes;
};

#define EXTENTS_ROOM ((size_t)4) /* marks that two changes need at most */

/* The extent that holds `offset`, which is below the length. */
struct extent extents_at(const struct extents *extents, uint64_t offset);
/* Makes [start, end) of one kind; end is at most the length. */
void extents_set(struct extents *extents, uint64_t start, uint64_t end, enum extent_kind kind);
/* Cuts off, or appends an extent of this kind. */
void extents_resize(struct extents *extents, uint64_t length_bytes, enum extent_kind kind);
/* What is there is the base from now on: what is in the spool is clean, and all else is the
 * base's. */
void extents_rebase(struct extents *extents);
/* Bytes of [start, end) that are of one of the kinds, given as a mask of 1 << kind. */
uint64_t extents_sum(const struct extents *extents, uint64_t start, uint64_t end, unsigned kinds);

static inline bool extent_is_local(enum extent_kind kind)
{
    return kind == EXTENT_CLEAN || kind == EXTENT_DIRTY;
}

#endif
