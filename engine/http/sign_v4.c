/* AWS Signature Version 4. The contract is in sign_v4.h; the four steps are AWS's: canonical
 * request, string to sign, signing key, signature.
 *
 * State: the last few signing keys (they change with the day, the secret, the region), under a
 * mutex that is held for a copy only. Secrets stay in that cache and in the caller's memory, and
 * are wiped from the stack.
 */
#include "http/sign_v4.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "http/global.h"

#define SIGN_HASH_BYTES 32
#define SIGN_KEYS_KEPT  4
#define SIGN_TEXT_MAX   ((size_t)256 << 10)
#define SIGN_ITEMS_MAX  1024

/* ---- hashes ---------------------------------------------------------------------------------- */

static void sign_hex(const unsigned char *bytes, size_t length, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < length; i++) {
        ret_text[2 * i] = digits[bytes[i] >> 4];
        ret_text[2 * i + 1] = digits[bytes[i] & 15];
    }
    ret_text[2 * length] = '\0';
}

void sign_sha256_hex(const void *data, unsigned long length, char ret_text[65])
{
    struct iovec piece = {(void *)data, length};

    sign_sha256_hex_of(&piece, 1, ret_text);
}

void sign_sha256_hex_of(const struct iovec *pieces, unsigned count, char ret_text[65])
{
    unsigned char hash[SIGN_HASH_BYTES] = {0};
    EVP_MD_CTX *context = http_global_crypto(NULL) == 0 ? EVP_MD_CTX_new() : NULL;

    if (context && EVP_DigestInit_ex(context, http_global_sha256(), NULL) == 1) {
        for (unsigned i = 0; i < count; i++)
            EVP_DigestUpdate(context, pieces[i].iov_base, pieces[i].iov_len);
        EVP_DigestFinal_ex(context, hash, NULL);
    }
    EVP_MD_CTX_free(context);
    sign_hex(hash, sizeof hash, ret_text);
}

void sign_md5_base64(const void *data, unsigned long length, char ret_text[25])
{
    unsigned char hash[16] = {0};

    if (http_global_crypto(NULL) == 0)
        EVP_Digest(data, length, hash, NULL, EVP_md5(), NULL);
    EVP_EncodeBlock((unsigned char *)ret_text, hash, sizeof hash);
}

static int sign_hmac(const void *key, size_t key_length, const void *data, size_t length,
                     unsigned char ret_mac[SIGN_HASH_BYTES])
{
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    EVP_MAC_CTX *context = EVP_MAC_CTX_new(http_global_hmac());
    size_t written;
    int ok = context && EVP_MAC_init(context, key, key_length, params) &&
             EVP_MAC_update(context, data, length) &&
             EVP_MAC_final(context, ret_mac, &written, SIGN_HASH_BYTES);

    EVP_MAC_CTX_free(context);
    return ok ? 0 : -ENOMEM;
}

/* ---- the signing key ------------------------------------------------------------------------- */

struct sign_key {
    char id[SIGN_HASH_BYTES]; /* hash of what it was derived from; all zero: empty */
    unsigned char key[SIGN_HASH_BYTES];
};

static struct {
    pthread_mutex_t lock;
    struct sign_key keys[SIGN_KEYS_KEPT];
    unsigned next;
} sign_cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

static int sign_key_derive(const struct sign_v4 *request, const char date[9],
                           unsigned char ret_key[SIGN_HASH_BYTES])
{
    unsigned char step[SIGN_HASH_BYTES];
    struct buffer secret;
    int rc;

    buffer_init(&secret, 4096);
    rc = buffer_append_format(&secret, "AWS4%s", request->secret_key);
    if (rc == 0)
        rc = sign_hmac(secret.data, secret.length, date, 8, step);
    if (rc == 0)
        rc = sign_hmac(step, sizeof step, request->region, strlen(request->region), step);
    if (rc == 0)
        rc = sign_hmac(step, sizeof step, request->service, strlen(request->service), step);
    if (rc == 0)
        rc = sign_hmac(step, sizeof step, "aws4_request", 12, ret_key);
    if (secret.data)
        OPENSSL_cleanse(secret.data, secret.length);
    OPENSSL_cleanse(step, sizeof step);
    buffer_fini(&secret);
    return rc;
}

static int sign_key_id(const struct sign_v4 *request, const char date[9],
                       char ret_id[SIGN_HASH_BYTES])
{
    struct buffer text;
    int rc;

    buffer_init(&text, 8192);
    rc = buffer_append_format(&text, "%s\n%s\n%s\n%s", date, request->region, request->service,
                              request->secret_key);
    if (rc == 0)
        EVP_Digest(text.data, text.length, (unsigned char *)ret_id, NULL, http_global_sha256(),
                   NULL);
    if (text.data)
        OPENSSL_cleanse(text.data, text.length);
    buffer_fini(&text);
    return rc;
}

