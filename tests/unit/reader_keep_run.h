/* What the tests of readers whose object is changed share: the object, and reading it. */
#ifndef S3DLIO_TESTS_UNIT_READER_KEEP_RUN_H
#define S3DLIO_TESTS_UNIT_READER_KEEP_RUN_H

#include "core_run.h"

#define LARGE_BYTES (5 * MIB + 4321)
#define NAME        "fault://keep/dir/object"
#define OTHER       "fault://keep/other/name"

/* A group's setup: the bucket, a spool of 16 MiB. The teardown is core_run_remove_file_root. */
int reader_keep_set_up(void **state);
/* A test's setup: neither object is there. */
int reader_keep_clear(void **state);
/* A group's last test: nothing of what readers kept is. */
void reader_keep_nothing_left(void **state);

/* These bytes are the pattern. */
void reader_keep_check(struct s3dlio_reader *reader, size_t length, uint64_t offset);
/* All of it, in order and here and there. */
void reader_keep_all(struct s3dlio_reader *reader, size_t size);
void reader_keep_unlink(void);

#endif
