/* core/fellows.h, endpoint.h: processes that share an endpoint and the memory, also with those that were
 * killed; what requests tell the limiters. */
#include "core_run.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/endpoint.h"
#include "core/fellows.h"
#include "core/stats.h"

#define HERE  UINT64_C(11)
#define THERE UINT64_C(22)

static char folder[] = "/tmp/s3dlio-fellows-XXXXXX";
static struct fellows_table *table;

static struct fellows_seat seat_of(uint64_t process, uint64_t endpoint)
{
    return (struct fellows_seat){.process = process, .endpoint = endpoint};
}

static void check_count(uint64_t process, int64_t now_ns, unsigned at_endpoint, unsigned processes)
{
    struct fellows_seat seat = seat_of(process, HERE);
    struct fellows_count count = fellows_count(table, &seat, now_ns);

    assert_int_equal(count.at_endpoint, at_endpoint);
    assert_int_equal(count.processes, processes);
}

/* ---- the table ------------------------------------------------------------------------------- */

static int clear_table(void **state)
{
    (void)state;
    memset(table, 0, sizeof(uint64_t) * 3 * FELLOWS_SEATS);
    return 0;
}

static void test_those_that_move_data_count(void **state)
{
    struct fellows_seat a = seat_of(1, HERE), b = seat_of(2, HERE), c = seat_of(3, THERE);
    int64_t now_ns = 1000 * NS_PER_S;

    check_count(1, now_ns, 1, 1);
    fellows_touch(table, &a, now_ns);
    check_count(1, now_ns, 1, 1);
    fellows_touch(table, &b, now_ns);
    fellows_touch(table, &c, now_ns);
    check_count(1, now_ns, 2, 3);
    check_count(9, now_ns, 3, 4); /* it has no seat itself */
    fellows_leave(table, &b);
    check_count(1, now_ns, 1, 2);
}

static void test_a_process_at_two_endpoints_is_one(void **state)
{
    struct fellows_seat a = seat_of(1, HERE), b = seat_of(2, HERE), c = seat_of(2, THERE);
    int64_t now_ns = 1000 * NS_PER_S;

    fellows_touch(table, &a, now_ns);
    fellows_touch(table, &b, now_ns);
    fellows_touch(table, &c, now_ns);
    check_count(1, now_ns, 2, 2);
    check_count(2, now_ns, 2, 2);
}

static void test_a_seat_counts_for_a_while(void **state)
{
    struct fellows_seat a = seat_of(1, HERE), b = seat_of(2, HERE);
    int64_t now_ns = 1000 * NS_PER_S;

    fellows_touch(table, &a, now_ns);
    check_count(2, now_ns + FELLOWS_ACTIVE_NS, 2, 2);
    check_count(2, now_ns + FELLOWS_ACTIVE_NS + 1, 1, 1);
    check_count(2, now_ns - 1, 1, 1); /* a seat of another boot */
    fellows_touch(table, &b, now_ns + 2 * FELLOWS_ACTIVE_NS);
    assert_int_equal(a.index, b.index); /* it has taken the other's */
    fellows_touch(table, &a, now_ns + 2 * FELLOWS_ACTIVE_NS);
    assert_int_not_equal(a.index, b.index);
    check_count(2, now_ns + 2 * FELLOWS_ACTIVE_NS, 2, 2);
}

static void test_more_than_there_are_seats(void **state)
{
    struct fellows_seat last = seat_of(FELLOWS_SEATS + 1, HERE);
    int64_t now_ns = 1000 * NS_PER_S;

    for (unsigned i = 1; i <= FELLOWS_SEATS; i++) {
        struct fellows_seat seat = seat_of(i, HERE);

        fellows_touch(table, &seat, now_ns);
    }
    fellows_touch(table, &last, now_ns);
    check_count(last.process, now_ns, FELLOWS_SEATS + 1, FELLOWS_SEATS + 1);
    fellows_leave(table, &last); /* it had none: nobody else's is freed */
    check_count(last.process, now_ns, FELLOWS_SEATS + 1, FELLOWS_SEATS + 1);
    fellows_touch(NULL, &last, now_ns);
    fellows_leave(NULL, &last);
    assert_int_equal(fellows_count(NULL, &last, now_ns).processes, 1);
}

