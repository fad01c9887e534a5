/* Which host serves a bucket, and in which region.
 *
 * Amazon's endpoint is made of the region, so a bucket found to live elsewhere gets another
 * host; an endpoint of the user's own keeps its host, and only the signature's region changes.
 * One client a host. A bucket whose name has dots cannot be part of a TLS host name (one level
 * of wildcard), so it goes into the path. Both lists only grow until the store is closed; past
 * S3_ENDPOINTS_MAX hosts, buckets go into the path of their region's host.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/s3.h"

#define S3_ENDPOINTS_MAX 256
#define S3_BUCKETS_MAX   4096

enum s3_addressing { ADDRESSING_AUTO, ADDRESSING_PATH, ADDRESSING_VIRTUAL };

/* ---- the endpoint URL ----------------------------------------------------------------------- */

static int url_error(const char *url, struct error *err)
{
    return error_set(err, ERROR_INVALID,
                     "the endpoint URL %.100s is not http(s)://host[:port][/path]; check "
                     "AWS_ENDPOINT_URL",
                     url);
}

static bool is_address(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

/* Host and port of "host:port" or "[::1]:port". */
static int parse_authority(const char *text, size_t length, struct s3_settings *settings)
{
    bool bracket = text[0] == '[';
    const char *host = text + (bracket ? 1 : 0);
    const char *end = bracket ? memchr(text, ']', length) : memchr(text, ':', length);
    const char *port;
    unsigned long number = settings->tls ? 443 : 80;
    char *stop;

    if (bracket && !end)
        return -EINVAL;
    end = end ? end : text + length;
    port = end + (bracket ? 1 : 0);
    if (port < text + length) {
        if (*port != ':')
            return -EINVAL;
        number = strtoul(port + 1, &stop, 10);
        if (stop != text + length || stop == port + 1 || number == 0 || number > 65535)
            return -EINVAL;
    }
    if (end == host || (size_t)(end - host) >= sizeof settings->host)
        return -EINVAL;
    memcpy(settings->host, host, (size_t)(end - host));
    settings->host[end - host] = '\0';
    settings->literal = is_address(settings->host);
    settings->port = (uint16_t)number;
    return 0;
}

int s3_settings_parse(const char *url, struct s3_settings *settings, struct error *err)
{
    const char *authority, *path;
    size_t length;

    settings->custom = url != NULL;
    settings->tls = true;
    settings->port = 443;
    if (!url)
        return 0;
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return url_error(url, err);
    settings->tls = url[4] == 's' || url[4] == 'S';
    authority = url + (settings->tls ? 8 : 7);
    length = strcspn(authority, "/");
    path = authority + length;
    if (strpbrk(authority, "?#@ \\") || parse_authority(authority, length, settings) < 0)
        return url_error(url, err);
    length = strlen(path);
    while (length > 0 && path[length - 1] == '/')
        length--;
    if (length >= sizeof settings->base_path)
        return url_error(url, err);
    memcpy(settings->base_path, path, length);
    settings->base_path[length] = '\0';
    return 0;
}

/* ---- hosts ---------------------------------------------------------------------------------- */

/* May the bucket stand in the host name? */
static bool wants_virtual(const struct s3_settings *settings, const char *bucket)
{
    bool dotted = strchr(bucket, '.') != NULL;
    size_t length = strlen(bucket);

    if (!bucket[0] || length > 63 ||
        strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") != length)
        return false;
    if (settings->addressing == ADDRESSING_PATH || (dotted && settings->tls) || settings->literal)
        return false;
    return settings->addressing == ADDRESSING_VIRTUAL || !settings->custom;
}

static int make_host(const struct s3_settings *settings, const char *bucket, const char *region,
                     char ret_host[S3_HOST_MAX])
{
    const char *dot = bucket[0] ? "." : "";
    int length;

    if (settings->custom)
        length = snprintf(ret_host, S3_HOST_MAX, "%s%s%s", bucket, dot, settings->host);
    else
        length = snprintf(ret_host, S3_HOST_MAX, "%s%ss3.%s.amazonaws.com%s", bucket, dot, region,
                          strncmp(region, "cn-", 3) == 0 ? ".cn" : "");
    return length < S3_HOST_MAX ? 0 : -ENAMETOOLONG;
}

static void make_host_header(const struct s3_settings *settings, struct s3_endpoint *endpoint)
{
    bool literal = strchr(endpoint->host, ':') != NULL;
    bool plain = settings->port == (settings->tls ? 443 : 80);
    char port[8] = "";

    if (!plain)
        snprintf(port, sizeof port, ":%u", settings->port);
    snprintf(endpoint->host_header, sizeof endpoint->host_header, literal ? "[%s]%s" : "%s%s",
             endpoint->host, port);
}

static struct s3_endpoint *endpoint_new(struct s3_store *store, const char *host,
                                        struct error *err)
{
    struct s3_endpoint *endpoint = calloc(1, sizeof *endpoint);
    struct http_client_options options = store->client_options;

    if (!endpoint) {
        error_set(err, ERROR_NO_MEMORY, "no memory for an endpoint");
        return NULL;
    }
    memcpy(endpoint->host, host, strlen(host) + 1);
    make_host_header(&store->settings, endpoint);
    options.host = endpoint->host;
    if (http_client_new(&options, &endpoint->client, err) < 0) {
        free(endpoint);
        return NULL;
    }
    endpoint->next = store->endpoints;
    store->endpoints = endpoint;
    store->endpoint_count++;
    return endpoint;
}

/* The endpoint of that host, made when it is new. NULL, with *err, when that cannot be. */
static struct s3_endpoint *endpoint_of_host(struct s3_store *store, const char *host,
                                            struct error *err)
{
    struct s3_endpoint *endpoint = store->endpoints;

    while (endpoint && strcmp(endpoint->host, host) != 0)
        endpoint = endpoint->next;
    return endpoint ? endpoint : endpoint_new(store, host, err);
}

static struct s3_bucket *find_bucket(struct s3_store *store, const char *name)
{
    struct s3_bucket *bucket = store->buckets;

    while (bucket && strcmp(bucket->name, name) != 0)
        bucket = bucket->next;
    return bucket;
}

int s3_endpoint_find(struct s3_store *store, const char *bucket, struct s3_target *ret_target,
                     struct error *err)
{
    const struct s3_settings *settings = &store->settings;
    const struct s3_bucket *known;
    struct error reason = {0};
    char host[S3_HOST_MAX];
    bool virtual;
    int r;

    pthread_mutex_lock(&store->lock);
    known = find_bucket(store, bucket);
    strcpy(ret_target->region, known && known->region[0] ? known->region : settings->region);
    virtual = wants_virtual(settings, bucket) && store->endpoint_count < S3_ENDPOINTS_MAX;
    r = make_host(settings, virtual ? bucket : "", ret_target->region, host);
    ret_target->path_style = !virtual;
    ret_target->endpoint = r == 0 ? endpoint_of_host(store, host, &reason) : NULL;
    pthread_mutex_unlock(&store->lock);
    if (ret_target->endpoint)
        return 0;
    if (r < 0)
        return error_set(err, ERROR_TOO_LONG, "the endpoint's host name is too long");
    if (err)
        *err = reason;
    return -error_errno(&reason);
}

void s3_bucket_set_region(struct s3_store *store, const char *name, const char *region)
{
    struct s3_bucket *bucket;
    unsigned count = 0;

    if (strlen(region) >= S3_REGION_MAX || strlen(name) >= sizeof bucket->name)
        return;
    pthread_mutex_lock(&store->lock);
    bucket = find_bucket(store, name);
    for (const struct s3_bucket *b = store->buckets; b; b = b->next)
        count++;
    if (!bucket && count < S3_BUCKETS_MAX && (bucket = calloc(1, sizeof *bucket))) {
        strcpy(bucket->name, name);
        bucket->next = store->buckets;
        store->buckets = bucket;
    }
    if (bucket)
        strcpy(bucket->region, region);
    pthread_mutex_unlock(&store->lock);
}

void s3_endpoints_fini(struct s3_store *store)
{
    while (store->endpoints) {
        struct s3_endpoint *endpoint = store->endpoints;

        store->endpoints = endpoint->next;
        http_client_free(endpoint->client);
        free(endpoint);
    }
    while (store->buckets) {
        struct s3_bucket *bucket = store->buckets;

        store->buckets = bucket->next;
        free(bucket);
    }
}
