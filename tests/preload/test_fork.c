/* fork and vfork with open files: shared offsets, reading in children, forking under load, uploads
 * that stay the parent's. */
#include "tests/preload/preload.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE    (2 << 20 | 999)
#define ROUNDS  200
#define READERS 3

static const char *data;

static int setup(void **state)
{
    data = strdup(preload_path("fork.dat"));
    preload_make(data, SIZE);
    return 0;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool reads_whole(const char *path)
{
    static unsigned char buffer[SIZE + 1];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    size_t done = 0;
    for (ssize_t got; fd >= 0 && (got = read(fd, buffer + done, 300000)) > 0;)
        done += (size_t)got;
    close(fd);
    return done == SIZE && preload_matches(buffer, SIZE, 0);
}

static void offset_is_shared(void **state)
{
    int fd = open(data, O_RDONLY);
    unsigned char buffer[1000];
    assert_int_equal(read(fd, buffer, 1000), 1000);
    pid_t pid = fork();
    if (!pid) {
        bool good = read(fd, buffer, 1000) == 1000 && preload_matches(buffer, 1000, 1000);
        _exit(good ? 0 : 1);
    }
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 2000);
    assert_int_equal(read(fd, buffer, 1000), 1000);
    assert_true(preload_matches(buffer, 1000, 2000));
    close(fd);
}

static void child_opens_its_own(void **state)
{
    assert_true(reads_whole(data));
    pid_t pid = fork();
    if (!pid) {
        pid_t grandchild = fork();
        if (!grandchild)
            _exit(reads_whole(data) ? 0 : 1);
        int status = -1;
        waitpid(grandchild, &status, 0);
        _exit(status || !reads_whole(data));
    }
    assert_int_equal(wait_for(pid), 0);
    assert_true(reads_whole(data));
}

static void children_share_the_work(void **state)
{
    int fd = open(data, O_RDONLY);
    _Atomic int64_t *total =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t pids[4];
    for (int i = 0; i < 4; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            unsigned char buffer[5000];
            for (ssize_t got; (got = read(fd, buffer, sizeof buffer)) > 0;)
                atomic_fetch_add(total, got);
            _exit(0);
        }
    }
    for (int i = 0; i < 4; i++)
        assert_int_equal(wait_for(pids[i]), 0);
    assert_int_equal(*total, SIZE); /* nothing twice, nothing left out */
    munmap((void *)total, 4096);
    close(fd);
}

static void stream_in_a_child(void **state)
{
    FILE *file = fopen(data, "r");
    assert_int_equal(getc(file), preload_byte(0));
    pid_t pid = fork();
    if (!pid)
        _exit(getc(file) == preload_byte(1) && fclose(file) == 0 ? 0 : 1);
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(getc(file), preload_byte(1));
    fclose(file);
}

/* ---- under load ---- */

static atomic_bool stop;
static atomic_int bad;

static void *read_on(void *seed)
{
    unsigned char buffer[20000];
    uint64_t offset = (uintptr_t)seed * 7919;
    while (!stop) {
        int fd = open(data, O_RDONLY | O_CLOEXEC);
        for (int i = 0; i < 20; i++) {
            offset = (offset * 31 + 12345) % (SIZE - sizeof buffer);
            ssize_t got = pread(fd, buffer, sizeof buffer, (off_t)offset);
            bad += got != sizeof buffer || !preload_matches(buffer, sizeof buffer, offset);
        }
        close(fd);
    }
    return NULL;
}

static void forking_under_load(void **state)
{
    pthread_t threads[READERS];
    for (uintptr_t i = 0; i < READERS; i++)
        pthread_create(&threads[i], NULL, read_on, (void *)i);
    int shared = open(data, O_RDONLY);
    for (int i = 0; i < ROUNDS; i++) {
        pid_t pid = fork();
        if (!pid) {
            alarm(20);
            unsigned char buffer[3000];
            bool good = pread(shared, buffer, 3000, i) == 3000 && preload_matches(buffer, 3000, i);
            if (good && i % 10 == 0)
                good = reads_whole(data);
            _exit(good ? 0 : 1);
        }
        assert_int_equal(wait_for(pid), 0);
    }
    stop = true;
    for (unsigned i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bad, 0);
    close(shared);
}

/* ---- writing ---- */

static void upload_stays_the_parents(void **state)
{
    const char *path = preload_path("forked-upload");
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "before ", 7), 7);
    pid_t pid = fork();
    if (!pid)
        exit(close(fd));
    assert_int_equal(wait_for(pid), 0);
    assert_int_equal(write(fd, "after", 5), 5);
    assert_int_equal(close(fd), 0);
    char text[32] = "";
    fd = open(path, O_RDONLY);
    assert_int_equal(read(fd, text, sizeof text), 12);
    assert_string_equal(text, "before after");
    close(fd);
}

static void child_writes_its_own(void **state)
{
    const char *path = preload_path("child-upload");
    int reading = open(data, O_RDONLY);
    pid_t pid = fork();
    if (!pid) {
        FILE *file = fopen(path, "w");
        fputs("the child's", file);
        exit(0);
    }
    assert_int_equal(wait_for(pid), 0);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 11);
    close(reading);
}

/* ---- vfork ---- */

static void vfork_and_end(void)
{
    volatile pid_t parent = getpid();
    pid_t pid = vfork();
    if (!pid)
        _exit(getpid() != parent ? 7 : 1);
    assert_true(pid > 0);
    int status = wait_for(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
}

static void vfork_and_exec(const char *program, int expected)
{
    char *argv[] = {(char *)program, NULL};
    pid_t pid = vfork();
    if (!pid) {
        execv(program, argv);
        _exit(9);
    }
    int status = wait_for(pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), expected);
}

static void vfork_with_and_without_files(void **state)
{
    vfork_and_end();
    vfork_and_exec("/bin/true", 0);
    vfork_and_exec("/nonexistent", 9);
    int fd = open(data, O_RDONLY | O_CLOEXEC);
    vfork_and_end();
    vfork_and_exec("/bin/true", 0);
    vfork_and_exec("/nonexistent", 9);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 1);
    close(fd);
    vfork_and_end();
}

/* The emulation's parent waits for its own child only, not for others forked meanwhile. */
static void *vfork_loop(void *unused)
{
    for (int i = 0; i < 50; i++) {
        pid_t pid = vfork();
        if (!pid)
            _exit(0);
        int status;
        waitpid(pid, &status, 0);
    }
    return NULL;
}

static void vfork_beside_long_lived_children(void **state)
{
    int fd = open(data, O_RDONLY | O_CLOEXEC);
    pthread_t thread;
    pthread_create(&thread, NULL, vfork_loop, NULL);
    pid_t sleepers[10];
    for (int i = 0; i < 10; i++) {
        sleepers[i] = fork();
        if (!sleepers[i]) {
            pause();
            _exit(0);
        }
        usleep(2000);
    }
    pthread_join(thread, NULL);
    for (int i = 0; i < 10; i++) {
        kill(sleepers[i], SIGKILL);
        wait_for(sleepers[i]);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offset_is_shared),
        cmocka_unit_test(child_opens_its_own),
        cmocka_unit_test(children_share_the_work),
        cmocka_unit_test(stream_in_a_child),
        cmocka_unit_test(forking_under_load),
        cmocka_unit_test(upload_stays_the_parents),
        cmocka_unit_test(child_writes_its_own),
        cmocka_unit_test(vfork_with_and_without_files),
        cmocka_unit_test(vfork_beside_long_lived_children),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
