/* The cache of names and the lookups that fill it. Contract: resolver.h.
 *
 * resolver.lock guards the table, is held for moments and inside the gate only. An entry is pending
 * while its lookup runs; one that is pending under an older process generation belongs to a thread
 * that fork left behind, and is started again. The table is small and the entry used longest ago
 * gives way. Names below "localhost" are this machine without a lookup (RFC 6761, 6.3): so a server
 * of one's own can have buckets in its host name.
 */
#include "http/resolver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "io/aside.h"
#include "io/gate.h"
#include "io/thread.h"

#define RESOLVER_HOSTS           64
#define RESOLVER_ADDRESSES       32
#define RESOLVER_HOST_MAX        256
#define RESOLVER_KEEP_NS         (60 * NS_PER_S)
#define RESOLVER_KEEP_FAILURE_NS NS_PER_S
#define RESOLVER_AVOID_NS        (30 * NS_PER_S)

enum resolver_state { RESOLVER_EMPTY, RESOLVER_PENDING, RESOLVER_KNOWN, RESOLVER_FAILED };

struct resolver_address {
    char text[RESOLVER_ADDRESS_MAX];
    int64_t avoid_until_ns;
};

struct resolver_host {
    char name[RESOLVER_HOST_MAX];
    enum resolver_state state;
    uint64_t generation; /* of the lookup */
    int64_t expires_ns, used_ns;
    unsigned count, next;
    struct resolver_address addresses[RESOLVER_ADDRESSES];
    char failure[128];
};

static struct {
    pthread_mutex_t lock;
    struct resolver_host hosts[RESOLVER_HOSTS];
} resolver = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* One lookup: owned by its thread. */
struct resolver_lookup {
    char name[RESOLVER_HOST_MAX];
    unsigned count;
    char addresses[RESOLVER_ADDRESSES][RESOLVER_ADDRESS_MAX];
};

