/* Which proxy, if any, leads to a host; decided once for each client, with curl's own rules for the
 * environment, so that the engine knows which name it has to resolve. */
#ifndef S3DLIO_HTTP_PROXY_H
#define S3DLIO_HTTP_PROXY_H

#include <stdbool.h>

struct proxy {
    char *url;  /* NULL: direct */
    char *host; /* of the proxy, without brackets */
    unsigned port;
    bool absolute_form;  /* requests name the whole URL (plain http through an HTTP proxy) */
    char *authorization; /* "Basic …" to send with those; NULL: none */
};

/* setting: a URL; "" for none whatever the environment says; NULL: http_proxy, https_proxy,
 * all_proxy and no_proxy of the environment. 0, -EINVAL for a URL that is none, -ENOMEM. */
int proxy_choose(const char *setting, const char *scheme, const char *host,
                 struct proxy *ret_proxy);
void proxy_fini(struct proxy *proxy);

#endif
