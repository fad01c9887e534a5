/* The public functions on extended attributes: of names, and of what is being written. */
#include "api/api.h"
#include "core/draft.h"
#include "core/writer.h"
#include "core/xattr.h"

ssize_t s3dlio_getxattr(const char *uri_text, const char *name, void *value, size_t size,
                        const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct xattr_room room = {name, value, size};
    ssize_t result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = xattr_get(api.engine, &uri, &room, &api.limits, &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_listxattr(const char *uri_text, char *names, size_t size,
                         const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    ssize_t result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = xattr_list(api.engine, &uri, names, size, &api.limits, &api.error);
    return api_leave(&api, result);
}

static int change_xattr(const char *uri_text, const struct xattr_value *value,
                        const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    int result = api_enter_uri(&api, uri_text, call, ret_error, &uri);

    if (!result)
        result = api_check_flags(&api, value->flags, XATTR_SET_CREATE | XATTR_SET_REPLACE);
    if (!result)
        result = xattr_set(api.engine, &uri, value, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

/* NOLINTNEXTLINE(readability-function-size): as the public header has it */
int s3dlio_setxattr(const char *uri_text, const char *name, const void *value, size_t size,
                    int flags, const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {name, size ? value : "", size, (unsigned)flags, false};

    return change_xattr(uri_text, &xattr, call, ret_error);
}

int s3dlio_removexattr(const char *uri_text, const char *name, const struct s3dlio_call *call,
                       struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {.name = name};

    return change_xattr(uri_text, &xattr, call, ret_error);
}

/* ---- what is being written ------------------------------------------------------------------- */

/* Of the writer, or of the draft: the other one is NULL. */
static ssize_t read_written(struct writer *writer, struct draft *draft,
                            const struct xattr_room *room, struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = writer ? writer_read_xattr(writer, room, &api.limits, &api.error)
                        : draft_read_xattr(draft, room, &api.limits, &api.error);
    return api_leave(&api, result);
}

static int change_written(struct writer *writer, struct draft *draft,
                          const struct xattr_value *value, struct s3dlio_error *ret_error)
{
    struct api api;
    int result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = api_check_flags(&api, value->flags, XATTR_SET_CREATE | XATTR_SET_REPLACE);
    if (!result)
        result = writer ? writer_set_xattr(writer, value, &api.limits, &api.error)
                        : draft_set_xattr(draft, value, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_writer_getxattr(struct s3dlio_writer *writer, const char *name, void *value,
                               size_t size, struct s3dlio_error *ret_error)
{
    return read_written((struct writer *)writer, NULL, &(struct xattr_room){name, value, size},
                        ret_error);
}

ssize_t s3dlio_writer_listxattr(struct s3dlio_writer *writer, char *names, size_t size,
                                struct s3dlio_error *ret_error)
{
    return read_written((struct writer *)writer, NULL, &(struct xattr_room){NULL, names, size},
                        ret_error);
}

int s3dlio_writer_setxattr(struct s3dlio_writer *writer, const char *name, const void *value,
                           size_t size, int flags, struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {name, value, size, (unsigned)flags, false};

    return change_written((struct writer *)writer, NULL, &xattr, ret_error);
}

ssize_t s3dlio_draft_getxattr(struct s3dlio_draft *draft, const char *name, void *value,
                              size_t size, struct s3dlio_error *ret_error)
{
    return read_written(NULL, (struct draft *)draft, &(struct xattr_room){name, value, size},
                        ret_error);
}

ssize_t s3dlio_draft_listxattr(struct s3dlio_draft *draft, char *names, size_t size,
                                struct s3dlio_error *ret_error)
{
    return read_written(NULL, (struct draft *)draft, &(struct xattr_room){NULL, names, size},
                        ret_error);
}

int s3dlio_draft_setxattr(struct s3dlio_draft *draft, const char *name, const void *value,
                           size_t size, int flags, struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {name, value, size, (unsigned)flags, false};

    return change_written(NULL, (struct draft *)draft, &xattr, ret_error);
}
