/* Small blocking HTTP exchanges for the control plane (credentials, tokens, metadata services), by
 * plain libcurl on an engine thread, never on the program's. No body above 1 MiB. */
#ifndef S3DLIO_HTTP_TRANSFER_H
#define S3DLIO_HTTP_TRANSFER_H

#include <stdint.h>

#include "base/buffer.h"
#include "base/error.h"

struct transfer {
    const char *method;
    const char *url;
    const char *const *headers;  /* NULL-terminated "Name: value" */
    const char *body;            /* NULL: none */
    int64_t timeout_ns;
};

/* The calling thread sleeps meanwhile. 0 with status and body, or -errno when no answer came. */
int transfer_perform(const struct transfer *transfer, int *ret_status, struct buffer *ret_body,
                     struct error *err);

#endif
