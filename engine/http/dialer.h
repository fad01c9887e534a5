/* Establishing connections, on one engine thread ("s3dlio-dial") for all clients: handshakes need
 * more stack than a program's thread may have, and many can be under way at once.
 *
 * The thread holds the gate whenever it is inside curl, and calls back with no lock held. It starts
 * with a job and ends some time after the last one (io/thread.h).
 */
#ifndef S3DLIO_HTTP_DIALER_H
#define S3DLIO_HTTP_DIALER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "http/link.h"
#include "http/proxy.h"

/* Anything that has to run on that thread. The memory is the owner's until run is called. */
struct dialer_job {
    void (*run)(struct dialer_job *job);
    int64_t at_ns;              /* the earliest; 0: at once */
    const _Atomic bool *hurry;  /* at once when true, looked at after dialer_kick; NULL: never */
    struct dialer_job *next;    /* the dialer's own */
};

/* Any thread, inside the gate, any lock may be held. 0 or -errno. */
int dialer_post(struct dialer_job *job);

/* Where to connect. Immutable while dials point to it. */
struct dial_target {
    const char *scheme, *host;
    unsigned port;
    bool tls, tls_verify;
    const char *ca_file; /* NULL: the system's */
    struct proxy proxy;
    int64_t connect_timeout_ns; /* name, connection and handshake together */
};

#define DIAL_SOCKETS_MAX 8

struct dial {
    struct dialer_job job;
    const struct dial_target *target;
    const _Atomic bool *cancelled; /* looked at now and then; ends the dial when true */
    /* The end, once, with a link that is the callee's now or with NULL and *err. The dial's
     * memory is the owner's again. */
    void (*on_done)(struct dial *dial, struct link *link, const struct error *err);
    void *owner;

    /* the dialer's own */
    struct dial *prev, *next;
    uint32_t id;
    bool connecting;
    unsigned attempts;
    struct link *link;
    int64_t deadline_ns, timer_ns;
    int sockets[DIAL_SOCKETS_MAX]; /* in the epoll set */
    unsigned socket_count;
    char address[64];
};

/* target, cancelled, on_done, owner are set. 0 or -errno; on_done never before it returns. */
int dial_start(struct dial *dial);

/* Makes it look at `cancelled` of all its dials and `hurry` of all jobs. */
void dialer_kick(void);

/* In a fork child: forgets what the parent's dialer had open, which is closed (fd_reset_child). */
void dialer_reset_child(void);

#endif
