/*
 * The one runtime struct: everything a request may need beyond itself. Made by main.c, passed
 * everywhere; each part says itself how it is locked.
 */
#ifndef TESTS_SERVER_SERVER_H
#define TESTS_SERVER_SERVER_H

#include "config.h"
#include "fault.h"
#include "pace.h"
#include "stats.h"
#include "store.h"
#include "timer.h"

#include <stdatomic.h>
#include <time.h>

struct server {
    struct config config;
    struct store store;
    struct faults faults;
    struct pace pace;
    struct stats stats;
    struct timer timer;
    atomic_llong clock_offset_s; /* set by the admin path */
    atomic_ullong next_connection;
    atomic_ullong next_id; /* requests, ETags, upload ids */
    uint64_t instance;     /* differs between runs, so that ids do too */
};

/* The server's idea of the time, which the admin path can shift. */
static inline time_t server_now(struct server *server)
{
    return time(NULL) + (time_t)atomic_load(&server->clock_offset_s);
}

#endif
