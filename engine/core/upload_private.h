/* What the files of an upload share: upload.c (its beginning and end), upload_parts.c (parts and
 * their order), upload_verify.c (what is at the store before, after, and when an answer was
 * lost). */
#ifndef S3DLIO_CORE_UPLOAD_PRIVATE_H
#define S3DLIO_CORE_UPLOAD_PRIVATE_H

#include "core/call.h"
#include "core/engine.h"
#include "core/upload.h"

#define UPLOAD_ID_NAME   "s3dlio-write-id"
#define UPLOAD_ID_DIGITS 32

struct part;
struct upload_wake;

struct upload {
    struct engine *engine;
    struct store *store;
    struct endpoint *endpoint;
    struct uri uri;
    bool exclusive; /* and the store can do it */
    bool appends;   /* see upload_options */
    bool absent;    /* nothing may be there, whoever finds out */
    bool doubtful;  /* another's is there, and nobody can know whether ours was */
    const void *owner;
    bool plain; /* parts may be copies: no checksum of the whole is declared */
    bool begins_as_base;
    char base_etag[STORE_ETAG_MAX]; /* the version it takes the place of; "": any, or none */
    struct uri copy_uri;            /* what parts are copied from */
    char copy_etag[STORE_ETAG_MAX];
    char *content_type;
    struct store_metadata metadata;
    char write_id[UPLOAD_ID_DIGITS + 1];
    struct attr attr; /* what is stored with it */

    char *upload_id; /* NULL: nothing was created */
    struct part *in_flight; /* or ended, and not in front: results are taken in order */
    atomic_uint ended_count;
    _Atomic(struct upload_wake *) wake; /* of whoever waits for the next to end */
    unsigned sent_count;
    struct store_part *parts; /* acknowledged, in order */
    unsigned part_count, part_capacity;
    uint64_t size_bytes, offset;
    bool has_copies;
    struct error failure;       /* sticky */
    struct store_object object; /* what is there after a success; no metadata */
};

/* upload.c */

/* The store is told, unless it was. */
int upload_create(struct upload *upload, const struct limits *limits, struct error *err);
/* upload_fail, and r. */
int upload_fail_with(struct upload *upload, int r, const struct error *error);

/* upload_parts.c */

/* Gives up what is in flight; in a fork child, where the requests are the parent's, forgets it. */
void upload_drop_parts(struct upload *upload);
void upload_forget_parts(struct upload *upload);

/* upload_verify.c */

/* What is there after a put or a complete. */
void upload_keep_object(struct upload *upload, const struct store_object *object);
/* The call has failed with r. If it may have worked all the same, the id in the metadata of what is
 * there tells: then 0. */
int upload_settle(struct upload *upload, const struct call *call, int r,
                  const struct limits *limits);
/* Before the last request: marks the directory if what is stored needs it (core/marked.h), and
 * where the store takes no condition on that request: is the base still there? */
int upload_check_base(struct upload *upload, const struct limits *limits, struct error *err);
/* The store does not take the last request's condition, or so it seems: a look instead, and once
 * more. */
int upload_run_without_condition(struct upload *upload, struct call *call,
                                 const struct limits *limits, struct error *err);
/* After it: is what is there as long as what was meant, where parts came by copying? */
int upload_check_copies(struct upload *upload, const struct limits *limits, struct error *err);
/* For the condition of the last request: the ETag or NULL. */
const char *upload_if_match(const struct upload *upload);

#endif
