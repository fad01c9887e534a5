/* core/stats_board.h: counters that other processes read; seats of the dead; damage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/stats_board.h"
#include "io/gate.h"

#define MS INT64_C(1000000)

static char folder[] = "/tmp/s3dlio-board-XXXXXX";

/* ---- processes that count -------------------------------------------------------------------- */

static void count(struct stats *stats, unsigned requests)
{
    for (unsigned i = 0; i < requests; i++) {
        int64_t now_ns = clock_now_ns();
        struct stats_end end = {
            .operation = STORE_GET,
            .submitted_ns = now_ns - 50 * MS,
            .first_byte_ns = now_ns - 20 * MS,
            .ended_ns = now_ns,
            .bytes_received = 1000,
        };

        stats_begin(stats, STORE_GET, now_ns - 50 * MS);
        stats_end(stats, &end);
    }
}

/* A child that has counted so many, and then waits to be killed. */
static pid_t start_child(unsigned requests)
{
    int ready[2];
    char byte;
    pid_t pid;

    assert_int_equal(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        struct stats *stats = board_take();

        prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a test fails */
        if (!stats || stats_requests(stats) != 0)
            _exit(1);
        count(stats, requests);
        if (write(ready[1], "", 1) != 1)
            _exit(2);
        for (;;)
            pause();
    }
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    return pid;
}

