/*
 * One request from its first header to its answer.
 *
 * A request belongs to whichever polling thread handles its connection; no two threads touch it at
 * once, and nothing in it needs a lock.
 */
#ifndef TESTS_SERVER_REQUEST_H
#define TESTS_SERVER_REQUEST_H

#include "answer.h"
#include "errors.h"
#include "fault.h"
#include "intake.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct server;
struct connection;
struct op;
struct request;

/* A pair of the query, decoded. */
struct query_pair {
    char *name;
    char *value;
};

struct query {
    size_t count;
    struct query_pair *pairs;
};

enum request_stage {
    STAGE_NEW,     /* headers not looked at yet */
    STAGE_BODY,    /* receiving */
    STAGE_WAITING, /* everything received; the first byte is due at some time */
};

struct request {
    struct server *server;
    struct MHD_Connection *mhd;
    struct connection *connection;
    enum request_stage stage;
    char *uri;          /* as received, query included */
    const char *method; /* libmicrohttpd's, valid as long as the request */
    char *path;         /* decoded, from the first slash */
    char *bucket;       /* "" for requests to the service */
    char *key;          /* "" for requests to a bucket */
    const char *range;  /* the Range header, valid as long as the request */
    struct query query;
    const struct op *op; /* NULL until routed */
    bool admin;
    bool counted; /* by the statistics */
    bool in_flight;
    bool logged;   /* in the counters and the log */
    bool readonly; /* signed with a read-only key */
    bool stalled;  /* the fault's stall is over */
    uint64_t id;
    struct fault fault;
    struct chunked_signer signer; /* of its chunks; filled by auth.c */
    bool is_signed;
    struct intake intake;
    struct answer answer;
};

struct request *request_new(struct server *server, const char *uri);
void request_free(struct request *request);
/* Splits the target into path, bucket, key and query. */
enum s3_error request_parse_target(struct request *request);
const char *request_header(struct request *request, const char *name);      /* or NULL */
const char *request_query(const struct request *request, const char *name); /* or NULL */
bool request_has_query(const struct request *request, const char *name);
bool request_is_loopback(struct request *request);

#endif
