/* The S3 store's inner shape: a store, its endpoints, and the life of one request (a call).
 *
 *   s3.c            the vtable, opening, and what a call does after an answer: done, or once more
 *   s3_call.c       one call as the http client sees it: head, body, end
 *   s3_endpoint.c   which host serves a bucket, in which region; clients
 *   s3_request.c    request line, headers, signature
 *   s3_error.c      statuses and codes to classes
 *   s3_metadata.c   x-amz-meta-* both ways
 *   s3_object.c s3_list.c s3_multipart.c    the operations, a row of s3.c each
 *   s3_xml.c        expat with limits
 *
 * Locking: everything in a call is under its shard's lock. What shards share (endpoints, buckets,
 * clock) is under the store's mutex, taken for moments and never around a callback.
 */
#ifndef S3DLIO_STORE_S3_H
#define S3DLIO_STORE_S3_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/buffer.h"
#include "base/uri.h"
#include "credential/credential.h"
#include "http/client.h"
#include "http/response.h"
#include "store/internal.h"
#include "store/s3_xml.h"

#define S3_REGION_MAX     64
#define S3_HOST_MAX       256
#define S3_ERROR_BODY_MAX ((size_t)64 << 10)
#define S3_XML_BODY_MAX   ((size_t)16 << 20)

/* ---- endpoints: s3_endpoint.c --------------------------------------------------------------- */

/* One host with its client; lives as long as the store. */
struct s3_endpoint {
    struct s3_endpoint *next;
    struct http_client *client;
    char host[S3_HOST_MAX];
    char host_header[S3_HOST_MAX + 8]; /* with the port where it is not the scheme's own */
};

/* What is known of a bucket beyond its name. */
struct s3_bucket {
    struct s3_bucket *next;
    char name[URI_BUCKET_MAX + 1];
    char region[S3_REGION_MAX]; /* as a server told; "" while unknown */
};

struct s3_settings {
    bool tls;
    bool custom;    /* an endpoint of the user's own, not Amazon's */
    bool literal;   /* its host is an address, which cannot have a bucket in front */
    int addressing; /* index of the option's words: auto, path, virtual */
    uint16_t port;
    char host[S3_HOST_MAX];      /* custom: as given, without brackets */
    char base_path[S3_HOST_MAX]; /* in front of every path; "" or "/…" without slash at its end */
    char region[S3_REGION_MAX];
};

struct s3_store {
    struct store base;
    struct s3_settings settings;
    struct http_client_options client_options; /* host is filled in for each endpoint */
    struct credential_chain *chain;
    bool requester_pays;
    atomic_llong clock_correction_s; /* added to our clock when signing */
    atomic_llong clock_offset_ms;    /* of the last Date seen */
    atomic_bool clock_warned;
    pthread_mutex_t lock; /* the two lists */
    struct s3_endpoint *endpoints;
    unsigned endpoint_count;
    struct s3_bucket *buckets;
};

/* Where a request goes. */
struct s3_target {
    struct s3_endpoint *endpoint;
    bool path_style;
    char region[S3_REGION_MAX];
};

/* Reads the endpoint URL (NULL: Amazon's) into the settings. 0, or -errno with *err. */
int s3_settings_parse(const char *url, struct s3_settings *settings, struct error *err);
/* bucket "": the service itself. 0, or -errno with *err. */
int s3_endpoint_find(struct s3_store *store, const char *bucket, struct s3_target *ret_target,
                     struct error *err);
/* A server told the bucket's region. */
void s3_bucket_set_region(struct s3_store *store, const char *bucket, const char *region);
void s3_endpoints_fini(struct s3_store *store);

/* ---- calls ---------------------------------------------------------------------------------- */

struct s3_call;
struct s3_headers;

/* How one operation speaks S3. Functions may be NULL where there is nothing to do. */
struct s3_operation {
    const char *method;
    bool service;        /* no bucket in the path */
    bool bucket;         /* no key in the path */
    bool sends_body;     /* the request's own; else `payload` if that made one */
    bool absent_is_fine; /* not found is success, unless If-Match asked */
    /* Checks arguments, makes call->payload. 0, or -errno with *err. */
    int (*prepare)(struct s3_call *call, struct error *err);
    /* Appends "name=value&…", encoded. */
    int (*query)(struct s3_call *call, struct buffer *query);
    void (*headers)(struct s3_call *call, struct s3_headers *headers);
    /* A 2xx head came. 0, or -errno with *err. */
    int (*head)(struct s3_call *call, const struct http_head *head, struct error *err);
    /* An element of the answer's XML ended. As s3_xml_fn. */
    int (*element)(struct s3_call *call, const char *parent, const char *name, char *text,
                   size_t length);
    /* The whole 2xx answer came. 0, or -errno with *err. */
    int (*finish)(struct s3_call *call, struct error *err);
    /* Frees call->state. */
    void (*release)(struct s3_call *call);
};

