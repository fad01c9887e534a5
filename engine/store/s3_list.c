/* Listings: objects, buckets, uploads in flight.
 *
 * Names are asked for in URL encoding, because XML cannot hold every key; they are decoded only
 * if the answer says that it is encoded (versitygw ignores the wish), and that may come last in
 * the answer, so decoding happens at its end. Blanks come as '+' from some servers and as %20
 * from others; a real plus is always %2B. Entries and common prefixes arrive apart and are
 * merged by the page's sorting.
 *
 * Uploads are filtered by prefix here: MinIO takes a prefix for a whole key. Their token is the
 * query that leads to the next page.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/percent.h"
#include "store/s3.h"

#define TOKEN_MAX ((size_t)64 << 10)

struct list_state {
    struct store_page_builder *builder;
    struct store_entry entry;       /* under way */
    struct buffer key, upload_id;   /* its strings */
    struct buffer token, id_marker; /* for the next page */
    bool truncated, encoded;
};

static int list_prepare(struct s3_call *call, struct error *err)
{
    struct list_state *state = calloc(1, sizeof *state);

    call->state = state;
    if (!state || !(state->builder = store_page_builder_new()))
        return error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    buffer_init(&state->key, TOKEN_MAX);
    buffer_init(&state->upload_id, STORE_UPLOAD_ID_MAX);
    buffer_init(&state->token, 2 * TOKEN_MAX);
    buffer_init(&state->id_marker, STORE_UPLOAD_ID_MAX);
    return 0;
}

static void list_release(struct s3_call *call)
{
    struct list_state *state = call->state;

    if (!state)
        return;
    store_page_builder_free(state->builder);
    buffer_fini(&state->key);
    buffer_fini(&state->upload_id);
    buffer_fini(&state->token);
    buffer_fini(&state->id_marker);
    free(state);
}

/* ---- elements ------------------------------------------------------------------------------- */

static int set_text(struct buffer *buffer, const char *text, size_t length)
{
    buffer_clear(buffer);
    return buffer_append(buffer, text, length);
}

static int set_key(struct list_state *state, char *text, size_t length)
{
    return set_text(&state->key, text, length);
}

static int set_upload_id(struct list_state *state, char *text, size_t length)
{
    return set_text(&state->upload_id, text, length);
}

static int set_size(struct list_state *state, char *text, size_t length)
{
    char *end;

    errno = 0;
    state->entry.size_bytes = strtoull(text, &end, 10);
    return length == 0 || *end || errno || *text == '-' ? -EINVAL : 0;
}

static int set_time(struct list_state *state, char *text, size_t length)
{
    (void)length;
    clock_parse_iso8601(text, &state->entry.mtime);
    return 0;
}

static int set_etag(struct list_state *state, char *text, size_t length)
{
    (void)length;
    return s3_copy_etag(state->entry.etag, text, NULL) < 0 ? -EINVAL : 0;
}

static int set_storage_class(struct list_state *state, char *text, size_t length)
{
    if (length < sizeof state->entry.storage_class)
        memcpy(state->entry.storage_class, text, length + 1);
    return 0;
}

static int set_truncated(struct list_state *state, char *text, size_t length)
{
    (void)length;
    state->truncated = strcmp(text, "true") == 0;
    return 0;
}

static int set_encoding(struct list_state *state, char *text, size_t length)
{
    (void)length;
    state->encoded = strcmp(text, "url") == 0;
    return 0;
}

static int set_token(struct list_state *state, char *text, size_t length)
{
    return set_text(&state->token, text, length);
}

static int set_id_marker(struct list_state *state, char *text, size_t length)
{
    return set_text(&state->id_marker, text, length);
}

static int end_entry(struct list_state *state, char *text, size_t length)
{
    int r;

    (void)text, (void)length;
    state->entry.key = buffer_str(&state->key);
    r = state->upload_id.length ? store_page_builder_add_upload(state->builder, &state->entry,
                                                                buffer_str(&state->upload_id))
                                : store_page_builder_add(state->builder, &state->entry);
    state->entry = (struct store_entry){0};
    buffer_clear(&state->key);
    buffer_clear(&state->upload_id);
    return r;
}

