/* What comes in between: dup2 onto a number that others read from, signal handlers that use files
 * while their thread does, handlers of fork that do, and programs that close whatever they find. */
#include "tests/preload/text.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SIZE    300000
#define ROUNDS  3000
#define READERS 2

/* ---- dup2 ---- */

static atomic_bool stop;
static atomic_int bad, reads;
static int number;

static void file_of(const char *path, int byte)
{
    static char content[SIZE];
    memset(content, byte, sizeof content);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, content, sizeof content), sizeof content);
    assert_int_equal(close(fd), 0);
}

/* All of a read is of one file, and there is always one. */
static void *read_one_of_them(void *unused)
{
    char text[3000];
    while (!stop) {
        ssize_t count = pread(number, text, sizeof text, 1000);
        bad += count != sizeof text || memcmp(text, text + 1, sizeof text - 1) ||
               !memchr("vwr", text[0], 3);
        reads++;
    }
    return NULL;
}

static void replaced_under_readers(void **state)
{
    char local[] = "/tmp/s3dlio-test-XXXXXX";
    int fds[3] = {0};
    pthread_t threads[READERS];
    file_of(preload_path("in-v"), 'v');
    file_of(preload_path("in-w"), 'w');
    close(mkstemp(local));
    file_of(local, 'r');
    fds[0] = text_open("in-v", O_RDONLY);
    fds[1] = text_open("in-w", O_RDONLY);
    fds[2] = open(local, O_RDONLY);
    number = dup(fds[0]);
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_one_of_them, NULL), 0);
    for (int i = 0; i < ROUNDS || reads < 100; i++)
        assert_int_equal(dup2(fds[i % 3], number), number);
    stop = true;
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(bad, 0);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    close(number);
    unlink(local);
}

/* ---- handlers ---- */

static int handlers_fd;
static volatile sig_atomic_t handled, handled_badly;

static void use_files(int signal)
{
    int saved = errno;
    unsigned char bytes[500];
    struct stat st;
    off_t at = 7919 * (handled % 30);
    int copy = dup(handlers_fd);
    handled_badly |= copy < 0 || pread(copy, bytes, sizeof bytes, at) != sizeof bytes ||
                     !preload_matches(bytes, sizeof bytes, (uint64_t)at) ||
                     lseek(copy, 11, SEEK_SET) != 11 || read(copy, bytes, 10) != 10 ||
                     !preload_matches(bytes, 10, 11) || fstat(copy, &st) || st.st_size != SIZE ||
                     close(copy);
    handled++;
    errno = saved;
}

static void *interrupt(void *thread)
{
    while (!stop) {
        syscall(SYS_tgkill, getpid(), *(pid_t *)thread, SIGUSR1);
        usleep(200);
    }
    return NULL;
}

static void used_by_handlers(void **state)
{
    struct sigaction action = {.sa_handler = use_files, .sa_flags = SA_RESTART}, old;
    unsigned char buffer[4096];
    pthread_t thread;
    pid_t self = (pid_t)syscall(SYS_gettid);
    preload_make(preload_path("in-handled"), SIZE);
    handlers_fd = text_open("in-handled", O_RDONLY);
    assert_int_equal(sigaction(SIGUSR1, &action, &old), 0);
    stop = false;
    assert_int_equal(pthread_create(&thread, NULL, interrupt, &self), 0);
    for (int i = 0; i < 20 || handled < 100; i++) {
        int fd = text_open("in-handled", O_RDONLY);
        uint64_t at = 0;
        for (ssize_t count; (count = read(fd, buffer, sizeof buffer)) > 0; at += (uint64_t)count)
            if (!preload_matches(buffer, (size_t)count, at))
                fail_msg("wrong bytes at %llu", (unsigned long long)at);
        assert_int_equal(at, SIZE);
        assert_int_equal(close(fd), 0);
        fd = text_begin("in-written", O_WRONLY, "written ");
        text_add(fd, "between");
        assert_int_equal(close(fd), 0);
    }
    stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(sigaction(SIGUSR1, &old, NULL), 0);
    assert_false(handled_badly);
    text_is("in-written", "written between");
    close(handlers_fd);
}

/* ---- fork's handlers ---- */

static char order[8];
static bool watches;

static void note(char letter)
{
    char byte = 0;
    if (!watches)
        return;
    bool is_read = pread(handlers_fd, &byte, 1, 1) == 1 && (unsigned char)byte == preload_byte(1);
    order[strlen(order)] = is_read ? letter : '?';
}

static void before(void)
{
    note('p');
}

static void in_parent(void)
{
    note('P');
}

static void in_child(void)
{
    note('C');
}

static void before_first(void)
{
    note('q');
}

/* Prepared in reverse, and every handler may read what is open. */
static void read_by_forks_handlers(void **state)
{
    int status = -1;
    assert_int_equal(pthread_atfork(before, in_parent, in_child), 0);
    assert_int_equal(pthread_atfork(before_first, NULL, NULL), 0);
    preload_make(preload_path("in-fork"), SIZE);
    handlers_fd = text_open("in-fork", O_RDONLY);
    watches = true;
    pid_t pid = fork();
    if (!pid) {
        alarm(20);
        _exit(strcmp(order, "qpC") != 0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    watches = false;
    assert_int_equal(status, 0);
    assert_string_equal(order, "qpP");
    close(handlers_fd);
}

/* ---- whatever is found ---- */

static int close_what_is_listed(void)
{
    int fds[256], count = 0;
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(directory)) && count < 256;) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(directory))
            fds[count++] = fd;
    }
    closedir(directory);
    for (int i = 0; i < count; i++)
        close(fds[i]);
    return count;
}

static int close_by_number(void)
{
    for (int fd = 3; fd < 1200; fd++)
        close(fd);
    return 0;
}

/* Everything is closed, and what was being written is stored; what comes then goes on as ever. */
static void closed_whatever_it_is(void **state)
{
    static int (*const ways[])(void) = {close_what_is_listed, close_by_number};
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        int status = -1;
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            char text[8] = "";
            alarm(60);
            int fd = open(preload_path("in-closed"), O_RDWR | O_CREAT | O_TRUNC, 0644);
            int in = open(preload_path("in-fork"), O_RDONLY);
            if (write(fd, "first", 5) != 5 || read(in, text, 1) != 1)
                _exit(1);
            ways[i]();
            if (fcntl(fd, F_GETFD) != -1 || errno != EBADF || read(in, text, 1) != -1)
                _exit(2);
            fd = open(preload_path("in-closed"), O_RDWR);
            if (fd != 3 || read(fd, text, 5) != 5 || strcmp(text, "first"))
                _exit(3);
            pid_t grandchild = fork();
            if (!grandchild)
                _exit(lseek(fd, 0, SEEK_SET) || write(fd, "later", 5) != 5);
            if (waitpid(grandchild, &status, 0) != grandchild || status || close(fd))
                _exit(4);
            _exit(0);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (status)
            fail_msg("way %u: %#x", i, status);
        text_is("in-closed", "later");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(replaced_under_readers),
        cmocka_unit_test(used_by_handlers),
        cmocka_unit_test(read_by_forks_handlers),
        cmocka_unit_test(closed_whatever_it_is),
    };
    return cmocka_run_group_tests_name("interruptions", tests, NULL, NULL);
}
