/* A store of its own for a unit test, and blocking requests on it, by store_call.h. */
#ifndef S3DLIO_TESTS_UNIT_STORE_RUN_H
#define S3DLIO_TESTS_UNIT_STORE_RUN_H

#include "config/options.h"
#include "tests/common/store_call.h"

struct run {
    struct options options;
    struct shard *shard;
    struct store *store;
};

/* Opens the store of that scheme; `environment` is NAME=value strings up to NULL. Asserts. */
void run_open(struct run *run, const char *scheme, char *const *environment);
void run_close(struct run *run);

void run_init(struct run *run, struct store_call *call, enum store_operation operation,
              const char *bucket, const char *key);

/* One-liners over these; the class of the error. */
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
