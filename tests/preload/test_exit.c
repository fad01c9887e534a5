/* The end of a process: what was written reaches the file, in every way of ending that closes
 * descriptors. The program starts itself again in a role, so that return from main is tested. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#define STATUS_FAILED 74
#define PATIENCE_MS   60000

static const char *target; /* the file of this role */

/* ---- roles ---- */

static void print_to_target(const char *text)
{
    if (!freopen(target, "w", stdout))
        _exit(99);
    printf("%s", text);
}

static void write_to_target(const char *text)
{
    int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        _exit(99);
}

static int role_return(void)
{
    print_to_target("printed");
    return 3;
}

static int role_exit(void)
{
    print_to_target("printed");
    exit(0);
}

static int role_stream(void)
{
    FILE *file = fopen(target, "w");
    fputs("left open", file);
    return 0;
}

static int role_underscore(void)
{
    write_to_target("written");
    _exit(4);
}

static int role_underscore_stream(void)
{
    print_to_target("lost");
    fflush(stdout);
    printf("this is");
    _Exit(0);
}

static int role_quick(void)
{
    write_to_target("written");
    quick_exit(5);
}

static void late(void)
{
    printf(" and late");
}

static int role_atexit(void)
{
    atexit(late);
    print_to_target("early");
    return 0;
}

static bool destructor_prints;

__attribute__((destructor)) static void destroy(void)
{
    if (destructor_prints)
        printf(" destroyed");
}

static int role_destructor(void)
{
    destructor_prints = true;
    print_to_target("made");
    return 0;
}

static void *sleep_on(void *unused)
{
    for (;;)
        pause();
    return NULL;
}

static void *blocked_in_stdin(void *unused)
{
    getchar(); /* holds the stream's lock for ever */
    return NULL;
}

static int role_threads(void)
{
    pthread_t thread;
    int ends[2];
    if (pipe(ends) || dup2(ends[0], 0))
        _exit(99);
    pthread_create(&thread, NULL, sleep_on, NULL);
    pthread_create(&thread, NULL, blocked_in_stdin, NULL);
    usleep(20000);
    print_to_target("with threads");
    return 0;
}

static void end_nested(void)
{
    exit(6); /* from within exit, as some programs do */
}

static int role_nested(void)
{
    write_to_target("nested");
    atexit(end_nested);
    return 1;
}

static int role_abort(void)
{
    write_to_target("never");
    abort();
}

static int role_killed(void)
{
    write_to_target("never");
    return kill(getpid(), SIGKILL);
}

static int role_child(void)
{
    write_to_target("the parent's");
    if (!fork())
        _exit(0); /* closes its copy; the file stays the parent's */
    int status;
    wait(&status);
    return 0;
}

static int role_flushed(void)
{
    FILE *file = fopen(target, "w");
    fputs("one", file);
    fflush(NULL);
    fputs(" two", file);
    return 0;
}

/* Another process, which has no part in ours, when it is told to. */
static void somebody_else(int go)
{
    char byte;
    if (read(go, &byte, 1) != 1)
        _exit(1);
    int other = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    _exit(other < 0 || write(other, "other", 5) != 5 || close(other));
}

/* Somebody else creates the object meanwhile, so that the upload fails. */
static int role_fails(void)
{
    int go[2], status;
    if (pipe(go) < 0)
        _exit(97);
    pid_t pid = fork();
    if (!pid)
        somebody_else(go[0]);
    int fd = open(target, O_WRONLY | O_CREAT | O_EXCL, 0644);
    if (fd < 0 || write(fd, "mine", 4) != 4)
        _exit(99);
    if (write(go[1], "", 1) != 1 || waitpid(pid, &status, 0) != pid || status)
        _exit(98);
    printf("on the real stdout\n");
    return 0;
}

static int role_fails_underscore(void)
{
    role_fails();
    fflush(stdout);
    _exit(0);
}

static int role_fails_already(void)
{
    role_fails();
    return 9;
}

/* ---- roles whose main thread leaves by pthread_exit ---- */

static void write_and_read_back(void)
{
    char text[8] = "";
    int fd = open(target, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || write(fd, "before", 6) != 6 || close(fd))
        _exit(98);
    fd = open(target, O_RDONLY);
    if (fd < 0 || read(fd, text, sizeof text) != 6 || strcmp(text, "before") || close(fd))
        _exit(98);
}

static void *write_and_leave_open(void *unused)
{
    write_and_read_back();
    write_to_target("by a thread");
    return NULL;
}

static _Noreturn void leave_to(void *(*work)(void *))
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, NULL))
        _exit(97);
    pthread_exit(NULL);
}

