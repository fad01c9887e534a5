/* Blocking requests on the store under test, by store_call.h. */
#ifndef S3DLIO_TESTS_CONTRACT_RUN_H
#define S3DLIO_TESTS_CONTRACT_RUN_H

#include "config/options.h"
#include "tests/common/store_call.h"
#include "traits.h"

/* What all cases work on; set up by main.c before the first group. */
struct run {
    const struct traits *traits;
    struct options options;
    struct store *store;
    struct shard *shard;
    char bucket[64];
    char root[64]; /* file: the root's directory; else "" */
};
extern struct run run;

/* A store of the same scheme with some variables of the environment replaced ("NAME=value", NULL
 * at the end; "NAME=" unsets); closed by other_close. */
struct other {
    struct options options;
    struct store *store;
    char *environment[512];
};
void other_open(struct other *other, const char *const *changes);
void other_close(struct other *other);

/* On the store and in the bucket under test; change what differs before it begins. */
void run_call_init(struct store_call *call, enum store_operation operation, const char *key);

/* ---- one-liners; they assert what their names promise --------------------------------------- */

/* `length` bytes of the pattern from `seed` on; the ETag in ret_etag (may be NULL). */
void put_pattern(const char *key, unsigned seed, size_t length, char *ret_etag);
void put_text(const char *key, const char *text);
enum error_class try_put(const char *key, const char *text);
/* As printed in failures: the class of a HEAD. */
enum error_class try_head(const char *key);
enum error_class try_delete(const char *key);
void get_text(const char *key, char *text, size_t size);
#define assert_class(actual, expected)                                                             \
    assert_string_equal(error_class_name(actual), error_class_name(expected))

/* Bytes that tell their offset, so that a shift shows. */
void pattern_fill(void *data, unsigned seed, uint64_t offset, size_t length);
void assert_pattern(const void *data, unsigned seed, uint64_t offset, size_t length);

/* "a b/ c" of all pages below the prefix, fetched max_keys at a time (0: the store's own). */
unsigned list_names(const char *prefix, const char *delimiter, unsigned max_keys, char *names,
                    size_t size);
/* Deletes everything below the prefix. */
void delete_below(const char *prefix);

#endif
