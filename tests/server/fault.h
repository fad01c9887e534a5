/*
 * Faults on demand: rules that say which request goes wrong, and how.
 *
 * A rule is one line, described in README.md:
 *   op=GetObject key=data/... bucket=... nth=2 count=1 probability=0.5 action=reset@1000
 * The first rule that matches a request and is due decides about it. Rules are kept in order and
 * covered by one lock; a request works on its own copy of what the rule does.
 */
#ifndef TESTS_SERVER_FAULT_H
#define TESTS_SERVER_FAULT_H

#include "buf.h"
#include "pace.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

enum fault_action {
    FAULT_NONE,
    FAULT_STATUS,
    FAULT_RESET,
    FAULT_STALL,
    FAULT_TRUNCATE,
    FAULT_WRONG_LENGTH,
    FAULT_CORRUPT,
    FAULT_WRONG_RANGE,
    FAULT_NO_ETAG,
    FAULT_BAD_XML,
    FAULT_HUGE_HEADER,
    FAULT_MANY_HEADERS,
    FAULT_ENDLESS_BODY,
    FAULT_ERROR200,
    FAULT_LOSE_ANSWER,
    FAULT_REDIRECT,
    FAULT_EXPIRE_TOKEN,
    FAULT_REPLACE,
    FAULT_DELAY,
    FAULT_HANG,
    FAULT_HANG_DONE,
    FAULT_PRETEND_COPY,
    FAULT_EMPTY_COPY,
};

enum {
    FAULT_TEXT_BYTES = 256,
};

struct fault {
    enum fault_action action;
    bool has_byte;    /* @BYTE given: counted in the body, up or down */
    bool random_byte; /* @random */
    uint64_t byte;
    uint64_t amount;             /* milliseconds, bytes or headers; the status of FAULT_STATUS */
    int retry_after_s;           /* -1: none */
    char text[FAULT_TEXT_BYTES]; /* error code or region */
};

struct fault_rule {
    struct fault_rule *next;
    char op[40], bucket[64], key[1032]; /* globs */
    char with[64];                      /* a header that the request has; "": any request */
    uint64_t nth;                       /* the first matching request it is for, from 1 */
    uint64_t count;                     /* how many from there; 0: all */
    double probability;
    uint64_t seen, fired;
    struct fault fault;
};

/* What rules look at of a request. */
struct fault_subject {
    const char *op, *bucket, *key;
    const char *(*header)(void *arg, const char *name); /* its value, or NULL */
    void *arg;
};

struct faults {
    pthread_mutex_t lock; /* covers everything below */
    struct fault_rule *rules;
};

void faults_init(struct faults *faults);
void faults_fini(struct faults *faults);
void faults_clear(struct faults *faults);
/* Adds every line's rule, or none: then false, and what was wrong is in problem. */
bool faults_add(struct faults *faults, const char *text, struct buf *problem);
void faults_show(struct faults *faults, struct buf *out);
/* What goes wrong with this request; action FAULT_NONE most of the time. */
struct fault faults_match(struct faults *faults, struct pace *pace,
                          const struct fault_subject *subject);

#endif
