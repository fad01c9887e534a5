/* The public functions on drafts: the core's own object, which serialises calls on it. */
#include <errno.h>
#include <stdint.h>

#include "api/api.h"
#include "core/draft.h"
#include "core/metadata_change.h"

static struct draft *draft_of(const struct s3dlio_draft *draft)
{
    return (struct draft *)(uintptr_t)draft;
}

int s3dlio_draft_open(const char *uri_text, const struct s3dlio_write_options *options,
                      enum s3dlio_draft_base base, const struct s3dlio_call *call,
                      struct s3dlio_draft **ret_draft, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct attr attr = api_import_attr(options);
    struct draft_options opening = {
        .keep = base == S3DLIO_DRAFT_KEEP,
        .exclusive = options && options->flags & S3DLIO_WRITE_EXCLUSIVE,
        .sought = options && options->flags & S3DLIO_WRITE_SOUGHT,
        .append = options && options->flags & S3DLIO_WRITE_APPEND,
        .empties = options && options->flags & S3DLIO_WRITE_EMPTIES,
        .unnamed = options && options->flags & S3DLIO_WRITE_UNNAMED,
        .content_type = options ? options->content_type : NULL,
        .attr = &attr,
    };
    struct draft *draft;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = draft_open(api.engine, &uri, &opening, &api.limits, &draft, &api.error);
    if (!result)
        *ret_draft = (struct s3dlio_draft *)draft;
    return (int)api_leave(&api, result);
}

int s3dlio_draft_from_writer(struct s3dlio_writer *writer, struct s3dlio_draft **ret_draft,
                             struct s3dlio_error *ret_error)
{
    struct api api;
    struct draft *draft;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_from_writer((struct writer *)writer, &api.limits, &draft, &api.error);
    if (!result)
        *ret_draft = (struct s3dlio_draft *)draft;
    return (int)api_leave(&api, result);
}

