/*
 * The table of operations: how each is recognised, what body it takes, what runs it.
 *
 * To add one, write its functions and add a row in ops.c; counters, log, faults and authorisation
 * follow from the row.
 */
#ifndef TESTS_SERVER_OPS_H
#define TESTS_SERVER_OPS_H

#include "errors.h"
#include "intake.h"

#include <stdbool.h>

struct request;

enum op_level {
    LEVEL_SERVICE,
    LEVEL_BUCKET,
    LEVEL_OBJECT,
};

struct op {
    const char *name; /* as S3 names it; what fault rules and counters say */
    const char *method;
    enum op_level level;
    const char *query;  /* a parameter that must be there, or NULL */
    const char *header; /* a header that must be there, or NULL */
    bool writes;        /* refused to read-only keys */
    enum intake_kind intake;
    /* After the headers, before the body; NULL: intake_begin with nothing to add. */
    enum s3_error (*begin)(struct request *request);
    /* After the body: fills the answer or returns an error. */
    enum s3_error (*run)(struct request *request);
};

/* Sets request->op; MethodNotAllowed or NotImplemented when there is none. */
enum s3_error ops_route(struct request *request);
unsigned ops_number(const struct op *op);  /* below STATS_MAX_OPS; also for NULL */
const char *ops_name(const struct op *op); /* "Unknown" for NULL */
/* Whether faults at a byte count in the request's body rather than the answer's. */
bool ops_uploads(const struct op *op);

#endif
