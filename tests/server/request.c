/*
 * Target parsing and accessors of a request; see request.h.
 *
 * libmicrohttpd's own decoding is switched off: signatures are made over the exact bytes.
 */
#include "request.h"

#include "config.h"
#include "encode.h"
#include "server.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct request *request_new(struct server *server, const char *uri)
{
    struct request *request = calloc(1, sizeof(*request));
    if (!request)
        return NULL;
    request->server = server;
    request->id = atomic_fetch_add(&server->next_id, 1);
    request->uri = strdup(uri);
    answer_init(&request->answer);
    if (!request->uri) {
        request_free(request);
        return NULL;
    }
    return request;
}

void request_free(struct request *request)
{
    if (!request)
        return;
    for (size_t i = 0; i < request->query.count; i++) {
        free(request->query.pairs[i].name);
        free(request->query.pairs[i].value);
    }
    free(request->query.pairs);
    intake_fini(&request->intake);
    answer_fini(&request->answer);
    free(request->uri);
    free(request->path);
    free(request->bucket);
    free(request->key);
    free(request);
}

const char *request_header(struct request *request, const char *name)
{
    return MHD_lookup_connection_value(request->mhd, MHD_HEADER_KIND, name);
}

const char *request_query(const struct request *request, const char *name)
{
    for (size_t i = 0; i < request->query.count; i++)
        if (!strcmp(request->query.pairs[i].name, name))
            return request->query.pairs[i].value;
    return NULL;
}

bool request_has_query(const struct request *request, const char *name)
{
    return request_query(request, name) != NULL;
}

bool request_is_loopback(struct request *request)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(request->mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    if (!info)
        return false;
    if (info->client_addr->sa_family == AF_INET6) {
        const struct sockaddr_in6 *address = (const void *)info->client_addr;
        return IN6_IS_ADDR_LOOPBACK(&address->sin6_addr);
    }
    const struct sockaddr_in *address = (const void *)info->client_addr;
    return ntohl(address->sin_addr.s_addr) >> 24 == 127;
}

static enum s3_error add_pair(struct query *query, const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    size_t name_length = equals ? (size_t)(equals - text) : length;
    struct query_pair *pairs = realloc(query->pairs, (query->count + 1) * sizeof(*pairs));
    if (!pairs)
        return S3_InternalError;
    query->pairs = pairs;
    struct query_pair *pair = &pairs[query->count++];
    pair->name = encode_uri_decode(text, name_length, true);
    pair->value =
        equals ? encode_uri_decode(equals + 1, length - name_length - 1, true) : strdup("");
    return pair->name && pair->value ? S3_OK : S3_InvalidURI;
}

static enum s3_error parse_query(struct query *query, const char *text)
{
    while (*text) {
        size_t length = strcspn(text, "&");
        enum s3_error error = length ? add_pair(query, text, length) : S3_OK;
        if (error)
            return error;
        text += length + (text[length] == '&');
    }
    return S3_OK;
}

/* The bucket named by a Host of BUCKET.DOMAIN[:PORT]; malloc'd, NULL when it names none. */
static char *bucket_of_host(struct request *request)
{
    const char *domain = request->server->config.domain;
    const char *host = request_header(request, "Host");
    if (!domain || !host)
        return NULL;
    size_t length = strcspn(host, ":");
    size_t tail = strlen(domain);
    if (length <= tail + 1 || host[length - tail - 1] != '.' ||
        strncasecmp(host + length - tail, domain, tail))
        return NULL;
    return strndup(host, length - tail - 1);
}

static enum s3_error split_path(struct request *request)
{
    char *from_host = bucket_of_host(request);
    const char *rest = request->path + 1;
    if (from_host) {
        request->bucket = from_host;
        request->key = strdup(rest);
    } else {
        size_t length = strcspn(rest, "/");
        request->bucket = strndup(rest, length);
        request->key = strdup(rest + length + (rest[length] == '/'));
    }
    if (!request->bucket || !request->key)
        return S3_InternalError;
    return strlen(request->key) > STORE_KEY_MAX_BYTES ? S3_KeyTooLongError : S3_OK;
}

enum s3_error request_parse_target(struct request *request)
{
    const char *path = request->uri;
    if (!strncasecmp(path, "http://", 7) || !strncasecmp(path, "https://", 8)) {
        path = strchr(path + 8, '/'); /* the form a proxy is asked in */
        if (!path)
            path = "/";
    }
    size_t length = strcspn(path, "?");
    request->path = encode_uri_decode(path, length, false);
    if (!request->path || request->path[0] != '/')
        return S3_InvalidURI;
    if (path[length] == '?') {
        enum s3_error error = parse_query(&request->query, path + length + 1);
        if (error)
            return error;
    }
    return split_path(request);
}
