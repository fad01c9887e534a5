/* Names and attributes, while the server goes wrong: see fault_cases.h. */
#include "tests/preload/fault_table.h"

#include <sys/xattr.h>

#define TIME_SECONDS 1500000000

static int result(int r)
{
    return r < 0 ? -errno : 0;
}

static void prepared(int r, int expected)
{
    if (r == 0 || errno == expected)
        return;
    fprintf(stderr, "%s: preparing: %s\n", operation->name, strerror(errno));
    _exit(1);
}

static void put(const char *name, const char *text)
{
    struct timespec times[2] = {{TIME_SECONDS, 0}, {TIME_SECONDS, 0}};
    int fd = open(case_path(name), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    prepared(fd < 0 || write(fd, text, strlen(text)) < 0 || futimens(fd, times) < 0, 0);
    prepared(close(fd), 0);
}

static void gone(const char *name)
{
    prepared(unlink(case_path(name)), ENOENT);
}

static void no_directory(const char *name)
{
    prepared(rmdir(case_path(name)), ENOENT);
}

static void one_file(void)
{
    gone("file");
    put("file", "content");
}

static void one_file_to_move(void)
{
    one_file();
    gone("moved");
}

static void two_files(void)
{
    one_file();
    put("moved", "another content");
}

static void three_in_a_directory(void)
{
    static const char *const places[] = {"from", "to"};
    for (unsigned i = 0; i < 2; i++) {
        char name[32];
        for (unsigned file = 0; file < 3; file++) {
            snprintf(name, sizeof name, "%s/%u", places[i], file);
            gone(name);
        }
        no_directory(places[i]);
    }
    prepared(mkdir(case_path("from"), 0755), EEXIST);
    put("from/0", "zero");
    put("from/1", "one");
    put("from/2", "two");
}

static void no_place(void)
{
    no_directory("place");
}

static void a_place(void)
{
    prepared(mkdir(case_path("place"), 0755), EEXIST);
}

static void no_link(void)
{
    gone("link");
    one_file();
}

static int move_file(void)
{
    return result(rename(case_path("file"), case_path("moved")));
}

static int move_directory(void)
{
    return result(rename(case_path("from"), case_path("to")));
}

static int remove_file(void)
{
    return result(unlink(case_path("file")));
}

static int make_place(void)
{
    return result(mkdir(case_path("place"), 0755));
}

static int remove_place(void)
{
    return result(rmdir(case_path("place")));
}

static int make_link(void)
{
    return result(symlink("file", case_path("link")));
}

static int set_mode(void)
{
    return result(chmod(case_path("file"), 0600));
}

static int set_times(void)
{
    struct timespec times[2] = {{TIME_SECONDS + 1, 0}, {TIME_SECONDS + 1, 0}};
    return result(utimensat(AT_FDCWD, case_path("file"), times, 0));
}

static int set_attribute(void)
{
    return result(setxattr(case_path("file"), "user.colour", "blue", 4, 0));
}

/* sed -i, editors: written aside, then renamed. */
static int replace_by_rename(void)
{
    int fd = open(case_path("aside"), O_WRONLY | O_CREAT | O_TRUNC, 0644), r = 0;
    if (fd < 0)
        return -errno;
    if (write(fd, "edited", 6) != 6)
        r = -errno;
    if (close(fd) < 0 && r == 0)
        r = -errno;
    if (r == 0)
        r = result(rename(case_path("aside"), case_path("file")));
    if (r < 0)
        unlink(case_path("aside"));
    return r;
}

static int write_aside(void)
{
    put("aside", "edited");
    return 0;
}

static void one_file_alone(void)
{
    gone("aside");
    one_file();
}

static const struct operation operations[] = {
    {"rename", one_file_to_move, move_file, NULL, false, true, true},
    {"rename-over", two_files, move_file, NULL, false, true, true},
    {"rename-directory", three_in_a_directory, move_directory, NULL, false, true, true},
    {"replace-by-rename", one_file_alone, replace_by_rename, write_aside, false, true, true},
    {"unlink", one_file, remove_file, NULL, false, false, false},
    {"mkdir", no_place, make_place, NULL, false, false, false},
    {"rmdir", a_place, remove_place, NULL, false, false, false},
    {"symlink", no_link, make_link, NULL, false, false, false},
    {"chmod", one_file, set_mode, NULL, false, true, false},
    {"utimensat", one_file, set_times, NULL, false, true, false},
    {"setxattr", one_file, set_attribute, NULL, false, true, false},
};

int main(void)
{
    return fault_tests("faults_names", operations, sizeof operations / sizeof *operations);
}
