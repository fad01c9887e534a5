/* Bytes over an established connection. Contract: link.h. No locking, no state but the link's. */
#include "http/link.h"

#include <errno.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "http/multi.h"
#include "io/fd.h"

/* OpenSSL wants a send that would block repeated with the same bytes, and reports no progress
 * before all of them are out. */
#define LINK_TLS_SEND_MAX ((size_t)64 << 10)

struct link *link_new(void)
{
    struct link *link = calloc(1, sizeof *link);

    if (!link)
        return NULL;
    link->fd = -1;
    link->low_water = 1;
    link->easy = curl_easy_init();
    link->multi = multi_new();
    if (link->easy && link->multi)
        return link;
    link_free(link);
    return NULL;
}

void link_free(struct link *link)
{
    if (!link)
        return;
    if (link->easy && link->multi)
        curl_multi_remove_handle(link->multi, link->easy);
    curl_easy_cleanup(link->easy);
    if (link->multi)
        curl_multi_cleanup(link->multi);
    curl_slist_free_all(link->connect_to);
    curl_slist_free_all(link->resolve);
    free(link);
}

/* Do both ends of the socket have one address? */
static bool link_is_local(int fd)
{
    struct sockaddr_storage here = {0}, there = {0};
    socklen_t here_size = sizeof here, there_size = sizeof there;

    if (getsockname(fd, (struct sockaddr *)&here, &here_size) < 0 ||
        getpeername(fd, (struct sockaddr *)&there, &there_size) < 0 ||
        here.ss_family != there.ss_family)
        return false;
    if (here.ss_family == AF_INET)
        return ((struct sockaddr_in *)&here)->sin_addr.s_addr ==
               ((struct sockaddr_in *)&there)->sin_addr.s_addr;
    return here.ss_family == AF_INET6 &&
           IN6_ARE_ADDR_EQUAL(&((struct sockaddr_in6 *)&here)->sin6_addr,
                              &((struct sockaddr_in6 *)&there)->sin6_addr);
}

/* Who reads on this machine takes bytes as fast as they are copied. Left to itself the kernel queues
 * several MiB all the same, and both sides copy through memory what could stay in the processor's
 * cache. The kernel doubles what it is told (socket(7)). */
void link_connected(struct link *link, int fd)
{
    int bytes = LINK_LOCAL_BYTES / 2;

    link->fd = fd;
    if (link_is_local(fd))
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

void link_abandon(struct link *link)
{
    free(link);
}

static long link_send_tls(struct link *link, const struct iovec *parts, unsigned count)
{
    size_t sent = 0, length;
    CURLcode code;

    while (count > 0 && parts->iov_len == 0) {
        parts++;
        count--;
    }
    if (count == 0)
        return 0;
    length = parts->iov_len < LINK_TLS_SEND_MAX ? parts->iov_len : LINK_TLS_SEND_MAX;
    code = curl_easy_send(link->easy, parts->iov_base, length, &sent);
    if (code == CURLE_OK && sent > 0)
        return (long)sent;
    return code == CURLE_OK || code == CURLE_AGAIN ? -EAGAIN : -EPIPE;
}

long link_send(struct link *link, const struct iovec *parts, unsigned count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = count};
    ssize_t sent;

    if (link->tls)
        return link_send_tls(link, parts, count);
    do
        sent = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

long link_recv(struct link *link, void *where, size_t length)
{
    ssize_t received;

    if (link->tls) {
        size_t n = 0;
        CURLcode code = curl_easy_recv(link->easy, where, length, &n);

        if (code == CURLE_OK)
            return (long)n;
        return code == CURLE_AGAIN ? -EAGAIN : -ECONNRESET;
    }
    do
        received = recv(link->fd, where, length, MSG_DONTWAIT);
    while (received < 0 && errno == EINTR);
    return received < 0 ? -errno : received;
}

void link_set_low_water(struct link *link, int bytes)
{
    if (!link->tls && link->low_water != bytes &&
        setsockopt(link->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes) == 0)
        link->low_water = bytes;
}

bool link_is_quiet(struct link *link)
{
    char byte;
    ssize_t n = recv(link->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    if (n == 0 || !link->tls)
        return false;
    return link_recv(link, &byte, 1) == -EAGAIN;
}

void link_describe_tls(struct link *link, char *ret_text, size_t size)
{
    const struct curl_tlssessioninfo *info = NULL;

    ret_text[0] = '\0';
    if (link->tls && curl_easy_getinfo(link->easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK &&
        info && info->backend == CURLSSLBACKEND_OPENSSL && info->internals)
        snprintf(ret_text, size, "%s %s", SSL_get_version(info->internals),
                 SSL_get_cipher_name(info->internals));
}
