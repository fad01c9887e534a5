/* core/draft.h after fork: parent and child publish their one draft, or what was a stream, each in
 * its turn. */
#include "draft_child.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/draft_private.h"
#include "sanitizer.h"

/* ---- publishing ------------------------------------------------------------------------------ */

static void publishes(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "child", 5, 1000, NULL) == 5);
    CHECK(s3dlio_draft_publish(draft, NULL, NULL) == 0);
}

static void closes(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "the child again", 15, 3000, NULL) == 15);
    CHECK(s3dlio_draft_close(draft, NULL, NULL) == 0);
}

/* The base moves on under the other, who goes on from it. */
static void test_each_publishes(void **state)
{
    struct core_run_texts expected = {BASE_BYTES, {"child"}, {1000}};
    struct s3dlio_draft *draft;
    unsigned char bytes[100];

    core_run_put(URI, BASE_BYTES);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, 0, NULL), 100); /* opens a reader */
    draft_child_run(publishes, draft, NULL);
    core_run_check_texts(URI, &expected);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, MIB, NULL), 100);
    core_run_check(bytes, 100, MIB);

    core_run_write_at(draft, "parent", 2000);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    expected.texts[1] = "parent", expected.offsets[1] = 2000;
    core_run_check_texts(URI, &expected);
    draft_child_run(closes, draft, NULL);
    expected.texts[2] = "the child again", expected.offsets[2] = 3000;
    core_run_check_texts(URI, &expected);
    assert_int_equal(s3dlio_draft_pread(draft, bytes, 100, MIB + 500000, NULL), 100);
    core_run_check(bytes, 100, MIB + 500000);
    core_run_write_at(draft, "end", 4000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    expected.texts[3] = "end", expected.offsets[3] = 4000;
    core_run_check_texts(URI, &expected);
    core_run_check_released();
}

static void maps_and_writes(struct s3dlio_draft *draft, void *arg)
{
    unsigned char *inherited = arg, *own;
    int fd = -1;

    memcpy(inherited, "by the parent's mapping", 23);
    CHECK(s3dlio_draft_map_fd(draft, MIB, 4096, &fd, NULL) == 0);
    own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, MIB);
    CHECK(own != MAP_FAILED);
    memcpy(own + 7, "by the child's mapping", 22);
}

static void test_mappings_of_each(void **state)
{
    struct core_run_texts expected = {
        BASE_BYTES, {"by the parent's mapping", "by the child's mapping"}, {64 * KIB, MIB + 7}};
    struct s3dlio_draft *draft;
    unsigned char *mapping;
    int fd = -1;

    core_run_put(URI, BASE_BYTES);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    assert_int_equal(s3dlio_draft_map_fd(draft, 64 * KIB, 4096, &fd, NULL), 0);
    mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 64 * KIB);
    assert_ptr_not_equal(mapping, MAP_FAILED);
    close(fd);
    draft_child_run(maps_and_writes, draft, mapping);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_check_texts(URI, &expected);
    draft_child_run(publishes, draft, NULL);
    mapping[100] = 'x';
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    expected.texts[2] = "child", expected.offsets[2] = 1000;
    expected.texts[3] = "x", expected.offsets[3] = 64 * KIB + 100;
    core_run_check_texts(URI, &expected);
    munmap(mapping, 4096);
    core_run_check_released();
}

/* More ranges than there is room for are fewer and larger ones. */
static void test_many_mappings(void **state)
{
    struct s3dlio_draft *draft;
    unsigned char *mapping;
    int fd = -1;

    core_run_put(URI, 40 * MIB);
    draft = core_run_open_draft(URI, S3DLIO_DRAFT_KEEP, NULL);
    for (size_t at = 0; at < 40 * MIB; at += 256 * KIB) {
        assert_int_equal(s3dlio_draft_map_fd(draft, at, 4096, &fd, NULL), 0);
        mapping = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
        assert_ptr_not_equal(mapping, MAP_FAILED);
        core_run_check(mapping, 4096, at);
        mapping[1] = core_run_byte(at + 1);
        munmap(mapping, 4096);
        close(fd);
    }
    core_run_write_at(draft, "last", 39 * MIB);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_texts(URI, &(struct core_run_texts){40 * MIB, {"last"}, {39 * MIB}});
    core_run_check_released();
}

/* ---- streams --------------------------------------------------------------------------------- */

static void test_a_stream_that_is_shared(void **state)
{
    unsigned char data[5000];
    struct s3dlio_writer *writer = NULL;
    struct s3dlio_draft *draft = NULL;

    core_run_fill(data, sizeof data, 0);
    assert_int_equal(s3dlio_writer_open(URI, NULL, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, data, sizeof data, NULL), sizeof data);
    assert_int_equal(s3dlio_draft_from_writer(writer, &draft, NULL), 0);
    draft_child_run(publishes, draft, NULL);
    core_run_write_at(draft, "parent", 4000);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_texts(URI,
                         &(struct core_run_texts){sizeof data, {"child", "parent"}, {1000, 4000}});
    core_run_check_released();
}

