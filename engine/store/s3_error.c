/* What a server's error answer means: codes and statuses to classes, by two tables.
 *
 * The code decides where there is one, the status where not (HEAD has no body; proxies answer in
 * HTML). What a server says is data: lengths are cut, control characters replaced, and a region
 * is believed only if it could be one, because it may become part of a host name.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "store/s3.h"

#define RETRY_AFTER_MAX_MS (3600 * 1000)
#define SKEW_MIN_MS        (5 * 60 * 1000) /* servers refuse from 15 minutes on */

static const struct code_row {
    const char *code;
    enum error_class class;
} code_rows[] = {
    {"AccessDenied", ERROR_ACCESS},
    {"AccessForbidden", ERROR_ACCESS},
    {"AccountProblem", ERROR_ACCESS},
    {"AllAccessDisabled", ERROR_ACCESS},
    {"AuthorizationHeaderMalformed", ERROR_REGION},
    {"BadDigest", ERROR_INTEGRITY},
    {"BandwidthLimitExceeded", ERROR_THROTTLED},
    {"BucketAlreadyExists", ERROR_EXISTS},
    {"BucketAlreadyOwnedByYou", ERROR_EXISTS},
    {"BucketNotEmpty", ERROR_NOT_EMPTY},
    {"ConditionalRequestConflict", ERROR_BUSY},
    {"DirectoryObjectContainsData", ERROR_INVALID},
    {"EntityTooLarge", ERROR_TOO_LARGE},
    {"EntityTooSmall", ERROR_INVALID},
    {"ExistingObjectIsDirectory", ERROR_IS_DIRECTORY},
    {"ExpiredToken", ERROR_TOKEN},
    {"ExpiredTokenException", ERROR_TOKEN},
    {"IllegalLocationConstraintException", ERROR_REGION},
    {"IncompleteBody", ERROR_NETWORK},
    {"IncorrectEndpoint", ERROR_REGION},
    {"InternalError", ERROR_SERVER},
    {"InvalidAccessKeyId", ERROR_ACCESS},
    {"InvalidArgument", ERROR_INVALID},
    {"InvalidBucketName", ERROR_INVALID},
    {"InvalidDigest", ERROR_INTEGRITY},
    {"InvalidObjectState", ERROR_ACCESS},
    {"InvalidPart", ERROR_INVALID},
    {"InvalidPartOrder", ERROR_INVALID},
    {"InvalidRange", ERROR_RANGE},
    {"InvalidRegion", ERROR_REGION},
    {"InvalidRequest", ERROR_INVALID},
    {"InvalidSecurity", ERROR_ACCESS},
    {"InvalidToken", ERROR_TOKEN},
    {"InvalidTokenId", ERROR_TOKEN},
    {"KeyTooLongError", ERROR_TOO_LONG},
    {"MalformedXML", ERROR_INVALID},
    {"MetadataTooLarge", ERROR_TOO_LONG},
    {"MethodNotAllowed", ERROR_UNSUPPORTED},
    {"MissingContentLength", ERROR_INVALID},
    {"NoSuchBucket", ERROR_NO_BUCKET},
    {"NoSuchKey", ERROR_NOT_FOUND},
    {"NoSuchUpload", ERROR_NOT_FOUND},
    {"NoSuchVersion", ERROR_NOT_FOUND},
    {"NotImplemented", ERROR_UNSUPPORTED},
    {"NotSignedUp", ERROR_ACCESS},
    {"ObjectParentIsFile", ERROR_NOT_DIRECTORY},
    {"OperationAborted", ERROR_BUSY},
    {"PermanentRedirect", ERROR_REGION},
    {"PreconditionFailed", ERROR_CHANGED},
    {"QuotaExceeded", ERROR_NO_SPACE},
    {"RequestLimitExceeded", ERROR_THROTTLED},
    {"RequestTimeTooSkewed", ERROR_CLOCK},
    {"RequestTimeout", ERROR_TIMEOUT},
    {"ServiceUnavailable", ERROR_THROTTLED},
    {"SignatureDoesNotMatch", ERROR_ACCESS},
    {"SlowDown", ERROR_THROTTLED},
    {"SlowDownRead", ERROR_THROTTLED},
    {"SlowDownWrite", ERROR_THROTTLED},
    {"TemporaryRedirect", ERROR_REGION},
    {"Throttling", ERROR_THROTTLED},
    {"ThrottlingException", ERROR_THROTTLED},
    {"TokenRefreshRequired", ERROR_TOKEN},
    {"TooManyRequests", ERROR_THROTTLED},
    {"XAdminUserNotFound", ERROR_ACCESS}, /* versitygw says it with 404 */
    {"XAmzContentChecksumMismatch", ERROR_INTEGRITY},
    {"XAmzContentSHA256Mismatch", ERROR_INTEGRITY},
    {"XMinioAdminBucketQuotaExceeded", ERROR_NO_SPACE},
    {"XMinioInvalidObjectName", ERROR_INVALID},
    {"XMinioInvalidResourceName", ERROR_INVALID},
    {"XMinioParentIsObject", ERROR_NOT_DIRECTORY},
    {"XMinioServerNotInitialized", ERROR_SERVER},
    {"XMinioStorageFull", ERROR_NO_SPACE},
};

