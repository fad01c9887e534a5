/*
 * Verification of signed requests; see auth.h.
 *
 * The canonical request is built from what arrived, the signed headers being the client's choice,
 * except that Host and every x-amz-* header must be among them. Neither V2 signatures nor browser
 * POST forms are known.
 */
#include "auth.h"

#include "encode.h"
#include "request.h"
#include "server.h"
#include "sign.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SKEW_S          (15 * 60)
#define PRESIGNED_MAX_S (7 * 24 * 3600)

/* The parts of a signature, however it came; all point into `text`. */
struct signature {
    char *text;
    const char *access_key, *day, *region, *service, *terminator;
    const char *signed_headers, *signature;
    const char *date; /* YYYYMMDDTHHMMSSZ */
    bool presigned;
};

static bool split_credential(struct signature *parts, char *credential)
{
    if (!credential)
        return false;
    /* From the right: an access key may contain a slash. */
    const char **fields[] = {&parts->terminator, &parts->service, &parts->region, &parts->day};
    for (size_t i = 0; i < 4; i++) {
        char *slash = strrchr(credential, '/');
        if (!slash)
            return false;
        *slash = '\0';
        *fields[i] = slash + 1;
    }
    parts->access_key = credential;
    return !strcmp(parts->terminator, "aws4_request") && !strcmp(parts->service, "s3") &&
           strlen(parts->day) == 8;
}

/* AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=... */
static enum s3_error parse_header(struct request *request, const char *header,
                                  struct signature *parts)
{
    if (strncmp(header, "AWS4-HMAC-SHA256 ", 17))
        return S3_AuthorizationHeaderMalformed;
    parts->text = strdup(header + 17);
    if (!parts->text)
        return S3_InternalError;
    char *credential = NULL, *rest = parts->text;
    for (char *field; (field = strsep(&rest, ","));) {
        field += strspn(field, " ");
        if (!strncmp(field, "Credential=", 11))
            credential = field + 11;
        else if (!strncmp(field, "SignedHeaders=", 14))
            parts->signed_headers = field + 14;
        else if (!strncmp(field, "Signature=", 10))
            parts->signature = field + 10;
    }
    if (!parts->signed_headers || !parts->signature || !split_credential(parts, credential))
        return S3_AuthorizationHeaderMalformed;
    parts->date = request_header(request, "x-amz-date");
    return parts->date ? S3_OK : S3_AccessDenied;
}

static enum s3_error parse_presigned(struct request *request, struct signature *parts)
{
    const char *algorithm = request_query(request, "X-Amz-Algorithm");
    const char *credential = request_query(request, "X-Amz-Credential");
    parts->presigned = true;
    parts->signed_headers = request_query(request, "X-Amz-SignedHeaders");
    parts->signature = request_query(request, "X-Amz-Signature");
    parts->date = request_query(request, "X-Amz-Date");
    parts->text = credential ? strdup(credential) : NULL;
    if (!algorithm || strcmp(algorithm, "AWS4-HMAC-SHA256") || !parts->signed_headers ||
        !parts->date || !request_query(request, "X-Amz-Expires") ||
        !split_credential(parts, parts->text))
        return S3_AuthorizationQueryParametersError;
    return S3_OK;
}

static enum s3_error check_date(struct request *request, const struct signature *parts)
{
    time_t when, now = server_now(request->server);
    if (!encode_parse_amz_date(parts->date, &when))
        return S3_AccessDenied;
    if (strncmp(parts->date, parts->day, 8))
        return S3_AuthorizationHeaderMalformed;
    if (!parts->presigned)
        return llabs((long long)(when - now)) > SKEW_S ? S3_RequestTimeTooSkewed : S3_OK;
    uint64_t expires;
    if (!encode_parse_u64(request_query(request, "X-Amz-Expires"), &expires) ||
        expires > PRESIGNED_MAX_S)
        return S3_AuthorizationQueryParametersError;
    return when - SKEW_S > now || when + (time_t)expires < now ? S3_AccessDenied : S3_OK;
}

/* The region a signature for this request must name. */
static void expected_region(struct request *request, char out[STORE_REGION_BYTES])
{
    if (!store_bucket_region(&request->server->store, request->bucket, out)) {
        memset(out, 0, STORE_REGION_BYTES);
        strncpy(out, request->server->config.region, STORE_REGION_BYTES - 1);
    }
}

