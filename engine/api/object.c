/* The public functions on readers and writers. */
#include <stdint.h>
#include <stdio.h>

#include "api/api.h"
#include "core/deferred.h"
#include "core/metadata_change.h"
#include "core/reader.h"
#include "core/writer.h"

/* ---- readers: the core's own object, safe for any number of threads ---- */

static struct reader *reader_of(const struct s3dlio_reader *reader)
{
    return (struct reader *)(uintptr_t)reader;
}

int s3dlio_reader_open(const char *uri_text, const struct s3dlio_call *call,
                       struct s3dlio_reader **ret_reader, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct reader *reader;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);
    if (!result)
        result = reader_open(api.engine, &uri, &api.limits, &reader, &api.error);
    if (!result)
        *ret_reader = (struct s3dlio_reader *)reader;
    return (int)api_leave(&api, result);
}

int s3dlio_reader_open_soon(const char *uri_text, struct s3dlio_reader **ret_reader)
{
    struct api api;
    struct uri uri;
    struct reader *reader = NULL;
    struct s3dlio_error ignored;
    int result = api_enter_in_order(&api, NULL, &ignored);
    if (!result)
        result = api_parse_uri(&api, uri_text, &uri);
    if (!result)
        result = deferred_open(api.engine, &uri, &reader, &api.error);
    if (result > 0)
        *ret_reader = (struct s3dlio_reader *)reader;
    return (int)api_leave(&api, result);
}

int s3dlio_reader_reopen(const char *uri_text, const struct s3dlio_attr *version,
                         struct s3dlio_reader **ret_reader, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr attr = api_import_changes(version);
    struct reader *reader;
    int result = api_enter_uri(&api, uri_text, NULL, ret_error, &uri);

    attr.size_bytes = version->size_bytes;
    attr.inode = version->inode;
    snprintf(attr.etag, sizeof attr.etag, "%s", version->etag);
    if (!result)
        result = reader_open_version(api.engine, &uri, &attr, NULL, &reader, &api.error);
    if (!result)
        *ret_reader = (struct s3dlio_reader *)reader;
    return (int)api_leave(&api, result);
}

void s3dlio_expect(const char *const *uris, size_t count)
{
    struct api api;
    if (!api_enter(&api, NULL, NULL))
        prefetch_tell(api.engine, uris, count);
    api_leave(&api, 0);
}

void s3dlio_reader_attr(const struct s3dlio_reader *reader, struct s3dlio_attr *ret_attr)
{
    api_export_attr(reader_attr(reader_of(reader)), ret_attr);
}

ssize_t s3dlio_reader_pread(struct s3dlio_reader *reader, void *buffer, size_t length_bytes,
                            uint64_t offset_bytes, const struct s3dlio_call *call,
                            struct s3dlio_error *ret_error)
{
    struct api api;
    struct reader_target target = {buffer, length_bytes, offset_bytes};
    ssize_t result = api_enter(&api, call, ret_error);
    if (!result)
        result = reader_pread(reader_of(reader), &target, &api.limits, &api.error);
    return api_leave(&api, result);
}

int s3dlio_reader_newer(const struct s3dlio_reader *reader, struct s3dlio_reader **ret_newer,
                        struct s3dlio_error *ret_error)
{
    struct api api;
    struct reader *newer = NULL;
    int result = api_enter_in_order(&api, NULL, ret_error);
    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = reader_open_newer(reader_of(reader), &api.limits, &newer, &api.error);
    if (result > 0)
        *ret_newer = (struct s3dlio_reader *)newer;
    return (int)api_leave(&api, result);
}

void s3dlio_reader_advise(struct s3dlio_reader *reader, uint64_t offset_bytes,
                          uint64_t length_bytes, enum s3dlio_advice advice)
{
    struct api api;
    if (!api_enter(&api, NULL, NULL))
        reader_advise(reader_of(reader), offset_bytes, length_bytes, (enum reader_advice)advice);
    api_leave(&api, 0);
}

