/* Errors: their classes, what each means to errno and to a retry, and the line people read.
 *
 * Three tables decide everything: classes (one row each), store codes that deserve better advice
 * or another errno than their class, and the classes of system call errors. The only state is the
 * table of reports already made: fixed size, filled by compare-and-swap, never emptied, so it
 * needs no lock and a fork child inherits what its parent has said. This file decides nothing
 * about retries or refreshes; it only says what is possible. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"

#define ERROR_LINE_BYTES 1280

/* Answers that programs ask for and handle are not worth a line of their own. */
enum error_report { REPORT_LINE, REPORT_DEBUG };

struct error_class_row {
    const char *name;   /* for programs; part of the public API, at most 23 characters */
    const char *phrase; /* for people */
    int errnum;
    bool retryable;
    enum error_report report;
    const char *advice; /* "" where there is nothing to set */
};

#define ADVICE_CREDENTIALS                                                                         \
    "check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or AWS_PROFILE, and what they may do"
#define ADVICE_KEY                                                                                 \
    "use a key of at most 1024 bytes, and of 255 from slash to slash where the server has files"
#define ADVICE_ENDPOINT "check AWS_ENDPOINT_URL and that the server answers (s3dlio doctor)"

static const struct error_class_row error_classes[ERROR_CLASS_COUNT] = {
    [ERROR_NONE] = {"none", "no error", 0, false, REPORT_DEBUG, ""},
    [ERROR_NOT_FOUND] = {"not-found", "not found", ENOENT, false, REPORT_DEBUG, ""},
    [ERROR_NO_BUCKET] = {"no-bucket", "no such bucket", ENOENT, false, REPORT_LINE,
                         "check the bucket's name and AWS_ENDPOINT_URL"},
    [ERROR_ACCESS] = {"access", "access denied", EACCES, false, REPORT_LINE, ADVICE_CREDENTIALS},
    [ERROR_EXISTS] = {"exists", "exists already", EEXIST, false, REPORT_DEBUG, ""},
    [ERROR_CHANGED] = {"changed", "changed meanwhile", ESTALE, false, REPORT_LINE, "open it again"},
    [ERROR_RANGE] = {"range", "range outside the object", EINVAL, false, REPORT_DEBUG, ""},
    [ERROR_INVALID] = {"invalid", "invalid request", EINVAL, false, REPORT_LINE, ""},
    [ERROR_TOO_LONG] = {"too-long", "name too long", ENAMETOOLONG, false, REPORT_LINE,
                        ADVICE_KEY},
    [ERROR_TOO_LARGE] = {"too-large", "too large", EFBIG, false, REPORT_LINE,
                         "set S3DLIO_PUT_PART_SIZE higher, or split the object"},
    [ERROR_THROTTLED] = {"throttled", "throttled", EIO, true, REPORT_LINE,
                         "set S3DLIO_GET_INFLIGHT, S3DLIO_PUT_INFLIGHT lower"},
    [ERROR_SERVER] = {"server", "server error", EIO, true, REPORT_LINE,
                      "set S3DLIO_RETRY_MAX higher if it passes"},
    [ERROR_NETWORK] = {"network", "network error", EIO, true, REPORT_LINE, ADVICE_ENDPOINT},
    [ERROR_TIMEOUT] = {"timeout", "timed out", EIO, true, REPORT_LINE,
                       "check the network, or set S3DLIO_CONNECT_TIMEOUT_MS, "
                       "S3DLIO_FIRST_BYTE_TIMEOUT_MS, S3DLIO_OPERATION_TIMEOUT_SECS higher"},
    [ERROR_TLS] = {"tls", "TLS failure", EIO, false, REPORT_LINE,
                   "check the server's certificate, set AWS_CA_BUNDLE to its authority"},
    [ERROR_DNS] = {"dns", "name not resolved", EIO, true, REPORT_LINE,
                   "check the host in AWS_ENDPOINT_URL"},
    [ERROR_PROTOCOL] = {"protocol", "answer not understood", EIO, true, REPORT_LINE,
                        "check that AWS_ENDPOINT_URL names an object store"},
    [ERROR_INTEGRITY] = {"integrity", "checksum mismatch", EIO, true, REPORT_LINE,
                         "the data was damaged on its way; try again"},
    [ERROR_REGION] = {"region", "wrong region", EIO, false, REPORT_LINE,
                      "set AWS_REGION to the bucket's region"},
    [ERROR_CLOCK] = {"clock", "clock differs from the server's", EIO, false, REPORT_LINE,
                     "set this machine's clock (s3dlio doctor shows the difference)"},
    [ERROR_TOKEN] = {"token", "token expired", EACCES, false, REPORT_LINE,
                     "renew AWS_SESSION_TOKEN and the keys that came with it"},
    [ERROR_BUSY] = {"busy", "being changed by another request", EBUSY, true, REPORT_LINE,
                    "try again"},
    [ERROR_UNSUPPORTED] = {"unsupported", "not supported", EOPNOTSUPP, false, REPORT_LINE, ""},
    [ERROR_REFUSED] = {"refused", "not permitted", EPERM, false, REPORT_LINE, ""},
    [ERROR_NO_SPACE] = {"no-space", "no space", ENOSPC, false, REPORT_LINE,
                        "free space at the store, or delete something"},
    [ERROR_SPOOL] = {"spool", "no place for staged files", ENOSPC, false, REPORT_LINE,
                     "set S3DLIO_SPOOL_DIR to a directory with room, or S3DLIO_SPOOL_LIMIT higher"},
    [ERROR_NO_MEMORY] = {"no-memory", "out of memory", ENOMEM, false, REPORT_LINE,
                         "set S3DLIO_MEMORY_BUDGET lower"},
    [ERROR_DESCRIPTORS] = {"descriptors", "too many open files", EMFILE, false, REPORT_LINE,
                           "open fewer at once, or set RLIMIT_NOFILE higher, at least the hard one "
                           "(ulimit -Hn)"},
    [ERROR_THREADS] = {"threads", "no thread can be started", ENOMEM, false, REPORT_LINE,
                       "raise the limit of processes and threads (ulimit -u, the container's "
                       "pids) or of memory (ulimit -v)"},
    [ERROR_CANCELLED] = {"cancelled", "cancelled", ECANCELED, false, REPORT_DEBUG, ""},
    [ERROR_IS_DIRECTORY] = {"is-directory", "is a directory", EISDIR, false, REPORT_DEBUG, ""},
    [ERROR_NOT_DIRECTORY] = {"not-directory", "not a directory", ENOTDIR, false, REPORT_DEBUG, ""},
    [ERROR_NOT_EMPTY] = {"not-empty", "directory not empty", ENOTEMPTY, false, REPORT_DEBUG, ""},
    [ERROR_IO] = {"io", "input/output error", EIO, false, REPORT_LINE, ""},
};