static int end_prefix(struct list_state *state, char *text, size_t length)
{
    struct store_entry entry = {.key = text, .is_prefix = true};

    (void)length;
    return store_page_builder_add(state->builder, &entry);
}

static int end_bucket(struct list_state *state, char *text, size_t length)
{
    state->entry.is_prefix = true;
    return buffer_append_str(&state->key, "/") < 0 ? -ENOMEM : end_entry(state, text, length);
}

static const struct list_element {
    const char *parent, *name;
    int (*take)(struct list_state *state, char *text, size_t length);
} list_elements[] = {
    {"Contents", "Key", set_key},
    {"Contents", "LastModified", set_time},
    {"Contents", "ETag", set_etag},
    {"Contents", "Size", set_size},
    {"Contents", "StorageClass", set_storage_class},
    {"ListBucketResult", "Contents", end_entry},
    {"CommonPrefixes", "Prefix", end_prefix},
    {"ListBucketResult", "IsTruncated", set_truncated},
    {"ListBucketResult", "EncodingType", set_encoding},
    {"ListBucketResult", "NextContinuationToken", set_token},

    {"Bucket", "Name", set_key},
    {"Buckets", "Bucket", end_bucket},
    {"ListAllMyBucketsResult", "ContinuationToken", set_token},

    {"Upload", "Key", set_key},
    {"Upload", "UploadId", set_upload_id},
    {"Upload", "Initiated", set_time},
    {"ListMultipartUploadsResult", "Upload", end_entry},
    {"ListMultipartUploadsResult", "IsTruncated", set_truncated},
    {"ListMultipartUploadsResult", "EncodingType", set_encoding},
    {"ListMultipartUploadsResult", "NextKeyMarker", set_token},
    {"ListMultipartUploadsResult", "NextUploadIdMarker", set_id_marker},
};

static int list_element(struct s3_call *call, const char *parent, const char *name, char *text,
                        size_t length)
{
    for (size_t i = 0; i < sizeof list_elements / sizeof list_elements[0]; i++)
        if (strcmp(list_elements[i].name, name) == 0 &&
            strcmp(list_elements[i].parent, parent) == 0)
            return list_elements[i].take(call->state, text, length);
    return 0;
}

/* ---- the page ------------------------------------------------------------------------------- */

/* Decodes a key where it lies; false for one that no string can hold. */
static bool decode_key(struct store_entry *entry, bool is_upload)
{
    char *key = (char *)entry->key; /* in the builder's arena */
    char *id = is_upload ? (char *)store_entry_upload_id(entry) : NULL;
    long length = percent_decode(key, strlen(key), true);

    if (length < 0 || memchr(key, '\0', (size_t)length))
        return false;
    if (id)
        memmove(key + length + 1, id, strlen(id) + 1);
    return true;
}

/* Decodes what has to be, and drops what cannot be named or (uploads) was not asked for. */
static void list_filter(struct s3_call *call, bool are_uploads)
{
    const struct list_state *state = call->state;
    const char *prefix = are_uploads && call->request->prefix ? call->request->prefix : "";
    struct store_entry *entries;
    size_t *count = store_page_builder_entries(state->builder, &entries);
    size_t kept = 0;

    for (size_t i = 0; i < *count; i++) {
        if (state->encoded && !decode_key(&entries[i], are_uploads)) {
            log_debug("a listing holds a key that cannot be decoded: left out");
            continue;
        }
        if (strncmp(entries[i].key, prefix, strlen(prefix)) == 0)
            entries[kept++] = entries[i];
    }
    *count = kept;
}

static int page_finish(struct s3_call *call, const char *token, struct error *err)
{
    struct list_state *state = call->state;

    call->request->page = store_page_builder_finish(state->builder, token);
    state->builder = NULL;
    return call->request->page ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
}

static int check_token(const struct store_request *request, const char *token, struct error *err)
{
    if (!token || !token[0])
        return error_set(err, ERROR_PROTOCOL, "a cut listing does not say how to go on");
    if (request->token && strcmp(token, request->token) == 0)
        return error_set(err, ERROR_PROTOCOL, "a listing goes on where it began");
    return 0;
}

