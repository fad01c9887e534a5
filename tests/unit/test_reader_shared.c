/* engine/core/reader_shared.h: seats of processes that live, that died, and that never were. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/place.h"
#include "core/reader_shared.h"

#define STORE 7u
#define SEATS 1024u /* as the table has */

static struct shared_version version_of(const char *key, const char *etag)
{
    struct shared_version version = {.store = STORE, .size_bytes = 5, .stored_bytes = 5};

    strcpy(version.uri.scheme, "s3");
    strcpy(version.uri.bucket, "bucket");
    strcpy(version.uri.key, key);
    strcpy(version.etag, etag);
    return version;
}

static struct shared_seat enter(struct shared_table *table, const char *key)
{
    struct shared_version version = version_of(key, "\"1\"");
    struct shared_seat seat;

    shared_enter(table, &version, false, &seat);
    return seat;
}

/* Of readers in another process, which lives until it is ended. */
struct other {
    pid_t pid;
    int told[2];
};

static struct shared_seat start_other(struct other *other, struct shared_table *table,
                                      const char *key)
{
    struct shared_seat seat;

    assert_int_equal(pipe(other->told), 0);
    other->pid = fork();
    if (!other->pid) {
        seat = enter(table, key);
        (void)!write(other->told[1], &seat, sizeof seat);
        for (;;)
            pause();
    }
    assert_int_equal(read(other->told[0], &seat, sizeof seat), sizeof seat);
    assert_int_not_equal(seat.ticket, 0);
    return seat;
}

static void end_other(struct other *other)
{
    kill(other->pid, SIGKILL);
    assert_int_equal(waitpid(other->pid, NULL, 0), other->pid);
    close(other->told[0]);
    close(other->told[1]);
}

struct finding {
    unsigned count;
    struct shared_seat seat;
    struct shared_version version;
};

static bool found(void *arg, const struct shared_seat *seat, const struct shared_version *version)
{
    struct finding *finding = arg;

    finding->count++;
    finding->seat = *seat;
    finding->version = *version;
    return true;
}

static unsigned find(struct shared_table *table, const char *name, bool below,
                     struct finding *finding)
{
    *finding = (struct finding){0};
    shared_find(table, STORE, name, below, found, finding);
    return finding->count;
}

static void make_file(char path[SHARED_PATH_MAX])
{
    const char *folder = getenv("TMPDIR");
    int fd;

    snprintf(path, SHARED_PATH_MAX, "%.200s/shared-XXXXXX", folder ? folder : "/tmp");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "12345", 5), 5);
    close(fd);
}

/* ---- */

static void others_are_found(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_seat own = enter(table, "dir/file"), seat;
    struct finding finding;
    struct other other;

    assert_non_null(table);
    assert_int_equal(find(table, "s3://bucket/dir/file", false, &finding), 0); /* not one's own */
    seat = start_other(&other, table, "dir/file");
    assert_true(shared_has(table, STORE, "s3://bucket/dir/file"));
    assert_false(shared_has(table, STORE + 1, "s3://bucket/dir/file"));
    assert_false(shared_has(table, STORE, "s3://bucket/dir/fil"));
    assert_int_equal(find(table, "s3://bucket/dir/file", false, &finding), 1);
    assert_int_equal(finding.seat.ticket, seat.ticket);
    assert_string_equal(finding.version.uri.key, "dir/file");
    assert_string_equal(finding.version.etag, "\"1\"");
    assert_int_equal(finding.version.size_bytes, 5);
    shared_let_go(table, &finding.seat);
    assert_int_equal(find(table, "s3://bucket/dir", false, &finding), 0);
    assert_int_equal(find(table, "s3://bucket/di", true, &finding), 0);
    assert_int_equal(find(table, "s3://bucket/dir", true, &finding), 1);
    shared_let_go(table, &finding.seat);
    end_other(&other);
    assert_false(shared_has(table, STORE, "s3://bucket/dir/file"));
    assert_int_equal(find(table, "s3://bucket/dir/file", false, &finding), 0);
    shared_leave(table, &own);
}

/* What is told is read where it was told, and by whoever gets the version handed over. */
static void told(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_seat seat = enter(table, "told"), late;
    struct shared_version version = version_of("moved", "\"2\""), now;
    _Atomic uint32_t *word;
    uint32_t value;

    shared_tell(table, &seat, &version);
    assert_true(shared_look(table, &seat, &now, &word, &value));
    assert_null(word);
    assert_string_equal(now.uri.key, "moved");
    assert_string_equal(now.etag, "\"2\"");
    now = version_of("told", "\"1\"");
    shared_enter(table, &now, true, &late);
    assert_string_equal(now.uri.key, "moved");
    now = version_of("told", "\"other\"");
    shared_leave(table, &late);
    shared_enter(table, &now, true, &late);
    assert_string_equal(now.uri.key, "told");
    shared_leave(table, &late);
    shared_leave(table, &seat);
    assert_false(shared_look(table, &seat, &now, &word, &value));
    now = version_of("told", "\"1\"");
    shared_enter(table, &now, true, &late); /* nobody is left who knew */
    assert_string_equal(now.uri.key, "told");
    shared_leave(table, &late);
}

/* What was told to the parent is what the child knows, whatever becomes of the parent's reader; and
 * it leaves all at once. */
