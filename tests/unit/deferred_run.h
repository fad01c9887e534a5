/* What the tests of core/deferred.h share: files whose close does not wait. */
#ifndef S3DLIO_TESTS_UNIT_DEFERRED_RUN_H
#define S3DLIO_TESTS_UNIT_DEFERRED_RUN_H

#include <time.h>

#include "core_run.h"

#define B "fault://deferred/"

/* A group's setup: the option, the bucket, eight at a time, none of which is held back. */
int deferred_run_set_up(void **state);

struct s3dlio_writer *deferred_run_begin(const char *uri, unsigned flags);
/* What closing it soon returns. */
int deferred_run_end(struct s3dlio_writer *writer, const char *text);
/* A writer of five bytes with a mode and this time; and is that what stat says? */
extern time_t deferred_run_mtime_s;
struct s3dlio_writer *deferred_run_begin_with_attributes(const char *uri);
bool deferred_run_has_attributes(const char *uri);
int deferred_run_put(const char *uri, const char *text);
int deferred_run_settle(void);
int deferred_run_stat_size(const char *uri);
/* Whatever failed counts no more, so that the next test begins without. */
void deferred_run_forgive(const char *uri);
/* `check` in a child in which no put to B "never" ever ends, so that nothing depends on how fast this
 * machine is. */
void deferred_run_with_a_put_that_never_ends(bool (*check)(void));
/* Runs `put_files` on that many threads, each with a name, and waits for all that they have put. It
 * returns NULL if nothing failed. */
#define DEFERRED_RUN_THREADS 4
extern const char *const deferred_run_threads[DEFERRED_RUN_THREADS];
void deferred_run_by_threads(void *(*put_files)(void *name));
/* Waits for all; no process has a seat then. */
void deferred_run_check_table_is_empty(void);

#endif