/* What a store's own code says better than its class. errnum 0: the class's. */
static const struct error_code_row {
    const char *code;
    int errnum;
    const char *advice;
} error_codes[] = {
    {"InvalidAccessKeyId", 0, "check AWS_ACCESS_KEY_ID and that it belongs to this endpoint"},
    {"SignatureDoesNotMatch", 0, "check AWS_SECRET_ACCESS_KEY and AWS_REGION"},
    {"AccessDenied", 0, "the store knows these credentials but refuses; check their policy"},
    {"AllAccessDisabled", 0, "the account is closed for this bucket; ask its owner"},
    {"InvalidToken", 0, "check AWS_SESSION_TOKEN, or unset it if the keys are permanent"},
    {"UserKeyMustBeSpecified", 0, "the bucket is encrypted with a key of its own; supply it"},
    {"QuotaExceeded", EDQUOT, "raise the quota at the store, or delete something"},
    {"XMinioStorageFull", ENOSPC, "free space at the store"},
    {"XMinioAdminBucketQuotaExceeded", EDQUOT, "raise the bucket's quota"},
    {"KeyTooLongError", ENAMETOOLONG, ADVICE_KEY},
    {"EntityTooLarge", EFBIG,
     "the store takes less at once; set S3DLIO_PUT_PART_SIZE lower, or split the object"},
    {"InvalidObjectState", 0, "the object is archived; restore it first"},
};

