/* Renaming a directory: copies, checks, deletions, each of many keys at a time. See rename.h.
 *
 *   1. The marker of the new directory is written: the old one's metadata and JOURNAL, the old key.
 *   2. Rounds: both sides are listed; what the new one lacks is copied. A round that finds nothing
 *      lacking has checked everything: sizes, and ETags that are the source's or those that the
 *      store answered to our copies. What was added or changed meanwhile is copied in the next.
 *   3. The old keys are deleted, in batches where the store can, the marker last.
 *   4. The new marker is written without JOURNAL, or removed when the old directory had none.
 *
 * A kill leaves the old directory whole up to 3, and the new one whole from there on. A repeat
 * finds JOURNAL and goes on; after 3 only 4 is left, by rename_tree_end.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/copy.h"
#include "core/engine.h"
#include "core/marked.h"
#include "core/rename.h"
#include "core/rename_work.h"
#include "core/tree.h"

#define JOURNAL "s3dlio-renamed-from"
#define ROUNDS  5u

struct moving {
    struct engine *engine;
    const struct limits *limits;
    struct uri from, to;            /* markers: keys ending in '/' */
    struct store_metadata metadata; /* of the marker, without JOURNAL */
    bool source_marker, resumed;
    struct tree source, target; /* as listed in this round */
    struct tree before;         /* the source of the last round, with what copies answered */
};

static void moving_free(struct moving *moving)
{
    store_metadata_fini(&moving->metadata);
    tree_fini(&moving->source);
    tree_fini(&moving->target);
    tree_fini(&moving->before);
    free(moving);
}

static int moving_new(struct engine *engine, const struct uri *from, const struct uri *to,
                      const struct limits *limits, struct moving **ret_moving, struct error *err)
{
    struct moving *moving;

    if (strlen(from->key) >= URI_KEY_MAX || strlen(to->key) >= URI_KEY_MAX)
        return error_set(err, ERROR_TOO_LONG, "the key of the directory is too long");
    moving = calloc(1, sizeof *moving);
    if (!moving)
        return error_set(err, ERROR_NO_MEMORY, "renaming a directory");
    moving->engine = engine;
    moving->limits = limits;
    moving->from = *from;
    moving->to = *to;
    strcat(moving->from.key, "/");
    strcat(moving->to.key, "/");
    *ret_moving = moving;
    return 0;
}

/* ---- the marker of the new directory --------------------------------------------------------- */

/* The metadata of a marker. ERROR_NOT_FOUND when there is no marker. */
static int read_marker(const struct moving *moving, const struct uri *marker,
                       struct store_metadata *ret_metadata, struct error *err)
{
    struct call *head = call_new(moving->engine, STORE_HEAD, marker, moving->limits, err);
    int r;

    if (!head)
        return -error_errno(err);
    r = call_run(head, moving->limits, err);
    if (r == 0 && store_metadata_copy(&head->request.object.metadata, ret_metadata) < 0)
        r = error_set(err, ERROR_NO_MEMORY, "reading a directory's marker");
    call_delete(head);
    return r;
}

