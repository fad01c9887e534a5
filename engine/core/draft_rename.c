/* A draft takes another name. See draft.h.
 *
 * The version that it starts from moves with it: then it is the same draft of that version under
 * the new name. What only an upload has is published under the old one for that. When somebody else
 * had put another version in its place, that one is renamed, as rename(2) would, and publishing
 * says ERROR_CHANGED as it would have before.
 * */
#include <errno.h>
#include <string.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "core/rename.h"

static void take_name(struct draft *draft, const struct rename_open *open)
{
    const struct rename *rename = &open->rename;
    struct draft_facts *facts = draft_facts_begin(draft);

    if (open->moved && facts->base_exists && strcmp(facts->base.etag, rename->before.etag) == 0)
        facts->base = rename->after;
    if (!open->follows) {
        facts->exclusive = rename->no_replace && !open->moved;
        facts->appends = facts->appends && open->moved; /* what else has the name is replaced */
    }
    facts->is_unnamed = false;
    facts->uri = *rename->to;
    facts->was_missing = false; /* it is put in the place of whatever there is */
    facts->source_serial++;
    draft_facts_commit(draft);
}

static int take_other_name(struct draft *draft, const struct uri *to, unsigned flags,
                           const struct limits *limits, struct error *err)
{
    const struct draft_facts *facts = draft_facts(draft);
    struct uri from = facts->uri;
    struct attr base = facts->base;
    struct rename_open open = {
        .rename = {.from = &from, .to = to, .no_replace = flags & RENAME_NO_REPLACE},
        .is_absent = facts->is_unnamed || facts->exclusive,
        .base = facts->base_exists ? &base : NULL,
        .follows = flags & RENAME_FOLLOW,
    };
    int r = rename_open_file(draft->engine, &open, limits, err);

    if (r == 0 && draft_facts(draft)->base_exists && !open.moved)
        r = error_set(err, ERROR_NOT_FOUND, "the file was removed");
    if (r == 0)
        take_name(draft, &open);
    return r;
}

int draft_rename(struct draft *draft, const struct uri *to, unsigned flags, struct limits *limits,
                 struct error *err)
{
    int r = draft_enter(draft, false, limits, err);

    if (r < 0)
        return r;
    draft_settle(draft, limits);
    if (uri_is_same(&draft_facts(draft)->uri, to)) {
        if (draft_facts(draft)->is_unnamed)
            r = error_set(err, ERROR_INVALID, "the name that stands for none");
        draft_leave(draft);
        return r;
    }
    if (draft_has_sent_off(draft))
        r = draft_publish_now(draft, limits, err);
    if (r == 0)
        r = take_other_name(draft, to, flags, limits, err);
    draft_leave(draft);
    return r;
}