/*
 * As S3: a client that signs for this server's own region, where the bucket is not, is sent away
 * with 301; any other wrong region is a malformed header. Both name the right one.
 */
static enum s3_error check_region(struct request *request, const struct signature *parts)
{
    char region[STORE_REGION_BYTES];
    expected_region(request, region);
    if (!strcmp(region, parts->region))
        return S3_OK;
    answer_header(request, "x-amz-bucket-region", region);
    buf_printf(&request->answer.details, "<Region>%s</Region>", region);
    if (strcmp(parts->region, request->server->config.region))
        return S3_AuthorizationHeaderMalformed;
    const char *host = request_header(request, "Host");
    buf_printf(&request->answer.details, "<Endpoint>%s</Endpoint>", host ? host : "");
    return S3_PermanentRedirect;
}

static const struct credential *find_credential(const struct config *config, const char *access_key)
{
    for (size_t i = 0; i < config->credential_count; i++)
        if (!strcmp(config->credentials[i].access_key, access_key))
            return &config->credentials[i];
    return NULL;
}

static enum s3_error check_token(struct request *request, const struct credential *credential,
                                 bool presigned)
{
    const char *token = presigned ? request_query(request, "X-Amz-Security-Token")
                                  : request_header(request, "x-amz-security-token");
    if (!credential->token)
        return token ? S3_InvalidToken : S3_OK;
    if (!token || strcmp(token, credential->token))
        return S3_InvalidToken;
    return credential->expired ? S3_ExpiredToken : S3_OK;
}

struct canonical_pair {
    char *name;
    char *value;
};

static int compare_pairs(const void *a, const void *b)
{
    const struct canonical_pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : strcmp(x->value, y->value);
}

static char *encoded(const char *text)
{
    struct buf buf;
    buf_init(&buf, 1 << 20);
    encode_uri(&buf, text, false);
    return buf_take(&buf);
}

/* Every parameter but the signature itself, encoded, sorted by name and value. */
static bool canonical_query(const struct request *request, bool presigned, struct buf *out)
{
    size_t count = 0;
    struct canonical_pair *pairs = calloc(request->query.count + 1, sizeof(*pairs));
    bool ok = pairs != NULL;
    for (size_t i = 0; ok && i < request->query.count; i++) {
        const struct query_pair *pair = &request->query.pairs[i];
        if (presigned && !strcmp(pair->name, "X-Amz-Signature"))
            continue;
        pairs[count].name = encoded(pair->name);
        pairs[count].value = encoded(pair->value);
        ok = pairs[count].name && pairs[count].value;
        count++;
    }
    if (ok)
        qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        if (ok)
            buf_printf(out, "%s%s=%s", i ? "&" : "", pairs[i].name, pairs[i].value);
        free(pairs[i].name);
        free(pairs[i].value);
    }
    free(pairs);
    return ok;
}

/* Appends a header value with outer blanks cut and inner runs made one. */
static void canonical_value(struct buf *out, const char *value)
{
    value += strspn(value, " \t");
    while (*value) {
        size_t word = strcspn(value, " \t");
        buf_append(out, value, word);
        value += word;
        size_t blanks = strspn(value, " \t");
        value += blanks;
        if (blanks && *value)
            buf_add(out, " ");
    }
}

struct header_scan {
    const char *name;
    size_t name_length;
    struct buf *out;
    bool found;
};

static enum MHD_Result add_if_named(void *context, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct header_scan *scan = context;
    (void)kind;
    if (strlen(name) != scan->name_length || strncasecmp(name, scan->name, scan->name_length))
        return MHD_YES;
    if (scan->found)
        buf_add(scan->out, ",");
    canonical_value(scan->out, value ? value : "");
    scan->found = true;
    return MHD_YES;
}

/* name:value LF for each signed header; false when one of them is not there. */
static bool canonical_headers(struct request *request, const char *names, struct buf *out)
{
    while (*names) {
        size_t length = strcspn(names, ";");
        buf_append(out, names, length);
        buf_add(out, ":");
        struct header_scan scan = {names, length, out, false};
        MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, add_if_named, &scan);
        if (!scan.found)
            return false;
        buf_add(out, "\n");
        names += length + (names[length] == ';');
    }
    return true;
}

static bool is_listed(const char *names, const char *name)
{
    size_t wanted = strlen(name);
    while (*names) {
        size_t length = strcspn(names, ";");
        if (length == wanted && !strncasecmp(names, name, length))
            return true;
        names += length + (names[length] == ';');
    }
    return false;
}