void s3dlio_reader_close(struct s3dlio_reader *reader)
{
    struct api api;
    if (!reader)
        return;
    if (!api_enter(&api, NULL, NULL))
        reader_close(reader_of(reader));
    api_leave(&api, 0);
}

/* ---- writers: the core's own object, which serialises calls on it ---- */

static struct writer *writer_of(const struct s3dlio_writer *writer)
{
    return (struct writer *)(uintptr_t)writer;
}

int s3dlio_writer_open(const char *uri_text, const struct s3dlio_write_options *options,
                       const struct s3dlio_call *call, struct s3dlio_writer **ret_writer,
                       struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr attr = api_import_attr(options);
    struct writer_options opening = {
        .upload = {.exclusive = options && options->flags & S3DLIO_WRITE_EXCLUSIVE,
                   .content_type = options ? options->content_type : NULL,
                   .attr = &attr},
        .append = options && options->flags & S3DLIO_WRITE_APPEND,
        .empties = options && options->flags & S3DLIO_WRITE_EMPTIES,
        .sought = options && options->flags & S3DLIO_WRITE_SOUGHT,
        .size_hint_bytes = options ? options->size_hint_bytes : 0,
    };
    struct writer *writer;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = writer_open(api.engine, &uri, &opening, &api.limits, &writer, &api.error);
    if (!result)
        *ret_writer = (struct s3dlio_writer *)writer;
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_writer_write(struct s3dlio_writer *writer, const void *buffer, size_t length_bytes,
                            struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = writer_write(writer_of(writer), buffer, length_bytes, &api.limits, &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_writer_patch(struct s3dlio_writer *writer, const void *buffer, size_t length_bytes,
                            uint64_t offset_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = writer_patch(writer_of(writer), buffer, length_bytes, offset_bytes, &api.limits,
                              &api.error);
    return api_leave(&api, result);
}

int s3dlio_writer_set_attr(struct s3dlio_writer *writer, const struct s3dlio_attr *attr,
                           struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr inner = api_import_changes(attr);
    int result = api_enter(&api, NULL, ret_error);
    if (!result)
        result = metadata_permitted(api.engine, &api.error);
    if (result > 0)
        result = writer_set_attr(writer_of(writer), &inner, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

uint64_t s3dlio_writer_length(const struct s3dlio_writer *writer)
{
    return writer_length(writer_of(writer));
}

int s3dlio_writer_close(struct s3dlio_writer *writer, struct s3dlio_attr *ret_attr,
                        struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr attr;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = writer_finish(writer_of(writer), &api.limits, &attr, &api.error);
    writer_free(writer_of(writer));
    return api_leave_attr(&api, result, &attr, ret_attr);
}

int s3dlio_writer_close_soon(struct s3dlio_writer *writer, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = writer_finish_soon(writer_of(writer), &api.limits, &api.error);
    if (result <= 0)
        writer_free(writer_of(writer));
    return (int)api_leave(&api, result);
}

int s3dlio_writer_publish(struct s3dlio_writer *writer, struct s3dlio_attr *ret_attr,
                          struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr attr;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = writer_publish(writer_of(writer), &api.limits, &attr, &api.error);
    return api_leave_attr(&api, result, &attr, ret_attr);
}

int s3dlio_writer_rename(struct s3dlio_writer *writer, const char *to_text, unsigned flags,
                         const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri to;
    unsigned inner = 0;
    int result = api_enter_uri(&api, to_text, call, ret_error, &to);

    if (!result)
        result = api_import_rename_flags(&api, flags, &inner);
    if (!result)
        result = writer_rename(writer_of(writer), &to, inner, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

void s3dlio_writer_abort(struct s3dlio_writer *writer)
{
    struct api api;

    if (!writer)
        return;
    if (!api_enter(&api, NULL, NULL))
        writer_abort(writer_of(writer), &api.limits);
    writer_free(writer_of(writer));
    api_leave(&api, 0);
}

void s3dlio_writer_forget(struct s3dlio_writer *writer)
{
    struct api api;

    if (!writer)
        return;
    api_enter(&api, NULL, NULL);
    writer_forget(writer_of(writer));
    api_leave(&api, 0);
}