static const struct error_errno_row {
    int errnum;
    enum error_class class;
} error_errnos[] = {
    {ENOENT, ERROR_NOT_FOUND},      {EACCES, ERROR_ACCESS},          {EPERM, ERROR_ACCESS},
    {EROFS, ERROR_ACCESS},          {EEXIST, ERROR_EXISTS},          {ESTALE, ERROR_CHANGED},
    {EINVAL, ERROR_INVALID},        {EFAULT, ERROR_INVALID},         {ENAMETOOLONG, ERROR_TOO_LONG},
    {EFBIG, ERROR_TOO_LARGE},       {EOVERFLOW, ERROR_TOO_LARGE},    {EMSGSIZE, ERROR_TOO_LARGE},
    {ECONNREFUSED, ERROR_NETWORK},  {ECONNRESET, ERROR_NETWORK},     {ECONNABORTED, ERROR_NETWORK},
    {EPIPE, ERROR_NETWORK},         {ENETDOWN, ERROR_NETWORK},       {ENETUNREACH, ERROR_NETWORK},
    {EHOSTDOWN, ERROR_NETWORK},     {EHOSTUNREACH, ERROR_NETWORK},   {ENOTCONN, ERROR_NETWORK},
    {EADDRNOTAVAIL, ERROR_NETWORK}, {ETIMEDOUT, ERROR_TIMEOUT},      {EBUSY, ERROR_BUSY},
    {ETXTBSY, ERROR_BUSY},          {EOPNOTSUPP, ERROR_UNSUPPORTED}, {ENOSYS, ERROR_UNSUPPORTED},
    {EXDEV, ERROR_UNSUPPORTED},     {ENOSPC, ERROR_NO_SPACE},        {EDQUOT, ERROR_NO_SPACE},
    {ENOMEM, ERROR_NO_MEMORY},      {ECANCELED, ERROR_CANCELLED},    {EISDIR, ERROR_IS_DIRECTORY},
    {ENOTDIR, ERROR_NOT_DIRECTORY}, {ENOTEMPTY, ERROR_NOT_EMPTY},    {EMFILE, ERROR_DESCRIPTORS},
    {ENFILE, ERROR_DESCRIPTORS},
};

static const struct error_class_row *error_class_row(enum error_class class)
{
    return &error_classes[(unsigned)class < ERROR_CLASS_COUNT ? class : ERROR_IO];
}

static const struct error_code_row *error_code_row(const char *code)
{
    for (size_t i = 0; i < sizeof error_codes / sizeof error_codes[0]; i++)
        if (strcmp(error_codes[i].code, code) == 0)
            return &error_codes[i];
    return NULL;
}

static void error_fill(struct error *err, enum error_class class, const char *format, va_list args)
{
    int saved_errno = errno;

    memset(err, 0, sizeof *err);
    err->class = class;
    vsnprintf(err->message, sizeof err->message, format, args);
    for (char *p = err->message; *p; p++)
        if ((unsigned char)*p < ' ' || *p == 0x7f)
            *p = ' ';
    errno = saved_errno;
}

/* Defined in brackets: for the analyzer they are macros (error.h). */
int(error_set)(struct error *err, enum error_class class, const char *format, ...)
{
    va_list args;

    if (err) {
        va_start(args, format);
        error_fill(err, class, format, args);
        va_end(args);
    }
    return -error_class_row(class)->errnum;
}

int(error_set_errno)(struct error *err, int errnum, const char *format, ...)
{
    enum error_class class = ERROR_IO;
    va_list args;

    for (size_t i = 0; i < sizeof error_errnos / sizeof error_errnos[0]; i++)
        if (error_errnos[i].errnum == errnum)
            class = error_errnos[i].class;
    if (err) {
        va_start(args, format);
        error_fill(err, class, format, args);
        va_end(args);
        err->errnum = errnum;
    }
    return -errnum;
}

/* Copies text; when it does not fit, its middle gives way to "...", between UTF-8 characters. */
static void error_shorten(char *ret_text, size_t size, const char *text)
{
    size_t length = strlen(text), head, tail;

    if (length < size) {
        memcpy(ret_text, text, length + 1);
        return;
    }
    head = (size - 4) / 2;
    tail = size - 4 - head;
    while (head > 0 && ((unsigned char)text[head] & 0xc0) == 0x80)
        head--;
    while (tail > 0 && ((unsigned char)text[length - tail] & 0xc0) == 0x80)
        tail--;
    memcpy(ret_text, text, head);
    memcpy(ret_text + head, "...", 3);
    memcpy(ret_text + head + 3, text + length - tail, tail + 1);
}

void error_set_context(struct error *err, const char *operation, const char *uri)
{
    if (!err)
        return;
    if (operation && !err->operation[0])
        snprintf(err->operation, sizeof err->operation, "%s", operation);
    if (uri && !err->uri[0])
        error_shorten(err->uri, sizeof err->uri, uri);
}

void error_clear(struct error *err)
{
    if (err)
        memset(err, 0, sizeof *err);
}

int error_errno(const struct error *err)
{
    const struct error_code_row *code = error_code_row(err->code);

    if (err->errnum)
        return err->errnum;
    return code && code->errnum ? code->errnum : error_class_row(err->class)->errnum;
}

bool error_is_retryable(enum error_class class)
{
    return error_class_row(class)->retryable;
}

const char *error_class_name(enum error_class class)
{
    return error_class_row(class)->name;
}

