/* Extended attributes of a draft: they are part of the metadata that the next publish stores. */
#include <errno.h>

#include "core/draft_private.h"
#include "core/xattr.h"

ssize_t draft_read_xattr(struct draft *draft, const struct xattr_room *room,
                         const struct limits *limits, struct error *err)
{
    struct store_metadata metadata;
    ssize_t r = draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    metadata = draft_facts_metadata(draft_facts(draft));
    r = xattr_read_in(&metadata, room, err);
    draft_leave(draft);
    return r;
}

static void commit(struct draft *draft, const struct store_metadata *metadata)
{
    struct draft_facts *facts = draft_facts_begin(draft);

    draft_facts_set_metadata(facts, metadata);
    if (facts->appends) /* another version has others */
        facts->appends = facts->exclusive = false;
    draft_commit_attributes(draft, facts);
}

int draft_set_xattr(struct draft *draft, const struct xattr_value *value,
                    const struct limits *limits, struct error *err)
{
    struct store_metadata kept, metadata = {0};
    struct xattr_value told = *value;
    int r = draft_enter(draft, true, limits, err);

    if (r < 0)
        return r;
    told.says_none = draft->store->capabilities & STORE_CAP_ATTRIBUTES;
    kept = draft_facts_metadata(draft_facts(draft));
    if (!attr_is_kept(draft->store))
        r = error_set_errno(err, EOPNOTSUPP, "the store keeps no metadata");
    else if (store_metadata_copy(&kept, &metadata) < 0)
        r = error_set(err, ERROR_NO_MEMORY, "storing an attribute");
    else
        r = xattr_set_in(draft->engine, &metadata, &told, err);
    if (r > 0)
        commit(draft, &metadata);
    store_metadata_fini(&metadata);
    draft_leave(draft);
    return r < 0 ? r : 0;
}
