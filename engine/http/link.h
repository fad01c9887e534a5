/* An established connection as a stream of bytes, plain or TLS, never blocking.
 *
 * Plain bytes go straight to the socket; TLS through curl_easy_send and curl_easy_recv, on the
 * handle that made the connection, which stays in a multi handle of its own for life. Belongs to
 * one thread at a time: under the lock of the shard it is on. Inside the gate only.
 */
#ifndef S3DLIO_HTTP_LINK_H
#define S3DLIO_HTTP_LINK_H

#include <curl/curl.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/uio.h>

struct link {
    CURL *easy;
    CURLM *multi;
    int fd;                                  /* curl's; watched for readiness */
    bool tls;                                /* bytes pass through curl */
    int low_water;                           /* bytes; see link_set_low_water */
    struct curl_slist *connect_to, *resolve; /* curl reads them as long as the handle lives */
    char error[CURL_ERROR_SIZE];             /* curl's words for the last failure */
};

/* Nothing connected yet: handles without options. NULL: no memory. */
struct link *link_new(void);
/* The handle has connected, by this socket of curl's. To a peer on the same machine no more than
 * LINK_LOCAL_BYTES lie in the socket from then on. */
#define LINK_LOCAL_BYTES ((int)1 << 20)
void link_connected(struct link *link, int fd);
/* Closes, with a TLS alert if it can be sent at once. */
void link_free(struct link *link);
/* In a fork child, where the number is closed: touches nothing that the parent shares, leaks curl's
 * memory. */
void link_abandon(struct link *link);

/* Bytes sent (at least one), -EAGAIN, or -errno. After -EAGAIN the next call starts with the same
 * bytes at the same address. */
long link_send(struct link *link, const struct iovec *parts, unsigned count);
/* Bytes received, 0 at the end of the stream, -EAGAIN, or -errno. */
long link_recv(struct link *link, void *where, size_t length);
/* From now on epoll reports bytes only when so many are there, 1 at first (SO_RCVLOWAT, socket(7));
 * the end of the stream and failures at once. link_recv takes what there is all the same. Nothing
 * over TLS, where bytes that are decrypted already would not count. */
void link_set_low_water(struct link *link, int bytes);
/* For a connection between requests: neither closed nor with bytes nobody asked for. Takes in TLS
 * session tickets. */
bool link_is_quiet(struct link *link);

/* "TLSv1.3 TLS_AES_128_GCM_SHA256"; "" for a plain one. After the first link_is_quiet or byte. */
void link_describe_tls(struct link *link, char *ret_text, size_t size);

#endif
