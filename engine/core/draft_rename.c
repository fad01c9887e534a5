/* A draft takes another name. See draft.h.
 *
 * The version that it starts from moves with it: then it is the same draft of that version under the
 * new name. When somebody else had put another version in its place, that one is renamed, as
 * rename(2) would, and publishing says ERROR_CHANGED as it would have before.
 */
#include <errno.h>
#include <string.h>

#include "core/draft_private.h"
#include "core/rename.h"

static void take_name(struct draft *draft, const struct rename_open *open)
{
    const struct rename *rename = &open->rename;

    if (open->moved && draft->base.exists &&
        strcmp(draft->base.attr.etag, rename->before.etag) == 0)
        draft->base.attr = rename->after;
    draft->exclusive = rename->no_replace && !open->moved;
    draft->is_unnamed = false;
    draft->uri = *rename->to;
    if (draft->is_cloned)
        return;
    reader_close(draft->reader);
    draft->reader = NULL;
}

static int take_other_name(struct draft *draft, const struct uri *to, bool no_replace,
                           const struct limits *limits, struct error *err)
{
    struct uri from = draft->uri;
    struct rename_open open = {
        .rename = {.from = &from, .to = to, .no_replace = no_replace},
        .is_absent = draft->is_unnamed || draft->exclusive,
    };
    int r = rename_open_file(draft->engine, &open, limits, err);

    if (r == 0 && draft->base.exists && !open.moved)
        r = error_set(err, ERROR_NOT_FOUND, "the file was removed");
    if (r == 0)
        take_name(draft, &open);
    return r;
}

int draft_rename(struct draft *draft, const struct uri *to, bool no_replace,
                 const struct limits *limits, struct error *err)
{
    int r = draft_enter(draft, false, limits, err);

    if (r < 0)
        return r;
    if (!rename_is_same(&draft->uri, to))
        r = take_other_name(draft, to, no_replace, limits, err);
    else if (draft->is_unnamed)
        r = error_set(err, ERROR_INVALID, "the name that stands for none");
    draft_leave(draft);
    return r;
}
