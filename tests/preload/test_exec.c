/* Descriptors and the working directory in the next program. This program executes itself: its
 * arguments are then a list of steps, each "<letter><descriptor>:<text>", and its exit status is
 * the number of the first one that failed, or 0. */
#include "tests/preload/text.h"

#include <dirent.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SELF "/proc/self/exe"

/* ---- the next program ---- */

static bool reads(int fd, const char *expected)
{
    char text[256] = "";
    size_t length = strlen(expected);
    return read(fd, text, length) == (ssize_t)length && !strcmp(text, expected);
}

static bool has_size(int fd, const char *expected)
{
    struct stat st;
    return !fstat(fd, &st) && st.st_size == atol(expected);
}

static bool stands_in(const char *expected)
{
    char path[PATH_MAX];
    return getcwd(path, sizeof path) && !strcmp(path, expected);
}

static bool gets_line(const char *expected)
{
    char line[256] = "";
    return fgets(line, sizeof line, stdin) && !strncmp(line, expected, strlen(expected));
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

/* "n<times left>:<descriptors at the beginning>": executes itself that often. */
static bool again(int left, const char *text)
{
    char next[64];
    int count = open_descriptors(), first = *text ? atoi(text) : count;
    if (count != first || !left)
        return count == first;
    snprintf(next, sizeof next, "n%d:%d", left - 1, first);
    execl(SELF, "helper", next, (char *)NULL);
    return false;
}

static bool step(char **at)
{
    char letter = (*at)[0], *text;
    int fd = (int)strtol(*at + 1, &text, 10);
    text += *text == ':';
    switch (letter) {
    case 'r': return reads(fd, text);
    case 'w': return write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    case 'o': return lseek(fd, 0, SEEK_CUR) == atol(text);
    case 'z': return has_size(fd, text);
    case 'e': return read(fd, &fd, 0) < 0 && errno == EBADF && fcntl(fd, F_GETFD) < 0;
    case 'c': return close(fd) == 0;
    case 'f': return flock(fd, LOCK_EX | LOCK_NB) == 0;
    case 'd': return stands_in(text);
    case 'p': return printf("%s", text) > 0;
    case 'g': return gets_line(text);
    case 'a': return access(text, F_OK) == 0;
    case 'v': return !getenv(text);
    case 'b': return read(fd, &fd, 1) == 1; /* waits for a byte */
    case 'k': return kill(getpid(), SIGKILL) != 0;
    case 'x': return execv(SELF, at); /* the rest is the next program's */
    case 'n': return again(fd, text);
    default: return false;
    }
}

static int steps(char **argv)
{
    for (int i = 1; argv[i]; i++)
        if (!step(argv + i)) {
            fprintf(stderr, "step %d, %s: %s\n", i, argv[i], strerror(errno));
            return i;
        }
    return 0;
}

/* ---- starting it ---- */

#define STEPS(...) ((char *[]){(char *)"helper", __VA_ARGS__, NULL})
#define S(text) ((char *)(text))

static int status_of(pid_t pid)
{
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static pid_t start(char **argv)
{
    pid_t pid = fork();
    if (pid)
        return pid;
    execv(SELF, argv);
    _exit(99);
}

static int run(char **argv)
{
    return status_of(start(argv));
}

/* The same with `fd` as descriptor `as` there. */
static int run_as(int fd, int as, char **argv)
{
    pid_t pid = fork();
    if (pid)
        return status_of(pid);
    dup2(fd, as);
    execv(SELF, argv);
    _exit(99);
}

static int at_number(int fd, int number)
{
    assert_int_equal(dup2(fd, number), number);
    close(fd);
    return number;
}

static char *format(const char *pattern, const char *text)
{
    static char room[4][PATH_MAX + 8];
    static unsigned next;
    char *to = room[next++ % 4];
    snprintf(to, sizeof room[0], pattern, text);
    return to;
}

/* ---- reading ---- */

static void one_offset(void **state)
{
    text_put("in", "one two three\n");
    int fd = at_number(text_open("in", O_RDONLY), 30);
    assert_true(reads(fd, "one "));
    assert_int_equal(run(STEPS(S("o30:4"), S("z30:14"), S("r30:two "))), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 8);
    assert_int_equal(run(STEPS(S("x"), S("x"), S("r30:thr"))), 0);
    assert_true(reads(fd, "ee\n"));
    assert_int_equal(run_as(fd, 0, STEPS(S("o0:14"), S("e31"))), 0);
    close(fd);
}

static void standard_streams(void **state)
{
    text_put("in", "a line\nanother\n");
    int in = text_open("in", O_RDONLY | O_CLOEXEC);
    int out = text_open("out", O_CREAT | O_WRONLY | O_CLOEXEC);
    assert_int_equal(run_as(in, 0, STEPS(S("g0:a line"), S("g0:another"))), 0);
    assert_int_equal(run_as(out, 1, STEPS(S("p:printed "), S("p:twice\n"))), 0);
    assert_int_equal(run_as(out, 2, STEPS(S("w2:and stderr"), S("x"), S("w2:\n"))), 0);
    close(in);
    assert_int_equal(close(out), 0);
    text_is("out", "printed twice\nand stderr\n");
}

static void close_on_exec(void **state)
{
    text_put("in", "text");
    int fd = at_number(text_open("in", O_RDONLY), 30);
    assert_int_equal(fcntl(fd, F_DUPFD_CLOEXEC, 31), 31);
    assert_int_equal(run(STEPS(S("e31"), S("r30:te"))), 0);
    assert_int_equal(fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    assert_int_equal(run(STEPS(S("e30"), S("e31"))), 0);
    assert_true(reads(31, "xt"));
    close(fd);
    close(31);
}

/* ---- writing ---- */

static void several_programs_write(void **state)
{
    FOR_EACH_ACCESS(kind)
    {
        int fd = at_number(text_begin("shared", text_access(kind), "parent "), 30);
        assert_int_equal(run(STEPS(S("o30:7"), S("w30:child "), S("x"), S("w30:next "))), 0);
        text_add(fd, "parent again");
        assert_int_equal(run(STEPS(S("z30:30"), S("c30"))), 0);
        assert_int_equal(close(fd), 0);
        text_is("shared", "parent child next parent again");
    }
}

static void what_the_next_program_wrote_is_read(void **state)
{
    int fd = at_number(text_begin("both", O_RDWR, "0123456789"), 30);
    char text[16] = "";
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    assert_int_equal(run(STEPS(S("r30:34"), S("w30:xyz"))), 0);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 8);
    assert_int_equal(pread(fd, text, 15, 0), 10);
    assert_string_equal(text, "01234xyz89");
    assert_int_equal(close(fd), 0);
    text_is("both", "01234xyz89");
}

static void appending(void **state)
{
    text_put("log", "begun\n");
    int fd = at_number(text_open("log", O_WRONLY | O_APPEND), 30);
    assert_int_equal(run(STEPS(S("w30:child\n"))), 0);
    text_add(fd, "parent\n");
    assert_int_equal(run(STEPS(S("w30:child\n"))), 0);
    assert_int_equal(close(fd), 0);
    text_is("log", "begun\nchild\nparent\nchild\n");
}

/* One program opens it, the next writes it: nobody else has it. */
static int open_and_become(const char *name, char **argv)
{
    pid_t pid = fork();
    if (pid)
        return status_of(pid);
    at_number(text_open(name, O_WRONLY | O_CREAT | O_TRUNC), 30);
    execv(SELF, argv);
    _exit(99);
}

static void the_only_holder(void **state)
{
    assert_int_equal(open_and_become("only", STEPS(S("w30:all of it"))), 0);
    text_is("only", "all of it");
    assert_int_equal(open_and_become("only", STEPS(S("z30:0"))), 0);
    text_is("only", "");
    assert_int_equal(open_and_become("only", STEPS(S("x"), S("v:NO_SUCH"))), 0);
    text_is("only", "");
    text_put("killed", "old");
    assert_int_equal(open_and_become("killed", STEPS(S("w30:new"), S("k"))), 128 + SIGKILL);
    text_is("killed", preload_is_virtual() ? "old" : "new");
}

static void the_last_one_publishes(void **state)
{
    int go[2], ended[2];
    char byte;
    assert_int_equal(pipe2(go, O_CLOEXEC) | pipe2(ended, O_CLOEXEC), 0);
    pid_t opener = fork();
    if (!opener) {
        at_number(text_begin("background", O_WRONLY, "opener "), 30);
        dup2(go[0], 31);
        dup2(ended[1], 32);
        start(STEPS(S("b31"), S("w30:job")));
        _exit(0);
    }
    close(ended[1]);
    assert_int_equal(status_of(opener), 0);
    assert_int_equal(write(go[1], "", 1), 1);
    assert_int_equal(read(ended[0], &byte, 1), 0); /* the job had the other end */
    close(go[0]);
    close(go[1]);
    close(ended[0]);
    text_is("background", "opener job");
}

/* ---- a failed exec ---- */

static void failing_exec(void **state)
{
    char *argv[] = {S("x"), NULL};
    text_put("no-program", "no program at all\n");
    text_put("in", "some text");
    assert_int_equal(chmod(preload_path("no-program"), 0755), 0);
    FOR_EACH_ACCESS(kind)
    {
        int in = text_open("in", O_RDONLY);
        int inherited = text_begin("inherited", text_access(kind), "in");
        int own = text_begin("own", text_access(kind) | O_CLOEXEC, "ow");
        assert_true(reads(in, "some"));
        assert_errno(execv("/nonexistent/program", argv), ENOENT);
        assert_errno(execv("/", argv), EACCES);
        assert_errno(execv(preload_path("no-program"), argv), ENOEXEC);
        assert_errno(execvp("no-such-program", argv), ENOENT);
        assert_true(reads(in, " text"));
        text_add(inherited, "herited");
        text_add(own, "n");
        assert_int_equal(close(inherited) | close(own) | close(in), 0);
        text_is("inherited", "inherited");
        text_is("own", "own");
    }
}

/* ---- posix_spawn, system, popen ---- */

static int spawn(const posix_spawn_file_actions_t *actions, char **argv)
{
    pid_t pid = 0;
    int result = posix_spawn(&pid, SELF, actions, NULL, argv, environ);
    return result ? 1000 + result : status_of(pid);
}

static void spawning(void **state)
{
    posix_spawn_file_actions_t actions;
    text_put("in", "input\n");
    text_put("program-directory", "x");
    int fd = text_open("in", O_RDONLY | O_CLOEXEC);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 0);
    posix_spawn_file_actions_addopen(&actions, 1, preload_path("spawned"),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0644);
    posix_spawn_file_actions_adddup2(&actions, 1, 40);
    posix_spawn_file_actions_addchdir_np(&actions, preload_root());
    posix_spawn_file_actions_addclose(&actions, 40);
    assert_int_equal(spawn(&actions, STEPS(S("g0:input"), S("p:output"), S("e40"), S("a:in"))), 0);
    text_is("spawned", "output");
    posix_spawn_file_actions_addopen(&actions, 5, preload_path("absent"), O_RDONLY, 0);
    assert_int_equal(spawn(&actions, STEPS(S("e5"))), 1000 + ENOENT);
    posix_spawn_file_actions_destroy(&actions);
    close(fd);
}

static void shells(void **state)
{
    text_put("in", "first\nsecond\n");
    int fd = at_number(text_open("in", O_RDONLY), 7);
    int out = at_number(text_open("out", O_WRONLY | O_CREAT | O_TRUNC), 8);
    char line[64] = "";
    assert_int_equal(system("read line <&7; echo got $line >&8; exit 3"), 3 << 8);
    FILE *shell = popen("cat <&7; echo popen >&8", "r");
    assert_non_null(fgets(line, sizeof line, shell));
    assert_string_equal(line, "second\n");
    assert_int_equal(pclose(shell), 0);
    shell = popen("cat >&8; exit 4", "w");
    fputs("piped\n", shell);
    assert_int_equal(pclose(shell), 4 << 8);
    assert_int_equal(close(fd) | close(out), 0);
    text_is("out", "got first\npopen\npiped\n");
}

/* ---- the working directory ---- */

static void working_directory(void **state)
{
    char before[PATH_MAX];
    const char *directory = preload_path("folder");
    assert_non_null(getcwd(before, sizeof before));
    assert_true(!mkdir(directory, 0755) || errno == EEXIST);
    text_put("folder/file", "x");
    assert_int_equal(chdir(directory), 0);
    char *there = format("d:%s", directory);
    assert_int_equal(run(STEPS(there, S("a:file"), S("x"), there, S("a:../folder/file"))), 0);
    assert_int_equal(chdir(before), 0);
    char *here = format("d:%s", before);
    assert_int_equal(run(STEPS(here)), 0);

    pid_t pid = vfork(); /* its chdir is its own */
    if (!pid) {
        if (!chdir(directory))
            execv(SELF, STEPS(there, S("a:file")));
        _exit(98);
    }
    assert_int_equal(status_of(pid), 0);
    assert_true(stands_in(before));
    assert_int_equal(run(STEPS(here)), 0);
}

/* ---- locks ---- */

/* As a shell does it: exec 9>file; flock 9. The lock stays with the description. */
static void a_lock_taken_by_another_program(void **state)
{
    int fd = at_number(text_open("lock", O_WRONLY | O_CREAT), 9);
    int other = text_open("lock", O_RDWR | O_CLOEXEC);
    assert_int_equal(run(STEPS(S("f9"))), 0);
    assert_errno(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(close(other) | close(fd), 0);
}

/* ---- the hint ---- */

static int forged_memfd(size_t size, unsigned seals)
{
    int fd = memfd_create("forged", MFD_ALLOW_SEALING);
    static unsigned char noise[1 << 16];
    memset(noise, 0x5a, sizeof noise);
    assert_int_equal(write(fd, noise, size), size);
    assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

static void run_with_hint(const char *hint)
{
    setenv("S3DLIO_HANDOVER", hint, 1);
    assert_int_equal(run(STEPS(S("r30:te"), S("x"), S("o30:2"))), 0);
    unsetenv("S3DLIO_HANDOVER");
    assert_int_equal(lseek(30, 0, SEEK_SET), 0);
}

static void forged_hints(void **state)
{
    char number[16];
    text_put("in", "text");
    at_number(text_open("in", O_RDONLY), 30);
    static const char *const hints[] = {"", "x", "-1", "0", "30", "99999", "2147483648:5:garbage"};
    for (unsigned i = 0; i < sizeof hints / sizeof *hints; i++)
        run_with_hint(hints[i]);
    for (unsigned i = 0; i < 3; i++) {
        int fd = forged_memfd(i * 30000, i == 1 ? 0 : F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
        snprintf(number, sizeof number, "%d", fd);
        run_with_hint(number);
        close(fd);
    }
    assert_int_equal(run(STEPS(S("v:S3DLIO_HANDOVER"))), 0);
    close(30);
}

static void many_execs(void **state)
{
    int in = at_number(text_open("in", O_RDONLY), 30);
    int out = at_number(text_begin("many", O_WRONLY, "begun"), 31);
    assert_int_equal(run(STEPS(S("n300"))), 0);
    assert_int_equal(run(STEPS(S("r30:te"), S("w31:, ended"))), 0);
    assert_int_equal(close(in) | close(out), 0);
    text_is("many", "begun, ended");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_offset),
        cmocka_unit_test(standard_streams),
        cmocka_unit_test(close_on_exec),
        cmocka_unit_test(several_programs_write),
        cmocka_unit_test(what_the_next_program_wrote_is_read),
        cmocka_unit_test(appending),
        cmocka_unit_test(the_only_holder),
        cmocka_unit_test(the_last_one_publishes),
        cmocka_unit_test(failing_exec),
        cmocka_unit_test(spawning),
        cmocka_unit_test(shells),
        cmocka_unit_test(working_directory),
        cmocka_unit_test(a_lock_taken_by_another_program),
        cmocka_unit_test(forged_hints),
        cmocka_unit_test(many_execs),
    };
    return argc > 1 ? steps(argv) : cmocka_run_group_tests(tests, NULL, NULL);
}
