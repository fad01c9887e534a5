/* Readers whose object is changed; see reader_keep_run.h. */
#include "reader_keep_run.h"

#include <stdlib.h>

#include "core/spool.h"

int reader_keep_set_up(void **state)
{
    (void)state;
    core_run_make_file_root();
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_set_option("S3DLIO_SPOOL_LIMIT=16M");
    core_run_set_option("S3DLIO_RETRY_MAX=1");
    core_run_make_bucket("keep");
    return 0;
}

int reader_keep_clear(void **state)
{
    (void)state;
    return core_run_clear_objects(NAME, OTHER);
}

void reader_keep_nothing_left(void **state)
{
    struct s3dlio_stats stats;

    (void)state;
    do {
        s3dlio_get_stats(&stats);
    } while (stats.memory_bytes > 0);
    assert_int_equal(spool_used(), 0);
    assert_null(core_run_engine()->readers.places);
    assert_null(core_run_engine()->readers.changes);
}

void reader_keep_check(struct s3dlio_reader *reader, size_t length, uint64_t offset)
{
    unsigned char *buffer = malloc(length + 1);
    struct s3dlio_error error;
    ssize_t n = s3dlio_reader_pread(reader, buffer, length, offset, NULL, &error);

    core_run_must(n, &error);
    assert_int_equal(n, length);
    core_run_check(buffer, length, offset);
    free(buffer);
}

void reader_keep_all(struct s3dlio_reader *reader, size_t size)
{
    unsigned char byte;

    for (size_t at = 0; at < size; at += 100000)
        reader_keep_check(reader, size - at < 100000 ? size - at : 100000, at);
    for (size_t i = 1; i < 20; i++)
        reader_keep_check(reader, size / 40, size * i / 21);
    reader_keep_check(reader, size, 0);
    assert_int_equal(s3dlio_reader_pread(reader, &byte, 1, size, NULL, NULL), 0);
}

void reader_keep_unlink(void)
{
    struct s3dlio_error error;

    core_run_must(s3dlio_unlink(NAME, NULL, &error), &error);
}
