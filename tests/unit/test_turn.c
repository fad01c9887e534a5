/* core/turn.h: calls on one writer or listing by several threads, by signal handlers, and after a
 * jump out of one. */
#include "core_run.h"
#include "sanitizer.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

/* A call that is left by a jump, or whose thread ends in it, leaves its memory behind. */
__attribute__((visibility("default"))) int __lsan_is_turned_off(void);
int __lsan_is_turned_off(void)
{
    return 1;
}

#define PIECE ((size_t)100000)

static struct s3dlio_writer *writer;
static struct s3dlio_list *list;
static int handled;
static sigjmp_buf jump;

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_PUT_INFLIGHT=1");
    core_run_make_bucket("turn");
    return 0;
}

static int clear(void **state)
{
    handled = 0;
    return core_run_clear(state);
}

static void open_writer(const char *uri)
{
    assert_int_equal(s3dlio_writer_open(uri, NULL, NULL, &writer, NULL), 0);
}

static void *write_pieces(void *arg)
{
    char *piece = malloc(PIECE);

    memset(piece, *(char *)arg, PIECE);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(s3dlio_writer_write(writer, piece, PIECE, NULL), PIECE);
    free(piece);
    return NULL;
}

static void test_threads_on_a_writer(void **state)
{
    char names[] = "abcd";
    pthread_t threads[4];
    size_t length, counts[256] = {0};
    void *data;

    open_writer("fault://turn/threads");
    core_run_faults("op=UploadPart delay=2");
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_pieces, &names[i]), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    assert_int_equal(s3dlio_get("fault://turn/threads", NULL, &data, &length, NULL), 0);
    assert_int_equal(length, 400 * PIECE);
    for (size_t i = 0; i < length; i++)
        counts[((unsigned char *)data)[i]]++;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(counts[(unsigned char)names[i]], 100 * PIECE);
    s3dlio_free(data);
}

static void *list_some(void *arg)
{
    struct s3dlio_entry entry;

    while (s3dlio_list_next(list, &entry, NULL) > 0)
        ++*(unsigned *)arg;
    return NULL;
}

static void test_threads_on_a_listing(void **state)
{
    unsigned counts[3] = {0};
    pthread_t threads[3];
    char uri[64];

    for (unsigned i = 0; i < 50; i++) {
        snprintf(uri, sizeof uri, "fault://turn/list/%u", i);
        core_run_put(uri, 1);
    }
    assert_int_equal(s3dlio_list_open("fault://turn/list", 0, NULL, &list, NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, list_some, &counts[i]), 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counts[0] + counts[1] + counts[2], 50);
    s3dlio_list_close(list);
}

static void write_in_handler(int signal_number)
{
    handled += s3dlio_writer_write(writer, "handler", 7, NULL) == 7;
}

static void jump_out(int signal_number)
{
    handled++;
    siglongjmp(jump, 1);
}

static void alarm_in_ms(void (*handler)(int), unsigned ms)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval timer = {.it_value = {.tv_usec = ms * 1000}};

    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
}

