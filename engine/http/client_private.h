/* What the files of the client share: client.c (life, the public functions), pool.c (which request
 * gets which connection, and when to dial), sweep.c (closing what is not needed),
 * connection_life.c, connection.c (one exchange after the other), receive.c (the answer's bytes).
 * Others include http/client.h.
 *
 * A client has one pool on each shard it is used on; pool, connections and requests are guarded by
 * that shard's lock. What pools share is atomic: the number of open connections, and how many pools
 * have requests but may not open another.
 */
#ifndef S3DLIO_HTTP_CLIENT_PRIVATE_H
#define S3DLIO_HTTP_CLIENT_PRIVATE_H

#include <stdatomic.h>

#include "base/clock.h"
#include "http/client.h"
#include "http/dialer.h"
#include "http/link.h"

#define HTTP_SHARDS_MAX          256
#define HTTP_HEAD_SENT_MAX       ((size_t)128 << 10)
#define HTTP_CONNECTION_IN_BYTES ((size_t)16 << 10)

enum http_connection_state {
    HTTP_CONNECTION_IDLE,
    HTTP_CONNECTION_SENDING,   /* head, then body */
    HTTP_CONNECTION_RECEIVING, /* everything is sent, or no more will be */
};

struct http_connection {
    struct shard_watch watch; /* first: found by its address */
    struct shard_timer timer;
    struct http_pool *pool;
    struct http_connection *prev, *next; /* of the pool's idle or busy ones */
    struct link *link;
    struct http_parser *parser;
    enum http_connection_state state;
    struct http_request *request;
    uint64_t exchange;  /* counts requests: tells whether this one is over */
    struct buffer head; /* of the request */
    size_t head_sent;
    char *in; /* received, not yet used: in[in_start..in_end) */
    size_t in_start, in_end;
    struct http_run run; /* bytes of a chunk inside `in`, waiting for room */
    int64_t body_ns;     /* when the head of this answer had come */
    int64_t activity_ns; /* last byte either way; when idle: since */
    unsigned served;     /* requests begun on it */
    unsigned inside;     /* frames that have entered it: freed by the last */
    bool watching;
    bool reused;    /* this request is not its first */
    bool answered;  /* a byte of this answer came */
    bool early;     /* not all of the request was sent: close after the answer */
    int send_errno; /* why not; 0: an early answer */
    bool kicked;    /* the timer shall receive: bytes wait inside TLS */
    bool closed;
};

struct http_pool {
    struct http_client *client;
    struct shard *shard;
    struct http_request *first, *last; /* waiting for a connection */
    unsigned queued;
    unsigned dials;               /* under way for this pool */
    struct http_connection *idle; /* used last, first */
    struct http_connection *busy;
    struct shard_timer timer; /* deadlines of those who wait */
    bool serving;
    _Atomic bool starved; /* more waiting than dials, and no more allowed */
};

struct http_client {
    struct dialer_job feed; /* first: found by its address */
    struct dialer_job sweep;
    struct dial_target target;
    unsigned connections_max;
    int64_t idle_timeout_ns, first_byte_timeout_ns, progress_timeout_ns;
    _Atomic(struct http_pool *) pools[HTTP_SHARDS_MAX];
    _Atomic uint32_t users; /* dials and jobs that will call back; a futex */
    _Atomic bool closing, feed_posted, sweep_posted;
    _Atomic unsigned open, idle, starved;
    _Atomic uint64_t opened, reused;
    _Atomic(const char *) tls;
};

/* client.c */
void http_client_use(struct http_client *client);
void http_client_unuse(struct http_client *client);
void http_request_finish(struct http_request *request, const struct error *err);
void http_client_note_tls(struct http_client *client, struct link *link);

/* pool.c */
void http_pool_init(struct http_pool *pool, struct http_client *client, struct shard *shard);
void http_pool_enqueue(struct http_pool *pool, struct http_request *request, bool first);
void http_pool_remove(struct http_pool *pool, struct http_request *request);
/* Brings requests and idle connections together, dials for the rest. */
void http_pool_serve(struct http_pool *pool);
/* The connection has become idle, or is gone. */
void http_pool_put(struct http_connection *connection);
void http_pool_forget(struct http_connection *connection);
void http_pool_close_idle(struct http_pool *pool);
/* A connection has become idle: in time it will be closed. */
void http_pool_plan_sweep(struct http_client *client);

/* connection_life.c */
/* Takes the link over, also on failure. */
int http_connection_new(struct http_pool *pool, struct link *link,
                        struct http_connection **ret_connection);
void http_connection_enter(struct http_connection *connection);
void http_connection_leave(struct http_connection *connection);
void http_connection_unwatch(struct http_connection *connection);
/* Out of its pool and about to be used: neither too old nor closed nor talking? */
bool http_connection_is_usable(struct http_connection *connection, int64_t now_ns);
/* Closes it and takes it out of its pool; the request, if any, must have been taken off. */
void http_connection_close(struct http_connection *connection);
void http_connection_abandon(struct http_connection *connection); /* in a fork child */

/* connection.c */
void http_connection_on_event(struct shard_watch *watch, uint32_t events);
void http_connection_on_timer(struct shard_timer *timer);
void http_connection_start(struct http_connection *connection, struct http_request *request);
/* Sends or receives what can be without sleeping; true when something moved or the exchange
 * ended. */
bool http_connection_drive(struct http_connection *connection);
void http_connection_resume(struct http_connection *connection);
/* Receives in the loop's next round, without an event: what TLS has decrypted wakes nobody. */
void http_connection_kick(struct http_connection *connection);
/* The exchange is over: with the whole answer (err NULL, the connection kept or not), or
 * without. */
void http_connection_end(struct http_connection *connection, const struct error *err, bool keep);
/* The same after a failure of the connection: a request that may be repeated is. */
void http_connection_broken(struct http_connection *connection, const struct error *err);
/* Something was sent or received, or the wait for it began: deadlines count from here. */
void http_connection_touch(struct http_connection *connection);
/* Nothing more of the request will be sent. */
void http_connection_stop_sending(struct http_connection *connection);

/* receive.c */
/* Receives until the kernel has no more, there is no room, or the exchange is over. */
bool http_connection_receive(struct http_connection *connection);

#endif
