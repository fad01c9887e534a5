/* Temporary files and names, by all functions that make or choose some: in a directory that the
 * caller names, or TMPDIR does. Natively these are the kernel's and glibc's. */
#define _LARGEFILE64_SOURCE
#include "tests/preload/preload.h"

#include <dirent.h>
#include <dlfcn.h>

static char folder[256];

/* By address: the linker warns of every use of these. */
static struct {
    char *(*mktemp)(char *);
    char *(*tempnam)(const char *, const char *);
    char *(*tmpnam)(char *);
} choose;

static int setup(void **state)
{
    snprintf(folder, sizeof folder, "%s", preload_path("temp"));
    *(void **)&choose.mktemp = dlsym(RTLD_DEFAULT, "mktemp");
    *(void **)&choose.tempnam = dlsym(RTLD_DEFAULT, "tempnam");
    *(void **)&choose.tmpnam = dlsym(RTLD_DEFAULT, "tmpnam");
    return mkdir(folder, 0755);
}

static unsigned entries(void)
{
    unsigned count = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir));)
        count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

enum { WITH_SUFFIX = 1, WITH_FLAGS = 2 };

struct function {
    const char *name;
    unsigned takes;
    int (*plain)(char *);
    int (*flags)(char *, int); /* or the suffix */
    int (*both)(char *, int, int);
};

static const struct function functions[] = {
    {"mkstemp", 0, mkstemp, NULL, NULL},
    {"mkstemp64", 0, mkstemp64, NULL, NULL},
    {"mkostemp", WITH_FLAGS, NULL, mkostemp, NULL},
    {"mkostemp64", WITH_FLAGS, NULL, mkostemp64, NULL},
    {"mkstemps", WITH_SUFFIX, NULL, mkstemps, NULL},
    {"mkstemps64", WITH_SUFFIX, NULL, mkstemps64, NULL},
    {"mkostemps", WITH_SUFFIX | WITH_FLAGS, NULL, NULL, mkostemps},
    {"mkostemps64", WITH_SUFFIX | WITH_FLAGS, NULL, NULL, mkostemps64},
};

static int make(const struct function *function, char *template)
{
    int flags = O_APPEND | O_CLOEXEC;
    switch (function->takes) {
    case 0: return function->plain(template);
    case WITH_FLAGS: return function->flags(template, flags);
    case WITH_SUFFIX: return function->flags(template, 4);
    default: return function->both(template, 4, flags);
    }
}

static void files(void **state)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
        const struct function *function = &functions[i];
        bool has_suffix = function->takes & WITH_SUFFIX;
        char template[PATH_MAX], before[PATH_MAX], buffer[8];
        struct stat st;
        snprintf(before, sizeof before, "%s/fXXXXXX%s", folder, has_suffix ? ".end" : "");
        strcpy(template, before);
        errno = 77;
        int fd = make(function, template);
        if (fd < 0)
            fail_msg("%s: %s", function->name, strerror(errno));
        assert_int_equal(errno, 77);
        assert_string_not_equal(template, before);
        assert_int_equal(strlen(template), strlen(before));
        if (has_suffix)
            assert_string_equal(template + strlen(template) - 4, ".end");
        assert_int_equal(fstat(fd, &st), 0);
        assert_int_equal(st.st_mode, S_IFREG | 0600);
        bool has_flags = function->takes & WITH_FLAGS;
        assert_int_equal(fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND),
                         O_RDWR | (has_flags ? O_APPEND : 0));
        assert_int_equal(fcntl(fd, F_GETFD), has_flags ? FD_CLOEXEC : 0);
        assert_int_equal(write(fd, "abcd", 4), 4);
        assert_int_equal(pread(fd, buffer, 8, 1), 3);
        assert_int_equal(close(fd), 0);
        assert_int_equal(stat(template, &st), 0);
        assert_int_equal(st.st_size, 4);
        assert_int_equal(unlink(template), 0);
        strcpy(template, before);
        memcpy(strchr(template, 'X'), "Y", 1);
        assert_errno(make(function, template), EINVAL);
        snprintf(template, sizeof template, "%s/none/fXXXXXX%s", folder, has_suffix ? ".end" : "");
        assert_errno(make(function, template), ENOENT);
    }
    assert_int_equal(entries(), 0);
}

static void directories(void **state)
{
    char template[PATH_MAX];
    struct stat st;
    snprintf(template, sizeof template, "%s/dXXXXXX", folder);
    assert_ptr_equal(mkdtemp(template), template);
    assert_int_equal(stat(template, &st), 0);
    assert_int_equal(st.st_mode, S_IFDIR | 0700);
    assert_int_equal(rmdir(template), 0);
}

