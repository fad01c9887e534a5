/* A scripted HTTP server inside the test: a thread for each connection runs the test's own
 * function, which reads requests and sends whatever bytes it likes. Plain or TLS with a
 * certificate made on the spot. */
#ifndef S3DLIO_TESTS_HTTP_SERVER_H
#define S3DLIO_TESTS_HTTP_SERVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct http_server;

struct http_peer {
    struct http_server *server;
    int fd;
    void *ssl;           /* NULL: plain */
    unsigned number;     /* of the connection, from 0 */
    char request[16384]; /* the last head that was read, with a NUL */
    char early[16384];   /* what came behind it */
    size_t early_length;
};

/* Runs on a thread of the server's; the connection is closed when it returns. */
typedef void http_serve_fn(struct http_peer *peer);

/* Fails the test when it cannot start. */
struct http_server *http_server_start(http_serve_fn *serve, bool tls);
void http_server_stop(struct http_server *server);
uint16_t http_server_port(const struct http_server *server);
const char *http_server_ca_file(const struct http_server *server);
unsigned http_server_connections(const struct http_server *server);

/* Reads one head; false at the end of the connection. */
bool http_peer_read_head(struct http_peer *peer);
/* Reads `length` bytes of a body, which are counted and dropped. */
bool http_peer_read_body(struct http_peer *peer, size_t length);
bool http_peer_send(struct http_peer *peer, const void *data, size_t length);
bool http_peer_say(struct http_peer *peer, const char *text);
/* An answer 200 with Content-Length and that body. */
bool http_peer_answer(struct http_peer *peer, const char *body);
void http_peer_reset(struct http_peer *peer); /* close sends RST */

#endif
