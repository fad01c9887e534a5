/* engine/base/error.h: classes, errno, the line, and saying it once. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/log.h"

/* ---- what is written to the log -------------------------------------------------------------- */

static int log_pipe[2];

static int redirect_log(void **state)
{
    (void)state;
    assert_int_equal(pipe2(log_pipe, O_NONBLOCK), 0);
    log_set_fd(log_pipe[1]);
    log_set_level(LOG_WARN);
    return 0;
}

static int restore_log(void **state)
{
    (void)state;
    log_set_fd(STDERR_FILENO);
    close(log_pipe[0]);
    close(log_pipe[1]);
    return 0;
}

/* Everything logged since the last call. */
static const char *logged(void)
{
    static char text[65536];
    ssize_t n = read(log_pipe[0], text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* ---- classes and errno ----------------------------------------------------------------------- */

static void every_class_has_its_errno(void **state)
{
    static const struct {
        enum error_class class;
        int errnum;
    } rows[] = {
        {ERROR_NOT_FOUND, ENOENT},
        {ERROR_NO_BUCKET, ENOENT},
        {ERROR_ACCESS, EACCES},
        {ERROR_EXISTS, EEXIST},
        {ERROR_CHANGED, ESTALE},
        {ERROR_RANGE, EINVAL},
        {ERROR_INVALID, EINVAL},
        {ERROR_TOO_LONG, ENAMETOOLONG},
        {ERROR_TOO_LARGE, EFBIG},
        {ERROR_THROTTLED, EIO},
        {ERROR_SERVER, EIO},
        {ERROR_NETWORK, EIO},
        {ERROR_TIMEOUT, EIO},
        {ERROR_TLS, EIO},
        {ERROR_DNS, EIO},
        {ERROR_PROTOCOL, EIO},
        {ERROR_INTEGRITY, EIO},
        {ERROR_REGION, EIO},
        {ERROR_CLOCK, EIO},
        {ERROR_TOKEN, EACCES},
        {ERROR_BUSY, EBUSY},
        {ERROR_UNSUPPORTED, EOPNOTSUPP},
        {ERROR_REFUSED, EPERM},
        {ERROR_NO_SPACE, ENOSPC},
        {ERROR_SPOOL, ENOSPC},
        {ERROR_NO_MEMORY, ENOMEM},
        {ERROR_DESCRIPTORS, EMFILE},
        {ERROR_THREADS, ENOMEM},
        {ERROR_CANCELLED, ECANCELED},
        {ERROR_IS_DIRECTORY, EISDIR},
        {ERROR_NOT_DIRECTORY, ENOTDIR},
        {ERROR_NOT_EMPTY, ENOTEMPTY},
        {ERROR_IO, EIO},
    };
    struct error err;

    (void)state;
    assert_int_equal(sizeof rows / sizeof rows[0], ERROR_CLASS_COUNT - 1);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(error_set(&err, rows[i].class, "x"), -rows[i].errnum);
        assert_int_equal(error_set(NULL, rows[i].class, "x"), -rows[i].errnum);
        assert_int_equal(error_errno(&err), rows[i].errnum);
        assert_true(strlen(error_class_name(rows[i].class)) > 0);
        assert_true(strlen(error_class_name(rows[i].class)) < 24); /* s3dlio_error.class_name */
    }
    error_clear(&err);
    assert_int_equal(error_errno(&err), 0);
}

static void what_may_be_repeated(void **state)
{
    (void)state;
    assert_true(error_is_retryable(ERROR_THROTTLED));
    assert_true(error_is_retryable(ERROR_SERVER));
    assert_true(error_is_retryable(ERROR_NETWORK));
    assert_true(error_is_retryable(ERROR_TIMEOUT));
    assert_false(error_is_retryable(ERROR_NOT_FOUND));
    assert_false(error_is_retryable(ERROR_ACCESS));
    assert_false(error_is_retryable(ERROR_TLS));
    assert_false(error_is_retryable(ERROR_CHANGED));
    assert_false(error_is_retryable(ERROR_CANCELLED));
}

static void a_system_error_keeps_its_number(void **state)
{
    struct error err;

    (void)state;
    assert_int_equal(error_set_errno(&err, ECONNRESET, "recv"), -ECONNRESET);
    assert_int_equal(err.class, ERROR_NETWORK);
    assert_int_equal(error_errno(&err), ECONNRESET);
    assert_int_equal(error_set_errno(&err, EISDIR, "open"), -EISDIR);
    assert_int_equal(err.class, ERROR_IS_DIRECTORY);
    assert_int_equal(error_set_errno(&err, EMLINK, "open"), -EMLINK);
    assert_int_equal(err.class, ERROR_IO);
    assert_int_equal(error_set_errno(NULL, ENOSPC, "write"), -ENOSPC);
}

static void a_quota_is_not_a_full_disk(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, ERROR_NO_SPACE, "over");
    assert_int_equal(error_errno(&err), ENOSPC);
    strcpy(err.code, "QuotaExceeded");
    assert_int_equal(error_errno(&err), EDQUOT);
}

