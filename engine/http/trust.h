/* Certificate authorities, parsed once and shared by all connections: left to itself, curl would
 * read and parse the system's bundle (some 10 ms) for each of them. */
#ifndef S3DLIO_HTTP_TRUST_H
#define S3DLIO_HTTP_TRUST_H

#include <openssl/x509.h>

#include "base/error.h"

/* The store of a file of PEM certificates; NULL: the system's. Owned by this module, for the
 * life of the process. 0; -EAGAIN: being read, ask again soon; or -errno with ERROR_TLS. Any
 * thread, inside the gate. */
int trust_get(const char *ca_file, X509_STORE **ret_store, struct error *err);

#endif
