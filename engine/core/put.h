/* Whole objects out of the caller's memory: one request, or parts that are sent from where they
 * are. The memory is read until the call returns. */
#ifndef S3DLIO_CORE_PUT_H
#define S3DLIO_CORE_PUT_H

#include <stddef.h>

#include "core/upload.h"

struct put {
    struct uri uri;
    const void *data;
    size_t length_bytes;
    struct upload_options options;
    struct attr attr; /* out: what is there now */
};

int put_object(struct engine *engine, struct put *put, const struct limits *limits,
               struct error *err);

#endif