static void a_new_error_forgets_the_old_one(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, ERROR_ACCESS, "first");
    err.http_status = 403;
    strcpy(err.code, "AccessDenied");
    error_set_context(&err, "GetObject", "s3://a/b");
    error_set(&err, ERROR_TIMEOUT, "second");
    assert_int_equal(err.http_status, 0);
    assert_string_equal(err.code, "");
    assert_string_equal(err.uri, "");
    assert_string_equal(err.message, "second");
}

/* ---- the line -------------------------------------------------------------------------------- */

static void the_line_says_what_why_and_what_to_set(void **state)
{
    struct error err;
    char line[1024];
    int length;

    (void)state;
    error_set(&err, ERROR_ACCESS, "The key is not known");
    err.http_status = 403;
    strcpy(err.code, "InvalidAccessKeyId");
    strcpy(err.request_id, "17F0");
    error_set_context(&err, "GetObject", "s3://b/k");
    length = error_format(&err, line, sizeof line);
    assert_string_equal(line,
                        "GetObject s3://b/k: access denied (403 InvalidAccessKeyId: The key is "
                        "not known, request id 17F0): check AWS_ACCESS_KEY_ID and that it "
                        "belongs to this endpoint");
    assert_int_equal(length, strlen(line));
}

static void the_line_leaves_out_what_is_not_known(void **state)
{
    struct error err;
    char line[1024], small[12];

    (void)state;
    error_set(&err, ERROR_UNSUPPORTED, "%s", "");
    error_format(&err, line, sizeof line);
    assert_string_equal(line, "not supported");
    error_set(&err, ERROR_UNSUPPORTED, "append");
    error_set_context(&err, NULL, "s3://b/k");
    error_format(&err, line, sizeof line);
    assert_string_equal(line, "s3://b/k: not supported (append)");
    assert_int_equal(error_format(&err, small, sizeof small), strlen(line));
    assert_string_equal(small, "s3://b/k: n");
    assert_int_equal(error_format(&err, NULL, 0), strlen(line));
    error_set(&err, ERROR_UNSUPPORTED, "%s", "");
    err.http_status = 501;
    strcpy(err.request_id, "r");
    error_format(&err, line, sizeof line);
    assert_string_equal(line, "not supported (501, request id r)");
    error_set(&err, ERROR_REGION, "it is elsewhere");
    strcpy(err.hint, "eu-west-1");
    error_format(&err, line, sizeof line);
    assert_string_equal(
        line, "wrong region (it is elsewhere): set AWS_REGION to the bucket's region (eu-west-1)");
}

static void context_is_set_once_and_long_uris_lose_their_middle(void **state)
{
    struct error err;
    char uri[1200] = "s3://bucket/";

    (void)state;
    error_set(&err, ERROR_IO, "x");
    memset(uri + strlen(uri), 'k', 1000);
    strcat(uri, "/end");
    error_set_context(&err, "PutObject", uri);
    error_set_context(&err, "GetObject", "s3://other/key");
    error_set_context(NULL, "GetObject", "s3://other/key");
    assert_string_equal(err.operation, "PutObject");
    assert_int_equal(strlen(err.uri), sizeof err.uri - 1);
    assert_memory_equal(err.uri, "s3://bucket/kk", 14);
    assert_non_null(strstr(err.uri, "kk...kk"));
    assert_string_equal(err.uri + strlen(err.uri) - 4, "/end");
}

static void a_shortened_uri_keeps_whole_characters(void **state)
{
    struct error err;
    char uri[1200] = "";

    (void)state;
    for (int i = 0; i < 300; i++)
        strcat(uri, "\xe2\x82\xac");
    error_set(&err, ERROR_IO, "x");
    error_set_context(&err, "GetObject", uri);
    assert_int_equal((strstr(err.uri, "...") - err.uri) % 3, 0);
    assert_int_equal(strlen(strstr(err.uri, "...") + 3) % 3, 0);
}

static void control_characters_of_a_server_do_not_reach_the_message(void **state)
{
    struct error err;

    (void)state;
    error_set(&err, ERROR_SERVER, "a%sb", "\r\n\x1b[31m");
    assert_string_equal(err.message, "a   [31mb");
}

/* ---- saying it once -------------------------------------------------------------------------- */

static void report(enum error_class class, const char *code, const char *uri)
{
    struct error err;

    error_set(&err, class, "x");
    strcpy(err.code, code);
    error_set_context(&err, "GetObject", uri);
    error_report_once(&err);
}

