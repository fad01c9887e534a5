/* posix_spawn: every attribute and every file action, with open files near, which is when it is done
 * by other means; and the processes that are made without it. The program spawns itself, and says in
 * its status which of the things that it was told to find is not so. */
#include "tests/preload/text.h"

#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <wordexp.h>

#define SELF "/proc/self/exe"

/* ---- what the next program looks at: "<letter><number>:<text>" ---- */

static bool is_so(const char *step)
{
    char letter = step[0], text[64] = "", here[PATH_MAX];
    const char *colon = strchr(step, ':');
    int number = atoi(step + 1);
    sigset_t mask;
    struct sigaction action;
    struct sched_param parameters;
    const char *expected = colon ? colon + 1 : "";
    switch (letter) {
    case 'g': return (getpgrp() == getpid()) == number;
    case 's': return (getsid(0) == getpid()) == number;
    case 'm': return !sigprocmask(SIG_BLOCK, NULL, &mask) && sigismember(&mask, number) == 1;
    case 'i': return !sigaction(number, NULL, &action) && action.sa_handler == SIG_IGN;
    case 'd': return !sigaction(number, NULL, &action) && action.sa_handler == SIG_DFL;
    case 'p': return sched_getscheduler(0) == number && !sched_getparam(0, &parameters);
    case 'x': return fcntl(number, F_GETFD) == -1 && errno == EBADF;
    case 'o': return fcntl(number, F_GETFD) == 0;
    case 'r':
        return read(number, text, strlen(expected)) == (ssize_t)strlen(expected) &&
               !strcmp(text, expected);
    case 'w': return write(number, expected, strlen(expected)) == (ssize_t)strlen(expected);
    case 'c': return getcwd(here, sizeof here) && !strcmp(here, expected);
    case 't': return tcgetpgrp(number) == getpgrp();
    }
    return false;
}

static int next_program(char **steps)
{
    alarm(60);
    for (int i = 0; steps[i]; i++)
        if (!is_so(steps[i]))
            return i + 1;
    return 0;
}

/* ---- spawning ---- */

#define STEPS(...) ((char *[]){(char *)"test_process_variants", (char *)"next", __VA_ARGS__, NULL})
#define S(text)    ((char *)(uintptr_t)(text))

static int status_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -status;
}

/* The first step that was not so, 0; 1000 and the error of posix_spawn. */
static int spawn(const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
                 char **argv)
{
    pid_t pid = -1;
    int error = posix_spawn(&pid, SELF, actions, attributes, argv, environ);
    return error ? 1000 + error : status_of(pid);
}

static int spawn_flagged(posix_spawnattr_t *attributes, int flags, char **argv)
{
    assert_int_equal(posix_spawnattr_setflags(attributes, (short)flags), 0);
    return spawn(NULL, attributes, argv);
}

static void attributes(void **state)
{
    posix_spawnattr_t attributes;
    sigset_t set;
    struct sched_param parameters = {0};
    int fd = text_begin("sp-open", O_RDWR, "open");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    char read_step[32];
    snprintf(read_step, sizeof read_step, "r%d:open", fd);
    posix_spawnattr_init(&attributes);
    assert_int_equal(spawn_flagged(&attributes, 0, STEPS(S("g0"), S("s0"), read_step)), 0);
    assert_int_equal(posix_spawnattr_setpgroup(&attributes, 0), 0);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETPGROUP, STEPS(S("g1"), S("s0"))), 0);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETSID, STEPS(S("g1"), S("s1"))), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    posix_spawnattr_setsigmask(&attributes, &set);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETSIGMASK, STEPS(S("m10"))), 0);
    signal(SIGUSR2, SIG_IGN);
    assert_int_equal(spawn_flagged(&attributes, 0, STEPS(S("i12"))), 0);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR2);
    posix_spawnattr_setsigdefault(&attributes, &set);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETSIGDEF, STEPS(S("d12"))), 0);
    signal(SIGUSR2, SIG_DFL);
    assert_int_equal(sched_setscheduler(0, SCHED_BATCH, &parameters), 0);
    posix_spawnattr_setschedpolicy(&attributes, SCHED_OTHER);
    posix_spawnattr_setschedparam(&attributes, &parameters);
    assert_int_equal(spawn_flagged(&attributes, 0, STEPS(S("p3"))), 0);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETSCHEDPARAM, STEPS(S("p3"))), 0);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETSCHEDULER, STEPS(S("p0"))), 0);
    assert_int_equal(sched_setscheduler(0, SCHED_OTHER, &parameters), 0);
    assert_int_equal(spawn_flagged(&attributes, POSIX_SPAWN_RESETIDS, STEPS(S("g0"))), 0);
    posix_spawnattr_setpgroup(&attributes, 999999999); /* nobody's */
    assert_int_not_equal(spawn_flagged(&attributes, POSIX_SPAWN_SETPGROUP, STEPS(S("g0"))), 0);
    posix_spawnattr_destroy(&attributes);
    close(fd);
}

