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
    const char *const *headers; /* NULL-terminated "Name: value" */
    const char *body;           /* NULL: none */
    int64_t timeout_ns;
    const char *ca_file; /* NULL: the system's authorities */
    const char *proxy;   /* NULL: by the environment; "" none (metadata services) */
};

/* The calling thread sleeps meanwhile, outside the gate; it holds no lock. Redirects are not
 * followed. 0 with status and the body appended to ret_body, or -errno when no whole answer
 * came. */
int transfer_perform(const struct transfer *transfer, int *ret_status, struct buffer *ret_body,
                     struct error *err);

#endif