static int put_marker(const struct moving *moving, const struct store_metadata *metadata,
                      struct error *err)
{
    struct call *call = call_new(moving->engine, STORE_PUT, &moving->to, moving->limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    call->request.metadata = metadata;
    call->request.content_type = "application/x-directory";
    r = call_run(call, moving->limits, err);
    call_delete(call);
    return r;
}

static int write_journal(struct moving *moving, struct error *err)
{
    struct store_metadata metadata = {0};
    struct store_object object = {.metadata = moving->metadata};
    struct attr attr;
    int r = store_metadata_copy(&moving->metadata, &metadata);

    if (r == 0)
        r = store_metadata_set(&metadata, JOURNAL, moving->from.key);
    if (r < 0) {
        error_set_errno(err, -r, "renaming a directory");
    } else {
        attr_from_object(&object, &moving->to, &attr);
        if (attr.has)
            r = marked_require(moving->engine, &moving->to, moving->limits, err);
        if (r == 0)
            r = put_marker(moving, &metadata, err);
    }
    store_metadata_fini(&metadata);
    return r;
}

static int delete_marker(const struct moving *moving, struct error *err)
{
    struct call *call = call_new(moving->engine, STORE_DELETE, &moving->to, moving->limits, err);
    int r;

    if (!call)
        return -error_errno(err);
    r = call_run(call, moving->limits, err);
    call_delete(call);
    return r;
}

/* Is the new directory one that this very renaming has begun? Then its marker's metadata is
 * ours. */
static int find_journal(struct moving *moving, struct error *err)
{
    struct store_metadata metadata = {0};
    const char *from;
    int r = read_marker(moving, &moving->to, &metadata, err);

    if (r < 0)
        return err->class == ERROR_NOT_FOUND ? 0 : r;
    from = store_metadata_get(&metadata, JOURNAL);
    if (from && strcmp(from, moving->from.key) == 0) {
        store_metadata_set(&metadata, JOURNAL, NULL);
        store_metadata_fini(&moving->metadata);
        moving->metadata = metadata;
        moving->resumed = true;
        return 1;
    }
    store_metadata_fini(&metadata);
    return 0;
}

/* ---- rounds ---------------------------------------------------------------------------------- */

static int list_both(struct moving *moving, struct error *err)
{
    int r;

    tree_fini(&moving->before);
    moving->before = moving->source;
    moving->source = (struct tree){0};
    tree_fini(&moving->target);
    r = tree_list(moving->engine, &moving->from, moving->limits, &moving->source, err);
    return r < 0 ? r : tree_list(moving->engine, &moving->to, moving->limits, &moving->target, err);
}

/* The item of that name, from *at on, which moves there; NULL when there is none. */
static const struct tree_item *find(const struct tree *tree, size_t *at, const char *name)
{
    int order = -1;

    while (*at < tree->count && (order = strcmp(tree_name(tree, *at), name)) < 0)
        ++*at;
    return *at < tree->count && order == 0 ? &tree->items[*at] : NULL;
}

/* Which items does the target lack? Their copy_hash becomes RENAME_WORK_TODO, that of the others
 * what the target has. The number of those, or -ENAMETOOLONG. */
static long plan(struct moving *moving, struct error *err)
{
    size_t in_target = 0, in_before = 0, room = URI_KEY_MAX - strlen(moving->to.key);
    long lacking = 0;

    for (size_t i = 0; i < moving->source.count; i++) {
        struct tree_item *item = &moving->source.items[i];
        const char *name = tree_name(&moving->source, i);
        const struct tree_item *there = find(&moving->target, &in_target, name);
        const struct tree_item *before = find(&moving->before, &in_before, name);
        bool ours = there && before && before->etag_hash == item->etag_hash && before->copy_hash &&
                    before->copy_hash == there->etag_hash;

        if (strlen(name) > room)
            return error_set(err, ERROR_TOO_LONG, "the new name of %.100s is too long", name);
        item->copy_hash = there ? there->etag_hash : 0;
        if (!name[0]) {
            moving->source_marker = true;
        } else if (!there || there->size_bytes != item->size_bytes ||
                   (!ours && there->etag_hash != item->etag_hash)) {
            item->copy_hash = RENAME_WORK_TODO;
            lacking++;
        }
    }
    return lacking;
}

static struct rename_work work_of(struct moving *moving)
{
    return (struct rename_work){
        .engine = moving->engine,
        .limits = moving->limits,
        .from = &moving->from,
        .to = &moving->to,
        .tree = &moving->source,
    };
}

static int copy_rounds(struct moving *moving, struct error *err)
{
    struct rename_work work = work_of(moving);

    for (unsigned round = 0; round < ROUNDS; round++) {
        long lacking = plan(moving, err);
        int r = lacking < 0 ? (int)lacking : 0;

        if (lacking == 0)
            return 0;
        if (r == 0)
            r = rename_work_copy(&work, err);
        if (r == 0)
            r = list_both(moving, err);
        if (r < 0)
            return r;
    }
    return error_set(err, ERROR_PROTOCOL,
                     "the store says that it copies, but what it has copied is not there");
}

/* Is that reader's version the one that was copied? */
static bool is_copy(void *arg, const char *name, const char *from_etag, const char *to_etag)
{
    const struct moving *moving = arg;
    const struct tree *tree = &moving->source;
    size_t low = 0, high = tree->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(tree_name(tree, middle), name);

        if (order == 0)
            return tree->items[middle].etag_hash == tree_etag_hash(from_etag) &&
                   tree->items[middle].copy_hash == tree_etag_hash(to_etag);
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

/* Readers of what is deleted go over to the copies. */
static int delete_source(struct moving *moving, struct error *err)
{
    struct reader_change_options options = {
        .names = {{.uri = &moving->from, .below = true}, {.uri = &moving->to, .below = true}},
    };
    struct reader_move move = {
        .from = &moving->from, .to = &moving->to, .fits = is_copy, .arg = moving};
    struct rename_work work = work_of(moving);
    int r = reader_change_begin(moving->engine, &options, moving->limits, &move.change, err);

    if (r < 0)
        return r;
    r = reader_change_move_all(&move, moving->limits, err);
    if (r == 0)
        r = rename_work_delete(&work, err);
    reader_change_end(move.change);
    return r;
}

/* ---- from the beginning, or from where it stopped -------------------------------------------- */

static bool has_entries(const struct tree *tree)
{
    return tree->count > 1 || (tree->count == 1 && tree_name(tree, 0)[0]);
}

static int begin(struct moving *moving, struct error *err)
{
    bool marker;
    int r = list_both(moving, err);

    if (r == 0 && plan(moving, err) < 0) /* names that are too long: before anything is made */
        return -error_errno(err);
    if (r == 0 && has_entries(&moving->target)) {
        r = find_journal(moving, err);
        if (r == 0)
            r = error_set(err, ERROR_NOT_EMPTY, "the new name's directory is not empty");
        return r < 0 ? r : 0;
    }
    marker = moving->source.count > 0 && !tree_name(&moving->source, 0)[0];
    if (r == 0 && marker)
        r = read_marker(moving, &moving->from, &moving->metadata, err);
    if (r < 0)
        return r;
    store_metadata_set(&moving->metadata, JOURNAL, NULL);
    return has_entries(&moving->source) ? write_journal(moving, err) : 0;
}

/* Whether the old directory had a marker is not known any more after a kill: then one stays. */
static int end(struct moving *moving, struct error *err)
{
    bool needs_marker = moving->source_marker || moving->resumed || !has_entries(&moving->source);

    return needs_marker ? put_marker(moving, &moving->metadata, err) : delete_marker(moving, err);
}

int rename_tree(struct engine *engine, const struct uri *from, const struct uri *to,
                const struct limits *limits, struct error *err)
{
    struct moving *moving;
    int r = moving_new(engine, from, to, limits, &moving, err);

    if (r < 0)
        return r;
    r = begin(moving, err);
    if (r == 0)
        r = copy_rounds(moving, err);
    /* An empty directory is its marker: that is there before the old one goes. */
    if (r == 0 && !has_entries(&moving->source))
        r = end(moving, err);
    if (r == 0)
        r = delete_source(moving, err);
    if (r == 0 && has_entries(&moving->source))
        r = end(moving, err);
    if (r == 0)
        rename_moves_note(&engine->moves, &moving->from, &moving->source);
    moving_free(moving);
    return r;
}

int rename_tree_end(struct engine *engine, const struct uri *from, const struct uri *to,
                    const struct limits *limits, struct error *err)
{
    struct moving *moving;
    int r = moving_new(engine, from, to, limits, &moving, err);

    if (r < 0)
        return r;
    r = find_journal(moving, err);
    if (r > 0 && put_marker(moving, &moving->metadata, err) < 0)
        r = -error_errno(err);
    moving_free(moving);
    return r;
}
