/* The public functions on lock files. */
#include "api/api.h"
#include "core/lock_file.h"
#include "io/fd.h"

int s3dlio_lock_open(const char *uri_text, bool keeps_locks, int *ret_fd,
                     struct s3dlio_error *ret_error)
{
    struct api api;
    struct uri uri;
    struct store *store;
    int result = api_enter_uri(&api, uri_text, NULL, ret_error, &uri);
    if (!result)
        result = engine_store(api.engine, uri.scheme, &store, &api.error);
    if (!result)
        result = lock_file_open(store, &uri, keeps_locks, ret_fd, &api.error);
    return (int)api_leave(&api, result);
}

void s3dlio_lock_adopt(int fd)
{
    fd_adopt_here(fd);
}

void s3dlio_lock_close(int fd, const char *uri_text)
{
    struct api api;
    struct uri uri;
    struct store *store;
    if (!uri_text) { /* others have this description: the file stays */
        fd_close(fd);
        return;
    }
    int result = api_enter_in_order(&api, NULL, NULL);
    if (!result)
        result = api_parse_uri(&api, uri_text, &uri);
    if (!result)
        result = engine_store(api.engine, uri.scheme, &store, &api.error);
    if (!result)
        lock_file_close(store, fd, &uri);
    api_leave(&api, result);
}