static int list_finish(struct s3_call *call, struct error *err)
{
    struct list_state *state = call->state;
    const char *token = state->truncated ? buffer_str(&state->token) : NULL;

    if (state->truncated && check_token(call->request, token, err) < 0)
        return -error_errno(err);
    list_filter(call, false);
    return page_finish(call, token, err);
}

static int list_query(struct s3_call *call, struct buffer *query)
{
    const struct store_request *request = call->request;
    char max_keys[16];
    int r = s3_query_add(query, "list-type", "2");

    snprintf(max_keys, sizeof max_keys, "%u", request->max_keys);
    if (r == 0)
        r = s3_query_add(query, "encoding-type", "url");
    if (r == 0 && request->prefix && request->prefix[0])
        r = s3_query_add(query, "prefix", request->prefix);
    if (r == 0 && request->delimiter)
        r = s3_query_add(query, "delimiter", request->delimiter);
    if (r == 0 && request->start_after && request->start_after[0] && !request->token)
        r = s3_query_add(query, "start-after", request->start_after);
    if (r == 0 && request->token)
        r = s3_query_add(query, "continuation-token", request->token);
    if (r == 0 && request->max_keys)
        r = s3_query_add(query, "max-keys", max_keys);
    return r;
}

const struct s3_operation s3_list = {
    .method = "GET",
    .bucket = true,
    .prepare = list_prepare,
    .query = list_query,
    .element = list_element,
    .finish = list_finish,
    .release = list_release,
};

/* ---- buckets -------------------------------------------------------------------------------- */

static int list_buckets_query(struct s3_call *call, struct buffer *query)
{
    if (!call->request->token)
        return 0;
    return s3_query_add(query, "continuation-token", call->request->token);
}

static int list_buckets_finish(struct s3_call *call, struct error *err)
{
    struct list_state *state = call->state;
    const char *token = state->token.length ? buffer_str(&state->token) : NULL;

    if (token && check_token(call->request, token, err) < 0)
        return -error_errno(err);
    return page_finish(call, token, err);
}

const struct s3_operation s3_list_buckets = {
    .method = "GET",
    .service = true,
    .prepare = list_prepare,
    .query = list_buckets_query,
    .element = list_element,
    .finish = list_buckets_finish,
    .release = list_release,
};

/* ---- uploads -------------------------------------------------------------------------------- */

static int upload_list_query(struct s3_call *call, struct buffer *query)
{
    int r = s3_query_add(query, "uploads", NULL);

    if (r == 0)
        r = s3_query_add(query, "encoding-type", "url");
    if (r == 0 && call->request->token)
        r = buffer_append_format(query, "&%s", call->request->token);
    return r;
}

/* "key-marker=…&upload-id-marker=…", encoded. */
static int make_marker_query(struct list_state *state, struct buffer *token)
{
    int r;

    if (state->encoded && state->token.length) {
        long length = percent_decode(state->token.data, state->token.length, true);

        if (length < 0)
            return -EINVAL;
        state->token.length = (size_t)length;
    }
    r = s3_query_add(token, "key-marker", buffer_str(&state->token));
    if (r == 0)
        r = s3_query_add(token, "upload-id-marker", buffer_str(&state->id_marker));
    return r;
}

static int upload_list_finish(struct s3_call *call, struct error *err)
{
    struct list_state *state = call->state;
    struct buffer token;
    int r = 0;

    buffer_init(&token, 4 * TOKEN_MAX);
    if (state->truncated && make_marker_query(state, &token) < 0)
        r = error_set(err, ERROR_PROTOCOL, "a cut listing does not say how to go on");
    if (r == 0 && state->truncated)
        r = check_token(call->request, state->token.length ? buffer_str(&token) : NULL, err);
    if (r == 0) {
        list_filter(call, true);
        r = page_finish(call, state->truncated ? buffer_str(&token) : NULL, err);
    }
    buffer_fini(&token);
    return r;
}

const struct s3_operation s3_upload_list = {
    .method = "GET",
    .bucket = true,
    .prepare = list_prepare,
    .query = upload_list_query,
    .element = list_element,
    .finish = upload_list_finish,
    .release = list_release,
};