struct coverage {
    const char *names;
    bool complete;
};

static enum MHD_Result check_covered(void *context, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct coverage *coverage = context;
    (void)kind;
    (void)value;
    if (!strncasecmp(name, "x-amz-", 6) && !is_listed(coverage->names, name))
        coverage->complete = false;
    return MHD_YES;
}

static bool all_signed(struct request *request, const char *names)
{
    struct coverage coverage = {names, is_listed(names, "host")};
    MHD_get_connection_values(request->mhd, MHD_HEADER_KIND, check_covered, &coverage);
    return coverage.complete;
}

static bool canonical_request(struct request *request, const struct signature *parts,
                              struct buf *out)
{
    const char *payload = request_header(request, "x-amz-content-sha256");
    if (!payload)
        payload = "UNSIGNED-PAYLOAD"; /* only a presigned request gets here without */
    buf_printf(out, "%s\n", request->method);
    encode_uri(out, request->path, true);
    buf_add(out, "\n");
    if (!canonical_query(request, parts->presigned, out))
        return false;
    buf_add(out, "\n");
    if (!canonical_headers(request, parts->signed_headers, out))
        return false;
    buf_printf(out, "\n%s\n%s", parts->signed_headers, payload);
    return !out->failed;
}

/* The derived key, remembered per thread: it changes once a day. */
static const uint8_t *derived_key(const char *secret, const struct signature *parts)
{
    static _Thread_local char known[512];
    static _Thread_local uint8_t key[32];
    char wanted[sizeof(known)];
    int length = snprintf(wanted, sizeof(wanted), "%s/%s/%s", parts->day, parts->region, secret);
    if (length >= (int)sizeof(wanted) || strcmp(known, wanted)) {
        sign_key(secret, parts->day, parts->region, key);
        memcpy(known, wanted, sizeof(known));
    }
    return key;
}

static enum s3_error check_signature(struct request *request, const struct signature *parts,
                                     const char *secret)
{
    struct chunked_signer *signer = &request->signer;
    struct buf text;
    buf_init(&text, 1 << 20);
    enum s3_error error = S3_SignatureDoesNotMatch;
    if (!canonical_request(request, parts, &text))
        goto out;
    char hash[SIGN_HEX_BYTES], signature[SIGN_HEX_BYTES];
    sign_sha256_hex(text.data, text.length, hash);
    snprintf(signer->date, sizeof(signer->date), "%s", parts->date);
    snprintf(signer->scope, sizeof(signer->scope), "%s/%s/s3/aws4_request", parts->day,
             parts->region);
    memcpy(signer->key, derived_key(secret, parts), sizeof(signer->key));
    buf_clear(&text);
    buf_printf(&text, "AWS4-HMAC-SHA256\n%s\n%s\n%s", signer->date, signer->scope, hash);
    sign_text(signer->key, text.data, text.length, signature);
    if (!sign_equal(signature, parts->signature))
        goto out;
    memcpy(signer->previous, signature, sizeof(signature));
    request->is_signed = true;
    error = S3_OK;
out:
    buf_fini(&text);
    return error;
}

static enum s3_error check_parts(struct request *request, const struct signature *parts)
{
    enum s3_error error = check_date(request, parts);
    if (error)
        return error;
    const struct credential *credential =
        find_credential(&request->server->config, parts->access_key);
    if (!credential)
        return S3_InvalidAccessKeyId;
    error = check_region(request, parts);
    if (!error)
        error = check_token(request, credential, parts->presigned);
    if (!error && !all_signed(request, parts->signed_headers))
        error = S3_AccessDenied;
    if (!error && !parts->presigned && !request_header(request, "x-amz-content-sha256"))
        error = S3_InvalidRequest;
    if (!error)
        error = check_signature(request, parts, credential->secret_key);
    request->readonly = credential->readonly;
    return error;
}

enum s3_error auth_check(struct request *request)
{
    const char *header = request_header(request, "Authorization");
    struct signature parts = {0};
    enum s3_error error;
    if (request->server->config.anonymous)
        return S3_OK;
    if (header)
        error = parse_header(request, header, &parts);
    else if (request_has_query(request, "X-Amz-Signature"))
        error = parse_presigned(request, &parts);
    else
        return S3_AccessDenied;
    if (!error)
        error = check_parts(request, &parts);
    free(parts.text);
    return error;
}
