/*
 * Between libmicrohttpd and the operations: receives requests, applies authorisation, faults and
 * network emulation, runs the operation, sends the answer.
 */
#ifndef TESTS_SERVER_SERVE_H
#define TESTS_SERVER_SERVE_H

struct MHD_Daemon;
struct server;

/* Starts serving on a listening socket, which then belongs to the daemon; NULL on failure. */
struct MHD_Daemon *serve_start(struct server *server, int listen_fd);
/* Every connection is closed when it returns. */
void serve_stop(struct server *server, struct MHD_Daemon *daemon);

#endif
