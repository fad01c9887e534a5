/* What the tests share that count the requests of look-ups, listings and creating.
 *
 * Objects are planted past the caches, as another machine would put them. The TTL is long enough
 * for a busy machine; a test that lets it pass says so. Each test has names of its own.
 */
#ifndef S3DLIO_TESTS_UNIT_NAMES_RUN_H
#define S3DLIO_TESTS_UNIT_NAMES_RUN_H

#include "core_run.h"

#define B "fault://counted/"

/* A group's setup: the bucket, a TTL of two seconds. */
int names_run_set_up(void **state);

/* One byte under that name, with one row of metadata. */
void names_run_plant_with(const char *uri, const char *metadata, const char *value);
void names_run_plant(const char *uri);
/* `format` has one unsigned: from 0 up to `count`. */
void names_run_plant_many(const char *format, unsigned count);

/* Since the last call. */
unsigned names_run_requests(void);

/* What is there: its mode (0: it has none), the entries of a directory, each looked up too when
 * `with_attributes`; asserts that their keys ascend. */
unsigned names_run_mode(const char *uri);
unsigned names_run_list(const char *uri, bool with_attributes);
/* What `ls -l` does. */
unsigned names_run_ls(const char *uri);
/* "0000.bin" and on, as programs do it that look first. */
void names_run_create(const char *directory, unsigned from, unsigned count);

#endif