static void chosen_names(void **state)
{
    char template[PATH_MAX], before[PATH_MAX];
    struct stat st;
    snprintf(before, sizeof before, "%s/nXXXXXX", folder);
    strcpy(template, before);
    errno = 77;
    assert_ptr_equal(choose.mktemp(template), template);
    assert_int_equal(errno, 77);
    assert_string_not_equal(template, before);
    assert_int_equal(strlen(template), strlen(before));
    assert_errno(lstat(template, &st), ENOENT);
    strcpy(template, "/short");
    assert_string_equal(choose.mktemp(template), "");
    snprintf(template, sizeof template, "%s/short", folder);
    errno = 0;
    assert_string_equal(choose.mktemp(template), "");
    assert_int_equal(errno, EINVAL);
    assert_int_equal(entries(), 0);
}

/* Is it of that directory and prefix, with six more characters, and free? */
static void check_name(char *name, const char *directory, const char *prefix)
{
    char begin[PATH_MAX];
    struct stat st;
    assert_non_null(name);
    snprintf(begin, sizeof begin, "%s/%s", directory, prefix);
    if (strncmp(name, begin, strlen(begin)) || strlen(name) != strlen(begin) + 6)
        fail_msg("%s is not of %s", name, begin);
    assert_errno(lstat(name, &st), ENOENT);
    free(name);
}

static void names_of_tempnam(void **state)
{
    char *before = getenv("TMPDIR"), other[PATH_MAX], slashes[PATH_MAX];
    if (before)
        before = strdup(before);
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(mkdir(other, 0755), 0);
    unsetenv("TMPDIR");
    check_name(choose.tempnam(folder, "abc"), folder, "abc");
    check_name(choose.tempnam(folder, "longer than five"), folder, "longe");
    check_name(choose.tempnam(folder, NULL), folder, "file");
    check_name(choose.tempnam(folder, ""), folder, "file");
    snprintf(slashes, sizeof slashes, "%s//", folder);
    check_name(choose.tempnam(slashes, "x"), folder, "x");
    check_name(choose.tempnam(preload_path("none"), "x"), "/tmp", "x");
    check_name(choose.tempnam(NULL, "x"), "/tmp", "x");
    setenv("TMPDIR", other, 1);
    check_name(choose.tempnam(NULL, "x"), other, "x");
    check_name(choose.tempnam(folder, "x"), other, "x");
    check_name(choose.tempnam("/tmp", "x"), other, "x");
    setenv("TMPDIR", preload_path("none"), 1);
    check_name(choose.tempnam(folder, "x"), folder, "x");
    check_name(choose.tempnam("/tmp", "x"), "/tmp", "x");
    setenv("TMPDIR", "/tmp", 1);
    check_name(choose.tempnam(folder, "x"), "/tmp", "x");
    unsetenv("TMPDIR");
    if (before)
        setenv("TMPDIR", before, 1);
    free(before);
    assert_int_equal(rmdir(other), 0);
    assert_int_equal(entries(), 0);
}

/* These are in /tmp whatever TMPDIR says. */
static void files_of_the_machine(void **state)
{
    char *before = getenv("TMPDIR"), name[L_tmpnam];
    if (before)
        before = strdup(before);
    setenv("TMPDIR", folder, 1);
    FILE *files[] = {tmpfile(), tmpfile64()};
    for (int i = 0; i < 2; i++) {
        assert_non_null(files[i]);
        assert_true(fputs("text", files[i]) >= 0);
        rewind(files[i]);
        assert_int_equal(fgetc(files[i]), 't');
        assert_int_equal(fclose(files[i]), 0);
    }
    assert_ptr_equal(choose.tmpnam(name), name);
    assert_memory_equal(name, "/tmp/", 5);
    unsetenv("TMPDIR");
    if (before)
        setenv("TMPDIR", before, 1);
    free(before);
    assert_int_equal(entries(), 0);
}

int __open64_2(const char *path, int flags);
int __openat64_2(int dirfd, const char *path, int flags);

/* Every way to a file without a name, and both to a name for it. */
static void nameless_files(void **state)
{
    int directory = open(folder, O_RDONLY | O_DIRECTORY), flags = O_TMPFILE | O_RDWR;
    char link[64], buffer[8];
    for (int way = 0; way < 4; way++) {
        int fd = way == 0   ? open(folder, flags, 0600)
                 : way == 1 ? open64(folder, flags, 0600)
                 : way == 2 ? openat(directory, ".", flags, 0600)
                            : openat64(directory, ".", flags, 0600);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, "abcd", 4), 4);
        assert_int_equal(entries(), 0);
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        assert_int_equal(linkat(AT_FDCWD, link, directory, "named", AT_SYMLINK_FOLLOW), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(entries(), 1);
        fd = way & 1 ? __openat64_2(directory, "named", O_RDONLY)
                     : openat(directory, "named", O_RDONLY);
        assert_int_equal(read(fd, buffer, 8), 4);
        assert_int_equal(close(fd), 0);
        assert_int_equal(unlinkat(directory, "named", 0), 0);
    }
    close(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(directories),
        cmocka_unit_test(chosen_names),
        cmocka_unit_test(names_of_tempnam),
        cmocka_unit_test(files_of_the_machine),
        cmocka_unit_test(nameless_files),
    };
    return cmocka_run_group_tests_name("temp", tests, setup, NULL);
}
