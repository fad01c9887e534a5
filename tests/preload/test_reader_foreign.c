/* A file that is open here, and that another process removes, replaces, renames or changes the
 * attributes of: who has it open keeps it. */
#include "tests/preload/preload.h"

#include <sys/wait.h>

#define SIZE  ((size_t)9 << 20) /* more than what an open brings along */
#define ASIDE 100000

static void wait_well(pid_t pid)
{
    int status = -1;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* ---- what the other process does ---- */

typedef bool other_fn(const char *path);

static bool removes(const char *path)
{
    return unlink(path) == 0;
}

static bool renames(const char *path)
{
    return rename(path, preload_path("elsewhere")) == 0;
}

static bool renames_and_removes(const char *path)
{
    return renames(path) && unlink(preload_path("elsewhere")) == 0;
}

static bool renames_twice(const char *path)
{
    return renames(path) && rename(preload_path("elsewhere"), preload_path("further")) == 0;
}

static bool renames_over(const char *path)
{
    return rename(preload_path("other"), path) == 0;
}

static bool writes_anew(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    bool well = fd >= 0 && write(fd, "new", 3) == 3;

    return !close(fd) && well;
}

static bool removes_and_writes_anew(const char *path)
{
    return removes(path) && writes_anew(path);
}

static bool adds(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND);
    bool well = fd >= 0 && write(fd, "added", 5) == 5;

    return !close(fd) && well;
}

static bool adds_and_removes(const char *path)
{
    bool well = adds(path);

    return well && adds(path) && removes(path);
}

static bool adds_and_renames(const char *path)
{
    return adds(path) && renames(path) && adds(preload_path("elsewhere"));
}

static bool changes_the_mode(const char *path)
{
    return chmod(path, 0600) == 0 && chmod(path, 0640) == 0;
}

static bool renames_the_directory(const char *path)
{
    char directory[PATH_MAX], to[PATH_MAX + 8];

    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    snprintf(to, sizeof to, "%s-moved", directory);
    return rename(directory, to) == 0;
}

static const struct {
    const char *name;
    other_fn *does;
} others[] = {
    {"removes", removes},
    {"renames", renames},
    {"renames and removes", renames_and_removes},
    {"renames twice", renames_twice},
    {"renames over", renames_over},
    {"removes and writes anew", removes_and_writes_anew},
    {"adds", adds},
    {"adds and removes", adds_and_removes},
    {"adds and renames", adds_and_renames},
    {"changes the mode", changes_the_mode},
    {"renames the directory", renames_the_directory},
};

#define OTHERS (sizeof others / sizeof others[0])

static pid_t start_other(unsigned which, const char *path)
{
    pid_t pid = fork();

    if (!pid) {
        bool well = others[which].does(path);

        if (!well)
            fprintf(stderr, "%s: %s\n", others[which].name, strerror(errno));
        _exit(well ? 0 : 1);
    }
    return pid;
}

/* A file in a directory of its own, and one beside it that is as long and has other bytes. */
static const char *set_up(void)
{
    static unsigned number;
    static char path[PATH_MAX];
    char name[64];
    int fd;

    snprintf(name, sizeof name, "foreign-%u", number++);
    assert_int_equal(mkdir(preload_path(name), 0755), 0);
    strcat(name, "/file");
    snprintf(path, sizeof path, "%s", preload_path(name));
    preload_make(path, SIZE);
    preload_make(preload_path("other"), SIZE);
    fd = open(preload_path("other"), O_RDWR);
    assert_int_equal(pwrite(fd, "another", 7, ASIDE), 7);
    assert_int_equal(close(fd), 0);
    return path;
}

static bool rest_is_whole(int fd, size_t from)
{
    static unsigned char buffer[1 << 20];
    ssize_t got;

    for (size_t at = from; at < SIZE; at += (size_t)got) {
        got = pread(fd, buffer, sizeof buffer, (off_t)at);
        if (got < 0)
            fprintf(stderr, "at %zu: %s\n", at, strerror(errno));
        if (got <= 0 || !preload_matches(buffer, (size_t)got, at))
            return false;
    }
    return true;
}

/* ---- */

static void by_a_child(void **state)
{
    for (unsigned i = 0; i < OTHERS; i++) {
        const char *path = set_up();
        int fd = open(path, O_RDONLY);
        char byte;

        assert_int_equal(read(fd, &byte, 1), 1);
        wait_well(start_other(i, path));
        if (!rest_is_whole(fd, 0))
            fail_msg("what another process %s", others[i].name);
        assert_int_equal(close(fd), 0);
    }
}

/* The child has what its parent had opened; the parent changes it and closes its own. */
static void by_the_parent(void **state)
{
    for (unsigned i = 0; i < OTHERS; i++) {
        const char *path = set_up();
        int fd = open(path, O_RDONLY), ready[2], go[2];
        char byte = 0;
        pid_t pid;

        assert_int_equal(pipe(ready) | pipe(go), 0);
        pid = fork();
        if (!pid) {
            bool well = write(ready[1], &byte, 1) == 1 && read(go[0], &byte, 1) == 1;

            _exit(well && rest_is_whole(fd, 0) ? 0 : 1);
        }
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_true(others[i].does(path));
        assert_int_equal(close(fd), 0);
        assert_int_equal(write(go[1], &byte, 1), 1);
        wait_well(pid);
        for (int n = 0; n < 2; n++)
            close(ready[n]), close(go[n]);
    }
}

/* Another process changes it, then a program that was started with it as its input reads it. */
static void before_a_program_reads_it(void **state)
{
    for (unsigned i = 0; i < OTHERS; i++) {
        const char *path = set_up();
        int fd = open(path, O_RDONLY);
        pid_t pid;

        wait_well(start_other(i, path));
        pid = fork();
        if (!pid) {
            char command[PATH_MAX];

            dup2(fd, 0);
            snprintf(command, sizeof command, "cat >%s", preload_path("seen"));
            execl("/bin/sh", "sh", "-c", command, (char *)NULL);
            _exit(9);
        }
        wait_well(pid);
        assert_int_equal(close(fd), 0);
        fd = open(preload_path("seen"), O_RDONLY);
        if (!rest_is_whole(fd, 0))
            fail_msg("what another process %s", others[i].name);
        assert_int_equal(close(fd), 0);
    }
}

/* Three have it open; the last of them, too, finds it whole. */
static void several_readers(void **state)
{
    const char *path = set_up();
    int fd = open(path, O_RDONLY), go[2];
    pid_t pids[3];

    assert_int_equal(pipe(go), 0);
    for (int i = 0; i < 3; i++) {
        pids[i] = fork();
        if (!pids[i]) {
            int own = open(path, O_RDONLY);
            char byte = 0;
            bool well;

            close(fd);
            well = read(own, &byte, 1) == 1 && write(go[1], &byte, 1) == 1;
            while (!access(path, F_OK))
                usleep(2000);
            _exit(well && rest_is_whole(own, 0) && !close(own) ? 0 : 1);
        }
    }
    for (int i = 0; i < 3; i++) {
        char byte;

        assert_int_equal(read(go[0], &byte, 1), 1);
    }
    assert_int_equal(unlink(path), 0);
    for (int i = 0; i < 3; i++)
        wait_well(pids[i]);
    assert_true(rest_is_whole(fd, 0));
    assert_int_equal(close(fd), 0);
    close(go[0]);
    close(go[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_a_child),
        cmocka_unit_test(by_the_parent),
        cmocka_unit_test(before_a_program_reads_it),
        cmocka_unit_test(several_readers),
    };

    return cmocka_run_group_tests_name("files that others change", tests, NULL, NULL);
}
