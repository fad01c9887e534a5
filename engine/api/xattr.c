/* The public functions on extended attributes: of names, and of what is being written. */
#include <errno.h>

#include "api/api.h"
#include "core/draft.h"
#include "core/writer.h"
#include "core/xattr.h"

static bool flags_are_known(int flags, struct error *err)
{
    if (!((unsigned)flags & ~(unsigned)(XATTR_SET_CREATE | XATTR_SET_REPLACE)))
        return true;
    error_set(err, ERROR_INVALID, "unknown flags");
    return false;
}

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

    if (!result && !flags_are_known((int)value->flags, &api.error))
        result = -EINVAL;
    if (!result)
        result = xattr_set(api.engine, &uri, value, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

/* NOLINTNEXTLINE(readability-function-size): as the public header has it */
int s3dlio_setxattr(const char *uri_text, const char *name, const void *value, size_t size,
                    int flags, const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {name, size ? value : "", size, (unsigned)flags};

    return change_xattr(uri_text, &xattr, call, ret_error);
}

int s3dlio_removexattr(const char *uri_text, const char *name, const struct s3dlio_call *call,
                       struct s3dlio_error *ret_error)
{
    struct xattr_value xattr = {.name = name};

    return change_xattr(uri_text, &xattr, call, ret_error);
}

/* ---- what is being written ---------------------------------------------------------------------- */

ssize_t s3dlio_writer_getxattr(struct s3dlio_writer *writer, const char *name, void *value,
                               size_t size, struct s3dlio_error *ret_error)
{
    struct api api;
    struct xattr_room room = {name, value, size};
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = writer_get_xattr((struct writer *)writer, &room, &api.limits, &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_writer_listxattr(struct s3dlio_writer *writer, char *names, size_t size,
                                struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = writer_list_xattr((struct writer *)writer, names, size, &api.limits, &api.error);
    return api_leave(&api, result);
}

int s3dlio_writer_setxattr(struct s3dlio_writer *writer, const char *name, const void *value,
                           size_t size, int flags, struct s3dlio_error *ret_error)
{
    struct api api;
    struct xattr_value xattr = {name, value, size, (unsigned)flags};
    int result = api_enter(&api, NULL, ret_error);

    if (!result && !flags_are_known(flags, &api.error))
        result = -EINVAL;
    if (!result)
        result = writer_set_xattr((struct writer *)writer, &xattr, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}

ssize_t s3dlio_draft_getxattr(struct s3dlio_draft *draft, const char *name, void *value,
                               size_t size, struct s3dlio_error *ret_error)
{
    struct api api;
    struct xattr_room room = {name, value, size};
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_get_xattr((struct draft *)draft, &room, &api.limits, &api.error);
    return api_leave(&api, result);
}

ssize_t s3dlio_draft_listxattr(struct s3dlio_draft *draft, char *names, size_t size,
                                struct s3dlio_error *ret_error)
{
    struct api api;
    ssize_t result = api_enter(&api, NULL, ret_error);

    if (!result)
        result = draft_list_xattr((struct draft *)draft, names, size, &api.limits, &api.error);
    return api_leave(&api, result);
}

int s3dlio_draft_setxattr(struct s3dlio_draft *draft, const char *name, const void *value,
                           size_t size, int flags, struct s3dlio_error *ret_error)
{
    struct api api;
    struct xattr_value xattr = {name, value, size, (unsigned)flags};
    int result = api_enter(&api, NULL, ret_error);

    if (!result && !flags_are_known(flags, &api.error))
        result = -EINVAL;
    if (!result)
        result = draft_set_xattr((struct draft *)draft, &xattr, &api.limits, &api.error);
    return (int)api_leave(&api, result);
}
