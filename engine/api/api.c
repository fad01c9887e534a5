/* Entering and leaving the engine; see api.h. */
#include "api/api.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/own_files.h"
#include "core/attr_cache_shared.h"
#include "core/rename.h"

static int64_t timeout_of(const struct engine *engine, const struct s3dlio_call *call)
{
    return call && call->timeout_ms ? call->timeout_ms * NS_PER_MS : engine->operation_timeout_ns;
}

int api_enter(struct api *api, const struct s3dlio_call *call, struct s3dlio_error *ret_error)
{
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &api->cancel_state);
    memset(&api->error, 0, sizeof api->error);
    api->ret_error = ret_error;
    api->engine = NULL;
    gate_enter(&api->scope);
    api->result =
        own_files()
            ? error_set(&api->error, ERROR_NOT_FOUND, "a file that reaching the store itself needs")
            : engine_get(NULL, &api->engine, &api->error);
    if (api->result < 0)
        return api->result;
    limits_begin(&api->limits, timeout_of(api->engine, call),
                 call && call->cancel ? &call->cancel->triggered : NULL);
    return 0;
}

int api_enter_in_order(struct api *api, const struct s3dlio_call *call,
                       struct s3dlio_error *ret_error)
{
    int result = api_enter(api, call, ret_error);

    if (result == 0 && removals_pending(&api->engine->removals))
        removals_wait(api->engine, &api->limits);
    if (result == 0 && deferred_is_to_print(&api->engine->deferred))
        deferred_print(api->engine);
    return result;
}

int api_order_uri(struct api *api, const struct uri *uri)
{
    int result = deferred_wait(api->engine, uri, &api->limits, &api->error);

    return result < 0 ? result : deferred_tell(api->engine, uri, &api->error);
}

int api_order_all(struct api *api)
{
    return deferred_wait_everywhere(api->engine, &api->limits, &api->error);
}

int api_parse_uri(struct api *api, const char *text, struct uri *ret_uri)
{
    int result = uri_parse(text, ret_uri);

    if (result == -ENAMETOOLONG)
        result =
            error_set(&api->error, ERROR_TOO_LONG, "the key is longer than %d bytes", URI_KEY_MAX);
    else if (result < 0)
        result = error_set(&api->error, ERROR_INVALID, "not a URI of the form scheme://bucket/key");
    if (result < 0)
        error_set_context(&api->error, NULL, text);
    return result;
}

int api_enter_uri(struct api *api, const char *text, const struct s3dlio_call *call,
                  struct s3dlio_error *ret_error, struct uri *ret_uri)
{
    int result = api_enter_in_order(api, call, ret_error);

    if (result == 0)
        result = api_parse_uri(api, text, ret_uri);
    if (result == 0)
        result = api_order_uri(api, ret_uri);
    return api->result = result;
}

int api_check_flags(struct api *api, unsigned flags, unsigned known)
{
    return flags & ~known ? error_set(&api->error, ERROR_INVALID, "unknown flags") : 0;
}

long api_leave(struct api *api, long result)
{
    if (api->result < 0)
        result = api->result;
    if (api->engine)
        limits_end(&api->limits);
    if (result < 0) {
        if (api->ret_error)
            api_export_error(&api->error, api->ret_error);
        else
            error_report_once(&api->error);
    }
    gate_leave(&api->scope);
    pthread_setcancelstate(api->cancel_state, NULL);
    return result;
}

int api_leave_attr(struct api *api, int result, const struct attr *attr,
                   struct s3dlio_attr *ret_attr)
{
    if (api->result == 0 && result == 0 && ret_attr)
        api_export_attr(attr, ret_attr);
    return (int)api_leave(api, result);
}

/* ---- what the outside sees ---- */

void api_export_error(const struct error *error, struct s3dlio_error *ret_error)
{
    *ret_error = (struct s3dlio_error){
        .errnum = error_errno(error),
        .http_status = error->http_status,
        .retryable = error_is_retryable(error->class),
    };
    snprintf(ret_error->class_name, sizeof ret_error->class_name, "%s",
             error_class_name(error->class));
    snprintf(ret_error->code, sizeof ret_error->code, "%s", error->code);
    snprintf(ret_error->request_id, sizeof ret_error->request_id, "%s", error->request_id);
    snprintf(ret_error->operation, sizeof ret_error->operation, "%s", error->operation);
    error_format(error, ret_error->message, sizeof ret_error->message);
}

static struct timespec time_of_directory(const struct attr *attr)
{
    struct timespec time = {.tv_sec = ATTR_DIRECTORY_TIME_S};

    attr_shared_get_time(attr_cache_shared(engine_peek()->attrs), attr->inode, &time);
    return time;
}

void api_export_attr(const struct attr *attr, struct s3dlio_attr *ret_attr)
{
    _Static_assert(
        (int)ATTR_FILE == (int)S3DLIO_FILE && (int)ATTR_DIRECTORY == (int)S3DLIO_DIRECTORY &&
            (int)ATTR_SYMLINK == (int)S3DLIO_SYMLINK &&
            (int)ATTR_HAS_MTIME == (int)S3DLIO_HAS_MTIME &&
            (int)ATTR_HAS_ATIME == (int)S3DLIO_HAS_ATIME,
        "both sides number types and flags alike");
    *ret_attr = (struct s3dlio_attr){
        .type = (enum s3dlio_type)attr->type,
        .has = attr->has,
        .mode = attr->mode,
        .uid = attr->uid,
        .gid = attr->gid,
        .has_xattr = attr->has_xattr,
        .size_bytes = attr->size_bytes,
        .mtime = attr->mtime,
        .atime = attr->atime,
        .inode = attr->inode,
    };
    if (attr->type == ATTR_DIRECTORY && !(attr->has & ATTR_HAS_MTIME))
        ret_attr->mtime = time_of_directory(attr);
    if (!(attr->has & ATTR_HAS_ATIME))
        ret_attr->atime = ret_attr->mtime;
    snprintf(ret_attr->etag, sizeof ret_attr->etag, "%s", attr->etag);
}

struct attr api_import_attr(const struct s3dlio_write_options *options)
{
    struct attr attr = {.type = ATTR_FILE};
    if (options) {
        attr.has = options->has;
        attr.mode = options->mode;
        attr.uid = options->uid;
        attr.gid = options->gid;
    }
    return attr;
}

struct attr api_import_changes(const struct s3dlio_attr *attr)
{
    return (struct attr){
        .type = ATTR_FILE,
        .has = attr->has & (ATTR_HAS_MODE | ATTR_HAS_UID | ATTR_HAS_GID | ATTR_HAS_MTIME |
                            ATTR_HAS_ATIME),
        .mode = attr->mode & 07777,
        .uid = attr->uid,
        .gid = attr->gid,
        .mtime = attr->mtime,
        .atime = attr->atime,
    };
}

int api_import_rename_flags(struct api *api, unsigned flags, unsigned *ret_flags)
{
    int result = api_check_flags(api, flags, S3DLIO_RENAME_NOREPLACE | S3DLIO_RENAME_FOLLOW);

    if (!result)
        *ret_flags = (flags & S3DLIO_RENAME_NOREPLACE ? RENAME_NO_REPLACE : 0) |
                     (flags & S3DLIO_RENAME_FOLLOW ? RENAME_FOLLOW : 0);
    return result;
}
