/* Multi handles of libcurl without the descriptors that curl adds for itself. */
#ifndef S3DLIO_HTTP_MULTI_H
#define S3DLIO_HTTP_MULTI_H

#include <curl/curl.h>

/* As curl_multi_init; curl_multi_wakeup and curl_multi_poll are not for this handle. NULL: no
 * memory. */
CURLM *multi_new(void);

#endif
