/* A draft that nothing was changed in becomes the version that is there now: what a program sees
 * of a file when it gets a lock on it, or reads it for the first time. See draft.h. */
#include <errno.h>
#include <string.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"

bool draft_is_bare(const struct draft *draft)
{
    const struct draft_facts *facts = draft_facts(draft);

    return facts->was_missing && !facts->base_exists && !facts->exclusive &&
           draft->extents.length_bytes == 0 && draft->shared->serial == 0;
}

/* Is there nothing that another version would take away? */
static bool is_free(const struct draft *draft)
{
    const struct draft_facts *facts = draft_facts(draft);

    return (!draft->shared->changed || draft_is_bare(draft)) && !draft->shared->map_count &&
           !facts->is_unnamed && !facts->is_cloned && !facts->write_id[0];
}

static int become(struct draft *draft, const struct base_version *base, struct error *err)
{
    struct draft_facts *facts = draft_facts_begin(draft);

    if (draft_facts_set_type(facts, base->content_type) < 0)
        facts->content_type[0] = '\0';
    draft_facts_set_base(facts, base);
    facts->attr = base->attr;
    facts->exclusive = false;
    facts->tail_start = base->attr.size_bytes;
    facts->is_renewing = true;
    draft_facts_commit(draft);
    draft->shared->was_read = false;
    draft_ahead_stop(draft);
    if (draft->reader) {
        reader_close(draft->reader);
        draft->reader = NULL;
    }
    return draft_renew(draft, err);
}

int draft_look(struct draft *draft, struct limits *limits, struct error *err)
{
    struct uri uri = draft_facts(draft)->uri;
    struct base_version base = {0};
    uint64_t serial = draft->shared->serial;
    int r;

    if (!is_free(draft))
        return 0;
    r = base_version_look(draft->engine, &uri, limits, &base, err);
    if (r == -ENOENT || r == -EISDIR) { /* removed: it goes on as a file without a name does */
        error_clear(err);
        r = 0;
    } else if (r == 0 && serial == draft->shared->serial && is_free(draft) &&
               (!draft_facts(draft)->base_exists ||
                strcmp(base.attr.etag, draft_facts(draft)->base.etag) != 0)) {
        r = become(draft, &base, err);
        r = r < 0 ? r : 1;
    }
    base_version_fini(&base);
    return r;
}

int draft_refresh(struct draft *draft, struct limits *limits, struct error *err)
{
    int r = draft_enter(draft, false, limits, err);

    if (r < 0)
        return r;
    r = draft_note_mapped(draft, err);
    if (r == 0)
        r = draft_look(draft, limits, err);
    draft_leave(draft);
    return r;
}
