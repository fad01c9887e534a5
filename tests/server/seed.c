/*
 * Buckets and synthetic objects from the command line; see seed.h.
 */
#include "seed.h"

#include "attributes.h"
#include "encode.h"
#include "pattern.h"
#include "server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* NAME[@REGION]; one that exists already, in a directory, is fine. */
static bool create_bucket(struct server *server, const char *text)
{
    char name[STORE_BUCKET_BYTES + STORE_REGION_BYTES];
    if (strlen(text) >= sizeof(name))
        return false;
    strcpy(name, text);
    char *region = strchr(name, '@');
    if (region)
        *region++ = '\0';
    enum s3_error error = store_bucket_create(
        &server->store, name, region ? region : server->config.region, server_now(server));
    return error == S3_OK || error == S3_BucketAlreadyOwnedByYou;
}

/* Digits with an optional K, M, G or T of 1024. */
static bool parse_size(char *text, uint64_t *ret_size)
{
    static const char UNITS[] = "KMGT";
    size_t length = strlen(text);
    unsigned shift = 0;
    const char *unit = length ? strchr(UNITS, text[length - 1]) : NULL;
    if (unit) {
        shift = 10 * (unsigned)(unit - UNITS + 1);
        text[length - 1] = '\0';
    }
    uint64_t size;
    if (!encode_parse_u64(text, &size) || size > UINT64_MAX >> shift)
        return false;
    *ret_size = size << shift;
    return true;
}

static bool add_object(struct server *server, const char *bucket, const char *key, uint64_t size)
{
    struct object *object = object_new(key);
    if (!object || body_from_pattern(pattern_start(key), size, &object->body))
        return false;
    object->modified = server_now(server);
    attributes_etag(server, NULL, 0, object->etag);
    return !store_put(&server->store, bucket, object, NULL);
}

/* The key of the count'th object: its % replaced by seven digits. */
static bool numbered_key(const char *key, uint64_t number, char *out, size_t size)
{
    const char *percent = strchr(key, '%');
    int length = percent ? snprintf(out, size, "%.*s%07llu%s", (int)(percent - key), key,
                                    (unsigned long long)number, percent + 1)
                         : snprintf(out, size, "%s", key);
    return length >= 0 && (size_t)length < size;
}

/* BUCKET/KEY=SIZE[*COUNT] */
static bool create_synthetic(struct server *server, const char *text)
{
    uint64_t size, count = 1;
    char *copy = strdup(text);
    char *equals = copy ? strrchr(copy, '=') : NULL;
    char *slash = copy ? strchr(copy, '/') : NULL;
    bool ok = equals && slash && slash < equals && slash + 1 != equals;
    if (ok) {
        *slash = '\0';
        *equals = '\0';
        char *star = strchr(equals + 1, '*');
        if (star) {
            *star = '\0';
            ok = encode_parse_u64(star + 1, &count);
        }
        ok = ok && parse_size(equals + 1, &size) && create_bucket(server, copy);
    }
    char key[STORE_KEY_MAX_BYTES + 1];
    for (uint64_t i = 0; ok && i < count; i++)
        ok = numbered_key(slash + 1, i, key, sizeof(key)) && add_object(server, copy, key, size);
    free(copy);
    return ok;
}

bool seed_fill(struct server *server)
{
    const struct config *config = &server->config;
    for (size_t i = 0; i < config->buckets.count; i++) {
        if (create_bucket(server, config->buckets.items[i]))
            continue;
        fprintf(stderr, "s3server: bad bucket %s\n", config->buckets.items[i]);
        return false;
    }
    for (size_t i = 0; i < config->synthetic.count; i++) {
        if (create_synthetic(server, config->synthetic.items[i]))
            continue;
        fprintf(stderr, "s3server: bad synthetic object %s\n", config->synthetic.items[i]);
        return false;
    }
    return true;
}
