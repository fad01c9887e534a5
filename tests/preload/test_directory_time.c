/* The time of a directory: when something in it was made, renamed or removed last. Programs keep
 * what they have read of a directory as long as its time stays: Python's import, mail readers. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <time.h>

#define TRIES 1000000 /* of changes, until the clock of a disk has moved on */

static struct timespec time_of(const char *directory)
{
    struct stat st;

    assert_int_equal(stat(preload_path(directory), &st), 0);
    return st.st_mtim;
}

static bool is_later(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}

static void check_same(struct timespec a, struct timespec b)
{
    assert_int_equal(a.tv_sec, b.tv_sec);
    assert_int_equal(a.tv_nsec, b.tv_nsec);
}

/* Changes the directory until its time is another; in a bucket the first change does it. */
static void check_changes(const char *directory, void (*change)(const char *directory))
{
    struct timespec before = time_of(directory), after;
    unsigned tries = preload_is_virtual() ? 1 : TRIES;

    do {
        change(directory);
        after = time_of(directory);
    } while (--tries && !is_later(after, before));
    assert_true(is_later(after, before));
}

/* The path of a name in a directory, which is given as preload_path takes it. */
static const char *in(const char *directory, const char *name)
{
    char below[100];

    snprintf(below, sizeof below, "%s/%s", directory, name);
    return preload_path(below);
}

static void a_file(const char *directory)
{
    unlink(in(directory, "file"));
    preload_make(in(directory, "file"), 3);
}

static void a_file_less(const char *directory)
{
    preload_make(in(directory, "file"), 3);
    assert_int_equal(unlink(in(directory, "file")), 0);
}

static void another_name(const char *directory)
{
    preload_make(in(directory, "old"), 3);
    assert_int_equal(rename(in(directory, "old"), in(directory, "new")), 0);
}

static void a_directory(const char *directory)
{
    assert_int_equal(mkdir(in(directory, "sub"), 0755), 0);
    assert_int_equal(rmdir(in(directory, "sub")), 0);
}

static void a_link(const char *directory)
{
    unlink(in(directory, "link"));
    assert_int_equal(symlink("target", in(directory, "link")), 0);
}

/* By a program of its own, which shares nothing with this one. */
static void something_elsewhere(const char *directory)
{
    char command[PATH_MAX + 20];

    snprintf(command, sizeof command, "echo x >%s/$$", preload_path(directory));
    assert_int_equal(system(command), 0);
}

static void changes(void **state)
{
    static void (*const all[])(const char *directory) = {
        a_file, a_file_less, another_name, a_directory, a_link, something_elsewhere};

    assert_int_equal(mkdir(preload_path("changes"), 0755), 0);

    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++)
        check_changes("changes", all[i]);
}

static void made(void **state)
{
    struct timespec now;
    int64_t age_s;

    assert_int_equal(mkdir(preload_path("made"), 0755), 0);
    clock_gettime(CLOCK_REALTIME, &now);
    age_s = now.tv_sec - time_of("made").tv_sec;
    assert_true(age_s >= 0 && age_s < 60);
}

/* Neither reading nor what happens further down, nor what is stored with what is in it. */
static void unchanged(void **state)
{
    static const struct timespec times[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    struct timespec before;
    char bytes[3];
    DIR *list;

    assert_int_equal(mkdir(preload_path("unchanged"), 0755), 0);
    assert_int_equal(mkdir(preload_path("unchanged/sub"), 0755), 0);
    preload_make(preload_path("unchanged/file"), 3);
    before = time_of("unchanged");
    list = opendir(preload_path("unchanged/sub"));
    assert_non_null(list);
    while (readdir(list))
        ;
    closedir(list);
    int fd = open(preload_path("unchanged/file"), O_RDONLY);
    assert_int_equal(read(fd, bytes, sizeof bytes), 3);
    close(fd);
    assert_errno(open(preload_path("unchanged/absent"), O_RDONLY), ENOENT);
    assert_errno(unlink(preload_path("unchanged/absent")), ENOENT);
    assert_errno(mkdir(preload_path("unchanged/sub"), 0755), EEXIST);
    preload_make(preload_path("unchanged/sub/file"), 3);
    assert_int_equal(mkdir(preload_path("unchanged/sub/sub"), 0755), 0);
    assert_int_equal(chmod(preload_path("unchanged/file"), 0600), 0);
    assert_int_equal(chmod(preload_path("unchanged/sub"), 0700), 0);
    assert_int_equal(utimensat(AT_FDCWD, preload_path("unchanged/sub"), times, 0), 0);
    assert_int_equal(utimensat(AT_FDCWD, preload_path("unchanged/file"), times, 0), 0);
    check_same(time_of("unchanged"), before);
}

static void same_everywhere(void **state)
{
    struct stat st;

    assert_int_equal(mkdir(preload_path("same"), 0755), 0);
    preload_make(preload_path("same/file"), 3);
    int fd = open(preload_path("same"), O_RDONLY | O_DIRECTORY);
    assert_int_equal(fstat(fd, &st), 0);
    check_same(st.st_mtim, time_of("same"));
    close(fd);
    fd = open(preload_root(), O_RDONLY | O_DIRECTORY);
    assert_int_equal(fstatat(fd, "same", &st, 0), 0);
    check_same(st.st_mtim, time_of("same"));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes),
        cmocka_unit_test(made),
        cmocka_unit_test(unchanged),
        cmocka_unit_test(same_everywhere),
    };
    return cmocka_run_group_tests_name("directory time", tests, NULL, NULL);
}