static int at_number(int fd, int number)
{
    assert_int_equal(dup2(fd, number), number);
    close(fd);
    return number;
}

static void file_actions(void **state)
{
    posix_spawn_file_actions_t actions;
    char here[PATH_MAX + 8], opened[PATH_MAX];
    text_put("sp-in", "first second");
    if (!text_exists("sp-folder"))
        text_directory("sp-folder");
    text_put("sp-folder/in", "in the folder");
    int in = at_number(text_open("sp-in", O_RDONLY), 30);
    int folder = at_number(text_open("sp-folder", O_RDONLY | O_DIRECTORY), 31);
    assert_int_equal(fcntl(folder, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(fcntl(in, F_SETFD, FD_CLOEXEC), 0);
    snprintf(here, sizeof here, "c:%s", preload_path("sp-folder"));
    snprintf(opened, sizeof opened, "%s", preload_path("sp-out"));

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, in, in); /* onto itself: no longer close-on-exec */
    posix_spawn_file_actions_adddup2(&actions, in, 40);
    posix_spawn_file_actions_addclose(&actions, 41); /* that is not open */
    posix_spawn_file_actions_addopen(&actions, 42, opened, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_addfchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 43, "in", O_RDONLY, 0);
    assert_int_equal(spawn(&actions, NULL,
                           STEPS(S("o30"), S("r30:first"), S("r40: second"), S("x31"), S("x41"),
                                 S("w42:output"), S("r43:in the"), here)),
                     0);
    text_is("sp-out", "output");
    posix_spawn_file_actions_addclosefrom_np(&actions, 41);
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    assert_int_equal(spawn(&actions, NULL, STEPS(S("r40:first"), S("x42"), S("x43"))), 0);
    posix_spawn_file_actions_destroy(&actions);

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addfchdir_np(&actions, in);
    assert_int_equal(spawn(&actions, NULL, STEPS(S("g0"))), 1000 + ENOTDIR);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, 57, 58);
    assert_int_equal(spawn(&actions, NULL, STEPS(S("g0"))), 1000 + EBADF);
    posix_spawn_file_actions_destroy(&actions);
    assert_int_equal(close(in) | close(folder), 0);
}

/* A session of its own, whose terminal a child's group is given. */
static void the_terminal(void **state)
{
    int terminal;
    int in = text_begin("sp-terminal", O_RDWR, "x");
    pid_t pid = forkpty(&terminal, NULL, NULL, NULL);
    if (!pid) {
        posix_spawn_file_actions_t actions;
        posix_spawnattr_t attributes;
        posix_spawnattr_init(&attributes);
        posix_spawnattr_setpgroup(&attributes, 0);
        posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_addtcsetpgrp_np(&actions, 0);
        signal(SIGTTOU, SIG_IGN);
        pid_t child;
        int status;
        if (posix_spawn(&child, SELF, &actions, &attributes, STEPS(S("g1"), S("t0")), environ) ||
            waitpid(child, &status, 0) != child)
            _exit(90);
        _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 91);
    }
    assert_true(pid > 0);
    assert_int_equal(status_of(pid), 0);
    close(terminal);
    close(in);
}

/* ---- by other calls ---- */

