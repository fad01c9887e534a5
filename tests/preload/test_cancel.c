/* Threads that are cancelled: calls that are cancellation points (pthreads(7)) act on it, others do
 * not; neither leaves anything behind, be it a lock, a reference or memory. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/uio.h>

#define SIZE ((size_t)8 << 20)

/* AddressSanitizer takes marks of frames that a cancellation left for an overflow, natively, too;
 * ThreadSanitizer loses track of a thread that is cancelled in a call that it intercepts. */
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#    define IS_WATCHED 1
#else
#    define IS_WATCHED 0
#endif

static void not_when_watched(void)
{
    if (!IS_WATCHED)
        return;
    print_message("skip: sanitizers cannot watch threads that are cancelled\n");
    skip();
}

static char *data, *other;
static int fd, copy_fd;
static char buffer[4096];
static struct iovec iov = {buffer, sizeof buffer};

static int setup(void **state)
{
    alarm(200); /* a lock that stays held ends the test here */
    data = strdup(preload_path("cancel.dat"));
    other = strdup(preload_path("cancel.new"));
    preload_make(data, SIZE);
    fd = open(data, O_RDWR);
    copy_fd = open(other, O_RDWR | O_CREAT | O_TRUNC, 0644);
    return fd < 0 || copy_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    return close(fd) || close(copy_fd) ? -1 : 0;
}

/* ---- with a cancellation pending --------------------------------------------------------------- */

struct call {
    const char *name;
    void (*make)(void);
};

static _Atomic bool came_back;

static void *make_pending(void *arg)
{
    const struct call *call = arg;
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    pthread_cancel(pthread_self());
    pthread_setcancelstate(before, NULL);
    call->make();
    atomic_store(&came_back, true);
    pthread_testcancel();
    return NULL;
}

static bool comes_back(const struct call *call)
{
    pthread_t thread;
    void *result;
    atomic_store(&came_back, false);
    assert_int_equal(pthread_create(&thread, NULL, make_pending, (void *)(uintptr_t)call), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    return atomic_load(&came_back);
}

static void do_open(void)
{
    (void)!open(data, O_RDONLY);
}

static void do_openat(void)
{
    (void)!openat(AT_FDCWD, data, O_RDONLY);
}

static void do_creat(void)
{
    (void)!creat(preload_path("cancel.none"), 0644);
}

static void do_read(void)
{
    (void)!read(fd, buffer, sizeof buffer);
}

static void do_pread(void)
{
    (void)!pread(fd, buffer, sizeof buffer, 0);
}

static void do_readv(void)
{
    (void)!readv(fd, &iov, 1);
}

static void do_preadv(void)
{
    (void)!preadv(fd, &iov, 1, 0);
}

static void do_write(void)
{
    (void)!write(copy_fd, buffer, sizeof buffer);
}

static void do_pwrite(void)
{
    (void)!pwrite(copy_fd, buffer, sizeof buffer, 0);
}

static void do_writev(void)
{
    (void)!writev(copy_fd, &iov, 1);
}

static void do_fsync(void)
{
    (void)!fsync(copy_fd);
}

static void do_fdatasync(void)
{
    (void)!fdatasync(copy_fd);
}

static void do_close(void)
{
    close(-1);
    close(dup(fd));
}

static void do_lock(void)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    fcntl(fd, F_SETLKW, &lock);
}

static void points_act(void **state)
{
    not_when_watched();
    static const struct call calls[] = {
        {"open", do_open},     {"openat", do_openat}, {"creat", do_creat},
        {"read", do_read},     {"pread", do_pread},   {"readv", do_readv},
        {"preadv", do_preadv}, {"write", do_write},   {"pwrite", do_pwrite},
        {"writev", do_writev}, {"fsync", do_fsync},   {"fdatasync", do_fdatasync},
        {"close", do_close},   {"fcntl", do_lock},
    };
    struct stat st;
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (comes_back(&calls[i]))
            fail_msg("%s comes back", calls[i].name);
    assert_errno(stat(preload_path("cancel.none"), &st), ENOENT); /* nothing was done before */
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
    assert_int_equal(fstat(copy_fd, &st), 0);
    assert_int_equal(st.st_size, 0);
}

static void do_stat(void)
{
    struct stat st;
    if (!stat(data, &st) && !fstat(fd, &st) && !lstat(data, &st) && st.st_size == SIZE)
        return;
    abort();
}

static void do_names(void)
{
    const char *one = preload_path("cancel.one"), *two = preload_path("cancel.two");
    if (mkdir(one, 0755) || rename(one, two) || access(two, F_OK) || rmdir(two))
        abort();
}

static void do_directory(void)
{
    DIR *dir = opendir(preload_root());
    unsigned count = 0;
    while (dir && readdir(dir))
        count++;
    if (!dir || count < 3 || closedir(dir))
        abort();
}

static void do_seek(void)
{
    if (lseek(fd, 100, SEEK_SET) != 100 || lseek(fd, 0, SEEK_SET) || ftruncate(copy_fd, 10) ||
        ftruncate(copy_fd, 0))
        abort();
}

static void do_map(void)
{
    char *memory = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED || munmap(memory, 4096))
        abort();
}

static void do_set(void)
{
    if (fchmod(copy_fd, 0600) || chmod(data, 0640))
        abort();
}

static void others_do_not(void **state)
{
    not_when_watched();
    static const struct call calls[] = {
        {"stat", do_stat}, {"names", do_names}, {"directory", do_directory},
        {"seek", do_seek}, {"map", do_map},     {"set", do_set},
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!comes_back(&calls[i]))
            fail_msg("%s was cancelled", calls[i].name);
}

/* ---- at any moment ----------------------------------------------------------------------------- */

