/* Choosing a proxy. Contract: proxy.h. Pure but for the environment, which is read at the call. */
#include "http/proxy.h"

#include <curl/curl.h>
#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buffer.h"

static const char *proxy_env(const char *lower, const char *upper)
{
    const char *value = getenv(lower);

    if ((!value || !*value) && upper)
        value = getenv(upper);
    return value && *value ? value : NULL;
}

/* HTTP_PROXY in capitals is not read: a CGI server sets it from a request's Proxy header. */
static const char *proxy_from_env(const char *scheme)
{
    const char *value = strcmp(scheme, "https") == 0 ? proxy_env("https_proxy", "HTTPS_PROXY")
                                                     : proxy_env("http_proxy", NULL);

    return value ? value : proxy_env("all_proxy", "ALL_PROXY");
}

/* Is the host one of the list, or below one of its domains? */
static bool proxy_is_excepted(const char *list, const char *host)
{
    size_t host_length = strlen(host);

    while (*list) {
        const char *item = list + strspn(list, " ,\t");
        size_t length = strcspn(item, " ,\t");

        list = item + length;
        if (length == 1 && *item == '*')
            return true;
        while (length > 0 && *item == '.') {
            item++;
            length--;
        }
        if (length == 0 || length > host_length ||
            strncasecmp(host + host_length - length, item, length) != 0)
            continue;
        if (length == host_length || host[host_length - length - 1] == '.')
            return true;
    }
    return false;
}

static char *proxy_url_part(CURLU *url, CURLUPart part, unsigned flags)
{
    char *text = NULL, *copy;

    if (curl_url_get(url, part, &text, flags) != CURLUE_OK)
        return NULL;
    copy = strdup(text);
    curl_free(text);
    return copy;
}

static char *proxy_basic(const char *user, const char *password)
{
    struct buffer plain, out;
    char *result = NULL;

    buffer_init(&plain, 1024);
    buffer_init(&out, 2048);
    if (buffer_append_format(&plain, "%s:%s", user, password ? password : "") == 0) {
        unsigned char encoded[1400];

        EVP_EncodeBlock(encoded, (const unsigned char *)plain.data, (int)plain.length);
        if (buffer_append_format(&out, "Basic %s", (char *)encoded) == 0)
            result = strdup(buffer_str(&out));
    }
    buffer_fini(&plain);
    buffer_fini(&out);
    return result;
}

static int proxy_parse(CURLU *url, const char *scheme, struct proxy *proxy)
{
    char *kind = proxy_url_part(url, CURLUPART_SCHEME, 0);
    char *port = proxy_url_part(url, CURLUPART_PORT, 0);
    char *user = proxy_url_part(url, CURLUPART_USER, CURLU_URLDECODE);
    char *password = proxy_url_part(url, CURLUPART_PASSWORD, CURLU_URLDECODE);
    int rc = -EINVAL;

    proxy->host = proxy_url_part(url, CURLUPART_HOST, 0);
    proxy->url = proxy_url_part(url, CURLUPART_URL, 0);
    if (kind && proxy->host && proxy->url) {
        size_t length = strlen(proxy->host);

        if (proxy->host[0] == '[') { /* brackets of an IPv6 address */
            proxy->host[length - 1] = '\0';
            memmove(proxy->host, proxy->host + 1, length - 1);
        }
        /* curl's own defaults */
        proxy->port = port ? (unsigned)atoi(port) : strcmp(kind, "https") == 0 ? 443 : 1080;
        proxy->absolute_form = strncmp(kind, "http", 4) == 0 && strcmp(scheme, "http") == 0;
        if (proxy->absolute_form && user)
            proxy->authorization = proxy_basic(user, password);
        rc = 0;
    }
    free(kind);
    free(port);
    free(user);
    free(password);
    return rc;
}

/* Without a scheme it is an HTTP proxy. */
static int proxy_parse_text(const char *text, const char *scheme, struct proxy *proxy)
{
    struct buffer full;
    CURLU *url = curl_url();
    int rc = url ? -EINVAL : -ENOMEM;

    buffer_init(&full, 4096);
    if (url &&
        buffer_append_format(&full, "%s%s", strstr(text, "://") ? "" : "http://", text) == 0 &&
        curl_url_set(url, CURLUPART_URL, full.data, CURLU_NON_SUPPORT_SCHEME) == CURLUE_OK)
        rc = proxy_parse(url, scheme, proxy);
    curl_url_cleanup(url);
    buffer_fini(&full);
    return rc;
}

int proxy_choose(const char *setting, const char *scheme, const char *host, struct proxy *ret_proxy)
{
    const char *excepted = proxy_env("no_proxy", "NO_PROXY");
    struct proxy proxy = {0};
    int rc;

    *ret_proxy = proxy;
    if (!setting) {
        setting = proxy_from_env(scheme);
        if (!setting || (excepted && proxy_is_excepted(excepted, host)))
            return 0;
    }
    if (!*setting)
        return 0;
    rc = proxy_parse_text(setting, scheme, &proxy);
    if (rc < 0)
        proxy_fini(&proxy);
    else
        *ret_proxy = proxy;
    return rc;
}

void proxy_fini(struct proxy *proxy)
{
    free(proxy->url);
    free(proxy->host);
    free(proxy->authorization);
    *proxy = (struct proxy){0};
}
