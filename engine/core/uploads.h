/* Multipart uploads that were begun and neither completed nor aborted: finding and ending them.
 *
 * All of a bucket's are listed and those below the prefix chosen here: some servers match a prefix
 * with whole keys only.
 */
#ifndef S3DLIO_CORE_UPLOADS_H
#define S3DLIO_CORE_UPLOADS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/uri.h"
#include "core/limits.h"

struct engine;
struct store_entry;

#define UPLOADS_SWEPT_MAX 64

/* Buckets that were swept, by hash; when there are more, the last is swept once more. */
struct uploads_swept {
    pthread_mutex_t mutex;
    unsigned count;
    uint64_t buckets[UPLOADS_SWEPT_MAX];
};

/* Called for each; false ends the listing. The id of the upload is store_entry_upload_id(entry). */
typedef bool uploads_found_fn(void *arg, const struct store_entry *entry);

/* Uploads to the key of `uri`, or to keys below it (an empty key: to all of the bucket). */
int uploads_list(struct engine *engine, const struct uri *uri, uploads_found_fn *found, void *arg,
                 const struct limits *limits, struct error *err);
/* -ENOENT when there is none of that id (any more). */
int uploads_abort(struct engine *engine, const struct uri *uri, const char *upload_id,
                  const struct limits *limits, struct error *err);

/* S3DLIO_ABORT_UPLOADS_AFTER: before this process first writes to a bucket, what was begun there
 * that long ago is aborted. What goes wrong is logged and keeps nobody from writing. */
void uploads_sweep(struct engine *engine, const struct uri *uri, const struct limits *limits);

#endif