static void by_descriptor(void **state)
{
    int in = at_number(text_begin("sp-by", O_RDWR, "text"), 30);
    assert_int_equal(lseek(in, 0, SEEK_SET), 0);
    int self = open(SELF, O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (!pid) {
        execveat(self, "", STEPS(S("r30:te")), environ, AT_EMPTY_PATH);
        _exit(92);
    }
    assert_int_equal(status_of(pid), 0);
    pid = fork();
    if (!pid) {
        fexecve(self, STEPS(S("r30:xt")), environ);
        _exit(93);
    }
    assert_int_equal(status_of(pid), 0);
    close(self);
    close(in);
}

/* A child that reads one byte, and its status. */
static int reads_byte(void *expected)
{
    char byte = 0, name[PATH_MAX];
    snprintf(name, sizeof name, "%s", preload_path("sp-clone"));
    int fd = open(name, O_RDONLY), there = fd < 0 ? -1 : close(fd);
    return there || read(30, &byte, 1) != 1 || byte != *(const char *)expected;
}

static void by_clone(void **state)
{
    static char stack[1 << 18] __attribute__((aligned(16)));
    text_put("sp-clone", "abcdef");
    int in = at_number(text_open("sp-clone", O_RDWR), 30);
    assert_int_equal(write(in, "A", 1), 1);
    char next[] = "bcd";
    pid_t pid = clone(reads_byte, stack + sizeof stack, SIGCHLD, &next[0]);
    assert_int_equal(status_of(pid), 0);
    pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (!pid)
        _exit(reads_byte(&next[1]));
    assert_int_equal(status_of(pid), 0);
    pid = clone(reads_byte, stack + sizeof stack, SIGCHLD | CLONE_FILES, &next[2]);
    if (preload_is_virtual()) /* refused: nothing says then whose a descriptor is */
        assert_true(pid == -1 && errno == EOPNOTSUPP);
    else
        assert_int_equal(status_of(pid), 0);
    assert_int_equal(lseek(in, 0, SEEK_CUR), preload_is_virtual() ? 3 : 4);
    assert_int_equal(close(in), 0);
    text_is("sp-clone", "Abcdef");
}

/* What shares the memory is a thread, whatever else it is. */
static void by_clone_as_a_thread(void **state)
{
    static char stack[1 << 18] __attribute__((aligned(16)));
    text_put("sp-clone", "abcdef");
    int in = at_number(text_open("sp-clone", O_RDONLY), 30);
    char next[] = "a";
    pid_t pid = clone(reads_byte, stack + sizeof stack,
                      SIGCHLD | CLONE_VM | CLONE_VFORK | CLONE_FILES, &next[0]);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(lseek(in, 0, SEEK_CUR), 1);
    close(in);
}

static void by_system_call(void **state)
{
    text_put("sp-call", "text");
    int in = at_number(text_open("sp-call", O_RDONLY), 30);
    int self = open(SELF, O_RDONLY | O_CLOEXEC);
    pid_t pid = fork();
    if (!pid) {
        syscall(SYS_execve, SELF, STEPS(S("r30:te")), environ);
        _exit(92);
    }
    assert_int_equal(status_of(pid), 0);
    pid = fork();
    if (!pid) {
        syscall(SYS_execveat, self, "", STEPS(S("r30:xt")), environ, AT_EMPTY_PATH);
        _exit(93);
    }
    assert_int_equal(status_of(pid), 0);
    close(self);
    close(in);
}

static void shells_modes(void **state)
{
    int in = text_begin("sp-popen", O_RDWR, "x");
    FILE *first = popen("cat >/dev/null", "we"), *second = popen("echo line", "re");
    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(fcntl(fileno(first), F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(fileno(second), F_GETFD), FD_CLOEXEC);
    assert_int_equal(getc(second), 'l');
    assert_int_equal(pclose(second), 0);
    assert_int_equal(pclose(first), 0);
    assert_null(popen("true", "x"));
    assert_int_equal(errno, EINVAL);
    close(in);
}

static void words(void **state)
{
    wordexp_t words = {0};
    char text[PATH_MAX + 16];
    if (!text_exists("sp-words"))
        text_directory("sp-words");
    text_put("sp-words/one.txt", "1");
    text_put("sp-words/two.txt", "2");
    snprintf(text, sizeof text, "first %s/*.txt $(echo last)", preload_path("sp-words"));
    assert_int_equal(wordexp(text, &words, 0), 0);
    assert_int_equal(words.we_wordc, 4);
    assert_string_equal(words.we_wordv[1], preload_path("sp-words/one.txt"));
    assert_string_equal(words.we_wordv[2], preload_path("sp-words/two.txt"));
    assert_string_equal(words.we_wordv[3], "last");
    wordfree(&words);
    words.we_offs = 2;
    snprintf(text, sizeof text, "%s/o*", preload_path("sp-words"));
    assert_int_equal(wordexp(text, &words, WRDE_DOOFFS), 0);
    snprintf(text, sizeof text, "'%s/*.txt' %s/none*", preload_path("sp-words"),
             preload_path("sp-words"));
    assert_int_equal(wordexp(text, &words, WRDE_DOOFFS | WRDE_APPEND), 0);
    assert_int_equal(words.we_wordc, 3);
    assert_null(words.we_wordv[1]);
    assert_string_equal(words.we_wordv[2], preload_path("sp-words/one.txt"));
    assert_string_equal(words.we_wordv[3], preload_path("sp-words/*.txt"));
    assert_string_equal(words.we_wordv[4], preload_path("sp-words/none*"));
    assert_null(words.we_wordv[5]);
    wordfree(&words);
    char before[PATH_MAX];
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(preload_path("sp-words")), 0);
    assert_int_equal(wordexp("t*.txt", &words, 0), 0);
    assert_string_equal(words.we_wordv[0], "two.txt");
    assert_int_equal(chdir(before), 0);
    wordfree(&words);
}

int main(int argc, char **argv)
{
    if (argc > 1 && !strcmp(argv[1], "next"))
        return next_program(argv + 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attributes),     cmocka_unit_test(file_actions),
        cmocka_unit_test(the_terminal),   cmocka_unit_test(by_descriptor),
        cmocka_unit_test(shells_modes),   cmocka_unit_test(words),
        cmocka_unit_test(by_clone),       cmocka_unit_test(by_clone_as_a_thread),
        cmocka_unit_test(by_system_call),
    };
    return cmocka_run_group_tests_name("process_variants", tests, NULL, NULL);
}