/* What a call did once already and will not do again. */
enum s3_repeat {
    S3_REPEATED_REGION = 1 << 0,
    S3_REPEATED_TOKEN = 1 << 1,
    S3_REPEATED_CLOCK = 1 << 2,
    S3_REPEATED_AS_GET = 1 << 3,
    S3_REPEATED_AS_HEAD = 1 << 4,
};

enum s3_body { S3_BODY_DROP, S3_BODY_SINK, S3_BODY_XML };

/* The parts of an error answer, as they come. */
struct s3_answer {
    int status;
    int retry_after_ms;
    int64_t date_offset_ms; /* server's Date minus our clock */
    bool has_date;
    char code[64], message[192], region[S3_REGION_MAX], request_id[80];
};

struct s3_call {
    struct http_request http; /* first */
    struct store_request *request;
    struct s3_store *store;
    const struct s3_operation *operation;
    struct s3_target target;
    struct credentials *credentials; /* those that signed last; a reference */
    struct buffer payload;
    struct iovec payload_iov;
    struct s3_answer answer;
    struct s3_xml *xml;
    void *state; /* the operation's own */
    enum s3_body body;
    unsigned repeated; /* enum s3_repeat */
    uint64_t body_received, body_limit;
    bool error_in_body;        /* the XML's root is Error */
    bool cut;                  /* we stopped reading an error's body */
    bool as_get;               /* a HEAD, sent as GET to see its error */
    bool in_callback, resumed; /* the owner's code runs; it resumed meanwhile */
    bool abandoned;            /* in a callback: the request is not ours any more */
    char scratch[2048];
};

/* Ends or repeats the call; it may be freed on return. err: how the exchange ended. s3.c */
void s3_call_ended(struct s3_call *call, const struct error *err);
/* Sends it (again): s3_call.c */
void s3_call_send(struct s3_call *call);
void s3_call_free(struct s3_call *call);

/* The operations' rows. */
extern const struct s3_operation s3_get, s3_head, s3_put, s3_delete, s3_delete_many, s3_copy;
extern const struct s3_operation s3_list, s3_list_buckets, s3_create_bucket, s3_delete_bucket;
extern const struct s3_operation s3_upload_create, s3_upload_part, s3_upload_part_copy,
    s3_upload_complete, s3_upload_abort, s3_upload_list, s3_get_tags;

/* Copies an ETag, XML's quotes already undone. 0, or -errno with *err when it is too long. */
int s3_copy_etag(char ret_etag[STORE_ETAG_MAX], const char *value, struct error *err);
/* Escapes text for XML; false when XML cannot hold it. */
bool s3_xml_escape(struct buffer *out, const char *text, size_t length);
/* "AAAAAA==" of x-amz-checksum-crc32c; false when it is none. */
bool s3_parse_crc32c(const char *text, uint32_t *ret_crc);

/* ---- requests: s3_request.c ----------------------------------------------------------------- */

/* Headers to be signed, Host and the like included. Adding never fails by itself: what is wrong is
 * remembered and told when the head is written. Values with control characters are wrong. */
void s3_header(struct s3_headers *headers, const char *name, const char *value);
void s3_header_format(struct s3_headers *headers, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void s3_header_error(struct s3_headers *headers, int errnum, const char *why);
/* "/bucket/key" encoded, for copies. */
void s3_header_source(struct s3_headers *headers, const struct store_request *request);

/* Appends "name=value", with "&" before all but the first; value encoded, left out when NULL. */
int s3_query_add(struct buffer *query, const char *name, const char *value);

/* The whole head of the request, signed now. As write_head of the http client. */
int s3_write_head(struct s3_call *call, struct buffer *head, struct error *err);

/* ---- metadata: s3_metadata.c ---------------------------------------------------------------- */

void s3_metadata_write(struct s3_headers *headers, const struct store_metadata *metadata);
int s3_metadata_read(const struct http_head *head, struct store_metadata *ret_metadata);

/* ---- errors: s3_error.c --------------------------------------------------------------------- */

/* Notes what the head of any answer tells of errors, dates, regions. */
void s3_answer_head(struct s3_answer *answer, const struct http_head *head);
/* An element of an error's XML. */
void s3_answer_element(struct s3_answer *answer, const char *parent, const char *name,
                       const char *text);
/* The class of the code, ERROR_NONE when it is unknown. */
enum error_class s3_code_class(const char *code);
/* Makes *err of an answer that is an error. Returns -errno. */
int s3_answer_error(const struct s3_call *call, struct error *err);

#endif
