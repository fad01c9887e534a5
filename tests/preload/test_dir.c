/* opendir and its kin, getdents64: what a directory shows, and that positions mean what they
 * say. */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <sys/wait.h>

#define FILES 2500 /* more than one buffer, more than two pages of a listing */

static char *root, *many;

static void file_make(const char *directory, const char *name)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    preload_make(path, 3);
}

static int setup(void **state)
{
    root = strdup(preload_path("dir"));
    many = strdup(preload_path("dir-many"));
    assert_int_equal(mkdir(root, 0755), 0);
    assert_int_equal(mkdir(many, 0755), 0);
    file_make(root, "a");
    file_make(root, "b.txt");
    file_make(root, ".hidden");
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/sub", root);
    assert_int_equal(mkdir(path, 0755), 0);
    file_make(path, "inside");
    for (int i = 0; i < FILES; i++) {
        char name[32];
        snprintf(name, sizeof name, "f%05d", i);
        file_make(many, name);
    }
    return 0;
}

/* Every name once: fills `seen` for the many, returns the count with . and .. */
static int many_count(DIR *stream, bool *seen)
{
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream)); count++) {
        int number;
        if (sscanf(entry->d_name, "f%d", &number) != 1)
            continue;
        assert_in_range(number, 0, FILES - 1);
        assert_false(seen[number]);
        seen[number] = true;
    }
    return count;
}

static void entries(void **state)
{
    DIR *stream = opendir(root);
    assert_non_null(stream);
    int dots = 0, found = 0;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(stream)); found++) {
        assert_int_not_equal(entry->d_ino, 0);
        dots += !strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..");
        if (!strcmp(entry->d_name, "sub") || !strcmp(entry->d_name, "."))
            assert_int_equal(entry->d_type, DT_DIR);
        if (!strcmp(entry->d_name, "a"))
            assert_int_equal(entry->d_type, DT_REG);
        char path[PATH_MAX];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", root, entry->d_name);
        assert_int_equal(lstat(path, &st), 0);
        if (strcmp(entry->d_name, ".."))
            assert_int_equal(st.st_ino, entry->d_ino);
    }
    assert_int_equal(errno, 0);
    assert_int_equal(dots, 2);
    assert_int_equal(found, 6);
    assert_null(readdir(stream));
    assert_int_equal(closedir(stream), 0);
}

static void all_of_many(void **state)
{
    static bool seen[FILES];
    DIR *stream = opendir(many);
    assert_non_null(stream);
    assert_int_equal(many_count(stream, seen), FILES + 2);
    memset(seen, 0, sizeof seen);
    rewinddir(stream);
    assert_int_equal(many_count(stream, seen), FILES + 2);
    assert_int_equal(closedir(stream), 0);
}

static void refusals(void **state)
{
    char path[PATH_MAX];
    errno = 0;
    assert_null(opendir(preload_path("dir-absent")));
    assert_int_equal(errno, ENOENT);
    snprintf(path, sizeof path, "%s/a", root);
    assert_null(opendir(path));
    assert_int_equal(errno, ENOTDIR);
    int fd = open(path, O_RDONLY);
    assert_null(fdopendir(fd));
    assert_int_equal(errno, ENOTDIR);
    char buffer[512];
    assert_errno(getdents64(fd, buffer, sizeof buffer), ENOTDIR);
    close(fd);
    assert_null(fdopendir(fd));
    assert_int_equal(errno, EBADF);
    fd = open(root, O_RDONLY | O_DIRECTORY);
    assert_errno(read(fd, buffer, 10), EISDIR);
    assert_errno(getdents64(fd, buffer, 10), EINVAL);
    assert_errno(getdents64(fd, preload_bad(70000), sizeof buffer), EFAULT);
    close(fd);
    assert_errno(open(root, O_WRONLY), EISDIR);
}

static void descriptors(void **state)
{
    DIR *stream = opendir(root);
    int fd = dirfd(stream);
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    int inside = openat(fd, "sub/inside", O_RDONLY);
    assert_true(inside >= 0);
    close(inside);
    assert_int_equal(closedir(stream), 0);
    assert_errno(fcntl(fd, F_GETFD), EBADF);

    fd = open(root, O_RDONLY | O_DIRECTORY);
    stream = fdopendir(fd);
    assert_non_null(stream);
    assert_int_equal(dirfd(stream), fd);
    assert_non_null(readdir(stream));
    assert_int_equal(closedir(stream), 0);
    assert_errno(close(fd), EBADF);
}

/* A stream over a copy of the descriptor, as Python's listdir(fd) does it, again and again. */
static void listed_by_copies(void **state)
{
    int fd = open(root, O_RDONLY | O_DIRECTORY);
    for (int round = 0; round < 3; round++) {
        DIR *stream = fdopendir(dup(fd));
        assert_non_null(stream);
        int count = 0;
        while (readdir(stream))
            count++;
        assert_int_equal(count, 6);
        rewinddir(stream);
        assert_int_equal(closedir(stream), 0);
    }
    close(fd);
}