static void test_a_handler_writes_while_a_write_waits(void **state)
{
    unsigned char *data;
    size_t length;

    NOT_UNDER_TSAN();
    data = malloc(30 * MIB);
    core_run_fill(data, 30 * MIB, 0);
    open_writer("fault://turn/handler");
    core_run_faults("op=UploadPart delay=100");
    alarm_in_ms(write_in_handler, 50);
    assert_int_equal(s3dlio_writer_write(writer, data, 30 * MIB, NULL), 30 * MIB);
    assert_int_equal(handled, 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    free(data);
    assert_int_equal(s3dlio_get("fault://turn/handler", NULL, (void **)&data, &length, NULL), 0);
    assert_int_equal(length, 30 * MIB + 7);
    assert_non_null(memmem(data, length, "handler", 7));
    s3dlio_free(data);
}

static void test_a_jump_out_of_a_write(void **state)
{
    static unsigned char *data;
    struct s3dlio_attr attr;

    NOT_UNDER_TSAN();
    data = calloc(30, MIB);
    open_writer("fault://turn/jump");
    core_run_faults("op=UploadPart nth=1 count=1 delay=200");
    alarm_in_ms(jump_out, 50);
    if (sigsetjmp(jump, 1) == 0) {
        s3dlio_writer_write(writer, data, 30 * MIB, NULL);
        fail();
    }
    assert_int_equal(handled, 1);
    assert_int_equal(s3dlio_writer_write(writer, data, MIB, NULL), MIB);
    assert_int_equal(s3dlio_writer_close(writer, &attr, NULL), 0);
    assert_true(attr.size_bytes >= MIB && attr.size_bytes <= 31 * MIB);
    free(data);
}

static void test_a_jump_out_of_a_read(void **state)
{
    static struct s3dlio_reader *reader;
    static unsigned char *data;

    NOT_UNDER_TSAN();
    data = malloc(4 * MIB);
    core_run_put("fault://turn/read", 8 * MIB);
    assert_int_equal(s3dlio_reader_open("fault://turn/read", NULL, &reader, NULL), 0);
    core_run_faults("op=GetObject nth=1 count=1 delay=200");
    alarm_in_ms(jump_out, 50);
    if (sigsetjmp(jump, 1) == 0) {
        s3dlio_reader_pread(reader, data, 4 * MIB, MIB, NULL, NULL);
        fail();
    }
    memset(data, 0, 4 * MIB);
    assert_int_equal(s3dlio_reader_pread(reader, data + 2 * MIB, MIB, 5 * MIB, NULL, NULL), MIB);
    core_run_check(data + 2 * MIB, MIB, 5 * MIB);
    for (size_t i = 0; i < 2 * MIB; i++)
        assert_int_equal(data[i], 0); /* the abandoned call writes no more */
    s3dlio_reader_close(reader);
    free(data);
}

/* ---- a thread that is to be cancelled, or ends, in its call ---- */

static struct s3dlio_draft *draft;
static void *(*work_of_thread)(void *);
static _Atomic bool has_returned;

static void end_thread(int signal)
{
    pthread_exit(&work_of_thread);
}

static void *work_to_leave(void *arg)
{
    sigset_t alarms;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
    return work_of_thread(arg);
}

static void *work_to_the_end(void *arg)
{
    work_of_thread(arg);
    has_returned = true;
    pthread_testcancel();
    return NULL;
}

/* First a handler ends its thread in the middle of the call. Then a thread is cancelled before it
 * has begun: that does not touch the call. */
static void leave_in(void *(*work)(void *), const char *rules)
{
    sigset_t alarms, before;
    pthread_t thread;
    void *result;

    sigemptyset(&alarms);
    sigaddset(&alarms, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &alarms, &before);
    work_of_thread = work;
    core_run_faults(rules);
    assert_int_equal(pthread_create(&thread, NULL, work_to_leave, NULL), 0);
    alarm_in_ms(end_thread, 50);
    pthread_join(thread, &result);
    assert_ptr_equal(result, &work_of_thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);

    core_run_faults(NULL);
    core_run_faults(rules);
    has_returned = false;
    assert_int_equal(pthread_create(&thread, NULL, work_to_the_end, NULL), 0);
    pthread_cancel(thread);
    pthread_join(thread, &result);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_true(has_returned);
}

static void *write_much(void *unused)
{
    static unsigned char data[30 * MIB];

    s3dlio_writer_write(writer, data, sizeof data, NULL);
    return NULL;
}

static void test_a_thread_left_in_a_write(void **state)
{
    NOT_UNDER_TSAN();
    open_writer("fault://turn/cancelled");
    leave_in(write_much, "op=UploadPart nth=1 count=1 delay=200");
    assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
}

static void *list_anew(void *unused)
{
    s3dlio_list_rewind(list, NULL);
    return NULL;
}

static void test_a_thread_left_in_a_listing(void **state)
{
    unsigned count = 0;

    NOT_UNDER_TSAN();
    core_run_put("fault://turn/listed/one", 1);
    assert_int_equal(s3dlio_list_open("fault://turn/listed", 0, NULL, &list, NULL), 0);
    leave_in(list_anew, "op=ListObjects nth=1 count=1 delay=200");
    assert_int_equal(s3dlio_list_rewind(list, NULL), 0);
    list_some(&count);
    assert_int_equal(count, 1);
    s3dlio_list_close(list);
}

static void *read_base(void *unused)
{
    char byte;

    s3dlio_draft_pread(draft, &byte, 1, 5, NULL);
    return NULL;
}

static void clean_up(void *unused)
{
    read_base(unused);
}

static void *read_in_cleanup(void *unused)
{
    pthread_cleanup_push(clean_up, NULL);
    read_base(NULL);
    pthread_cleanup_pop(0);
    return NULL;
}

static void test_a_thread_left_in_a_draft(void **state)
{
    char text[4] = "";

    NOT_UNDER_TSAN();
    core_run_put("fault://turn/draft", MIB);
    assert_int_equal(
        s3dlio_draft_open("fault://turn/draft", NULL, S3DLIO_DRAFT_KEEP, NULL, &draft, NULL), 0);
    leave_in(read_in_cleanup, "op=GetObject nth=1 count=1 delay=200");
    core_run_write_at(draft, "new", 5);
    assert_int_equal(s3dlio_draft_pread(draft, text, 3, 5, NULL), 3);
    assert_string_equal(text, "new");
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_object("fault://turn/draft", MIB, "new", 5);
}

static void *delete_it(void *unused)
{
    s3dlio_delete("fault://turn/deleted", NULL, NULL);
    return NULL;
}

static void test_a_thread_left_in_a_change(void **state)
{
    NOT_UNDER_TSAN();
    core_run_put("fault://turn/deleted", 1);
    leave_in(delete_it, "op=DeleteObject nth=1 count=1 delay=200");
    core_run_put_text("fault://turn/deleted", "again");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_threads_on_a_writer, clear),
        cmocka_unit_test_setup(test_threads_on_a_listing, clear),
        cmocka_unit_test_setup(test_a_handler_writes_while_a_write_waits, clear),
        cmocka_unit_test_setup(test_a_jump_out_of_a_write, clear),
        cmocka_unit_test_setup(test_a_jump_out_of_a_read, clear),
        cmocka_unit_test_setup(test_a_thread_left_in_a_write, clear),
        cmocka_unit_test_setup(test_a_thread_left_in_a_listing, clear),
        cmocka_unit_test_setup(test_a_thread_left_in_a_draft, clear),
        cmocka_unit_test_setup(test_a_thread_left_in_a_change, clear),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
