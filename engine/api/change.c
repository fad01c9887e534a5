/* The public functions that change names and what is stored with them: rename, attributes, links,
 * abandoned uploads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "core/deferred.h"
#include "core/metadata_change.h"
#include "core/rename.h"
#include "core/symlink.h"
#include "core/uploads.h"

static int rename_in_order(struct api *api, struct rename *rename)
{
    int result = api_order_uri(api, rename->from);

    if (!result)
        result = api_order_uri(api, rename->to);
    if (!result)
        result = api_order_all(api);
    return result ? result : rename_name(api->engine, rename, &api->limits, &api->error);
}

int s3dlio_rename(const char *from_text, const char *to_text, unsigned flags,
                  const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri from, to;
    struct rename rename = {
        .from = &from, .to = &to, .no_replace = flags & S3DLIO_RENAME_NOREPLACE};
    int result = api_enter_in_order(&api, call, ret_error);

    if (!result)
        result = api_parse_uri(&api, from_text, &from);
    if (!result)
        result = api_check_flags(&api, flags, S3DLIO_RENAME_NOREPLACE);
    if (!result)
        result = api_parse_uri(&api, to_text, &to);
    if (!result)
        result = deferred_rename(api.engine, &rename, &api.limits, &api.error);
    if (!result)
        result = rename_in_order(&api, &rename);
    return (int)api_leave(&api, result < 0 ? result : 0);
}

int s3dlio_set_attr(const char *uri_text, const struct s3dlio_attr *attr,
                    const struct s3dlio_call *call, struct s3dlio_attr *ret_attr,
                    struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr now;
    struct attr wanted = api_import_changes(attr);
    int result = api_enter_in_order(&api, call, ret_error);

    if (!result)
        result = api_parse_uri(&api, uri_text, &uri);
    if (!result)
        result = deferred_set_attr(api.engine, &uri, &wanted, &api.limits, &api.error);
    if (result > 0 && deferred_look(api.engine, &uri, &now))
        return api_leave_attr(&api, 0, &now, ret_attr);
    if (result >= 0)
        result = api_order_uri(&api, &uri);
    if (!result)
        result = metadata_set_attr(api.engine, &uri, &wanted, &api.limits, &now, &api.error);
    return api_leave_attr(&api, result, &now, ret_attr);
}

/* ---- links ----------------------------------------------------------------------------------- */

int s3dlio_symlink(const char *target, const char *uri_text, const struct s3dlio_call *call,
                   struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = symlink_make(api.engine, target, &uri, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_readlink(const char *uri_text, char *buffer, size_t size,
                        const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    ssize_t result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = symlink_read(api.engine, &uri, buffer, size, &api.limits, &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_find_link(const char *uri_text, unsigned flags, const struct s3dlio_call *call,
                         char ret_target[S3DLIO_TARGET_BYTES], struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    ssize_t result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    _Static_assert(SYMLINK_TARGET_MAX < S3DLIO_TARGET_BYTES, "room for every target");
    if (!result)
        result = api_check_flags(&api, flags, S3DLIO_LINK_LAST);
    if (!result)
        result = symlink_find(api.engine, &uri, flags & S3DLIO_LINK_LAST, ret_target, &api.limits,
                              &api.error);
    if (result > 0) /* keys are literal: what precedes this one in the text stays */
        result += (ssize_t)(strlen(uri_text) - strlen(uri.key));
    return api_leave(&api, result);
}

/* ---- uploads --------------------------------------------------------------------------------- */

/* What is found grows here; texts are offsets until all are known. */
struct found {
    const struct uri *uri;
    struct s3dlio_upload *uploads;
    size_t count, capacity;
    char *text;
    size_t text_length, text_capacity;
    bool failed;
};

static bool add_text(struct found *found, const char *text, const char **ret_offset)
{
    size_t size = strlen(text) + 1;

    if (found->text_length + size > found->text_capacity) {
        size_t capacity = 2 * found->text_capacity + size + 4096;
        char *grown = realloc(found->text, capacity);

        if (!grown)
            return false;
        found->text = grown;
        found->text_capacity = capacity;
    }
    *ret_offset = (const char *)(uintptr_t)found->text_length;
    memcpy(found->text + found->text_length, text, size);
    found->text_length += size;
    return true;
}

static bool on_found(void *arg, const struct store_entry *entry)
{
    struct found *found = arg;
    struct uri uri = *found->uri;
    char text[ATTR_URI_BYTES];
    struct s3dlio_upload *upload;

    if (found->count == found->capacity) {
        size_t capacity = 2 * found->capacity + 64;
        struct s3dlio_upload *grown = reallocarray(found->uploads, capacity, sizeof *grown);

        found->failed = !grown;
        if (!grown)
            return false;
        found->uploads = grown;
        found->capacity = capacity;
    }
    if (strlen(entry->key) > URI_KEY_MAX)
        return true;
    strcpy(uri.key, entry->key);
    uri_format(&uri, text, sizeof text);
    upload = &found->uploads[found->count];
    upload->begun = entry->mtime;
    found->failed = !add_text(found, text, &upload->uri) ||
                    !add_text(found, store_entry_upload_id(entry), &upload->upload_id);
    found->count += !found->failed;
    return !found->failed;
}

/* One piece of memory: the array, and the texts behind it. */
static struct s3dlio_upload *join(const struct found *found)
{
    size_t bytes = found->count * sizeof *found->uploads;
    struct s3dlio_upload *all = malloc(bytes + found->text_length + 1);
    char *text;

    if (!all)
        return NULL;
    text = (char *)all + bytes;
    if (found->count) {
        memcpy(all, found->uploads, bytes);
        memcpy(text, found->text, found->text_length);
    }
    for (size_t i = 0; i < found->count; i++) {
        all[i].uri = text + (uintptr_t)all[i].uri;
        all[i].upload_id = text + (uintptr_t)all[i].upload_id;
    }
    return all;
}

int s3dlio_uploads_list(const char *uri_text, const struct s3dlio_call *call,
                        struct s3dlio_upload **ret_uploads, size_t *ret_count,
                        struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct found found = {.uri = &uri};
    struct s3dlio_upload *all = NULL;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = uploads_list(api.engine, &uri, on_found, &found, &api.limits, &api.error);
    if (!result && !found.failed)
        all = join(&found);
    if (!result && !all)
        result = error_set(&api.error, ERROR_NO_MEMORY, "listing uploads");
    if (!result) {
        *ret_uploads = all;
        *ret_count = found.count;
    }
    free(found.uploads);
    free(found.text);
    return (int)api_leave(&api, result);
}

int s3dlio_uploads_abort(const char *uri_text, const char *upload_id,
                         const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = uploads_abort(api.engine, &uri, upload_id, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}
