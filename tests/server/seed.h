/*
 * What a server has from the start: the buckets and synthetic objects of its command line.
 */
#ifndef TESTS_SERVER_SEED_H
#define TESTS_SERVER_SEED_H

#include <stdbool.h>

struct server;

/* False after a line on stderr. */
bool seed_fill(struct server *server);

#endif
