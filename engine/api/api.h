/* What every public function does besides its own work: enter the gate, begin the call's limits,
 * find the engine, keep pthread_cancel out, also while the call sleeps, and on the way out turn the
 * inner error into the public one.
 *
 * Usage: `struct api api; if (!api_enter(&api, …)) result = work; return api_leave(&api, result)`.
 * api_leave must follow api_enter whatever that returned, on the same thread.
 */
#ifndef S3DLIO_API_API_H
#define S3DLIO_API_API_H

#include "core/engine.h"
#include "core/limits.h"
#include "io/gate.h"
#include "s3dlio_shim.h"

struct s3dlio_cancel {
    atomic_bool triggered;
};

struct api {
    struct gate_scope scope;
    struct limits limits;
    struct engine *engine;
    struct error error;
    struct s3dlio_error *ret_error; /* the caller's; NULL: what goes wrong is printed once */
    int result;                     /* of api_enter */
    int cancel_state;               /* the caller's: nobody cancels a thread in here */
};

/* call and ret_error may be NULL. 0 or -errno. */
int api_enter(struct api *api, const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* The same for calls that look at names or change what is there: waits for deletions that were
 * accepted before (core/removals.h), so that the store sees them in the order of the program. */
int api_enter_in_order(struct api *api, const struct s3dlio_call *call,
                       struct s3dlio_error *ret_error);
/* The same, too, for a call about one name: *ret_uri is it, taken apart; api_order_uri. */
int api_enter_uri(struct api *api, const char *text, const struct s3dlio_call *call,
                  struct s3dlio_error *ret_error, struct uri *ret_uri);
/* One more name of the same call: 0, or -errno with api->error. */
int api_parse_uri(struct api *api, const char *text, struct uri *ret_uri);
/* Waits for a put to that name that a close did not wait for (core/deferred.h): 0, or -errno with
 * api->error, which may be that put's. The second: for all such puts, of other processes too. */
int api_order_uri(struct api *api, const struct uri *uri);
int api_order_all(struct api *api);
/* Are all of the flags known? 0, or -EINVAL with api->error. */
int api_check_flags(struct api *api, unsigned flags, unsigned known);
/* Returns `result`, or what api_enter returned when that failed. */
long api_leave(struct api *api, long result);
/* The same for a call whose success has attributes to tell; ret_attr may be NULL. */
int api_leave_attr(struct api *api, int result, const struct attr *attr,
                   struct s3dlio_attr *ret_attr);

void api_export_error(const struct error *error, struct s3dlio_error *ret_error);
void api_export_attr(const struct attr *attr, struct s3dlio_attr *ret_attr);
/* What a writer stores with the object; `has` says what. options may be NULL. */
struct attr api_import_attr(const struct s3dlio_write_options *options);

/* What set_attr calls may change of an object: mode, owner, time, as `has` says. */
struct attr api_import_changes(const struct s3dlio_attr *attr);
/* S3DLIO_RENAME_… of files being written, as core/rename.h has them; 0 or -EINVAL as above. */
int api_import_rename_flags(struct api *api, unsigned flags, unsigned *ret_flags);

#endif