static const struct status_row {
    int status;
    enum error_class class;
} status_rows[] = {
    {301, ERROR_REGION},   {302, ERROR_REGION},    {307, ERROR_REGION},
    {308, ERROR_REGION},   {400, ERROR_INVALID},   {401, ERROR_ACCESS},
    {403, ERROR_ACCESS},   {404, ERROR_NOT_FOUND}, {405, ERROR_UNSUPPORTED},
    {408, ERROR_TIMEOUT},  {409, ERROR_BUSY},      {410, ERROR_NOT_FOUND},
    {411, ERROR_INVALID},  {412, ERROR_CHANGED},   {413, ERROR_TOO_LARGE},
    {414, ERROR_TOO_LONG}, {416, ERROR_RANGE},     {429, ERROR_THROTTLED},
    {431, ERROR_TOO_LONG}, {500, ERROR_SERVER},    {501, ERROR_UNSUPPORTED},
    {502, ERROR_SERVER},   {503, ERROR_THROTTLED}, {504, ERROR_SERVER},
    {507, ERROR_NO_SPACE},
};

enum error_class s3_code_class(const char *code)
{
    for (size_t i = 0; i < sizeof code_rows / sizeof code_rows[0]; i++)
        if (strcmp(code_rows[i].code, code) == 0)
            return code_rows[i].class;
    return ERROR_NONE;
}

static enum error_class status_class(int status)
{
    for (size_t i = 0; i < sizeof status_rows / sizeof status_rows[0]; i++)
        if (status_rows[i].status == status)
            return status_rows[i].class;
    if (status / 100 == 2 || status / 100 == 5)
        return ERROR_SERVER; /* 2xx: an error came in the body */
    return status / 100 == 4 ? ERROR_INVALID : ERROR_PROTOCOL;
}

/* ---- collecting ----------------------------------------------------------------------------- */