static bool resolver_is_literal(const char *host)
{
    unsigned char bytes[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static bool resolver_is_loopback(const char *host)
{
    static const char suffix[] = ".localhost";
    size_t length = strlen(host), suffix_length = sizeof suffix - 1;

    return length > suffix_length && strcasecmp(host + length - suffix_length, suffix) == 0;
}

/* ---- the table, locked ----------------------------------------------------------------------- */

static struct resolver_host *resolver_find(const char *name)
{
    for (unsigned i = 0; i < RESOLVER_HOSTS; i++)
        if (resolver.hosts[i].state != RESOLVER_EMPTY && !strcmp(resolver.hosts[i].name, name))
            return &resolver.hosts[i];
    return NULL;
}

static struct resolver_host *resolver_make(const char *name)
{
    struct resolver_host *host = &resolver.hosts[0];

    for (unsigned i = 0; i < RESOLVER_HOSTS; i++) {
        if (resolver.hosts[i].state == RESOLVER_EMPTY) {
            host = &resolver.hosts[i];
            break;
        }
        if (resolver.hosts[i].used_ns < host->used_ns)
            host = &resolver.hosts[i];
    }
    memset(host, 0, sizeof *host);
    strcpy(host->name, name);
    return host;
}

/* The next one that is not avoided, or simply the next. */
static void resolver_choose(struct resolver_host *host, int64_t now_ns,
                            char ret_address[RESOLVER_ADDRESS_MAX])
{
    unsigned chosen = host->next % host->count;

    for (unsigned i = 0; i < host->count; i++) {
        unsigned candidate = (host->next + i) % host->count;

        if (host->addresses[candidate].avoid_until_ns <= now_ns) {
            chosen = candidate;
            break;
        }
    }
    host->next = chosen + 1;
    strcpy(ret_address, host->addresses[chosen].text);
}

/* ---- lookups --------------------------------------------------------------------------------- */

static void resolver_collect(struct resolver_lookup *lookup, const struct addrinfo *list)
{
    for (; list && lookup->count < RESOLVER_ADDRESSES; list = list->ai_next) {
        char *text = lookup->addresses[lookup->count];
        bool known = false;

        if (getnameinfo(list->ai_addr, list->ai_addrlen, text, RESOLVER_ADDRESS_MAX, NULL, 0,
                        NI_NUMERICHOST) != 0)
            continue;
        for (unsigned i = 0; i < lookup->count; i++)
            known = known || strcmp(lookup->addresses[i], text) == 0;
        if (!known)
            lookup->count++;
    }
}

static void resolver_store(const struct resolver_lookup *lookup, const char *failure)
{
    struct resolver_host *host;
    int64_t now_ns = clock_now_ns();

    pthread_mutex_lock(&resolver.lock);
    host = resolver_find(lookup->name);
    if (host) {
        host->state = lookup->count ? RESOLVER_KNOWN : RESOLVER_FAILED;
        host->expires_ns = now_ns + (lookup->count ? RESOLVER_KEEP_NS : RESOLVER_KEEP_FAILURE_NS);
        host->count = lookup->count;
        for (unsigned i = 0; i < lookup->count; i++) {
            strcpy(host->addresses[i].text, lookup->addresses[i]);
            host->addresses[i].avoid_until_ns = 0;
        }
        strncpy(host->failure, failure, sizeof host->failure - 1);
    }
    pthread_mutex_unlock(&resolver.lock);
}

static void resolver_work(void *arg)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
    struct resolver_lookup *lookup = arg;
    struct addrinfo *list = NULL;
    struct gate_scope scope;
    const char *failure = "no address";
    int rc = getaddrinfo(lookup->name, NULL, &hints, &list);

    if (rc == 0) {
        resolver_collect(lookup, list);
        freeaddrinfo(list);
    } else {
        failure = rc == EAI_SYSTEM ? strerror(errno) : gai_strerror(rc);
    }
    gate_enter(&scope);
    resolver_store(lookup, failure);
    free(lookup);
    gate_leave(&scope);
}

static int resolver_start(struct resolver_host *host, struct error *err)
{
    struct resolver_lookup *lookup = calloc(1, sizeof *lookup);
    int rc = -ENOMEM;

    if (lookup) {
        strcpy(lookup->name, host->name);
        rc = aside_start("s3dlio-dns", resolver_work, lookup);
    }
    if (rc < 0) {
        free(lookup);
        host->state = RESOLVER_EMPTY;
        return thread_error(err, rc, "looking up a host's name");
    }
    host->state = RESOLVER_PENDING;
    host->generation = gate_generation();
    return -EAGAIN;
}

static void resolver_set_loopback(struct resolver_host *host)
{
    host->state = RESOLVER_KNOWN;
    host->expires_ns = CLOCK_NEVER;
    host->count = 2;
    strcpy(host->addresses[0].text, "127.0.0.1");
    strcpy(host->addresses[1].text, "::1");
}

static int resolver_next_locked(const char *name, char *ret_address, struct error *err)
{
    struct resolver_host *host = resolver_find(name);
    int64_t now_ns = clock_now_ns();

    if (!host)
        host = resolver_make(name);
    host->used_ns = now_ns;
    if (host->state == RESOLVER_EMPTY && resolver_is_loopback(name))
        resolver_set_loopback(host);
    if (host->state == RESOLVER_PENDING && host->generation == gate_generation())
        return -EAGAIN;
    if (host->state == RESOLVER_KNOWN && now_ns < host->expires_ns) {
        resolver_choose(host, now_ns, ret_address);
        return 0;
    }
    if (host->state == RESOLVER_FAILED && now_ns < host->expires_ns)
        return error_set(err, ERROR_DNS, "cannot resolve %s: %s", name, host->failure);
    return resolver_start(host, err);
}

int resolver_next(const char *host, char ret_address[RESOLVER_ADDRESS_MAX], struct error *err)
{
    int rc;

    if (strlen(host) >= RESOLVER_HOST_MAX)
        return error_set(err, ERROR_DNS, "cannot resolve a name of %zu characters", strlen(host));
    if (resolver_is_literal(host)) {
        strcpy(ret_address, host);
        return 0;
    }
    pthread_mutex_lock(&resolver.lock);
    rc = resolver_next_locked(host, ret_address, err);
    pthread_mutex_unlock(&resolver.lock);
    return rc;
}

unsigned resolver_count(const char *host)
{
    const struct resolver_host *found;
    unsigned count = 1;

    pthread_mutex_lock(&resolver.lock);
    found = resolver_find(host);
    if (found && found->state == RESOLVER_KNOWN)
        count = found->count;
    pthread_mutex_unlock(&resolver.lock);
    return count;
}

void resolver_failed(const char *host, const char *address)
{
    struct resolver_host *found;

    pthread_mutex_lock(&resolver.lock);
    found = resolver_find(host);
    for (unsigned i = 0; found && i < found->count; i++)
        if (strcmp(found->addresses[i].text, address) == 0)
            found->addresses[i].avoid_until_ns = clock_now_ns() + RESOLVER_AVOID_NS;
    pthread_mutex_unlock(&resolver.lock);
}
