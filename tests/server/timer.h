/*
 * One thread that wakes suspended connections when their time has come.
 *
 * A connection suspended here is out of its polling thread's hands until the timer resumes it; the
 * request's handler (or the answer's reader) is then called again. Any thread may suspend the
 * connection it is handling. After timer_stop nothing waits any more.
 */
#ifndef TESTS_SERVER_TIMER_H
#define TESTS_SERVER_TIMER_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct MHD_Connection;

struct timer_entry {
    uint64_t wake_ns;
    uint64_t end_ns; /* of the wait; wake_ns comes earlier only to look at fd */
    struct MHD_Connection *connection;
    int fd; /* >= 0: the wait ends early when this socket was closed by its peer */
};

struct timer {
    pthread_t thread;
    pthread_mutex_t lock; /* covers all below */
    pthread_cond_t changed;
    bool stopping;
    size_t count, capacity;
    struct timer_entry *heap; /* earliest first */
};

int timer_start(struct timer *timer); /* 0 or -errno */
void timer_stop(struct timer *timer); /* resumes everything; later suspensions do not happen */
void timer_fini(struct timer *timer);

/* True when the connection is now suspended; false (stopping, no memory): go on at once. */
bool timer_suspend(struct timer *timer, struct MHD_Connection *connection, uint64_t delay_ns);
/* The same, ended early when the peer closes: a stall must not outlive its client. */
bool timer_suspend_while_open(struct timer *timer, struct MHD_Connection *connection, int fd,
                              uint64_t delay_ns);
/* Also when bytes sent before are still unread, as those of an upload that stalls. */
bool timer_peer_closed(int fd);
uint64_t timer_now_ns(void);

#endif
