/* The public functions on whole objects: get, put, copy, delete, one or many.
 *
 * Results of many are kept per item; an item's error is printed once a kind when the caller looks
 * at nothing but the count (ret_error NULL), and handed out as the first one otherwise. */
#include <stdlib.h>

#include "api/api.h"
#include "core/bulk.h"
#include "core/copy.h"
#include "core/names.h"
#include "core/put.h"
#include "core/reader.h"

ssize_t s3dlio_get_range(const char *uri_text, uint64_t offset_bytes, void *buffer,
                         size_t length_bytes, const struct s3dlio_call *call,
                         struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct reader_target target = {buffer, length_bytes, offset_bytes};
    ssize_t result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = reader_get(api.engine, &uri, &target, &api.limits, &api.error);
    return api_leave(&api, result);
}

int s3dlio_get(const char *uri_text, const struct s3dlio_call *call, void **ret_data,
               size_t *ret_length_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    struct bulk_get item = {.uri = uri_text};
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = bulk_get(api.engine, &item, 1, &api.limits, &api.error);
    if (result > 0) {
        api.error = item.error;
        result = item.result;
    } else if (result == 0 && api.engine) {
        *ret_data = item.data;
        *ret_length_bytes = item.length_bytes;
    }
    return (int)api_leave(&api, result);
}

void s3dlio_free(void *data)
{
    free(data);
}

/* What one failed item means for the call. */
static void note_item(struct api *api, const struct error *error)
{
    if (!api->ret_error)
        error_report_once(error);
    else if (api->error.class == ERROR_NONE)
        api->error = *error;
}

/* As api_leave, for a count of failures: the first one is told although the call did not fail. */
static int leave_many(struct api *api, int failed)
{
    if (failed > 0 && api->ret_error)
        api_export_error(&api->error, api->ret_error);
    return (int)api_leave(api, failed);
}

int s3dlio_get_many(struct s3dlio_get_item *items, size_t count, const struct s3dlio_call *call,
                    struct s3dlio_error *ret_error)
{
    struct bulk_get *gets = calloc(count ? count : 1, sizeof *gets);
    struct api api;
    int result = api_enter_in_order(&api, call, ret_error);

    if (!result && !gets)
        result = error_set(&api.error, ERROR_NO_MEMORY, "fetching %zu objects", count);
    for (size_t i = 0; gets && i < count; i++)
        gets[i].uri = items[i].uri;
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = bulk_get(api.engine, gets, count, &api.limits, &api.error);
    for (size_t i = 0; gets && result >= 0 && i < count; i++) {
        items[i].data = gets[i].data;
        items[i].length_bytes = gets[i].length_bytes;
        items[i].result = gets[i].result;
        if (gets[i].result < 0)
            note_item(&api, &gets[i].error);
    }
    free(gets);
    return leave_many(&api, result);
}

/* NOLINTNEXTLINE(readability-function-size): as the public header has it */
int s3dlio_put(const char *uri_text, const void *data, size_t length_bytes,
               const struct s3dlio_write_options *options, const struct s3dlio_call *call,
               struct s3dlio_attr *ret_attr, struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr attr = api_import_attr(options);
    struct put put = {
        .data = data,
        .length_bytes = length_bytes,
        .options = {.exclusive = options && options->flags & S3DLIO_WRITE_EXCLUSIVE,
                    .content_type = options ? options->content_type : NULL,
                    .attr = &attr},
    };
    int result = api_enter_uri(&api, uri_text, call, ret_error, &put.uri);

    if (!result)
        result = put_object(api.engine, &put, &api.limits, &api.error);
    return api_leave_attr(&api, result, &put.attr, ret_attr);
}

int s3dlio_put_many(struct s3dlio_put_item *items, size_t count, const struct s3dlio_call *call,
                    struct s3dlio_error *ret_error)
{
    struct bulk_put *puts = calloc(count ? count : 1, sizeof *puts);
    struct api api;
    int result = api_enter_in_order(&api, call, ret_error);

    if (!result && !puts)
        result = error_set(&api.error, ERROR_NO_MEMORY, "storing %zu objects", count);
    for (size_t i = 0; puts && i < count; i++) {
        puts[i].uri = items[i].uri;
        puts[i].data = items[i].data;
        puts[i].length_bytes = items[i].length_bytes;
    }
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = bulk_put(api.engine, puts, count, &api.limits, &api.error);
    for (size_t i = 0; puts && result >= 0 && i < count; i++) {
        items[i].result = puts[i].result;
        if (puts[i].result < 0)
            note_item(&api, &puts[i].error);
    }
    free(puts);
    return leave_many(&api, result);
}

int s3dlio_copy(const char *from_text, const char *to_text, const struct s3dlio_call *call,
                struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri from, to;
    int result = api_enter_uri(&api, from_text, call, ret_error, &from);

    if (!result)
        result = api_parse_uri(&api, to_text, &to);
    if (!result)
        result = api_order_uri(&api, &to);
    if (!result)
        result = copy_object(api.engine, &from, &to, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_delete(const char *uri_text, const struct s3dlio_call *call,
                  struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = names_delete(api.engine, &uri, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}