static int role_main_leaves(void)
{
    leave_to(write_and_leave_open);
}

static void *write_late(void *unused)
{
    write_and_read_back();
    usleep(300000); /* with no thread of the program at work, but there */
    write_to_target("late");
    return NULL;
}

static int role_main_leaves_early(void)
{
    leave_to(write_late);
}

static int role_main_leaves_last(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, write_and_leave_open, NULL);
    pthread_join(thread, NULL);
    pthread_exit(NULL);
}

/* Whoever runs handlers has a stack like the program's threads, and is not disturbed however long
 * they take. */
static void write_in_handler(void)
{
    volatile char deep[2 << 20];
    for (size_t i = 0; i < sizeof deep; i += 4096)
        deep[i] = 1;
    write_and_read_back();
    usleep(1500000);
    write_to_target(deep[0] ? "by a handler" : "");
}

static void *leave_nothing_open(void *unused)
{
    write_and_read_back();
    return NULL;
}

static int role_handler_after_main(void)
{
    atexit(write_in_handler);
    leave_to(leave_nothing_open);
}

static int role_handler_of_main(void)
{
    atexit(write_in_handler);
    pthread_exit(NULL);
}

static void *leave_in_child(void *unused)
{
    write_and_read_back();
    pid_t pid = fork();
    if (!pid)
        leave_to(write_and_leave_open);
    int status;
    if (waitpid(pid, &status, 0) != pid || status)
        _exit(96);
    return NULL;
}

/* The first pthread_exit of a process loads libgcc_s. A fork while another thread is at that gives
 * glibc's child half a library, with or without the shim. */
static int role_child_leaves(void)
{
    if (!dlopen("libgcc_s.so.1", RTLD_NOW | RTLD_GLOBAL))
        _exit(95);
    leave_to(leave_in_child);
}

static void hang_in_handler(void)
{
    printf("ready\n");
    fflush(stdout);
    for (;;)
        pause();
}

static int role_hangs(void)
{
    atexit(hang_in_handler);
    leave_to(write_and_leave_open);
}

static void *wait_for_signal(void *unused)
{
    sigset_t set;
    int got;
    write_and_read_back();
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    printf("ready\n");
    fflush(stdout);
    sigwait(&set, &got);
    write_to_target("signalled");
    return NULL;
}

static int role_waits(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    leave_to(wait_for_signal);
}

static const struct {
    const char *name;
    int (*run)(void);
} roles[] = {
#define ROLE(name)                                                                                 \
    {                                                                                              \
#        name, role_##name                                                                         \
    }
    ROLE(return ),
    ROLE(exit),
    ROLE(stream),
    ROLE(underscore),
    ROLE(underscore_stream),
    ROLE(quick),
    ROLE(atexit),
    ROLE(destructor),
    ROLE(threads),
    ROLE(nested),
    ROLE(abort),
    ROLE(killed),
    ROLE(child),
    ROLE(flushed),
    ROLE(fails),
    ROLE(fails_underscore),
    ROLE(fails_already),
    ROLE(main_leaves),
    ROLE(main_leaves_early),
    ROLE(main_leaves_last),
    ROLE(handler_after_main),
    ROLE(handler_of_main),
    ROLE(child_leaves),
    ROLE(hangs),
    ROLE(waits),
#undef ROLE
};

static int play(const char *name, const char *path)
{
    target = path;
    for (unsigned i = 0; i < sizeof roles / sizeof *roles; i++)
        if (!strcmp(roles[i].name, name))
            return roles[i].run();
    return 99;
}

/* ---- tests ---- */

static char output[4096]; /* of the last role, stdout and stderr */

/* Ends at the end of the output, after the role's first line if a signal is to be sent then, or
 * when it takes too long. */
static void collect(int fd, pid_t pid, int signal_number)
{
    struct pollfd watch = {.fd = fd, .events = POLLIN};
    size_t length = 0;
    while (length < sizeof output - 1) {
        ssize_t got = -1;
        if (poll(&watch, 1, PATIENCE_MS) > 0)
            got = read(fd, output + length, sizeof output - 1 - length);
        if (got < 0)
            kill(pid, SIGKILL);
        if (got <= 0)
            break;
        length += (size_t)got;
        if (signal_number && output[length - 1] == '\n') {
            kill(pid, signal_number);
            signal_number = 0;
        }
    }
    output[length] = '\0';
}