int s3dlio_draft_handles(struct s3dlio_draft *draft, int ret_fds[2])
{
    struct api api;
    int result = api_enter(&api, NULL, NULL);

    if (!result)
        result = draft_handles(draft_of(draft), &api.limits, ret_fds);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_adopt(const int fds[2], struct s3dlio_draft **ret_draft,
                       struct s3dlio_error *ret_error)
{
    struct api api;
    struct draft *draft;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_adopt(api.engine, fds, &api.limits, &draft, &api.error);
    if (!result)
        *ret_draft = (struct s3dlio_draft *)draft;
    return (int)api_leave(&api, result);
}

int s3dlio_draft_to_writer(struct s3dlio_draft *draft, struct s3dlio_writer **ret_writer,
                           struct s3dlio_error *ret_error)
{
    struct api api;
    struct writer *writer;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_to_writer(draft_of(draft), &api.limits, &writer, &api.error);
    if (!result)
        *ret_writer = (struct s3dlio_writer *)writer;
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_draft_pread(struct s3dlio_draft *draft, void *buffer, size_t length_bytes,
                           uint64_t offset_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_pread(draft_of(draft), buffer, length_bytes, offset_bytes, &api.limits,
                             &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_draft_pwrite(struct s3dlio_draft *draft, const void *buffer, size_t length_bytes,
                            uint64_t offset_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_pwrite(draft_of(draft), buffer, length_bytes, offset_bytes, &api.limits,
                              &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_draft_append(struct s3dlio_draft *draft, const void *buffer, size_t length_bytes,
                            uint64_t *ret_offset_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    uint64_t offset = 0;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_append(draft_of(draft), buffer, length_bytes, &api.limits, &offset,
                              &api.error);
    if (result >= 0 && ret_offset_bytes)
        *ret_offset_bytes = offset;
    return api_leave(&api, result);
}

int s3dlio_draft_truncate(struct s3dlio_draft *draft, uint64_t length_bytes,
                          struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_truncate(draft_of(draft), length_bytes, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_zero(struct s3dlio_draft *draft, uint64_t offset_bytes, uint64_t length_bytes,
                      struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_zero(draft_of(draft), offset_bytes, length_bytes, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_allocate(struct s3dlio_draft *draft, uint64_t offset_bytes, uint64_t length_bytes,
                          struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result =
            draft_allocate(draft_of(draft), offset_bytes, length_bytes, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

uint64_t s3dlio_draft_length(const struct s3dlio_draft *draft)
{
    return draft_length(draft_of(draft));
}

int s3dlio_draft_seek(struct s3dlio_draft *draft, uint64_t offset_bytes, bool hole,
                      uint64_t *ret_offset_bytes, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_seek(draft_of(draft), offset_bytes, hole, &api.limits, ret_offset_bytes,
                            &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_map_fd(struct s3dlio_draft *draft, uint64_t offset_bytes, uint64_t length_bytes,
                        int *ret_fd, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_map_fd(draft_of(draft), offset_bytes, length_bytes, &api.limits, ret_fd,
                              &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_set_attr(struct s3dlio_draft *draft, const struct s3dlio_attr *attr,
                          struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr inner = api_import_changes(attr);
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = metadata_permitted(api.engine, &api.error);
    if (result > 0)
        result = draft_set_attr(draft_of(draft), &inner, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_rename(struct s3dlio_draft *draft, const char *to_text, unsigned flags,
                        const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri to;
    unsigned inner = 0;
    int result = api_enter_uri(&api, to_text, call, ret_error, &to);

    if (!result)
        result = api_import_rename_flags(&api, flags, &inner);
    if (!result)
        result = draft_rename(draft_of(draft), &to, inner, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_reader_can_clone(const struct s3dlio_reader *reader, const char *to_uri)
{
    struct api api;
    struct s3dlio_error ignored;
    struct uri to;
    int result = api_enter_in_order(&api, NULL, &ignored);

    if (!result)
        result = api_parse_uri(&api, to_uri, &to);
    if (!result)
        result = draft_can_clone(api.engine, &to, (const struct reader *)reader, &api.error);
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_draft_clone(struct s3dlio_draft *draft, struct s3dlio_reader *from,
                           uint64_t from_offset_bytes, uint64_t length_bytes,
                           uint64_t to_offset_bytes, const struct s3dlio_call *call,
                           struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, call, ret_error);

    if (!result && from_offset_bytes != to_offset_bytes)
        result = error_set_errno(&api.error, EXDEV, "the store copies to the same offset only");
    if (!result)
        result = draft_clone(draft_of(draft), (const struct reader *)from, from_offset_bytes,
                             length_bytes, &api.limits, &api.error);
    return api_leave(&api, result);
}

/* ---- publishing and the end ---- */

int s3dlio_draft_publish(struct s3dlio_draft *draft, struct s3dlio_attr *ret_attr,
                         struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr attr;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = draft_publish(draft_of(draft), &api.limits, &attr, &api.error);
    return api_leave_attr(&api, result, &attr, ret_attr);
}

int s3dlio_draft_refresh(struct s3dlio_draft *draft, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = api_order_all(&api);
    if (!result)
        result = draft_refresh(draft_of(draft), &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

int s3dlio_draft_close(struct s3dlio_draft *draft, struct s3dlio_attr *ret_attr,
                       struct s3dlio_error *ret_error)
{
    struct api api;
    struct attr attr;
    int result = api_enter_in_order(&api, NULL, ret_error);

    if (!result)
        result = draft_publish(draft_of(draft), &api.limits, &attr, &api.error);
    if (api.engine && result < 0)
        draft_abort(draft_of(draft), &api.limits);
    else if (api.engine)
        draft_free(draft_of(draft));
    return api_leave_attr(&api, result, &attr, ret_attr);
}

static void let_go(struct s3dlio_draft *draft, draft_end_fn *end)
{
    struct api api;

    if (!draft)
        return;
    if (!api_enter(&api, NULL, NULL))
        end(draft_of(draft), &api.limits);
    api_leave(&api, 0);
}

void s3dlio_draft_abort(struct s3dlio_draft *draft)
{
    let_go(draft, draft_abort);
}

void s3dlio_draft_forget(struct s3dlio_draft *draft)
{
    let_go(draft, draft_forget);
}
