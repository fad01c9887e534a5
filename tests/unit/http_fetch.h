/* One request of a test: what to ask, where the body goes, how it ended. */
#ifndef S3DLIO_TESTS_HTTP_FETCH_H
#define S3DLIO_TESTS_HTTP_FETCH_H

#include <pthread.h>

#include "http/client.h"
#include "http_server.h"
#include "io/gate.h"

struct fetch {
    struct http_request request; /* first */
    /* what to do */
    const char *method, *path;
    struct iovec body[4];
    size_t room;        /* most that body_space gives at a time; 0: 1 MiB */
    size_t pause_after; /* bytes; 0: never */
    size_t fail_after;  /* body_commit refuses behind it; 0: never */
    bool fail_head;     /* on_head refuses */
    int write_head_errno;
    /* how it went */
    bool done;
    unsigned heads_written, times_done;
    int status;
    struct error error;
    size_t received;
    uint64_t sum;   /* of the bytes, each times its place */
    char text[256]; /* the first of them */
    pthread_t done_on;
    char *space;
    size_t space_size;
};

/* The client and shard of the present test. */
struct http_rig {
    struct http_server *server;
    struct http_client *client;
    struct shard *shard;
    struct gate_scope scope;
};

/* Server, client and shard; inside the gate with the shard locked after. options NULL: those of
 * http_patient. */
void http_rig_open(struct http_rig *rig, http_serve_fn *serve, bool tls,
                   const struct http_client_options *options);
void http_rig_close(struct http_rig *rig);

void http_fetch_init(struct fetch *fetch, const char *method, const char *path);
void http_fetch_fini(struct fetch *fetch);
void fetch_submit(struct http_rig *rig, struct fetch *fetch);
/* 0 or -ETIMEDOUT after 20 s. */
int fetch_wait(struct http_rig *rig, struct fetch *fetch);
/* "hello" to every request. */
void http_serve_hello(struct http_peer *peer);
/* Nothing, until the client hangs up. */
void http_serve_silence(struct http_peer *peer);
/* Deadlines that no test reaches by accident. */
extern const struct http_client_options http_patient;

/* Submits and waits. */
void fetch_run(struct http_rig *rig, struct fetch *fetch);
/* GET / as a whole. */
void fetch_get(struct http_rig *rig, struct fetch *fetch);
/* The same of a server, client and shard that are there for nothing else. */
void fetch_once(http_serve_fn *serve, bool tls, const struct http_client_options *options,
                struct fetch *fetch);
/* The same from where nothing may listen, on a shard of its own. */
void fetch_from(struct http_client_options *options, struct fetch *fetch);
void assert_fetch_error(const struct fetch *fetch, enum error_class class, const char *part);
void assert_fetched(const struct fetch *fetch, int status, const char *text);

#endif