static void copy_line(char *to, size_t size, const char *text)
{
    size_t i;

    for (i = 0; i + 1 < size && text[i]; i++)
        to[i] = (char)((unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
    to[i] = '\0';
}

static void copy_region(char ret_region[S3_REGION_MAX], const char *text)
{
    size_t length = strlen(text);

    if (length > 0 && length < S3_REGION_MAX &&
        strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == length)
        memcpy(ret_region, text, length + 1);
}

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Seconds or a date (RFC 9110 section 10.2.3). */
static int parse_retry_after(const char *value)
{
    struct timespec date;
    int64_t ms;
    char *end;

    ms = strtol(value, &end, 10);
    ms = ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS / 1000 ? RETRY_AFTER_MAX_MS : ms * 1000;
    if (end == value || *end) {
        if (clock_parse_http_date(value, &date) < 0)
            return 0;
        ms = date.tv_sec * 1000 - now_ms();
    }
    return ms < 0 ? 0 : ms > RETRY_AFTER_MAX_MS ? RETRY_AFTER_MAX_MS : (int)ms;
}

static const char *first_of(const struct http_head *head, const char *a, const char *b)
{
    const char *value = http_head_get(head, a);

    value = value ? value : http_head_get(head, b);
    return value ? value : "";
}

void s3_answer_head(struct s3_answer *answer, const struct http_head *head)
{
    const char *date = http_head_get(head, "date");
    struct timespec time;

    answer->status = head->status;
    if (date && clock_parse_http_date(date, &time) == 0) {
        answer->has_date = true;
        answer->date_offset_ms = time.tv_sec * 1000 - now_ms();
    }
    copy_line(answer->request_id, sizeof answer->request_id,
              first_of(head, "x-amz-request-id", "x-amzn-requestid"));
    if (head->status / 100 == 2)
        return;
    answer->retry_after_ms = parse_retry_after(first_of(head, "retry-after", "x-retry-after"));
    copy_region(answer->region, first_of(head, "x-amz-bucket-region", "x-amz-region"));
    copy_line(answer->code, sizeof answer->code,
              first_of(head, "x-minio-error-code", "x-amz-error-code"));
}

void s3_answer_element(struct s3_answer *answer, const char *parent, const char *name,
                       const char *text)
{
    if (strcmp(parent, "Error") != 0)
        return;
    if (strcmp(name, "Code") == 0)
        copy_line(answer->code, sizeof answer->code, text);
    else if (strcmp(name, "Message") == 0)
        copy_line(answer->message, sizeof answer->message, text);
    else if (strcmp(name, "Region") == 0)
        copy_region(answer->region, text);
    else if (strcmp(name, "RequestId") == 0 && !answer->request_id[0])
        copy_line(answer->request_id, sizeof answer->request_id, text);
}

/* ---- judging -------------------------------------------------------------------------------- */

/* Without a code, the other headers may tell what the status does not. */
static enum error_class refine_status(const struct s3_call *call, enum error_class class)
{
    const struct s3_answer *answer = &call->answer;
    int64_t skew = answer->date_offset_ms - 1000 * atomic_load(&call->store->clock_correction_s);

    if ((answer->status == 301 || answer->status == 307 || answer->status == 400) &&
        answer->region[0] && strcmp(answer->region, call->target.region) != 0)
        return ERROR_REGION;
    if ((answer->status == 400 || answer->status == 403) && answer->has_date &&
        (skew > SKEW_MIN_MS || skew < -SKEW_MIN_MS))
        return ERROR_CLOCK;
    if (class == ERROR_NOT_FOUND && call->operation->bucket && !call->request->upload_id)
        return ERROR_NO_BUCKET;
    return class;
}

/* Codes that are said of much: then words of the message tell. */
static const struct message_row {
    const char *code, *words;
    enum error_class class;
} message_rows[] = {
    {"InvalidRequest", "WORM protected", ERROR_ACCESS}, /* MinIO, versitygw: a locked object */
};

static enum error_class message_class(const struct s3_answer *answer)
{
    for (size_t i = 0; i < sizeof message_rows / sizeof message_rows[0]; i++)
        if (strcmp(message_rows[i].code, answer->code) == 0 &&
            strstr(answer->message, message_rows[i].words))
            return message_rows[i].class;
    return ERROR_NONE;
}

/* A part copy asks for a range of the version that it names, which has that many bytes: where the
 * range is refused, another version is there. Servers look at the range before they look at the
 * condition. */
static bool is_of_another_version(const struct s3_call *call, enum error_class class)
{
    const struct s3_answer *answer = &call->answer;

    if (call->request->operation != STORE_UPLOAD_PART_COPY || !call->request->if_match)
        return false;
    return class == ERROR_RANGE || (class == ERROR_INVALID && strstr(answer->message, "Range"));
}

/* Servers that keep objects as files cannot have longer names. MinIO has no code of its own for
 * that, and keeps the marker "dir/" as a file "dir__XLDIR__". */
static bool is_too_long(const struct s3_call *call)
{
    const char *key = call->request->key;

    if (!key || strcmp(call->answer.code, "XMinioInvalidObjectName") != 0)
        return false;
    for (size_t length; *key; key += length + (key[length] == '/')) {
        length = strcspn(key, "/");
        if (length + (strcmp(key + length, "/") == 0 ? strlen("__XLDIR__") : 0) > NAME_MAX)
            return true;
    }
    return false;
}

static enum error_class answer_class(const struct s3_call *call)
{
    const struct s3_answer *answer = &call->answer;
    enum error_class class = message_class(answer);

    if (class == ERROR_NONE)
        class = s3_code_class(answer->code);
    if (class == ERROR_NONE)
        class = refine_status(call, status_class(answer->status));
    if (class == ERROR_CHANGED && call->request->if_none_match)
        class = ERROR_EXISTS;
    if (is_of_another_version(call, class))
        class = ERROR_CHANGED;
    if (is_too_long(call))
        class = ERROR_TOO_LONG;
    return class;
}

int s3_answer_error(const struct s3_call *call, struct error *err)
{
    const struct s3_answer *answer = &call->answer;
    enum error_class class = answer_class(call);

    if (class == ERROR_REGION && answer->region[0])
        error_set(err, class, "the bucket is in region %s, not %s", answer->region,
                  call->target.region);
    else if (answer->message[0])
        error_set(err, class, "%s", answer->message);
    else
        error_set(err, class, "the server gives no reason");
    err->http_status = answer->status;
    err->retry_after_ms = answer->retry_after_ms;
    strcpy(err->code, answer->code);
    strcpy(err->request_id, answer->request_id);
    if (class == ERROR_REGION)
        strcpy(err->hint, answer->region);
    return -error_errno(err);
}