static int sign_key_get(const struct sign_v4 *request, const char date[9],
                        unsigned char ret_key[SIGN_HASH_BYTES])
{
    char id[SIGN_HASH_BYTES];
    struct sign_key *slot;
    int rc = sign_key_id(request, date, id);

    if (rc < 0)
        return rc;
    pthread_mutex_lock(&sign_cache.lock);
    for (unsigned i = 0; i < SIGN_KEYS_KEPT; i++) {
        if (memcmp(sign_cache.keys[i].id, id, sizeof id) == 0) {
            memcpy(ret_key, sign_cache.keys[i].key, SIGN_HASH_BYTES);
            pthread_mutex_unlock(&sign_cache.lock);
            return 0;
        }
    }
    pthread_mutex_unlock(&sign_cache.lock);
    rc = sign_key_derive(request, date, ret_key);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&sign_cache.lock);
    slot = &sign_cache.keys[sign_cache.next++ % SIGN_KEYS_KEPT];
    memcpy(slot->id, id, sizeof id);
    memcpy(slot->key, ret_key, SIGN_HASH_BYTES);
    pthread_mutex_unlock(&sign_cache.lock);
    return 0;
}

/* ---- the canonical request ------------------------------------------------------------------- */

/* Removes empty and dot segments (RFC 3986 section 5.2.4). */
static int sign_add_normalized_path(struct buffer *out, const char *path)
{
    size_t start = out->length;
    bool slash_at_end = false;
    int rc = 0;

    while (*path && rc == 0) {
        size_t length = strcspn(path, "/");

        slash_at_end = length == 0 || (length == 1 && path[0] == '.');
        if (length == 2 && path[0] == '.' && path[1] == '.') {
            while (out->length > start && out->data[--out->length] != '/')
                continue;
            slash_at_end = true;
        } else if (!slash_at_end) {
            rc = buffer_append_str(out, "/");
            if (rc == 0)
                rc = buffer_append(out, path, length);
        }
        path += length;
        if (*path == '/') {
            slash_at_end = true;
            path++;
        }
    }
    if (rc == 0 && (slash_at_end || out->length == start))
        rc = buffer_append_str(out, "/");
    return rc;
}

struct sign_item {
    const char *text;
    size_t name_length, length; /* of name and of "name=value" */
    unsigned order;
};

static int sign_compare_text(const char *a, size_t a_length, const char *b, size_t b_length)
{
    int order = memcmp(a, b, a_length < b_length ? a_length : b_length);

    return order ? order : (a_length > b_length) - (a_length < b_length);
}

static int sign_compare_items(const void *first, const void *second)
{
    const struct sign_item *a = first, *b = second;
    int order = sign_compare_text(a->text, a->name_length, b->text, b->name_length);

    if (order == 0)
        order = sign_compare_text(a->text, a->length, b->text, b->length);
    return order;
}

/* Arrays of items live on the heap: programs' stacks may be small. */
static struct sign_item *sign_items_new(size_t count)
{
    return count > SIGN_ITEMS_MAX ? NULL : calloc(count + 1, sizeof(struct sign_item));
}

static unsigned sign_split_query(const char *query, struct sign_item *items)
{
    unsigned count = 0;

    while (*query) {
        size_t length = strcspn(query, "&");
        const char *equals = memchr(query, '=', length);

        if (length > 0)
            items[count++] = (struct sign_item){
                .text = query,
                .name_length = equals ? (size_t)(equals - query) : length,
                .length = length,
            };
        query += length + (query[length] == '&');
    }
    return count;
}

static int sign_add_query(struct buffer *out, const char *query)
{
    struct sign_item *items;
    size_t most = 1;
    unsigned count;
    int rc = 0;

    for (const char *p = query; *p; p++)
        most += *p == '&';
    items = sign_items_new(most);
    if (!items)
        return most > SIGN_ITEMS_MAX ? -EINVAL : -ENOMEM;
    count = sign_split_query(query, items);
    qsort(items, count, sizeof items[0], sign_compare_items);
    for (unsigned i = 0; i < count && rc == 0; i++) {
        rc = i ? buffer_append_str(out, "&") : 0;
        if (rc == 0)
            rc = buffer_append(out, items[i].text, items[i].length);
        if (rc == 0 && items[i].name_length == items[i].length)
            rc = buffer_append_str(out, "=");
    }
    free(items);
    return rc;
}

static int sign_compare_headers(const void *first, const void *second)
{
    const struct sign_item *a = first, *b = second;
    int order = strcmp(a->text, b->text);

    return order ? order : (a->order > b->order) - (a->order < b->order);
}

