/* Files whose close does not wait; see deferred_run.h. */
#include "deferred_run.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

int deferred_run_set_up(void **state)
{
    core_run_set_option("S3DLIO_META_TTL_MS=3000");
    core_run_set_option("S3DLIO_CLOSE=deferred");
    core_run_set_option("S3DLIO_CLOSE_HOLD_MS=0");
    core_run_set_option("S3DLIO_PUT_INFLIGHT=8");
    core_run_set_option("S3DLIO_PUT_PART_SIZE=5M");
    core_run_set_option("S3DLIO_MEMORY_BUDGET=64M");
    core_run_set_option("S3DLIO_LOG=off"); /* failures are printed, each of them */
    core_run_make_bucket("deferred");
    return 0;
}

struct s3dlio_writer *deferred_run_begin(const char *uri, unsigned flags)
{
    struct s3dlio_write_options options = {.flags = flags};
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_error error;

    core_run_must(s3dlio_writer_open(uri, &options, NULL, &writer, &error), &error);
    return writer;
}

int deferred_run_end(struct s3dlio_writer *writer, const char *text)
{
    struct s3dlio_error error = {0};

    assert_int_equal(s3dlio_writer_write(writer, text, strlen(text), &error), strlen(text));
    return s3dlio_writer_close_soon(writer, &error);
}

int deferred_run_put(const char *uri, const char *text)
{
    return deferred_run_end(deferred_run_begin(uri, 0), text);
}

int deferred_run_settle(void)
{
    struct s3dlio_error error = {0};

    return s3dlio_settle(NULL, &error);
}

int deferred_run_stat_size(const char *uri)
{
    struct s3dlio_error error = {0};
    struct s3dlio_attr attr;
    int r = s3dlio_stat(uri, NULL, &attr, &error);

    return r < 0 ? r : (int)attr.size_bytes;
}

void deferred_run_forgive(const char *uri)
{
    struct s3dlio_error error = {0};

    core_run_faults(NULL);
    s3dlio_stat(uri, NULL, &(struct s3dlio_attr){0}, &error); /* tells it */
    core_run_put_text(uri, "forgiven");
    assert_int_equal(deferred_run_settle(), 0);
}

void deferred_run_with_a_put_that_never_ends(bool (*check)(void))
{
    pid_t child = core_run_fork();

    if (child == 0) {
        core_run_faults("op=PutObject key=never* delay=600000");
        _exit(!check());
    }
    core_run_wait_for(child);
    core_run_reset_counts();
}

void deferred_run_check_table_is_empty(void)
{
    struct s3dlio_list *list;

    assert_int_equal(s3dlio_list_open(B, 0, NULL, &list, NULL), 0); /* waits for all */
    s3dlio_list_close(list);
    assert_false(deferred_table_any(core_run_engine()->deferred.table));
}

time_t deferred_run_mtime_s = 1000;

struct s3dlio_writer *deferred_run_begin_with_attributes(const char *uri)
{
    struct s3dlio_attr wanted = {.has = S3DLIO_HAS_MODE | S3DLIO_HAS_MTIME,
                                 .mode = 0640,
                                 .mtime = {deferred_run_mtime_s, 500000000}};
    struct s3dlio_writer *writer = deferred_run_begin(uri, 0);

    s3dlio_writer_write(writer, "12345", 5, NULL);
    s3dlio_writer_set_attr(writer, &wanted, NULL);
    return writer;
}

bool deferred_run_has_attributes(const char *uri)
{
    struct s3dlio_attr attr;

    return s3dlio_stat(uri, NULL, &attr, NULL) == 0 && attr.type == S3DLIO_FILE &&
           attr.size_bytes == 5 && attr.mode == 0640 && attr.mtime.tv_sec == deferred_run_mtime_s &&
           attr.mtime.tv_nsec == 500000000 && attr.inode > 1;
}

const char *const deferred_run_threads[DEFERRED_RUN_THREADS] = {"a", "b", "c", "d"};

void deferred_run_by_threads(void *(*put_files)(void *name))
{
    pthread_t threads[DEFERRED_RUN_THREADS];
    void *failed;

    for (unsigned i = 0; i < DEFERRED_RUN_THREADS; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, put_files, (void *)deferred_run_threads[i]), 0);
    for (unsigned i = 0; i < DEFERRED_RUN_THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], &failed), 0);
        assert_null(failed);
    }
    assert_int_equal(deferred_run_settle(), 0);
}
