/* How a changed object goes back to its store: which bytes the store copies from the version it
 * has, and which are sent. Pure functions.
 *
 * Every part but the last has at least 5 MiB and at most 5 GiB, and there are at most 10,000. A
 * changed run that is too short for a part takes bytes of its unchanged neighbours, which have to
 * be fetched then; an unchanged run that is too short for one is sent. When the changes are so
 * scattered that the parts would be too many, longer unchanged runs are sent, too.
 */
#ifndef S3DLIO_CORE_DRAFT_PLAN_H
#define S3DLIO_CORE_DRAFT_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/extents.h"

struct draft_plan_limits {
    uint64_t part_min_bytes, part_max_bytes;
    unsigned parts_max;
    uint64_t upload_bytes; /* preferred size of a sent part, of a copied part */
    uint64_t copy_bytes;
    uint64_t single_max_bytes; /* objects up to this are sent in one request */
    bool can_copy;
    bool equal_parts; /* all parts but the last have one size */
};

struct draft_part {
    uint64_t offset, length;
    bool is_copy;
};

struct draft_plan {
    struct draft_part *parts; /* ascending, without gaps; none: the object is empty */
    size_t count, capacity;
    bool is_single; /* one request with the whole object: one part or none */
};

/* 0; -ENOMEM; -EFBIG when no parts within the limits hold the length. */
int draft_plan_make(struct draft_plan *plan, const struct extents *extents,
                    const struct draft_plan_limits *limits);
/* One more part, behind the others. 0 or -ENOMEM. */
int draft_plan_add(struct draft_plan *plan, uint64_t offset, uint64_t length, bool is_copy);
void draft_plan_fini(struct draft_plan *plan);

#endif