/* A line under construction: text past the end of the buffer is counted, not written. */
struct error_line {
    char *buffer;
    size_t size;
    size_t length;
};

static void __attribute__((format(printf, 2, 3)))
error_line_add(struct error_line *line, const char *format, ...)
{
    size_t room = line->length < line->size ? line->size - line->length : 0;
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(room ? line->buffer + line->length : NULL, room, format, args);
    va_end(args);
    line->length += n > 0 ? (size_t)n : 0;
}

/* " (403 AccessDenied: what the store said, request id 17F0)", of what there is. */
static void error_line_add_cause(struct error_line *line, const struct error *err)
{
    const char *separator = " (";

    if (err->http_status) {
        error_line_add(line, "%s%d", separator, err->http_status);
        separator = " ";
    }
    if (err->code[0]) {
        error_line_add(line, "%s%s", separator, err->code);
        separator = ": ";
    } else if (err->http_status) {
        separator = ": ";
    }
    if (err->message[0]) {
        error_line_add(line, "%s%s", separator, err->message);
        separator = ", ";
    }
    if (err->request_id[0]) {
        error_line_add(line, "%srequest id %s", separator[1] == '(' ? " (" : ", ", err->request_id);
        separator = ", ";
    }
    if (separator[1] != '(')
        error_line_add(line, ")");
}

int error_format(const struct error *err, char *buffer, unsigned long size)
{
    const struct error_class_row *class = error_class_row(err->class);
    const struct error_code_row *code = error_code_row(err->code);
    const char *advice = code ? code->advice : class->advice;
    struct error_line line = {.buffer = buffer, .size = size};

    if (size)
        buffer[0] = '\0';
    if (err->operation[0])
        error_line_add(&line, "%s%s", err->operation, err->uri[0] ? " " : ": ");
    if (err->uri[0])
        error_line_add(&line, "%s: ", err->uri);
    error_line_add(&line, "%s", class->phrase);
    error_line_add_cause(&line, err);
    if (advice[0])
        error_line_add(&line, ": %s", advice);
    if (err->hint[0])
        error_line_add(&line, " (%s)", err->hint);
    return (int)line.length;
}

/* ---- the first of each kind ------------------------------------------------------------------ */

#define REPORTED_SLOTS 256u /* kinds; what comes after these is counted, not printed */

static struct {
    _Atomic uint64_t kind; /* hash of class, code and bucket; 0 = free */
    _Atomic uint64_t count;
} error_reported[REPORTED_SLOTS];

/* The length of "scheme://bucket". */
static size_t uri_root_length(const char *uri)
{
    const char *bucket = strstr(uri, "://");

    bucket = bucket ? bucket + 3 : uri;
    return (size_t)(bucket - uri) + strcspn(bucket, "/");
}

static uint64_t error_kind(const struct error *err)
{
    uint64_t hash = HASH_BASIS;
    char class = (char)err->class;

    hash = hash_bytes(hash, &class, 1);
    hash = hash_bytes(hash, err->code, strlen(err->code) + 1);
    hash = hash_bytes(hash, err->uri, uri_root_length(err->uri));
    return hash ? hash : 1;
}

/* True for the one caller that brought this kind into the table. */
static bool error_kind_is_new(uint64_t kind)
{
    for (unsigned i = 0; i < REPORTED_SLOTS; i++) {
        unsigned slot = (unsigned)(kind + i) % REPORTED_SLOTS;
        uint64_t found = 0;

        if (atomic_compare_exchange_strong(&error_reported[slot].kind, &found, kind))
            found = 0;
        if (found == 0 || found == kind) {
            atomic_fetch_add(&error_reported[slot].count, 1);
            return found == 0;
        }
    }
    return false;
}

unsigned long error_reported_repeats(void)
{
    unsigned long repeats = 0;

    for (unsigned i = 0; i < REPORTED_SLOTS; i++) {
        uint64_t count = atomic_load(&error_reported[i].count);
        repeats += count > 1 ? (unsigned long)(count - 1) : 0;
    }
    return repeats;
}

void error_report_once(const struct error *err)
{
    enum log_level level =
        error_class_row(err->class)->report == REPORT_LINE ? LOG_ERROR : LOG_DEBUG;
    char line[ERROR_LINE_BYTES];

    if (err->class == ERROR_NONE || level > log_level())
        return;
    if (level == LOG_ERROR && !error_kind_is_new(error_kind(err)))
        level = LOG_DEBUG;
    if (level > log_level())
        return;
    error_format(err, line, sizeof line);
    log_line(level, "%s", line);
}