static int run_signalled(const char *role, int signal_number)
{
    char *argv[] = {(char *)"test_exit", (char *)role, (char *)preload_path(role), NULL};
    unlink(argv[2]);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    posix_spawn_file_actions_addclose(&actions, ends[0]);
    pid_t pid;
    assert_int_equal(posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    collect(ends[0], pid, signal_number);
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int run(const char *role)
{
    return run_signalled(role, 0);
}

static void assert_left(const char *role, const char *expected)
{
    char text[64] = "";
    int fd = open(preload_path(role), O_RDONLY);
    if (fd < 0)
        fail_msg("%s: %s", role, strerror(errno));
    read(fd, text, sizeof text - 1);
    close(fd);
    assert_string_equal(text, expected);
}

static void everything_arrives(void **state)
{
    static const struct {
        const char *role;
        int status;
        const char *content;
    } cases[] = {
        {"return", 3, "printed"},         {"exit", 0, "printed"},
        {"stream", 0, "left open"},       {"underscore", 4, "written"},
        {"underscore_stream", 0, "lost"}, {"quick", 5, "written"},
        {"atexit", 0, "early and late"},  {"destructor", 0, "made destroyed"},
        {"threads", 0, "with threads"},   {"nested", 6, "nested"},
        {"child", 0, "the parent's"},     {"flushed", 0, "one two"},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = run(cases[i].role);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != cases[i].status)
            fail_msg("%s: status %#x, %s", cases[i].role, status, output);
        assert_left(cases[i].role, cases[i].content);
    }
}

static void a_signal_stores_nothing(void **state)
{
    assert_int_equal(WTERMSIG(run("abort")), SIGABRT);
    assert_int_equal(access(preload_path("abort"), F_OK), preload_is_virtual() ? -1 : 0);
    assert_int_equal(WTERMSIG(run("killed")), SIGKILL);
    assert_int_equal(access(preload_path("killed"), F_OK), preload_is_virtual() ? -1 : 0);
}

static void failure_shows(void **state)
{
    bool fails = preload_is_virtual(); /* a disk takes the bytes, whoever else writes there */
    static const char *const failing[] = {"fails", "fails_underscore", "fails_already"};
    for (unsigned i = 0; i < 3; i++) {
        int status = run(failing[i]);
        assert_int_equal(WEXITSTATUS(status), i == 2 ? 9 : fails ? STATUS_FAILED : 0);
        assert_non_null(strstr(output, "on the real stdout\n"));
        assert_true(!fails == !strstr(output, strrchr(preload_path(failing[i]), '/')));
        if (fails)
            assert_left(failing[i], "other");
    }
}

static void main_may_leave(void **state)
{
    static const struct {
        const char *role, *content;
        int signal_number;
    } cases[] = {
        {"main_leaves", "by a thread", 0},
        {"main_leaves_early", "late", 0},
        {"main_leaves_last", "by a thread", 0},
        {"handler_after_main", "by a handler", 0},
        {"handler_of_main", "by a handler", 0},
        {"child_leaves", "by a thread", 0},
        {"waits", "signalled", SIGTERM},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = run_signalled(cases[i].role, cases[i].signal_number);
        if (status)
            fail_msg("%s: status %#x, %s", cases[i].role, status, output);
        assert_left(cases[i].role, cases[i].content);
    }
}

static void signals_end_what_main_left(void **state)
{
#ifdef __SANITIZE_ADDRESS__
    print_message("skip: AddressSanitizer keeps signals out of a thread that ends, and so of handlers\n");
    skip();
#endif
    int status = run_signalled("hangs", SIGTERM);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGTERM);
}

static unsigned threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    unsigned count = 0;
    assert_non_null(tasks);
    for (const struct dirent *entry; (entry = readdir(tasks));)
        count += entry->d_name[0] != '.';
    closedir(tasks);
    return count;
}

static void an_idle_process_has_one_thread(void **state)
{
    const char *path = preload_path("idle");
    char text[8];
    preload_make(path, 100000);
    int written = open(preload_path("idle.open"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0 && written >= 0);
    assert_int_equal(read(fd, text, sizeof text), sizeof text);
    for (int waited_ms = 0; threads() > 1 && waited_ms < PATIENCE_MS; waited_ms += 20)
        usleep(20000);
    assert_int_equal(threads(), 1);
    assert_int_equal(pread(fd, text, sizeof text, 90000), sizeof text);
    assert_true(preload_matches(text, sizeof text, 90000));
    assert_int_equal(write(written, text, sizeof text), sizeof text);
    assert_int_equal(close(written), 0);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc == 3)
        return play(argv[1], argv[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_arrives),
        cmocka_unit_test(a_signal_stores_nothing),
        cmocka_unit_test(failure_shows),
        cmocka_unit_test(main_may_leave),
        cmocka_unit_test(signals_end_what_main_left),
        cmocka_unit_test(an_idle_process_has_one_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