static void a_child_inherits(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_seat seat = enter(table, "before");
    struct shared_version moved = version_of("after", "\"2\"");
    struct finding finding;
    int told[2], status;
    pid_t pid;

    (void)state;
    shared_tell(table, &seat, &moved);
    assert_int_equal(pipe(told), 0);
    pid = fork();
    if (!pid) {
        struct shared_seat own = seat, gone = {0};
        bool inherits = shared_inherit(table, &own) && own.ticket != seat.ticket;

        (void)!read(told[0], &gone, 1); /* the parent has looked */
        gone.ticket = 0;
        shared_leave_all(table);
        _exit(!inherits || shared_inherit(table, &gone));
    }
    while (!shared_has(table, STORE, "s3://bucket/after"))
        sched_yield();
    assert_false(shared_has(table, STORE, "s3://bucket/before"));
    shared_leave(table, &seat);
    assert_int_equal(find(table, "s3://bucket/after", false, &finding), 1);
    assert_string_equal(finding.version.etag, "\"2\"");
    shared_let_go(table, &finding.seat);
    assert_int_equal(write(told[1], "", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(find(table, "s3://bucket/after", false, &finding), 0);
    close(told[0]);
    close(told[1]);
}

static void a_file_goes_with_the_last_seat(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_seat seats[2] = {enter(table, "kept"), enter(table, "kept")}, gone;
    struct shared_version version = version_of("kept", "\"1\"");
    struct shared_version now;
    _Atomic uint32_t *word;
    uint32_t value;

    make_file(version.file);
    for (int i = 0; i < 2; i++)
        shared_tell(table, &seats[i], &version);
    gone = seats[0];
    shared_leave(table, &seats[0]);
    assert_int_equal(access(version.file, F_OK), 0);
    assert_true(shared_look(table, &seats[1], &now, &word, &value));
    assert_string_equal(now.file, version.file);
    shared_leave(table, &seats[1]);
    assert_int_not_equal(access(version.file, F_OK), 0);
    make_file(version.file);
    shared_tell(table, &gone, &version); /* closed before it was told */
    assert_int_not_equal(access(version.file, F_OK), 0);
}

static void what_the_dead_had(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_version version = version_of("dead", "\"1\""), now;
    struct shared_seat seat;
    struct other other;
    _Atomic uint32_t *word;
    uint32_t value;

    seat = start_other(&other, table, "dead");
    make_file(version.file);
    shared_tell(table, &seat, &version);
    shared_table_open();
    assert_int_equal(access(version.file, F_OK), 0); /* it lives */
    end_other(&other);
    assert_non_null(shared_table_open());
    assert_int_not_equal(access(version.file, F_OK), 0);
    assert_false(shared_look(table, &seat, &now, &word, &value));
}

/* Who looks while another process holds the seat waits, but not for one that died. */
static void held(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_seat seat = enter(table, "held");
    struct shared_version now;
    struct finding finding;
    _Atomic uint32_t *word;
    uint32_t value;
    int status;
    pid_t pid = fork();

    if (!pid)
        _exit(find(table, "s3://bucket/held", false, &finding) == 1 ? 0 : 1);
    assert_int_equal(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT), 0);
    assert_true(shared_look(table, &seat, &now, &word, &value));
    assert_non_null(word); /* a process that has ended and was not waited for is still one */
    assert_int_equal(value, pid);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(shared_look(table, &seat, &now, &word, &value));
    assert_null(word);
    pid = fork();
    if (!pid) {
        bool well = find(table, "s3://bucket/held", false, &finding) == 1;

        shared_let_go(table, &finding.seat);
        _exit(well ? 0 : 1);
    }
    assert_int_equal(waitid(P_PID, (id_t)pid, NULL, WEXITED | WNOWAIT), 0);
    assert_true(shared_look(table, &seat, &now, &word, &value));
    assert_null(word);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    shared_leave(table, &seat);
}

static void a_full_table(void **state)
{
    struct shared_table *table = shared_table_open();
    static struct shared_seat seats[SEATS + 3];
    unsigned with = 0;

    for (unsigned i = 0; i < SEATS + 3; i++) {
        seats[i] = enter(table, "many");
        with += seats[i].ticket != 0;
    }
    assert_int_equal(with, SEATS);
    for (unsigned i = 0; i < SEATS + 3; i++)
        shared_leave(table, &seats[i]);
    seats[0] = enter(table, "many");
    assert_int_not_equal(seats[0].ticket, 0);
    shared_leave(table, &seats[0]);
}

/* Whatever stands in it: no crash, no wait for ever, nothing found that nobody has. */
static void garbage(void **state)
{
    struct shared_table *table = shared_table_open();
    struct shared_version now;
    struct finding finding;
    struct shared_seat seat;
    _Atomic uint32_t *word;
    uint32_t value;
    struct stat st;
    int fd = place_open("readers-2");

    assert_int_equal(fstat(fd, &st), 0);
    for (unsigned fill = 0x41; fill <= 0xff; fill += 0xff - 0x41) {
        char *bytes = malloc((size_t)st.st_size);

        memset(bytes, (int)fill, (size_t)st.st_size);
        assert_int_equal(pwrite(fd, bytes, (size_t)st.st_size, 0), st.st_size);
        free(bytes);
        seat = enter(table, "garbage");
        find(table, "s3://bucket/garbage", true, &finding);
        if (seat.ticket)
            shared_look(table, &seat, &now, &word, &value);
        shared_leave(table, &seat);
        assert_non_null(shared_table_open());
    }
    assert_int_equal(ftruncate(fd, 0), 0);
    assert_int_equal(ftruncate(fd, st.st_size), 0);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(others_are_found),
        cmocka_unit_test(told),
        cmocka_unit_test(a_child_inherits),
        cmocka_unit_test(a_file_goes_with_the_last_seat),
        cmocka_unit_test(what_the_dead_had),
        cmocka_unit_test(held),
        cmocka_unit_test(a_full_table),
        cmocka_unit_test(garbage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