static void test_streams_that_were_sent(void **state)
{
    size_t length = 40 * MIB;
    unsigned char *data = malloc(length);
    struct s3dlio_writer *writer = NULL;

    assert_non_null(data);
    core_run_fill(data, length, 0);
    assert_int_equal(s3dlio_writer_open(URI, NULL, NULL, &writer, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, data, 10, NULL), 10);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    assert_int_equal(s3dlio_writer_publish(writer, NULL, NULL), 0);
    assert_int_equal(s3dlio_writer_write(writer, data + 10, length - 10, NULL), length - 10);
    assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    core_run_check_texts(URI, &(struct core_run_texts){length, {NULL}, {0}});
    free(data);
}

/* ---- whoever has the turn -------------------------------------------------------------------- */

#define SLOW_URI "fault://shared/slow"

static void publishes_slowly(struct s3dlio_draft *draft, void *arg)
{
    s3dlio_draft_pwrite(draft, "child", 5, 0, NULL);
    s3dlio_draft_publish(draft, NULL, NULL);
}

static void wait_until_taken(struct s3dlio_draft *public)
{
    struct draft *draft = (struct draft *)public;
    const volatile char *ids[2] = {draft->shared->facts[0].write_id,
                                   draft->shared->facts[1].write_id};

    while (!*ids[0] && !*ids[1]) /* another process writes them */
        continue;
    assert_int_equal(pthread_mutex_trylock(&draft->shared->turn.mutex), EBUSY);
}

static void test_killed_while_it_publishes(void **state)
{
    struct s3dlio_draft *draft = core_run_open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY, NULL);
    int status;
    pid_t pid;

    core_run_write_at(draft, "parent", 0);
    core_run_faults("op=PutObject delay=60000");
    pid = draft_child_start(publishes_slowly, draft, NULL);
    wait_until_taken(draft);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    core_run_faults(NULL);
    assert_true(draft_child_has_at(draft, "childt", 0));
    core_run_write_at(draft, "P", 5);
    assert_int_equal(s3dlio_draft_close(draft, NULL, NULL), 0);
    core_run_check_released();
}

/* The deadline of a call counts while another process has the turn. */
static void reads_in_vain(struct s3dlio_draft *draft, void *arg)
{
    struct core_run_scope scope;
    struct error error = {0};
    char byte;

    gate_enter(&scope.gate);
    limits_begin(&scope.limits, 50 * NS_PER_MS, NULL);
    CHECK(draft_pread((struct draft *)draft, &byte, 1, 0, &scope.limits, &error) < 0);
    CHECK(error.class == ERROR_TIMEOUT);
    limits_end(&scope.limits);
    gate_leave(&scope.gate);
}

static void writes_in_turn(struct s3dlio_draft *draft, void *arg)
{
    CHECK(s3dlio_draft_pwrite(draft, "child!", 6, 0, NULL) == 6);
}

static void *publish_main(void *arg)
{
    return s3dlio_draft_publish(arg, NULL, NULL) == 0 ? NULL : arg;
}

/* The child is made while a thread of the parent has the turn, and gets it after that. */
static void test_waiting(void **state)
{
    struct s3dlio_draft *draft = core_run_open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY, NULL);
    pthread_t thread;
    void *failed;

    NOT_UNDER_TSAN();
    core_run_write_at(draft, "parent", 0);
    core_run_faults("op=PutObject delay=1000");
    assert_int_equal(pthread_create(&thread, NULL, publish_main, draft), 0);
    wait_until_taken(draft);
    draft_child_run(reads_in_vain, draft, NULL);
    draft_child_run(writes_in_turn, draft, NULL);
    assert_true(draft_child_has_at(draft, "child!", 0));
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
    core_run_faults(NULL);
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

/* A publication that was done, and nobody was told: the next one goes on from it. */
static void test_a_lost_publication(void **state)
{
    struct s3dlio_draft *draft = core_run_open_draft(SLOW_URI, S3DLIO_DRAFT_EMPTY, NULL);
    struct s3dlio_error error;

    core_run_write_at(draft, "first", 0);
    assert_int_equal(s3dlio_draft_publish(draft, NULL, NULL), 0);
    core_run_write_at(draft, "lost", 10);
    core_run_faults("op=PutObject lose");
    core_run_faults("op=HeadObject fail=access");
    assert_true(s3dlio_draft_publish(draft, NULL, &error) < 0);
    core_run_faults(NULL);
    core_run_write_at(draft, "third", 20);
    if (s3dlio_draft_close(draft, NULL, &error) < 0)
        fail_msg("%s", error.message);
    draft = core_run_open_draft(SLOW_URI, S3DLIO_DRAFT_KEEP, NULL);
    assert_true(draft_child_has_at(draft, "lost", 10));
    assert_true(draft_child_has_at(draft, "third", 20));
    s3dlio_draft_abort(draft);
    core_run_check_released();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_publishes),
        cmocka_unit_test(test_mappings_of_each),
        cmocka_unit_test(test_many_mappings),
        cmocka_unit_test(test_a_stream_that_is_shared),
        cmocka_unit_test(test_streams_that_were_sent),
        cmocka_unit_test(test_killed_while_it_publishes),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_a_lost_publication),
    };

    return cmocka_run_group_tests(tests, draft_child_set_up, core_run_remove_file_root);
}
