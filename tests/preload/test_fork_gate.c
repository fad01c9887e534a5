/* A threaded program forks under load: every child starts with whole structures and reads at once.
 *
 * Four threads read without pause while the main thread forks a thousand times; each child reads
 * from an inherited descriptor and opens another file. Over TLS (test_fork_gate.env), where a fork
 * in the middle of a record would wreck both sides' sequence numbers. */
#include "tests/preload/preload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

#define FILES 4
#define SIZE (2 << 20)
#define FORKS 1000
#define CHILD_SECONDS 30

static int fds[FILES];
static atomic_bool stop;
static atomic_uint wrong;
static atomic_ullong reads;

static int setup(void **state)
{
    char name[32];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "gate.%d", i);
        preload_make(preload_path(name), SIZE);
        fds[i] = open(preload_path(name), O_RDONLY | O_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    return 0;
}

static bool read_somewhere(int fd, unsigned *seed)
{
    unsigned char buffer[20000];
    off_t offset = (off_t)((unsigned)rand_r(seed) % (SIZE - sizeof buffer));
    return pread(fd, buffer, sizeof buffer, offset) == sizeof buffer &&
           preload_matches(buffer, sizeof buffer, (uint64_t)offset);
}

static void *reader(void *arg)
{
    unsigned seed = (unsigned)(uintptr_t)arg;
    while (!stop) {
        if (!read_somewhere(fds[(unsigned)rand_r(&seed) % FILES], &seed))
            wrong++;
        reads++;
    }
    return NULL;
}

/* Nothing of cmocka here: the parent judges by the status. */
static _Noreturn void child(unsigned seed)
{
    alarm(CHILD_SECONDS);
    if (!read_somewhere(fds[seed % FILES], &seed))
        _exit(1);
    if (seed % 16 == 0) {
        int fd = open(preload_path("gate.1"), O_RDONLY);
        if (fd < 0 || !read_somewhere(fd, &seed) || close(fd) < 0)
            _exit(2);
    }
    _exit(0);
}

static void a_thousand_forks(void **state)
{
    pthread_t threads[4];
    for (uintptr_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, reader, (void *)(i + 1)), 0);
    /* Under AddressSanitizer a fork while threads are being made may find its allocator locked. */
    while (reads < 8)
        usleep(1000);
    for (unsigned i = 0; i < FORKS; i++) {
        pid_t pid = fork();
        if (!pid)
            child(i * 7919 + 1);
        assert_true(pid > 0);
        int status = 0;
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status)
            fail_msg("child %u: status %#x", i, status);
    }
    stop = true;
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
    assert_true(reads > 100);
}

/* The offset belongs to the description, which parent and child share. */
static void shared_offset(void **state)
{
    char byte;
    int fd = open(preload_path("gate.0"), O_RDONLY);
    assert_int_equal(read(fd, &byte, 1), 1);
    pid_t pid = fork();
    if (!pid)
        _exit(read(fd, &byte, 1) == 1 && (unsigned char)byte == preload_byte(1) ? 0 : 1);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal((unsigned char)byte, preload_byte(2));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_forks),
        cmocka_unit_test(shared_offset),
    };
    return cmocka_run_group_tests_name("fork_gate", tests, setup, NULL);
}