static void end_child(pid_t pid)
{
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

/* ---- who reads ------------------------------------------------------------------------------- */

struct seen {
    unsigned count;
    uint64_t requests[4], p50_ns;
    pid_t pids[4];
    char command[BOARD_COMMAND_BYTES];
};

static void see(void *arg, const struct board_entry *entry)
{
    struct seen *seen = arg;

    assert_true(seen->count < 4);
    seen->requests[seen->count] = entry->stats.requests_all;
    seen->pids[seen->count] = entry->pid;
    seen->p50_ns = histogram_percentile(&entry->stats.first_byte[STORE_GET], 500);
    strcpy(seen->command, entry->command);
    seen->count++;
}

static struct seen look(void)
{
    struct seen seen = {0};

    int found = board_read(see, &seen);

    assert_int_equal(found, seen.count);
    return seen;
}

/* The file of the board. */
static const char *board_path(void)
{
    static char path[512];
    struct dirent *entry;
    DIR *directory;

    snprintf(path, sizeof path, "%s/s3dlio", folder);
    directory = opendir(path);
    assert_non_null(directory);
    while ((entry = readdir(directory)))
        if (strncmp(entry->d_name, "counters-1.", 11) == 0)
            snprintf(path, sizeof path, "%s/s3dlio/%s", folder, entry->d_name);
    closedir(directory);
    return path;
}

static uint64_t board_blocks(void)
{
    struct stat st;

    assert_int_equal(stat(board_path(), &st), 0);
    return (uint64_t)st.st_blocks;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void test_another_process_reads_them(void **state)
{
    pid_t first = start_child(10), second = start_child(3);
    struct seen seen = look();

    assert_int_equal(seen.count, 2);
    assert_int_equal(seen.requests[seen.pids[0] == first ? 0 : 1], 10);
    assert_int_equal(seen.requests[seen.pids[0] == first ? 1 : 0], 3);
    assert_string_equal(seen.command, program_invocation_short_name);
    assert_in_range(seen.p50_ns, 24 * MS, 38 * MS);
    end_child(first);
    end_child(second);
}

static void test_the_dead_leave_nothing(void **state)
{
    pid_t pid = start_child(5);
    uint64_t blocks = board_blocks();
    struct stat before, after;

    assert_int_equal(look().count, 1);
    end_child(pid);
    assert_int_equal(look().count, 0);
    assert_true(board_blocks() < blocks);
    assert_int_equal(stat(board_path(), &before), 0);
    pid = start_child(1); /* sits where that one sat, and counts from nothing */
    assert_int_equal(stat(board_path(), &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_int_equal(look().requests[0], 1);
    end_child(pid);
    pid = start_child(2); /* also when no reader has been here */
    assert_int_equal(stat(board_path(), &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    end_child(pid);
}

static void test_a_child_is_not_its_parent(void **state)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        struct stats *stats = board_take();

        count(stats, 7);
        pid = fork();
        if (pid == 0) {
            board_forget(stats);
            stats = board_take();
            if (!stats || stats_requests(stats) != 0)
                _exit(1);
            count(stats, 1);
            _exit(look().requests[0] == 7 ? 0 : 2);
        }
        waitpid(pid, &status, 0);
        _exit(status == 0 && stats_requests(stats) == 7 ? 0 : 3);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(look().count, 0);
}

/* Overwrites `length` bytes of the file. */
static void damage(off_t offset, size_t length, int byte)
{
    int fd = open(board_path(), O_RDWR | O_CLOEXEC);
    char *bytes = malloc(length);

    memset(bytes, byte, length);
    assert_int_equal(pwrite(fd, bytes, length, offset), length);
    free(bytes);
    close(fd);
}

static void test_damage_is_not_believed(void **state)
{
    pid_t pid = start_child(5);
    struct stat st;
    int fd;

    assert_int_equal(look().count, 1);
    damage(4096, 8, 0); /* when it was taken: not yet */
    assert_int_equal(look().count, 0);
    damage(4096, 1, 1); /* before the process began */
    assert_int_equal(look().count, 0);
    damage(4096, 8, 0x7f); /* in some centuries, by another version of this struct */
    damage(4096 + 8, 8, 0xff);
    assert_int_equal(look().count, 0);
    assert_int_equal(stat(board_path(), &st), 0);
    damage(4096 + 4096, (size_t)st.st_size - 2 * 4096, 0xff); /* numbers are only numbers */
    look();
    damage(0, 4096, 0xff); /* no such process ids */
    assert_int_equal(look().count, 0);
    damage(0, 4096, 0);
    end_child(pid);
    fd = open(board_path(), O_RDWR | O_TRUNC | O_CLOEXEC); /* nobody maps it now */
    assert_true(fd >= 0);
    close(fd);
    assert_int_equal(look().count, 0);
    pid = start_child(1);
    assert_int_equal(look().count, 1);
    end_child(pid);
}

static void test_numbers_of_any_kind(void **state)
{
    pid_t pid = start_child(5);

    /* Behind what is checked, ahead of the end: counters, histograms, samples. */
    damage(4096 + 40 + BOARD_COMMAND_BYTES, sizeof(struct stats) / 2, 0xff);
    assert_int_equal(look().count, 1);
    end_child(pid);
}

static void test_all_seats_taken(void **state)
{
    struct stats *mine;
    uint32_t pids[BOARD_SEATS];
    int fd;

    end_child(start_child(1));
    fd = open(board_path(), O_RDWR | O_CLOEXEC);
    for (unsigned i = 0; i < BOARD_SEATS; i++)
        pids[i] = 1; /* lives */
    assert_int_equal(pwrite(fd, pids, sizeof pids, 0), sizeof pids);
    mine = board_take();
    assert_null(mine);
    memset(pids, 0, sizeof pids);
    assert_int_equal(pwrite(fd, pids, sizeof pids, 0), sizeof pids);
    close(fd);
}

static int set_up(void **state)
{
    static struct gate_scope scope;

    if (!mkdtemp(folder) || setenv("XDG_RUNTIME_DIR", folder, 1) < 0)
        return -1;
    gate_enter(&scope);
    return 0;
}

static int tear_down(void **state)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_process_reads_them),
        cmocka_unit_test(test_the_dead_leave_nothing),
        cmocka_unit_test(test_a_child_is_not_its_parent),
        cmocka_unit_test(test_damage_is_not_believed),
        cmocka_unit_test(test_numbers_of_any_kind),
        cmocka_unit_test(test_all_seats_taken),
    };

    return cmocka_run_group_tests_name("stats_board", tests, set_up, tear_down);
}
