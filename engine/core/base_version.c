/* One HEAD, and its metadata sorted into what attr knows and the rest. See base_version.h. */
#include "core/base_version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"
#include "core/names.h"
#include "core/tags.h"

static bool is_carried_on(const char *name)
{
    static const char *const others[] = {
        "mode", "uid", "gid", "mtime", "atime", "s3dlio-write-id", STORE_TAG_COUNT};

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(name, others[i]) == 0)
            return false;
    return true;
}

static int carry_on(const struct store_metadata *from, struct store_metadata *to)
{
    int r = 0;

    for (size_t at = 0; r == 0 && at < from->length;) {
        const char *name = from->data + at, *value = name + strlen(name) + 1;

        if (is_carried_on(name))
            r = store_metadata_add(to, name, value);
        at = (size_t)(value + strlen(value) + 1 - from->data);
    }
    return r;
}

static int take(const struct store_object *object, const struct uri *uri,
                struct base_version *ret_base, struct error *err)
{
    struct base_version base = {.exists = true};
    int r = carry_on(&object->metadata, &base.metadata);

    if (r < 0) {
        base_version_fini(&base);
        return error_set_errno(err, -r, "keeping metadata");
    }
    attr_from_object(object, uri, &base.attr);
    snprintf(base.content_type, sizeof base.content_type, "%s", object->content_type);
    *ret_base = base;
    return 0;
}

static int take_tags(struct engine *engine, const struct uri *uri, const struct limits *limits,
                     struct base_version *base, struct error *err)
{
    int r = tags_fetch(engine, uri, limits, &base->metadata, err);

    if (r < 0)
        base_version_fini(base);
    return r;
}

int base_version_look(struct engine *engine, const struct uri *uri, const struct limits *limits,
                      struct base_version *ret_base, struct error *err)
{
    struct call *head = call_new(engine, STORE_HEAD, uri, limits, err);
    struct base_version base;
    int r = head ? call_run(head, limits, err) : -error_errno(err);

    if (head && r == 0) {
        r = take(&head->request.object, uri, &base, err);
        if (r == 0 && tags_exist(&head->request.object.metadata))
            r = take_tags(engine, uri, limits, &base, err);
        if (r == 0)
            *ret_base = base;
    } else if (head && err->class == ERROR_NOT_FOUND) {
        r = names_explain_missing(engine, uri, limits, err);
    }
    call_delete(head);
    return r;
}

int base_version_look_to_empty(struct engine *engine, const struct uri *uri,
                               const struct limits *limits, struct base_version *ret_base,
                               struct error *err)
{
    int r = base_version_look(engine, uri, limits, ret_base, err);

    if (r == -ENOENT) {
        *ret_base = (struct base_version){0};
        return 0;
    }
    ret_base->exists = false;
    ret_base->attr = (struct attr){0};
    return r;
}

void base_version_changes(const struct attr *base, const struct attr *attr,
                          struct attr *ret_changes)
{
    unsigned same = 0;

    *ret_changes = *attr;
    if (!base)
        return;
    if (attr->mode == base->mode)
        same |= ATTR_HAS_MODE;
    if (attr->uid == base->uid)
        same |= ATTR_HAS_UID;
    if (attr->gid == base->gid)
        same |= ATTR_HAS_GID;
    ret_changes->has &= ~(same & base->has);
}

void base_version_fini(struct base_version *base)
{
    store_metadata_fini(&base->metadata);
    *base = (struct base_version){0};
}
