/* What went wrong, in terms a person can act on.
 *
 * Every engine function that can fail takes a `struct error *` as its last argument (NULL when the
 * caller does not care) and returns 0 or -errno. The error object adds what errno cannot say: the
 * class that decides about retries, the store's own code and message, and the URI.
 * Plain data, no ownership: copy it freely. Not thread-safe; one object belongs to one thread.
 */
#ifndef S3DLIO_BASE_ERROR_H
#define S3DLIO_BASE_ERROR_H

#include <stdbool.h>

/* One row a class: name, errno, may the same request be tried again. The table is in error.c. */
enum error_class {
    ERROR_NONE,
    ERROR_NOT_FOUND,        /* key, bucket or directory does not exist */
    ERROR_NO_BUCKET,
    ERROR_ACCESS,           /* credentials refused, expired or lacking */
    ERROR_EXISTS,           /* conditional create lost: 409, 412 on If-None-Match */
    ERROR_CHANGED,          /* If-Match failed: another version is there now */
    ERROR_RANGE,            /* 416 */
    ERROR_INVALID,          /* the request itself is wrong: bad name, bad argument */
    ERROR_TOO_LONG,         /* key or header too long */
    ERROR_TOO_LARGE,        /* beyond the store's limits */
    ERROR_THROTTLED,        /* 429, 503 SlowDown */
    ERROR_SERVER,           /* 500, 502, 503, 504 */
    ERROR_NETWORK,          /* connect, reset, closed early */
    ERROR_TIMEOUT,          /* one of the deadlines passed */
    ERROR_TLS,
    ERROR_DNS,
    ERROR_PROTOCOL,         /* an answer that cannot be trusted: broken XML, wrong Content-Range */
    ERROR_INTEGRITY,        /* checksum mismatch */
    ERROR_REGION,           /* wrong region; ->code holds nothing, ->hint the right one */
    ERROR_CLOCK,            /* RequestTimeTooSkewed */
    ERROR_TOKEN,            /* ExpiredToken and kin: refresh, then repeat */
    ERROR_BUSY,             /* 409 OperationAborted, concurrent change */
    ERROR_UNSUPPORTED,      /* the store or this version cannot do it */
    ERROR_REFUSED,          /* not permitted here, whoever asks */
    ERROR_NO_SPACE,         /* 507, QuotaExceeded */
    ERROR_SPOOL,            /* the directory of staged files is full, or cannot be used */
    ERROR_NO_MEMORY,
    ERROR_DESCRIPTORS,      /* RLIMIT_NOFILE, or the machine's own limit */
    ERROR_THREADS,          /* RLIMIT_NPROC, or the limit of a container or of memory */
    ERROR_CANCELLED,
    ERROR_IS_DIRECTORY,
    ERROR_NOT_DIRECTORY,
    ERROR_NOT_EMPTY,
    ERROR_IO,               /* local file error that has no better class */
    ERROR_CLASS_COUNT,
};

struct error {
    enum error_class class;
    int errnum;             /* positive errno, 0 = take the class's own */
    int http_status;        /* 0 when no answer came */
    int retry_after_ms;     /* from Retry-After; 0 = none */
    char code[64];          /* the store's code, e.g. "SlowDown" */
    char request_id[80];
    char hint[64];          /* e.g. the right region */
    char operation[32];     /* e.g. "GetObject" */
    char message[256];      /* one sentence, no newline */
    char uri[256];          /* shortened in the middle when longer */
};

/* Makes *err (may be NULL) a new error: class and message, every other field cleared. Fill in
 * status, code and the rest afterwards. Returns the negative errno of the class; printf-like
 * message. */
int error_set(struct error *err, enum error_class class, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: class chosen from errnum, kept exactly. Returns -errnum. */
int error_set_errno(struct error *err, int errnum, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __clang_analyzer__
/* The analyzer sees no bodies of other files: both always return less than 0. */
#    define error_set(...)       ((error_set)(__VA_ARGS__), -1)
#    define error_set_errno(...) ((error_set_errno)(__VA_ARGS__), -1)
#endif

/* Adds where it happened, unless already set. Either may be NULL. */
void error_set_context(struct error *err, const char *operation, const char *uri);

/* Resets to ERROR_NONE. */
void error_clear(struct error *err);

/* Positive errno for the error; 0 for ERROR_NONE. Store codes count (QuotaExceeded: EDQUOT). */
int error_errno(const struct error *err);
bool error_is_retryable(enum error_class class);
const char *error_class_name(enum error_class class); /* "not-found", "access", … */

/* One line without newline and without "s3dlio: " (the log adds that): what failed, why, what to
 * set. Returns length as snprintf does. */
int error_format(const struct error *err, char *buffer, unsigned long size);

/* Prints the line to the log (stderr) the first time this class+code is seen for this bucket
 * (the URI up to its second component), and counts the others. Answers that programs ask for and
 * handle (not found, exists, is a directory) are lines for S3DLIO_LOG=debug. Thread-safe. */
void error_report_once(const struct error *err);

/* How many reports were counted instead of printed. */
unsigned long error_reported_repeats(void);

#endif
