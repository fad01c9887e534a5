/* The public functions on names: look-up, listing, directories, deletion. */
#include <stdlib.h>

#include "api/api.h"
#include "core/listing.h"
#include "core/names.h"

int s3dlio_stat(const char *uri_text, const struct s3dlio_call *call, struct s3dlio_attr *ret_attr,
                struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr attr;
    int result = api_enter_in_order(&api, call, ret_error);
    if (!result)
        result = api_parse_uri(&api, uri_text, &uri);
    if (!result && !deferred_look(api.engine, &uri, &attr)) {
        result = api_order_uri(&api, &uri);
        if (!result)
            result = names_lookup(api.engine, &uri, &api.limits, &attr, &api.error);
    }
    return api_leave_attr(&api, result, &attr, ret_attr);
}

int s3dlio_statfs(const char *uri_text, struct statfs *ret_statfs, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct store *store;
    int result = api_enter(&api, NULL, ret_error);
    if (!result)
        result = api_parse_uri(&api, uri_text, &uri);
    if (!result)
        result = engine_store(api.engine, uri.scheme, &store, &api.error);
    if (!result && !store->ops->statfs)
        result = error_set(&api.error, ERROR_UNSUPPORTED, "the store is no file system");
    else if (!result)
        result = store->ops->statfs(store, uri.bucket, uri.key, ret_statfs, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_mkdir(const char *uri_text, const struct s3dlio_write_options *options,
                 const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr attr = api_import_attr(options);
    attr.type = ATTR_DIRECTORY;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);
    if (!result)
        result = names_mkdir(api.engine, &uri, &attr, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_rmdir(const char *uri_text, const struct s3dlio_call *call,
                 struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = names_rmdir(api.engine, &uri, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_unlink(const char *uri_text, const struct s3dlio_call *call,
                  struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);
    if (!result)
        result = names_unlink(api.engine, &uri, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_unlink_soon(const char *uri_text, const struct s3dlio_call *call,
                       struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter(&api, call, ret_error);
    if (!result)
        result = api.result = api_parse_uri(&api, uri_text, &uri);
    if (!result)
        result = api_order_uri(&api, &uri);
    if (!result)
        result = names_unlink_soon(api.engine, &uri, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

bool s3dlio_is_settled(void)
{
    struct engine *engine = engine_used();
    return !engine || (!removals_pending(&engine->removals) && !deferred_any(&engine->deferred));
}

int s3dlio_settle(const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    if (!engine_used())
        return 0;
    int result = api_enter_in_order(&api, call, ret_error);
    if (!result) {
        deferred_finish(api.engine, &api.limits);
        result = removals_failure(api.engine, NULL, &api.error);
    }
    if (!result)
        result = deferred_failure(api.engine, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_sync(const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct engine *engine = engine_used();
    if (!engine || (!deferred_any(&engine->deferred) && !deferred_any_failed(&engine->deferred)))
        return 0;
    int result = api_enter(&api, call, ret_error);
    if (!result) {
        deferred_finish(api.engine, &api.limits);
        result = deferred_failure(api.engine, &api.error);
    }
    return (int)api_leave(&api, result);
}

int s3dlio_sync_everywhere(const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct engine *engine = engine_used();
    if (!engine || !deferred_table_any(engine->deferred.table))
        return s3dlio_sync(call, ret_error);
    int result = api_enter(&api, call, ret_error);
    if (!result) {
        deferred_finish(api.engine, &api.limits);
        result = api_order_all(&api);
    }
    if (!result)
        result = deferred_failure(api.engine, &api.error);
    return (int)api_leave(&api, result);
}

/* ---- listings: the core's own object ---- */

static struct listing *listing_of(struct s3dlio_list *list)
{
    return (struct listing *)list;
}

int s3dlio_list_open(const char *uri_text, unsigned flags, const struct s3dlio_call *call,
                     struct s3dlio_list **ret_list, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct listing *listing;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = listing_open(api.engine, &uri, flags & S3DLIO_LIST_RECURSIVE, &api.limits,
                              &listing, &api.error);
    if (!result)
        *ret_list = (struct s3dlio_list *)listing;
    return (int)api_leave(&api, result);
}

int s3dlio_list_next(struct s3dlio_list *list, struct s3dlio_entry *ret_entry,
                     struct s3dlio_error *ret_error)
{
    struct api api;
    struct listing_entry entry = {0};
    int result = api_enter(&api, NULL, ret_error);
    if (!result)
        result = listing_next(listing_of(list), &api.limits, &entry, &api.error);
    if (result > 0) {
        ret_entry->name = entry.name;
        ret_entry->next_is_ready = entry.next_is_ready;
        api_export_attr(&entry.attr, &ret_entry->attr);
    }
    return (int)api_leave(&api, result);
}

int s3dlio_list_rewind(struct s3dlio_list *list, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter_in_order(&api, NULL, ret_error);
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = listing_rewind(listing_of(list), &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

/* In order, so that what was removed through the directory and could not be is told while the
 * program has its stderr: many close that when they exit. */
void s3dlio_list_close(struct s3dlio_list *list)
{
    struct api api;
    if (!list)
        return;
    if (!api_enter_in_order(&api, NULL, NULL))
        listing_close(listing_of(list));
    api_leave(&api, 0);
}
