/* OpenSSL and libcurl, set up once in a process: what every file of this folder calls first. */
#ifndef S3DLIO_HTTP_GLOBAL_H
#define S3DLIO_HTTP_GLOBAL_H

#include <openssl/evp.h>

#include "base/error.h"

/* Before the first use of OpenSSL. Any thread, cheap when done. 0, or -EIO with *err (may be
 * NULL). */
int http_global_crypto(struct error *err);
/* SHA-256 and HMAC, fetched once: OpenSSL 3 looks them up slowly by name. After
 * http_global_crypto. */
const EVP_MD *http_global_sha256(void);
EVP_MAC *http_global_hmac(void);

/* All of it, curl too, on a thread of its own: configuration files are read, and the program's
 * stack may be small. Sleeps; no lock held. 0, or -errno with *err. */
int http_global_prepare(struct error *err);

#endif
