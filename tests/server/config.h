/*
 * The command line: one row an option, and what came of it. Frozen once the server runs.
 */
#ifndef TESTS_SERVER_CONFIG_H
#define TESTS_SERVER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct credential {
    char *access_key;
    char *secret_key;
    char *token; /* NULL: a key without session token */
    bool expired;
    bool readonly;
};

/* How the network and the service behave; all zero is a plain fast server. */
struct network {
    double first_byte_ms;    /* median of the delay before an answer */
    double first_byte_sigma; /* of the lognormal around it */
    double tail_percent;     /* of the requests take tail_factor times as long */
    double tail_factor;
    double down_mbps; /* megabytes per second and connection; 0: no limit */
    double up_mbps;
    uint64_t max_in_flight; /* 503 SlowDown above; 0: no limit */
    double reset_percent;   /* of the requests are reset somewhere in the body */
    double stall_percent;   /* of the requests stall somewhere in the body */
    uint64_t seed;
};

struct config_list {
    size_t count;
    char **items;
};

struct config {
    uint64_t port;
    char *port_file;
    char *address;
    char *directory;
    bool memory;
    char *access_key;
    char *secret_key;
    size_t credential_count;
    struct credential *credentials;
    char *region;
    char *tls_cert;
    char *tls_key;
    bool anonymous;
    char *domain;
    struct config_list buckets;   /* NAME or NAME@REGION */
    struct config_list synthetic; /* BUCKET/KEY=SIZE[*COUNT] */
    bool discard;
    bool etag_md5;
    bool copy_conditions;
    uint64_t min_part_bytes;
    uint64_t threads;
    uint64_t idle_timeout_s;
    uint64_t buffer_bytes;
    struct network network;
};

/* Fills *ret_config; on a bad line says so on stderr and returns the exit status, else 0. */
int config_parse(int argc, char **argv, struct config *ret_config, bool *ret_help);
void config_fini(struct config *config);

#endif
