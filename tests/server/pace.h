/*
 * Network emulation: how long the first byte takes, and how fast a connection may be.
 *
 * Down: SO_MAX_PACING_RATE under cubic, which the kernel keeps. Up: the receiver cannot be paced by
 * the kernel, so a connection that has received more than its rate allows is not read until the
 * debt is paid; its small fixed receive buffer makes the sender feel that at once.
 */
#ifndef TESTS_SERVER_PACE_H
#define TESTS_SERVER_PACE_H

#include "config.h"

#include <pthread.h>
#include <stdint.h>

struct pace {
    const struct network *network;
    pthread_mutex_t lock; /* covers random */
    uint64_t random;
};

/* One client connection; touched only by the thread that handles it. */
struct connection {
    uint64_t id; /* from 1, in order of arrival */
    int fd;
    uint64_t paid_until_ns; /* when what was received so far will have been paid for */
};

void pace_init(struct pace *pace, const struct network *network);
void pace_fini(struct pace *pace);
void pace_socket(const struct network *network, int fd);
uint64_t pace_first_byte_ns(struct pace *pace);
/* How long not to read after having received that many bytes; 0 most of the time without limit. */
uint64_t pace_received_ns(const struct network *network, struct connection *connection,
                          uint64_t bytes);
/* Uniform in [0, 1); any thread. Also decides about faults with a probability. */
double pace_random(struct pace *pace);

#endif