struct worker {
    void (*work)(unsigned round);
    sem_t begun;
};

static void *work_on(void *arg)
{
    struct worker *worker = arg;
    sem_post(&worker->begun);
    for (unsigned round = 0;; round++) {
        worker->work(round);
        pthread_testcancel();
    }
    return NULL;
}

static void cancel_one(struct worker *worker)
{
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, work_on, worker), 0);
    assert_int_equal(sem_wait(&worker->begun), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
}

static int reading_fd;

static void read_anywhere(unsigned round)
{
    char bytes[1000];
    (void)!pread(reading_fd, bytes, sizeof bytes, (off_t)((round * 7919 + 13) * 4099 % SIZE));
}

static void read_on(unsigned round)
{
    static char bytes[64 << 10];
    if (read(reading_fd, bytes, sizeof bytes) <= 0)
        lseek(reading_fd, 0, SEEK_SET);
}

static void write_and_sync(unsigned round)
{
    char bytes[100] = {(char)round};
    (void)!pwrite(copy_fd, bytes, sizeof bytes, (off_t)(round % 10 * 1000));
    fsync(copy_fd);
}

static void look(unsigned round)
{
    char name[32];
    struct stat st;
    snprintf(name, sizeof name, "cancel.%u", round);
    stat(preload_path(name), &st);
    stat(data, &st);
}

static void lock_and_unlock(unsigned round)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    fcntl(copy_fd, F_SETLKW, &lock);
    lock.l_type = F_UNLCK;
    fcntl(copy_fd, F_SETLK, &lock);
}

/* Nothing that it waits for comes: of the file, nothing is asked. */
static void wait_by_poll(unsigned round)
{
    static struct pollfd fds[5000];
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        fds[i].fd = -1;
    fds[0].fd = fd;
    poll(fds, sizeof fds / sizeof *fds, -1);
}

static void wait_by_select(unsigned round)
{
    static fd_set sets[4];
    memset(sets, 0, sizeof sets);
    FD_SET(fd, &sets[0]); /* a file has nothing exceptional */
    select(4 * FD_SETSIZE, NULL, NULL, sets, NULL);
}

#define ROUNDS 60

static size_t used(void)
{
    malloc_trim(0);
    return mallinfo2().uordblks;
}

/* What is kept for the next time grows at first, and then no more; what is lost in each round, or
 * in some, grows on. */
#define BATCHES_MAX 60
#define BATCH_BYTES (ROUNDS * 16)

static void leaves_nothing(void (*work)(unsigned round))
{
    struct worker worker = {.work = work};
    size_t before = 0, after = 0;
    unsigned quiet = 0;
    sem_init(&worker.begun, 0, 0);
    for (int batch = 0; batch < BATCHES_MAX && quiet < 3; batch++) {
        for (int i = 0; i < ROUNDS; i++)
            cancel_one(&worker);
        before = after;
        after = used();
        quiet = after < before + BATCH_BYTES ? quiet + 1 : 0;
    }
    if (quiet < 3)
        fail_msg("%zu bytes became %zu", before, after);
}

static void in_the_middle_of_reads(void **state)
{
    not_when_watched();
    for (int i = 0; i < 2; i++) {
        reading_fd = open(data, i ? O_RDONLY : O_RDWR);
        leaves_nothing(read_anywhere);
        leaves_nothing(read_on);
        read_anywhere(1); /* nothing is held */
        assert_int_equal(lseek(reading_fd, 5, SEEK_SET), 5);
        assert_int_equal(read(reading_fd, buffer, 100), 100);
        assert_true(preload_matches(buffer, 100, 5));
        assert_int_equal(close(reading_fd), 0);
    }
}

static void in_the_middle_of_writes(void **state)
{
    not_when_watched();
    leaves_nothing(write_and_sync);
    leaves_nothing(lock_and_unlock);
    write_and_sync(1);
    lock_and_unlock(1);
    struct stat st;
    assert_int_equal(fstat(copy_fd, &st), 0);
}

static void in_the_middle_of_looks(void **state)
{
    not_when_watched();
    leaves_nothing(look);
}

static void in_the_middle_of_waits(void **state)
{
    not_when_watched();
    leaves_nothing(wait_by_poll);
    leaves_nothing(wait_by_select);
}

/* It waits for a lock that somebody else has, perhaps for ever. */
static void *wait_for_lock(void *arg)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    sem_post(arg);
    fcntl(copy_fd, F_OFD_SETLKW, &lock);
    return NULL;
}

static void in_the_middle_of_a_lock(void **state)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    int holder = open(other, O_RDWR);
    pthread_t thread;
    void *result;
    sem_t begun;
    not_when_watched();
    sem_init(&begun, 0, 0);
    assert_int_equal(fcntl(holder, F_OFD_SETLKW, &lock), 0);
    assert_int_equal(pthread_create(&thread, NULL, wait_for_lock, &begun), 0);
    assert_int_equal(sem_wait(&begun), 0);
    assert_int_equal(pthread_cancel(thread), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_ptr_equal(result, PTHREAD_CANCELED);
    assert_int_equal(close(holder), 0);
    assert_int_equal(fcntl(copy_fd, F_OFD_SETLK, &lock), 0);
    lock.l_type = F_UNLCK;
    assert_int_equal(fcntl(copy_fd, F_OFD_SETLK, &lock), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(points_act),
        cmocka_unit_test(others_do_not),
        cmocka_unit_test(in_the_middle_of_reads),
        cmocka_unit_test(in_the_middle_of_writes),
        cmocka_unit_test(in_the_middle_of_looks),
        cmocka_unit_test(in_the_middle_of_waits),
        cmocka_unit_test(in_the_middle_of_a_lock),
    };
    return cmocka_run_group_tests_name("cancel", tests, setup, teardown);
}