static void the_first_of_each_kind_is_printed(void **state)
{
    unsigned long repeats = error_reported_repeats();

    (void)state;
    report(ERROR_ACCESS, "AccessDenied", "s3://one/a");
    assert_memory_equal(logged(), "s3dlio: GetObject s3://one/a: access denied", 43);
    report(ERROR_ACCESS, "AccessDenied", "s3://one/b");
    report(ERROR_ACCESS, "AccessDenied", "s3://one");
    assert_string_equal(logged(), "");
    assert_int_equal(error_reported_repeats() - repeats, 2);
    report(ERROR_ACCESS, "AccessDenied", "s3://two/a");
    report(ERROR_ACCESS, "InvalidAccessKeyId", "s3://one/a");
    report(ERROR_SERVER, "AccessDenied", "s3://one/a");
    assert_int_equal(count_lines(logged()), 3);
}

static void ordinary_answers_are_for_debugging(void **state)
{
    (void)state;
    report(ERROR_NOT_FOUND, "NoSuchKey", "s3://three/a");
    report(ERROR_NONE, "", "s3://three/a");
    assert_string_equal(logged(), "");
    log_set_level(LOG_DEBUG);
    report(ERROR_NOT_FOUND, "NoSuchKey", "s3://three/a");
    assert_non_null(strstr(logged(), "not found"));
    log_set_level(LOG_OFF);
    report(ERROR_ACCESS, "AccessDenied", "s3://four/a");
    assert_string_equal(logged(), "");
}

static void *report_same(void *arg)
{
    (void)arg;
    for (int i = 0; i < 1000; i++)
        report(ERROR_TLS, "", "s3://threads/a");
    return NULL;
}

static void threads_print_it_once_between_them(void **state)
{
    pthread_t threads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, report_same, NULL), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(count_lines(logged()), 1);
}

static void more_kinds_than_the_table_holds_end_in_silence(void **state)
{
    char uri[64];

    (void)state;
    for (int i = 0; i < 1000; i++) {
        snprintf(uri, sizeof uri, "s3://many%d/k", i);
        report(ERROR_TLS, "", uri);
        if (i % 100 == 0)
            assert_true(i > 300 || count_lines(logged()) > 0);
    }
    logged();
    report(ERROR_TLS, "", "s3://many-more/k");
    assert_string_equal(logged(), "");
}

/* ---- the log itself -------------------------------------------------------------------------- */

static void a_line_is_one_line_and_keeps_errno(void **state)
{
    (void)state;
    errno = EBADF;
    log_warn("a\nb\x1b[0m");
    assert_int_equal(errno, EBADF);
    assert_string_equal(logged(), "s3dlio: warning: a b [0m\n");
    log_info("not at this level");
    assert_string_equal(logged(), "");
}

static void a_long_line_is_cut_and_ended(void **state)
{
    char text[8000];
    const char *line;

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    log_error("%s", text);
    line = logged();
    assert_int_equal(count_lines(line), 1);
    assert_true(strlen(line) < 2000);
    assert_int_equal(line[strlen(line) - 1], '\n');
}

static void a_closed_pipe_does_not_kill(void **state)
{
    int status, fds[2];
    pid_t child;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        close(fds[0]);
        log_set_fd(fds[1]);
        log_error("nobody reads this");
        _exit(7);
    }
    close(fds[0]);
    close(fds[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_class_has_its_errno),
        cmocka_unit_test(what_may_be_repeated),
        cmocka_unit_test(a_system_error_keeps_its_number),
        cmocka_unit_test(a_quota_is_not_a_full_disk),
        cmocka_unit_test(a_new_error_forgets_the_old_one),
        cmocka_unit_test(the_line_says_what_why_and_what_to_set),
        cmocka_unit_test(the_line_leaves_out_what_is_not_known),
        cmocka_unit_test(context_is_set_once_and_long_uris_lose_their_middle),
        cmocka_unit_test(a_shortened_uri_keeps_whole_characters),
        cmocka_unit_test(control_characters_of_a_server_do_not_reach_the_message),
        cmocka_unit_test_setup_teardown(the_first_of_each_kind_is_printed, redirect_log,
                                        restore_log),
        cmocka_unit_test_setup_teardown(ordinary_answers_are_for_debugging, redirect_log,
                                        restore_log),
        cmocka_unit_test_setup_teardown(threads_print_it_once_between_them, redirect_log,
                                        restore_log),
        cmocka_unit_test_setup_teardown(a_line_is_one_line_and_keeps_errno, redirect_log,
                                        restore_log),
        cmocka_unit_test_setup_teardown(a_long_line_is_cut_and_ended, redirect_log, restore_log),
        cmocka_unit_test(a_closed_pipe_does_not_kill),
        /* Last: it fills the table. */
        cmocka_unit_test_setup_teardown(more_kinds_than_the_table_holds_end_in_silence,
                                        redirect_log, restore_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
