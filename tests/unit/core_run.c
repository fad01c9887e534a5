/* The engine that tests of core and api run on; see core_run.h. */
#include "core_run.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/uri.h"
#include "core/call.h"
#include "core/spool.h"
#include "store/fault.h"

/* Tests count requests: a machine that is slow for a moment is not to make one more. */
static char *environment[32] = {"S3DLIO_RETRY_BASE_MS=1", "S3DLIO_LOG=error",
                                "S3DLIO_HEDGE_PERCENT=0", NULL};
static unsigned environment_count = 3;
static uint64_t counts_before[STORE_OPERATION_COUNT];
static unsigned capabilities; /* of the fault store as it was opened */
static char file_root[] = "/tmp/s3dlio-unit-XXXXXX";

void core_run_set_option(const char *assignment)
{
    size_t name_length = strcspn(assignment, "=") + 1;

    assert_null(engine_peek());
    for (unsigned i = 0; i < environment_count; i++) {
        if (strncmp(environment[i], assignment, name_length) == 0) {
            environment[i] = (char *)assignment;
            return;
        }
    }
    environment[environment_count++] = (char *)assignment;
}

const char *core_run_make_file_root(void)
{
    static char option[64];

    assert_non_null(mkdtemp(file_root));
    snprintf(option, sizeof option, "S3DLIO_FILE_ROOT=%s", file_root);
    core_run_set_option(option);
    return file_root;
}

int core_run_remove_file_root(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", file_root);
    return system(command);
}

struct engine *core_run_engine(void)
{
    struct engine *engine = engine_peek();

    if (!engine) {
        assert_int_equal(s3dlio_init(environment, NULL), 0);
        engine = engine_peek();
    }
    return engine;
}

void core_run_enter(struct core_run_scope *scope)
{
    core_run_engine();
    gate_enter(&scope->gate);
    limits_begin(&scope->limits, 10 * NS_PER_S, NULL);
}

void core_run_leave(struct core_run_scope *scope)
{
    limits_end(&scope->limits);
    gate_leave(&scope->gate);
}

struct store *core_run_store(void)
{
    struct core_run_scope scope;
    struct store *store = NULL;
    struct error error;

    core_run_enter(&scope);
    assert_int_equal(engine_store(core_run_engine(), "fault", &store, &error), 0);
    core_run_leave(&scope);
    return store;
}

void core_run_faults(const char *rules)
{
    struct error error = {0};

    if (!rules)
        fault_store_clear(core_run_store());
    else if (fault_store_add(core_run_store(), rules, &error) < 0)
        fail_msg("%s", error.message);
}

uint64_t core_run_count(enum store_operation operation)
{
    return stats_read(&engine_stats(core_run_engine())->requests[operation]) - counts_before[operation];
}

uint64_t core_run_requests(void)
{
    uint64_t total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += core_run_count((enum store_operation)i);
    return total;
}

uint64_t core_run_changes(void)
{
    return core_run_count(STORE_PUT) + core_run_count(STORE_COPY) + core_run_count(STORE_DELETE) +
           core_run_count(STORE_UPLOAD_CREATE) + core_run_count(STORE_UPLOAD_COMPLETE);
}

unsigned core_run_reads_under_way(void)
{
    struct endpoint *endpoint = engine_endpoint(core_run_engine(), core_run_store());
    const struct limiter_course *flows = endpoint->limiters[ENDPOINT_GETS].flows;
    unsigned count;

    pthread_mutex_lock(&endpoint->mutex);
    count = flows[LIMITER_SHORT].in_flight + flows[LIMITER_LONG].in_flight;
    pthread_mutex_unlock(&endpoint->mutex);
    return count;
}

void core_run_reset_counts(void)
{
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        counts_before[i] = stats_read(&engine_stats(core_run_engine())->requests[i]);
}

void core_run_let_ttl_pass(void)
{
    int64_t ns = (option_int(&core_run_engine()->options, META_TTL_MS) + 1) * NS_PER_MS;
    struct timespec time = {.tv_sec = ns / NS_PER_S, .tv_nsec = ns % NS_PER_S};

    nanosleep(&time, NULL);
}

int core_run_clear(void **state)
{
    (void)state;
    core_run_faults(NULL);
    core_run_store()->capabilities = capabilities;
    core_run_reset_counts();
    return 0;
}

int core_run_clear_names(void **state)
{
    core_run_let_ttl_pass();
    return core_run_clear(state);
}

int core_run_clear_objects(const char *first, const char *second)
{
    core_run_faults(NULL);
    s3dlio_delete(first, NULL, NULL);
    s3dlio_delete(second, NULL, NULL);
    return core_run_clear(NULL);
}

