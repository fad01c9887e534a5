/* Renaming files that are being written: see rename.h.
 *
 * Whoever writes publishes under the new name from then on. So what stands under the old one, the
 * version before or one that was published already, has to move at once; where nothing stands
 * there, only the new name is judged.
 */
#include <errno.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"
#include "core/names.h"
#include "core/rename.h"

static int look(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct attr *ret_attr, struct error *err)
{
    struct call *head = call_new(engine, STORE_HEAD, uri, limits, err);
    int r = head ? call_run(head, limits, err) : -error_errno(err);

    if (r == 0)
        attr_from_object(&head->request.object, uri, ret_attr);
    call_delete(head);
    return r;
}

/* Stores that rename by themselves do not tell what they renamed. */
static int rename_natively(struct engine *engine, struct rename *rename,
                           const struct limits *limits, struct error *err)
{
    int r = look(engine, rename->from, limits, &rename->before, err);

    if (r == 0)
        r = rename_name(engine, rename, limits, err);
    if (r == 0)
        r = look(engine, rename->to, limits, &rename->after, err);
    return r;
}

/* Is a file there? A directory of the name is none of ours. */
static int find(struct engine *engine, const struct uri *uri, const struct limits *limits,
                bool *ret_found, struct error *err)
{
    struct attr attr;
    int r = names_lookup(engine, uri, limits, &attr, err);

    if (r < 0 && err->class != ERROR_NOT_FOUND)
        return r;
    *ret_found = r == 0 && attr.type != ATTR_DIRECTORY;
    return 0;
}

/* What has moved is the file's version, or another one that somebody put in its place: then
 * publishing will say so, as it would have under the old name. */
static int follow(struct engine *engine, struct rename_open *open, const struct limits *limits,
                  struct error *err)
{
    struct rename *rename = &open->rename;
    int r;

    open->moved = open->base != NULL;
    if (!open->base)
        return 0;
    r = look(engine, rename->to, limits, &rename->after, err);
    if (r < 0)
        return err->class == ERROR_NOT_FOUND ? 0 : r;
    if (rename_moves_has(&engine->moves, rename->from, open->base, &rename->after))
        rename->before = *open->base;
    return 0;
}

int rename_open_file(struct engine *engine, struct rename_open *open, const struct limits *limits,
                     struct error *err)
{
    struct rename *rename = &open->rename;
    struct store *store;
    bool is_there = false;
    int r = engine_store(engine, rename->from->scheme, &store, err);

    if (r == 0 && open->follows)
        return follow(engine, open, limits, err);
    if (r == 0 && !open->is_absent && strcmp(rename->from->scheme, rename->to->scheme) == 0)
        r = find(engine, rename->from, limits, &is_there, err);
    if (r < 0)
        return r;
    if (!is_there)
        return rename_check_target(engine, rename, limits, err);
    if (store->capabilities & STORE_CAP_RENAME)
        r = rename_natively(engine, rename, limits, err);
    else
        r = rename_name(engine, rename, limits, err);
    open->moved = r == 0;
    return r;
}