/* ---- a killed one ---------------------------------------------------------------------------- */

static pid_t start_child(void)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct fellows_seat seat = seat_of(77, HERE);

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails */
        fellows_touch(fellows_open(), &seat, clock_now_ns());
        if (write(ready[1], "", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void test_who_was_killed_keeps_no_share(void **state)
{
    int64_t before_ns = clock_now_ns();
    pid_t pid = start_child();

    check_count(1, before_ns + FELLOWS_ACTIVE_NS / 2 + (clock_now_ns() - before_ns), 2, 2);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    check_count(1, clock_now_ns() + FELLOWS_ACTIVE_NS + 1, 1, 1);
}

/* ---- what requests say ----------------------------------------------------------------------- */

static struct stats stats;

static struct store_request request_of(enum store_operation operation, uint64_t length)
{
    return (struct store_request){.operation = operation, .length = length, .if_match = "\"e\""};
}

static struct endpoint_begun begin(struct endpoint *endpoint, const struct store_request *request)
{
    return endpoint_begin(endpoint, request, false, &stats, clock_now_ns());
}

static struct endpoint *new_endpoint(struct budget *budget)
{
    static const struct budget_units units = {MIB / 16, MIB, MIB};
    struct endpoint *endpoint = malloc(sizeof *endpoint);

    assert_non_null(endpoint);
    budget_init(budget, 64 * MIB, &units);
    endpoint_init(endpoint, core_run_store(), &core_run_engine()->options, budget);
    memset(&stats, 0, sizeof stats);
    return endpoint;
}

static void test_requests_are_counted_by_kind(void **state)
{
    struct budget budget;
    struct endpoint *endpoint = new_endpoint(&budget);
    struct store_request get = request_of(STORE_GET, 8 * MIB);
    struct store_request small = request_of(STORE_GET, 100000);
    struct store_request first = {.operation = STORE_GET, .length = 8 * MIB}; /* size unknown */
    struct store_request put = request_of(STORE_PUT, 0);
    struct iovec body = {NULL, 8 * MIB};
    struct endpoint_begun begun = begin(endpoint, &get);

    assert_int_equal(begun.direction, ENDPOINT_GETS);
    assert_int_equal(begun.begun.flow, LIMITER_LONG);
    assert_int_equal(begin(endpoint, &small).begun.flow, LIMITER_SHORT);
    begun = begin(endpoint, &first);
    assert_int_equal(begun.begun.flow, LIMITER_SHORT);
    first.bytes_received = 8 * MIB; /* objects are large here */
    endpoint_end(endpoint, &first, &begun, false, 1, 2);
    assert_int_equal(endpoint_unsized(endpoint), LIMITER_LONG);
    assert_int_equal(begin(endpoint, &first).begun.flow, LIMITER_LONG);
    put.body = &body;
    put.body_count = 1;
    begun = begin(endpoint, &put);
    assert_int_equal(begun.direction, ENDPOINT_PUTS);
    assert_int_equal(begun.begun.flow, LIMITER_LONG);
    assert_int_equal(stats_read(&stats.level_peak[1]), 2); /* long gets, */
    assert_int_equal(stats_read(&stats.level_peak[3]), 1); /* long puts: */
    assert_int_equal(stats_read(&stats.level[3]), 16);     /* as endpoint.c orders them */
    free(endpoint);
}

static void test_refusals_halve(void **state)
{
    struct budget budget;
    struct endpoint *endpoint = new_endpoint(&budget);
    struct store_request get = request_of(STORE_GET, 8 * MIB);
    struct endpoint_begun begun[16];

    for (unsigned i = 0; i < 16; i++)
        begun[i] = begin(endpoint, &get);
    assert_false(endpoint_has_room(endpoint, ENDPOINT_GETS, LIMITER_LONG, 16));
    error_set(&get.error, ERROR_SERVER, "x");
    get.error.http_status = 500;
    endpoint_end(endpoint, &get, &begun[15], false, 1, clock_now_ns());
    assert_int_equal(endpoint_target(endpoint, ENDPOINT_GETS, LIMITER_LONG), 16);
    get.error.http_status = 503;
    endpoint_end(endpoint, &get, &begun[14], true, 1, clock_now_ns()); /* abandoned */
    assert_int_equal(endpoint_target(endpoint, ENDPOINT_GETS, LIMITER_LONG), 16);
    endpoint_end(endpoint, &get, &begun[13], false, 1, clock_now_ns());
    assert_int_equal(endpoint_target(endpoint, ENDPOINT_GETS, LIMITER_LONG), 7);
    free(endpoint);
}

static void test_fellows_divide_what_an_endpoint_has(void **state)
{
    struct budget budget;
    struct endpoint *endpoint = new_endpoint(&budget);
    struct store_request get = request_of(STORE_GET, 8 * MIB);
    struct fellows_seat other = seat_of(5, endpoint->seat.endpoint);
    int64_t now_ns = clock_now_ns();

    fellows_touch(table, &other, now_ns);
    endpoint_begin(endpoint, &get, false, &stats, now_ns);
    assert_int_equal(endpoint_target(endpoint, ENDPOINT_GETS, LIMITER_LONG), 8);
    assert_int_equal(budget_share(&budget), 32 * MIB);
    fellows_leave(table, &other);
    endpoint_begin(endpoint, &get, false, &stats, now_ns + NS_PER_S);
    assert_int_equal(endpoint_target(endpoint, ENDPOINT_GETS, LIMITER_LONG), 16);
    assert_int_equal(budget_share(&budget), 64 * MIB);
    check_count(5, now_ns + NS_PER_S, 1, 2);
    endpoint_leave_fellows(endpoint);
    check_count(5, now_ns + NS_PER_S, 1, 1);
    free(endpoint);
}

/* One that reads a page now and then is nobody's fellow. */
static void test_little_does_not_count(void **state)
{
    struct budget budget;
    struct endpoint *endpoint = new_endpoint(&budget);
    struct store_request get = request_of(STORE_GET, 4096);
    int64_t now_ns = clock_now_ns();

    get.bytes_received = 4096;
    for (unsigned i = 0; i < 20; i++) {
        struct endpoint_begun begun = endpoint_begin(endpoint, &get, false, &stats, now_ns);

        endpoint_end(endpoint, &get, &begun, false, now_ns, now_ns + NS_PER_S);
        now_ns += NS_PER_S;
        check_count(5, now_ns, 1, 1);
    }
    free(endpoint);
}

static void test_a_child_is_another_process(void **state)
{
    struct budget budget;
    struct endpoint *endpoint = new_endpoint(&budget);
    struct store_request get = request_of(STORE_GET, 8 * MIB);
    uint64_t process = endpoint->seat.process;
    int64_t now_ns = clock_now_ns();

    endpoint_begin(endpoint, &get, false, &stats, now_ns);
    endpoint_join(endpoint, ENDPOINT_GETS);
    endpoint_reset_child(endpoint);
    assert_int_not_equal(endpoint->seat.process, process);
    assert_int_equal(endpoint->limiters[ENDPOINT_GETS].flows[LIMITER_LONG].in_flight, 0);
    endpoint_leave_fellows(endpoint); /* the seat is the parent's */
    check_count(5, now_ns, 1, 2);
    endpoint_begin(endpoint, &get, false, &stats, now_ns);
    check_count(5, now_ns, 1, 3);
    free(endpoint);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1) < 0)
        return -1;
    core_run_make_bucket("fellows");
    table = fellows_open();
    return table ? 0 : -1;
}

static int tear_down(void **state)
{
    char command[64];

    (void)state;
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_those_that_move_data_count, clear_table),
        cmocka_unit_test_setup(test_a_process_at_two_endpoints_is_one, clear_table),
        cmocka_unit_test_setup(test_a_seat_counts_for_a_while, clear_table),
        cmocka_unit_test_setup(test_more_than_there_are_seats, clear_table),
        cmocka_unit_test_setup(test_who_was_killed_keeps_no_share, clear_table),
        cmocka_unit_test_setup(test_requests_are_counted_by_kind, clear_table),
        cmocka_unit_test_setup(test_refusals_halve, clear_table),
        cmocka_unit_test_setup(test_fellows_divide_what_an_endpoint_has, clear_table),
        cmocka_unit_test_setup(test_little_does_not_count, clear_table),
        cmocka_unit_test_setup(test_a_child_is_another_process, clear_table),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
