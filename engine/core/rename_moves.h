/* What became of the versions that the last renamed directory had, where copies have other ETags:
 * for files being written that follow their directory (RENAME_FOLLOW) and start from one of them.
 *
 * A leaf lock. Remembers MOVES_MAX versions of one directory; one that is not found is taken for
 * another version, which costs its writer an ERROR_CHANGED and nobody any bytes.
 */
#ifndef S3DLIO_CORE_RENAME_MOVES_H
#define S3DLIO_CORE_RENAME_MOVES_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/attr.h"
#include "core/tree.h"

#define MOVES_MAX 65536u

struct rename_move {
    uint64_t key_hash, etag_hash, copy_hash;
};

struct rename_moves {
    pthread_mutex_t lock;
    struct rename_move *moves; /* owned */
    size_t count;
};

void rename_moves_init(struct rename_moves *moves);
void rename_moves_fini(struct rename_moves *moves);
/* `source` was moved, all of it; each item's copy_hash is what the new directory has of it. */
void rename_moves_note(struct rename_moves *moves, const struct uri *directory,
                       const struct tree *source);
/* Is `after` what a directory's rename made of the version `before`, that was at `from`? */
bool rename_moves_has(struct rename_moves *moves, const struct uri *from, const struct attr *before,
                      const struct attr *after);

#endif
