/*
 * What a request is answered with, and how it goes out.
 *
 * Operations fill an answer (status, headers, text or a stretch of an object); answer_queue hands
 * it to libmicrohttpd, which sends objects straight from their memory. Faults are worked in here,
 * so that no operation knows of them.
 */
#ifndef TESTS_SERVER_ANSWER_H
#define TESTS_SERVER_ANSWER_H

#include "buf.h"
#include "errors.h"
#include "headers.h"

#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

struct object;
struct request;

enum {
    ANSWER_TEXT_MAX_BYTES = 64 << 20,
};

struct answer {
    bool decided;
    unsigned status;
    struct headers headers;
    struct buf text;       /* the body, unless object */
    struct buf details;    /* extra elements for an error's XML */
    struct object *object; /* a reference */
    uint64_t start, length;
    bool head_length; /* text is empty, yet Content-Length says `length` (HEAD) */
};

void answer_init(struct answer *answer);
void answer_fini(struct answer *answer);

void answer_header(struct request *request, const char *name, const char *value);
void answer_header_u64(struct request *request, const char *name, uint64_t value);
void answer_etag(struct request *request, const char *etag); /* adds the quotes */
void answer_empty(struct request *request, unsigned status);
/* answer.text is XML, filled by the caller. */
void answer_xml(struct request *request, unsigned status);
/* Takes its own reference; the body is that stretch of the object. */
void answer_object(struct request *request, unsigned status, struct object *object, uint64_t start,
                   uint64_t length);
/* Throws away what was decided before. */
void answer_error(struct request *request, enum s3_error error);
/* The XML of an error, appended to out. */
void answer_error_xml(struct request *request, const char *code, const char *message,
                      struct buf *out);
/* Counts and logs the request, once; status 0: it gets no answer. */
void answer_count(struct request *request, unsigned status);
/* The request is not in flight any more; only once. */
void answer_leave_flight(struct request *request);
enum MHD_Result answer_queue(struct request *request);

#endif
