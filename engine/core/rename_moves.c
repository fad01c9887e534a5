/* A list that is searched once for each open file. See rename_moves.h. */
#include "core/rename_moves.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void rename_moves_init(struct rename_moves *moves)
{
    *moves = (struct rename_moves){.lock = PTHREAD_MUTEX_INITIALIZER};
}

void rename_moves_fini(struct rename_moves *moves)
{
    free(moves->moves);
    moves->moves = NULL;
    moves->count = 0;
}

static uint64_t hash_key(const struct uri *directory, const char *name)
{
    char text[URI_BUCKET_MAX + 2 * URI_KEY_MAX + 2];

    snprintf(text, sizeof text, "%s/%s%s", directory->bucket, directory->key, name);
    return tree_etag_hash(text);
}

void rename_moves_note(struct rename_moves *moves, const struct uri *directory,
                       const struct tree *source)
{
    size_t count = 0, most = source->count < MOVES_MAX ? source->count : MOVES_MAX;
    struct rename_move *list = most ? malloc(most * sizeof *list) : NULL;

    for (size_t i = 0; list && i < source->count && count < most; i++) {
        const struct tree_item *item = &source->items[i];

        if (item->etag_hash != item->copy_hash)
            list[count++] = (struct rename_move){hash_key(directory, tree_name(source, i)),
                                                 item->etag_hash, item->copy_hash};
    }
    pthread_mutex_lock(&moves->lock);
    free(moves->moves);
    moves->moves = list;
    moves->count = count;
    pthread_mutex_unlock(&moves->lock);
}

bool rename_moves_has(struct rename_moves *moves, const struct uri *from, const struct attr *before,
                      const struct attr *after)
{
    struct rename_move wanted = {hash_key(from, ""), tree_etag_hash(before->etag),
                                 tree_etag_hash(after->etag)};
    bool found = wanted.etag_hash == wanted.copy_hash;

    pthread_mutex_lock(&moves->lock);
    for (size_t i = 0; i < moves->count && !found; i++)
        found = moves->moves[i].key_hash == wanted.key_hash &&
                moves->moves[i].etag_hash == wanted.etag_hash &&
                moves->moves[i].copy_hash == wanted.copy_hash;
    pthread_mutex_unlock(&moves->lock);
    return found;
}
