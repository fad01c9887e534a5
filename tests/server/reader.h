/*
 * Answer bodies that go wrong on purpose, or are in too many pieces: sent through a callback, with
 * one copy more, instead of straight from memory.
 */
#ifndef TESTS_SERVER_READER_H
#define TESTS_SERVER_READER_H

#include <microhttpd.h>

struct request;

/* A response for the decided answer with the request's fault in its body; NULL without memory. */
struct MHD_Response *reader_response(struct request *request);
/* Resets the connection under the request: the peer sees ECONNRESET, nothing more is sent. */
void reader_reset(struct request *request);

#endif