static void positions(void **state)
{
    DIR *stream = opendir(many);
    static long at[FILES + 3];
    static char names[FILES + 3][256];
    int count = 0;
    for (;; count++) {
        at[count] = telldir(stream);
        struct dirent *entry = readdir(stream);
        if (!entry)
            break;
        snprintf(names[count], sizeof names[count], "%s", entry->d_name);
    }
    assert_int_equal(count, FILES + 2);
    static const int order[] = {17, 3, 2400, 0, 1, 2, 1000, 999, FILES + 1, 5};
    for (unsigned i = 0; i < sizeof order / sizeof *order; i++) {
        seekdir(stream, at[order[i]]);
        assert_int_equal(telldir(stream), at[order[i]]);
        struct dirent *entry = readdir(stream);
        assert_non_null(entry);
        assert_string_equal(entry->d_name, names[order[i]]);
    }
    seekdir(stream, at[count]);
    assert_null(readdir(stream));
    closedir(stream);
}

/* What comes and goes in front of a remembered position does not move it. */
static void position_among_changes(void **state)
{
    char *place = strdup(preload_path("dir-changing")), path[PATH_MAX];
    assert_int_equal(mkdir(place, 0755), 0);
    static const char *const names[] = {"b", "c", "d", "e", "f"};
    for (int i = 0; i < 5; i++)
        file_make(place, names[i]);
    DIR *stream = opendir(place);
    char first[256];
    struct dirent *entry;
    do
        entry = readdir(stream);
    while (entry && entry->d_name[0] == '.');
    assert_non_null(entry);
    snprintf(first, sizeof first, "%s", entry->d_name);
    long behind_first = telldir(stream);
    while (readdir(stream))
        ;
    snprintf(path, sizeof path, "%s/%s", place, first);
    assert_int_equal(unlink(path), 0);
    rewinddir(stream);
    seekdir(stream, behind_first);
    int count = 0;
    while ((entry = readdir(stream))) {
        assert_string_not_equal(entry->d_name, first);
        count += entry->d_name[0] != '.';
    }
    /* Natively a directory of five may give them in any order; here none is lost. */
    if (preload_is_virtual())
        assert_int_equal(count, 4);
    closedir(stream);
    free(place);
}

static void removed_while_read(void **state)
{
    char *place = strdup(preload_path("dir-removed")), path[PATH_MAX];
    assert_int_equal(mkdir(place, 0755), 0);
    for (int i = 0; i < 50; i++) {
        char name[16];
        snprintf(name, sizeof name, "r%02d", i);
        file_make(place, name);
    }
    DIR *stream = opendir(place);
    int removed = 0;
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", place, entry->d_name);
        assert_int_equal(unlink(path), 0);
        removed++;
    }
    closedir(stream);
    assert_int_equal(removed, 50);
    assert_int_equal(rmdir(place), 0);
    free(place);
}

static void raw_records(void **state)
{
    int fd = open(many, O_RDONLY | O_DIRECTORY);
    _Alignas(struct dirent64) char buffer[1000];
    int count = 0;
    ssize_t got;
    while ((got = getdents64(fd, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < got;) {
            struct dirent64 *record = (struct dirent64 *)(void *)(buffer + at);
            assert_int_equal(record->d_reclen % 8, 0);
            at += record->d_reclen;
            assert_true(at <= got);
            count++;
        }
    assert_int_equal(got, 0);
    assert_int_equal(count, FILES + 2);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_true(getdents64(fd, buffer, sizeof buffer) > 0);
    close(fd);
}

/* Whoever has the first page is given it: a read that could hold more does not wait for the next. */
static void a_page_is_given_when_it_is_there(void **state)
{
    enum { COUNT = 1300, PAGE = 1000 };
    _Alignas(struct dirent64) static char buffer[COUNT * 40];
    char *place = strdup(preload_path("dir-pages")), name[16];
    assert_int_equal(mkdir(place, 0755), 0);
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "p%04d", i);
        file_make(place, name);
    }
    int fd = open(place, O_RDONLY | O_DIRECTORY), count = 0, reads = 0, first = 0;
    for (ssize_t got; (got = getdents64(fd, buffer, sizeof buffer)) > 0; reads++)
        for (ssize_t at = 0; at < got; count++) {
            at += ((struct dirent64 *)(void *)(buffer + at))->d_reclen;
            first += reads == 0;
        }
    assert_int_equal(count, COUNT + 2);
    if (preload_is_virtual())
        assert_in_range(first, 1, PAGE + 2);
    close(fd);
    free(place);
}

static void shared_by_fork(void **state)
{
    static bool seen[FILES];
    memset(seen, 0, sizeof seen);
    DIR *stream = opendir(many);
    for (int i = 0; i < 10; i++)
        assert_non_null(readdir(stream));
    pid_t child = fork();
    if (!child) {
        int count = 0;
        while (readdir(stream))
            count++;
        _exit(count == FILES + 2 - 10 || count < FILES ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    closedir(stream);
}

static void reentrant(void **state)
{
    DIR *stream = opendir(root);
    struct dirent entry, *found;
    int count = 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
    while (!readdir_r(stream, &entry, &found) && found)
        count++;
#pragma GCC diagnostic pop
    assert_int_equal(count, 6);
    closedir(stream);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(entries),          cmocka_unit_test(all_of_many),
        cmocka_unit_test(refusals),         cmocka_unit_test(descriptors),
        cmocka_unit_test(listed_by_copies), cmocka_unit_test(positions),
        cmocka_unit_test(a_page_is_given_when_it_is_there),
        cmocka_unit_test(raw_records),      cmocka_unit_test(position_among_changes),
        cmocka_unit_test(shared_by_fork),   cmocka_unit_test(removed_while_read),
        cmocka_unit_test(reentrant),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