void core_run_must(ssize_t r, const struct s3dlio_error *error)
{
    if (r < 0)
        fail_msg("%s", error->message);
}

struct s3dlio_reader *core_run_open_reader(const char *uri)
{
    struct s3dlio_reader *reader = NULL;
    struct s3dlio_error error;

    core_run_must(s3dlio_reader_open(uri, NULL, &reader, &error), &error);
    return reader;
}

struct s3dlio_draft *core_run_open_draft(const char *uri, enum s3dlio_draft_base base,
                                         const struct s3dlio_write_options *options)
{
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error;

    core_run_must(s3dlio_draft_open(uri, options, base, NULL, &draft, &error), &error);
    return draft;
}

/* ThreadSanitizer ends a child that starts threads if its parent had several: those that have nothing
 * to do end soon. The sanitizer has one of its own; a directory's links are two more than its
 * directories (proc(5)). */
static void let_idle_threads_end(void)
{
#if defined __SANITIZE_THREAD__
    struct stat task;

    for (unsigned i = 0; i < 1000; i++) {
        assert_int_equal(stat("/proc/self/task", &task), 0);
        if (task.st_nlink <= 2 + 2)
            return;
        usleep(10000);
    }
#endif
}

pid_t core_run_fork(void)
{
    pid_t pid;

    let_idle_threads_end();
    s3dlio_fork_prepare();
    pid = fork();
    if (pid == 0) {
        s3dlio_fork_child();
        s3dlio_init(NULL, NULL); /* its counters, which tests look at, are its own from now on */
    } else {
        s3dlio_fork_parent();
    }
    assert_true(pid >= 0);
    return pid;
}