/* Trimmed, runs of blanks made one. */
static int sign_add_value(struct buffer *out, const char *value)
{
    bool first = true;
    int rc = 0;

    while (rc == 0) {
        size_t length;

        value += strspn(value, " \t\r\n");
        length = strcspn(value, " \t\r\n");
        if (length == 0)
            break;
        if (!first)
            rc = buffer_append_str(out, " ");
        if (rc == 0)
            rc = buffer_append(out, value, length);
        value += length;
        first = false;
    }
    return rc;
}

/* "name:value\n" for each, the values of equal names joined; then the list of names. */
static int sign_add_headers(struct buffer *out, const struct sign_v4 *request,
                            struct buffer *ret_names)
{
    struct sign_item *items = sign_items_new(request->header_count);
    int rc = 0;

    if (!items)
        return request->header_count > SIGN_ITEMS_MAX ? -EINVAL : -ENOMEM;
    for (unsigned i = 0; i < request->header_count; i++)
        items[i] = (struct sign_item){.text = request->headers[i].name, .order = i};
    qsort(items, request->header_count, sizeof items[0], sign_compare_headers);
    for (unsigned i = 0; i < request->header_count && rc == 0; i++) {
        bool again = i > 0 && strcmp(items[i].text, items[i - 1].text) == 0;

        if (again)
            out->data[out->length - 1] = ',';
        else
            rc = buffer_append_format(out, "%s:", items[i].text);
        if (rc == 0 && !again)
            rc = buffer_append_format(ret_names, i ? ";%s" : "%s", items[i].text);
        if (rc == 0)
            rc = sign_add_value(out, request->headers[items[i].order].value);
        if (rc == 0)
            rc = buffer_append_str(out, "\n");
    }
    free(items);
    return rc;
}

static int sign_canonical(const struct sign_v4 *request, struct buffer *out,
                          struct buffer *ret_names)
{
    int rc = buffer_append_format(out, "%s\n", request->method);

    if (rc == 0)
        rc = request->normalize_path ? sign_add_normalized_path(out, request->path)
                                     : buffer_append_str(out, request->path);
    if (rc == 0)
        rc = buffer_append_str(out, "\n");
    if (rc == 0)
        rc = sign_add_query(out, request->query);
    if (rc == 0)
        rc = buffer_append_str(out, "\n");
    if (rc == 0)
        rc = sign_add_headers(out, request, ret_names);
    if (rc == 0)
        rc = buffer_append_format(out, "\n%s\n%s", buffer_str(ret_names), request->payload_hash);
    return rc;
}

/* ---- the header ------------------------------------------------------------------------------ */

void sign_v4_timestamp(time_t when, char ret_text[17])
{
    struct tm tm;

    gmtime_r(&when, &tm);
    strftime(ret_text, 17, "%Y%m%dT%H%M%SZ", &tm);
}

static int sign_with_canonical(const struct sign_v4 *request, const struct buffer *canonical,
                               const char *names, struct buffer *out)
{
    unsigned char key[SIGN_HASH_BYTES], mac[SIGN_HASH_BYTES];
    char timestamp[17], date[9], hash[65], signature[65];
    struct buffer text;
    int rc;

    sign_v4_timestamp(request->when, timestamp);
    memcpy(date, timestamp, 8);
    date[8] = '\0';
    sign_sha256_hex(canonical->data, canonical->length, hash);
    buffer_init(&text, 4096);
    rc = buffer_append_format(&text, "AWS4-HMAC-SHA256\n%s\n%s/%s/%s/aws4_request\n%s", timestamp,
                              date, request->region, request->service, hash);
    if (rc == 0)
        rc = sign_key_get(request, date, key);
    if (rc == 0)
        rc = sign_hmac(key, sizeof key, text.data, text.length, mac);
    OPENSSL_cleanse(key, sizeof key);
    buffer_fini(&text);
    if (rc < 0)
        return rc;
    sign_hex(mac, sizeof mac, signature);
    return buffer_append_format(out,
                                "AWS4-HMAC-SHA256 Credential=%s/%s/%s/%s/aws4_request, "
                                "SignedHeaders=%s, Signature=%s",
                                request->access_key, date, request->region, request->service, names,
                                signature);
}

int sign_v4_authorization(const struct sign_v4 *request, struct buffer *out)
{
    struct buffer canonical, names;
    int rc = http_global_crypto(NULL);

    if (rc < 0)
        return rc;
    buffer_init(&canonical, SIGN_TEXT_MAX);
    buffer_init(&names, SIGN_TEXT_MAX);
    rc = sign_canonical(request, &canonical, &names);
    if (rc == 0)
        rc = sign_with_canonical(request, &canonical, buffer_str(&names), out);
    buffer_fini(&canonical);
    buffer_fini(&names);
    return rc == -EMSGSIZE ? -EINVAL : rc;
}
