/* Blocking requests on a store, for unit tests: one shard, one request at a time unless begun. */
#ifndef S3DLIO_TESTS_UNIT_STORE_RUN_H
#define S3DLIO_TESTS_UNIT_STORE_RUN_H

#include "config/options.h"
#include "store/store.h"

struct run {
    struct options options;
    struct shard *shard;
    struct store *store;
};

/* A request with what a blocking caller needs around it. */
struct run_request {
    struct store_request request; /* first */
    struct store_sink sink;
    char *data; /* of a body received: NUL-terminated */
    size_t length, capacity;
    size_t room_max;  /* 0: as much as there is */
    size_t pause_at;  /* the sink has no room from here on, until run_resume; 0: never */
    unsigned objects; /* calls of on_object */
    bool done;
};

/* Opens the store of that scheme; `environment` is NAME=value strings up to NULL. Asserts. */
void run_open(struct run *run, const char *scheme, char *const *environment);
void run_close(struct run *run);

void run_init(struct run *run, struct run_request *request, enum store_operation operation,
              const char *bucket, const char *key);
void run_begin(struct run_request *request);
/* Waits for its end; 0 or -ETIMEDOUT after ten seconds. */
int run_wait(struct run_request *request);
/* Waits until so many bytes came. */
int run_wait_bytes(struct run_request *request, size_t length);
void run_resume(struct run_request *request);
void run_abandon(struct run_request *request);
/* begin and wait; the class of the error. Asserts that it ended. */
enum error_class run_do(struct run_request *request);
void run_fini(struct run_request *request);

/* One-liners over these; the answer in the request (may be NULL). */
enum error_class run_put(struct run *run, const char *bucket, const char *key, const char *text);
/* The body as a string into `data` (at most size - 1 bytes). */
enum error_class run_get(struct run *run, const char *bucket, const char *key, char *data,
                         size_t size);
enum error_class run_simple(struct run *run, enum store_operation operation, const char *bucket,
                            const char *key);
/* "a b/ c" of one page. */
enum error_class run_list(struct run *run, const char *bucket, const char *prefix,
                          const char *delimiter, char *names, size_t size);

#endif
