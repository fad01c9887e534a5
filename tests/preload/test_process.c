/* exec, spawn, system, popen: every variant, what is refused and how that is said, programs and
 * scripts that live there. What the next program does with what it is handed: test_exec.c. */
#include "tests/preload/preload.h"

#include <spawn.h>
#include <sys/wait.h>

static const char *data;
static char said[2048]; /* by the last child, on stdout and stderr */

static int setup(void **state)
{
    data = strdup(preload_path("process.txt"));
    FILE *file = fopen(data, "w");
    fputs("some text\n", file);
    return fclose(file);
}

static void collect(int fd)
{
    size_t length = 0;
    for (ssize_t got;
         length < sizeof said - 1 && (got = read(fd, said + length, sizeof said - 1 - length)) > 0;)
        length += (size_t)got;
    said[length] = '\0';
    close(fd);
}

/* The exit status of a child that runs `body`, whose output goes to `said`. */
static int in_child(int (*body)(void))
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        dup2(ends[1], 1);
        dup2(ends[1], 2);
        close(ends[0]);
        close(ends[1]);
        _exit(body());
    }
    close(ends[1]);
    collect(ends[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define REFUSED 42 /* exec failed with EOPNOTSUPP */

static int exec_echo(void)
{
    char *const bare[] = {NULL}, *const argv[] = {(char *)"echo", (char *)"executed", NULL};
    if (getenv("S3DLIO_TEST_BARE"))
        execve("/bin/echo", argv, bare);
    else
        execlp("echo", "echo", "executed", (char *)NULL);
    return errno == EOPNOTSUPP ? REFUSED : 1;
}

/* ---- exec ---- */

static int with_cloexec(void)
{
    FILE *file = fopen(data, "re");
    if (open(data, O_RDONLY | O_CLOEXEC) < 0 || !file)
        return 2;
    return exec_echo();
}

static int with_input(void)
{
    int fd = open(data, O_RDONLY | O_CLOEXEC);
    dup2(fd, 0);
    return exec_echo();
}

static int with_output(void)
{
    int kept = open(preload_path("output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    dup2(kept, 1);
    return exec_echo();
}

static int with_descriptor(void)
{
    open(data, O_RDONLY);
    return exec_echo();
}

static int in_directory(void)
{
    if (chdir(preload_root()))
        return 2;
    return exec_echo();
}

static int missing_program(void)
{
    open(data, O_RDONLY);
    execl("/nonexistent/program", "program", (char *)NULL);
    if (errno != ENOENT)
        return 1;
    execlp("no-such-program", "program", (char *)NULL);
    return errno == ENOENT ? 7 : 1;
}

static void exec_with_files(void **state)
{
    assert_int_equal(in_child(exec_echo), 0);
    assert_string_equal(said, "executed\n");
    assert_int_equal(in_child(with_cloexec), 0);
    assert_string_equal(said, "executed\n");
    assert_int_equal(in_child(missing_program), 7);
    assert_string_equal(said, "");
}

static int lines_said(void)
{
    int count = 0;
    for (const char *at = said; (at = strchr(at, '\n')); at++)
        count++;
    return count;
}

/* A program without this library would write to a placeholder. */
static void what_exec_refuses(void **state)
{
    setenv("S3DLIO_TEST_BARE", "1", 1);
    static const struct {
        int (*body)(void);
        const char *says;
    } cases[] = {
        {with_input, "process.txt | echo`"},
        {with_output, "`echo | cat >"},
        {with_descriptor, "open as descriptor "},
        {in_directory, "in the directory "},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        int status = in_child(cases[i].body);
        if (!preload_is_virtual()) {
            assert_int_equal(status, 0);
            continue;
        }
        if (status != REFUSED || !strstr(said, cases[i].says))
            fail_msg("case %u: status %d, said: %s", i, status, said);
        assert_int_equal(lines_said(), 1);
    }
    unsetenv("S3DLIO_TEST_BARE");
}

static int write_and_exec(void)
{
    int fd = open(preload_path("before-exec"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (write(fd, "complete", 8) != 8)
        return 2;
    return exec_echo();
}

static void exec_completes_uploads(void **state)
{
    assert_int_equal(in_child(write_and_exec), 0);
    assert_string_equal(said, "executed\n");
    struct stat st;
    assert_int_equal(stat(preload_path("before-exec"), &st), 0);
    assert_int_equal(st.st_size, 8);
}

static int all_variants(void)
{
    char *argv[] = {(char *)"sh", (char *)"-c", (char *)"echo $VALUE", NULL};
    char *envp[] = {(char *)"VALUE=given", NULL};
    if (open(data, O_RDONLY | O_CLOEXEC) < 0)
        return 2;
    setenv("VALUE", "own", 1);
    fflush(NULL);
    for (int i = 0; i < 7; i++) {
        int status;
        pid_t pid = fork();
        if (pid) {
            waitpid(pid, &status, 0);
            continue;
        }
        int shell = open("/bin/sh", O_RDONLY | O_CLOEXEC);
        switch (i) {
        case 0: execv("/bin/sh", argv); break;
        case 1: execve("/bin/sh", argv, envp); break;
        case 2: execvp("sh", argv); break;
        case 3: execvpe("sh", argv, envp); break;
        case 4: execl("/bin/sh", "sh", "-c", "echo $VALUE", (char *)NULL); break;
        case 5: execle("/bin/sh", "sh", "-c", "echo $VALUE", (char *)NULL, envp); break;
        case 6: fexecve(shell, argv, envp); break;
        }
        _exit(1);
    }
    return 0;
}

static void variants_of_exec(void **state)
{
    assert_int_equal(in_child(all_variants), 0);
    assert_string_equal(said, "own\ngiven\nown\ngiven\nown\ngiven\ngiven\n");
}

static void assert_content(const char *name, const char *expected)
{
    char text[64] = "";
    int fd = open(preload_path(name), O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_true(read(fd, text, sizeof text - 1) >= 0);
    assert_string_equal(text, expected);
    close(fd);
}

/* ---- spawn ---- */

static int spawn_echo(const posix_spawn_file_actions_t *actions)
{
    char *argv[] = {(char *)"echo", (char *)"spawned", NULL};
    pid_t pid;
    int result = posix_spawnp(&pid, "echo", actions, NULL, argv, environ);
    if (result)
        return result == EOPNOTSUPP ? REFUSED : 1;
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static int spawn_cloexec(void)
{
    open(data, O_RDONLY | O_CLOEXEC);
    return spawn_echo(NULL);
}

static int spawn_inheriting(void)
{
    open(data, O_RDONLY);
    return spawn_echo(NULL);
}

static int spawn_closing(void)
{
    int fd = open(data, O_RDONLY), other = open(data, O_RDONLY);
    dup2(fd, 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, fd);
    posix_spawn_file_actions_adddup2(&actions, 1, other);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    return spawn_echo(&actions);
}

static int spawn_with_dup(void)
{
    int fd = open(preload_path("spawn-output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, fd, 1);
    return spawn_echo(&actions);
}

static int spawn_with_open(void)
{
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    return posix_spawn_file_actions_addopen(&actions, 0, data, O_RDONLY, 0) ? 1
                                                                           : spawn_echo(&actions);
}

static void spawning(void **state)
{
    assert_int_equal(in_child(spawn_cloexec), 0);
    assert_string_equal(said, "spawned\n");
    assert_int_equal(in_child(spawn_closing), 0);
    assert_string_equal(said, "spawned\n");
    assert_int_equal(in_child(spawn_inheriting), 0);
    assert_string_equal(said, "spawned\n");
    assert_int_equal(in_child(spawn_with_dup), 0);
    assert_string_equal(said, "");
    assert_content("spawn-output", "spawned\n");
    assert_int_equal(in_child(spawn_with_open), 0);
    assert_string_equal(said, "spawned\n");
}

/* ---- system and popen ---- */

static void shells(void **state)
{
    assert_int_equal(system("exit 3"), 3 << 8);
    FILE *file = fopen(data, "r"); /* not close-on-exec, as most programs open */
    int fd = fileno(file);
    assert_int_equal(system("exit 4"), 4 << 8);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    FILE *shell = popen("echo from the shell", "r");
    char line[64] = "";
    assert_non_null(fgets(line, sizeof line, shell));
    assert_string_equal(line, "from the shell\n");
    assert_int_equal(pclose(shell), 0);
    assert_int_equal(fcntl(fd, F_GETFD), 0);

    shell = popen("exec cat >/dev/null; exit 5", "w");
    fputs("input", shell);
    assert_int_equal(pclose(shell), 0);
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "some text\n");
    fclose(file);
}

static int system_with_output(void)
{
    int fd = open(preload_path("system-output"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    dup2(fd, 1);
    int status = system("echo output");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int popen_with_input(void)
{
    int fd = open(data, O_RDONLY | O_CLOEXEC);
    dup2(fd, 0);
    FILE *shell = popen("cat", "w"); /* its input is the pipe */
    fputs("through the pipe", shell);
    return pclose(shell);
}

static void shells_with_standard_streams(void **state)
{
    assert_int_equal(in_child(system_with_output), 0);
    assert_content("system-output", "output\n");
    assert_int_equal(in_child(popen_with_input), 0);
    assert_string_equal(said, "through the pipe");
}

/* ---- programs that live there ---- */

static void put(const char *path, const char *text, mode_t mode)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static int exec_script(void)
{
    execl(preload_path("script"), "script", "one", "two", (char *)NULL);
    return errno;
}

static int exec_binary(void)
{
    execl(preload_path("binary"), "echo", "a", "binary", (char *)NULL);
    return errno;
}

static int exec_text(void)
{
    execl(preload_path("text"), "text", (char *)NULL);
    return errno == ENOEXEC ? 7 : errno;
}

static int search_text(void)
{
    setenv("PATH", preload_root(), 1);
    execlp("text", "text", "argument", (char *)NULL);
    return errno;
}

/* What a child of vfork opens would be its parent's, too. */
static int vfork_opens(void)
{
    static volatile int error;
    pid_t pid = vfork();
    if (!pid) {
        error = open(data, O_RDONLY) < 0 ? errno : 0;
        _exit(0);
    }
    int status, fd = open(data, O_RDONLY);
    if (waitpid(pid, &status, 0) != pid || status || fd < 0)
        return 1;
    return error == (preload_is_virtual() ? EOPNOTSUPP : 0) ? 0 : 2;
}

static int vfork_script(void)
{
    pid_t pid = vfork();
    if (!pid) {
        execl(preload_path("script"), "script", "vforked", (char *)NULL);
        _exit(1);
    }
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static int spawn_script(void)
{
    char *argv[] = {(char *)"script", (char *)"spawned", NULL};
    pid_t pid;
    if (posix_spawn(&pid, preload_path("script"), NULL, NULL, argv, environ))
        return 1;
    int status;
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}

static void copy_binary(void)
{
    static char chunk[1 << 16];
    int from = open("/bin/echo", O_RDONLY);
    int to = open(preload_path("binary"), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
    for (ssize_t got; (got = read(from, chunk, sizeof chunk)) > 0;)
        assert_int_equal(write(to, chunk, (size_t)got), got);
    close(from);
    assert_int_equal(close(to), 0);
}

static void programs(void **state)
{
    char expected[PATH_MAX + 64];
    put(preload_path("script"), "#!/bin/sh -u\necho \"$0: $*\"\nexit 0\n", 0755);
    put(preload_path("text"), "echo text $1\n", 0755);
    copy_binary();
    assert_int_equal(in_child(exec_script), 0);
    snprintf(expected, sizeof expected, "%s: one two\n", preload_path("script"));
    assert_string_equal(said, expected);
    assert_int_equal(in_child(exec_binary), 0);
    assert_string_equal(said, "a binary\n");
    assert_int_equal(in_child(exec_text), 7);
    assert_int_equal(in_child(search_text), 0);
    assert_string_equal(said, "text argument\n");
    assert_int_equal(in_child(vfork_opens), 0);
    assert_int_equal(!strstr(said, "open in a child of vfork"), !preload_is_virtual());
    assert_int_equal(in_child(vfork_script), 0);
    snprintf(expected, sizeof expected, "%s: vforked\n", preload_path("script"));
    assert_string_equal(said, expected);
    assert_int_equal(in_child(spawn_script), 0);
    snprintf(expected, sizeof expected, "%s: spawned\n", preload_path("script"));
    assert_string_equal(said, expected);
}

static int permission(void)
{
    execl(preload_path("denied"), "denied", (char *)NULL);
    return errno;
}

static void permissions_decide(void **state)
{
    put(preload_path("denied"), "#!/bin/sh\n", 0600);
    int status = in_child(permission);
    assert_int_equal(status, EACCES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exec_with_files),
        cmocka_unit_test(what_exec_refuses),
        cmocka_unit_test(exec_completes_uploads),
        cmocka_unit_test(variants_of_exec),
        cmocka_unit_test(spawning),
        cmocka_unit_test(shells),
        cmocka_unit_test(shells_with_standard_streams),
        cmocka_unit_test(programs),
        cmocka_unit_test(permissions_decide),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
