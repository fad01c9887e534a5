/* One attempt to connect, as seen by the dialer's loop: the curl side of it. */
#ifndef S3DLIO_HTTP_DIAL_H
#define S3DLIO_HTTP_DIAL_H

#include "http/dialer.h"

/* Chooses an address and starts to connect. 0; -EAGAIN: a name or the authorities are still being
 * looked up, try again soon; or -errno with *err. */
int dial_begin(struct dial *dial, struct error *err);
/* The socket is ready, or (CURL_SOCKET_TIMEOUT) time has passed: goes on. */
void dial_socket_action(struct dial *dial, curl_socket_t fd, int events);
/* 0: connected, dial->link is whole and out of the dialer's hands; -EAGAIN: not yet; -errno with
 * *err: failed, dial->link is gone; may_repeat tells whether another address is worth trying. */
int dial_check(struct dial *dial, bool *ret_may_repeat, struct error *err);

/* dialer.c: keeps a socket in the epoll set. events: CURL_POLL_*, CURL_POLL_REMOVE takes it out. */
void dialer_watch(struct dial *dial, curl_socket_t fd, int events);

#endif