void core_run_wait_for(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

void core_run_make_bucket(const char *name)
{
    struct s3dlio_error error;
    char uri[300];

    core_run_faults(NULL);
    capabilities = core_run_store()->capabilities;
    snprintf(uri, sizeof uri, "fault://%s", name);
    core_run_must(s3dlio_mkdir(uri, NULL, NULL, &error), &error);
    core_run_reset_counts();
}

unsigned char core_run_byte(uint64_t offset)
{
    return (unsigned char)(offset * 2654435761u >> 13 ^ offset >> 8);
}

/* The pattern begins anew after this much, so it is made once: byte by byte, under a sanitizer, it
 * is what large objects would cost. */
#define PERIOD ((size_t)1 << 21)

static unsigned char pattern[PERIOD];
static pthread_once_t pattern_once = PTHREAD_ONCE_INIT;

static void make_pattern(void)
{
    for (size_t i = 0; i < PERIOD; i++)
        pattern[i] = core_run_byte(i);
}

/* The longest piece from there that lies in one period. */
static size_t piece_at(uint64_t offset, size_t length)
{
    size_t left = PERIOD - offset % PERIOD;

    return length < left ? length : left;
}

void core_run_fill(unsigned char *buffer, size_t length, uint64_t offset)
{
    size_t piece;

    pthread_once(&pattern_once, make_pattern);
    for (size_t i = 0; i < length; i += piece) {
        piece = piece_at(offset + i, length - i);
        memcpy(buffer + i, pattern + (offset + i) % PERIOD, piece);
    }
}

static void name_wrong_byte(const unsigned char *buffer, size_t length, uint64_t offset)
{
    for (size_t i = 0; i < length; i++)
        if (buffer[i] != core_run_byte(offset + i))
            fail_msg("byte %llu is wrong", (unsigned long long)(offset + i));
}

void core_run_check(const unsigned char *buffer, size_t length, uint64_t offset)
{
    size_t piece;

    pthread_once(&pattern_once, make_pattern);
    for (size_t i = 0; i < length; i += piece) {
        piece = piece_at(offset + i, length - i);
        if (memcmp(buffer + i, pattern + (offset + i) % PERIOD, piece) != 0)
            name_wrong_byte(buffer + i, piece, offset + i);
    }
}

void core_run_put(const char *uri, size_t length)
{
    unsigned char *data = malloc(length + 1);
    struct s3dlio_error error;

    assert_non_null(data);
    core_run_fill(data, length, 0);
    core_run_must(s3dlio_put(uri, data, length, NULL, NULL, NULL, &error), &error);
    free(data);
}

void core_run_put_text(const char *uri, const char *text)
{
    assert_int_equal(s3dlio_put(uri, text, strlen(text), NULL, NULL, NULL, NULL), 0);
}

bool core_run_holds(const char *uri, const char *text)
{
    size_t length;
    void *data;
    bool is_same;
    int r = s3dlio_get(uri, NULL, &data, &length, NULL);

    if (r < 0)
        return r == -ENOENT && !text;
    is_same = text && length == strlen(text) && memcmp(data, text, length) == 0;
    s3dlio_free(data);
    return is_same;
}

void core_run_check_texts(const char *uri, const struct core_run_texts *expected)
{
    struct s3dlio_error error;
    size_t length = 0;
    unsigned char *bytes;
    void *data;

    core_run_must(s3dlio_get(uri, NULL, &data, &length, &error), &error);
    bytes = data;
    assert_int_equal(length, expected->length);
    for (unsigned i = 0; i < CORE_RUN_TEXTS && expected->texts[i]; i++) {
        size_t size = strlen(expected->texts[i]);

        assert_memory_equal(bytes + expected->offsets[i], expected->texts[i], size);
        core_run_fill(bytes + expected->offsets[i], size, expected->offsets[i]);
    }
    core_run_check(bytes, length, 0);
    s3dlio_free(data);
}

void core_run_check_object(const char *uri, size_t length, const char *text, size_t offset)
{
    core_run_check_texts(uri, &(struct core_run_texts){length, {text}, {offset}});
}

int core_run_type(const char *uri)
{
    struct s3dlio_attr attr;
    int r = s3dlio_stat(uri, NULL, &attr, NULL);

    return r < 0 ? r : (int)attr.type;
}

static struct call *new_call(enum store_operation operation, const char *uri_text,
                             const struct limits *limits)
{
    struct error error;
    struct call *call;
    struct uri uri;

    assert_int_equal(uri_parse(uri_text, &uri), 0);
    call = call_new(core_run_engine(), operation, &uri, limits, &error);
    assert_non_null(call);
    return call;
}

static void run(struct call *call, const struct limits *limits)
{
    struct error error;

    if (call_run(call, limits, &error) < 0)
        fail_msg("%s", error.message);
    call_delete(call);
}

static void put_elsewhere(const char *uri, struct iovec body, const struct store_metadata *metadata)
{
    struct core_run_scope scope;
    struct call *call;

    core_run_enter(&scope);
    call = new_call(STORE_PUT, uri, &scope.limits);
    call->request.body = &body;
    call->request.body_count = 1;
    call->request.metadata = metadata;
    run(call, &scope.limits);
    core_run_leave(&scope);
}

void core_run_put_elsewhere(const char *uri, size_t length, uint64_t offset)
{
    unsigned char *data = malloc(length + 1);

    assert_non_null(data);
    core_run_fill(data, length, offset);
    put_elsewhere(uri, (struct iovec){data, length}, NULL);
    free(data);
}

void core_run_plant(const char *uri, const struct store_metadata *metadata)
{
    put_elsewhere(uri, (struct iovec){"x", 1}, metadata);
}

void core_run_delete_elsewhere(const char *uri)
{
    struct core_run_scope scope;

    core_run_enter(&scope);
    run(new_call(STORE_DELETE, uri, &scope.limits), &scope.limits);
    core_run_leave(&scope);
}

void core_run_write_at(struct s3dlio_draft *draft, const char *text, uint64_t offset)
{
    assert_int_equal(s3dlio_draft_pwrite(draft, text, strlen(text), offset, NULL), strlen(text));
}

void core_run_stream(struct s3dlio_writer *writer, size_t from, size_t to, size_t step)
{
    unsigned char *data = malloc(step);

    assert_non_null(data);
    for (size_t at = from; at < to; at += step) {
        size_t piece = to - at < step ? to - at : step;

        core_run_fill(data, piece, at);
        assert_int_equal(s3dlio_writer_write(writer, data, piece, NULL), piece);
    }
    free(data);
}

void core_run_check_released(void)
{
    struct s3dlio_stats stats;

    s3dlio_get_stats(&stats);
    assert_int_equal(stats.memory_bytes, 0);
    assert_int_equal(spool_used(), 0);
}

uint64_t core_run_uploads_left(const char *bucket)
{
    struct core_run_scope scope;
    struct error error;
    struct call *call;
    uint64_t count;
    char uri[300];

    snprintf(uri, sizeof uri, "fault://%s", bucket);
    core_run_enter(&scope);
    call = new_call(STORE_UPLOAD_LIST, uri, &scope.limits);
    call->request.prefix = "";
    if (call_run(call, &scope.limits, &error) < 0)
        fail_msg("%s", error.message);
    count = call->request.page->count;
    call_delete(call);
    core_run_leave(&scope);
    return count;
}
