/* The work of renaming a directory: many copies, many deletions, several under way at once. */
#ifndef S3DLIO_CORE_RENAME_WORK_H
#define S3DLIO_CORE_RENAME_WORK_H

#include "core/tree.h"

#define RENAME_WORK_TODO UINT64_MAX /* as an item's copy_hash: it is to be copied */

struct rename_work {
    struct engine *engine;
    const struct limits *limits;
    const struct uri *from, *to; /* their keys end in '/' */
    struct tree *tree;           /* names below `from` */
};

/* Copies every item that is to be copied; its copy_hash becomes that of the ETag that the store
 * answers. What has gone or changed since it was listed is left to the next listing. */
int rename_work_copy(struct rename_work *work, struct error *err);
/* Deletes every item below `from`, the marker (the first) last. */
int rename_work_delete(struct rename_work *work, struct error *err);

#endif
