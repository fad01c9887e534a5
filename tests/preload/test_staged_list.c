/* What listings show of files that are still being written: each once, and nothing that was
 * unlinked. */
#include "tests/preload/text.h"

#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>

#define MANY 1500 /* more than one page of a listing, with those being written */

static int count_of(DIR *stream, const char *name)
{
    int count = 0;
    for (struct dirent *entry; (entry = readdir(stream));)
        count += !strcmp(entry->d_name, name);
    return count;
}

/* How often it is listed in the directory, with what stat says of it. */
static int listed(const char *directory, const char *name)
{
    char path[PATH_MAX];
    struct stat st;
    int count = 0;
    snprintf(path, sizeof path, "%s/%s", preload_path(directory), name);
    DIR *stream = opendir(preload_path(directory));
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        if (strcmp(entry->d_name, name))
            continue;
        count++;
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(entry->d_ino, st.st_ino);
        assert_int_equal(entry->d_type, S_ISDIR(st.st_mode) ? DT_DIR : DT_REG);
    }
    closedir(stream);
    return count;
}

static void new_ones(void **state)
{
    text_directory("new");
    text_put("new/m", "old");
    int before = text_begin("new/a", O_WRONLY, "x"), after = text_begin("new/z", O_RDWR, "x");
    text_directory("new/sub");
    int inside = text_begin("new/sub/inside", O_WRONLY, "x");
    assert_int_equal(listed("new", "a"), 1);
    assert_int_equal(listed("new", "m"), 1);
    assert_int_equal(listed("new", "z"), 1);
    assert_int_equal(listed("new", "sub"), 1);
    assert_int_equal(listed("new", "inside"), 0);
    assert_int_equal(listed("new/sub", "inside"), 1);
    assert_int_equal(listed(".", "new"), 1);
    assert_int_equal(text_entries("new"), 4);
    assert_int_equal(close(before), 0);
    assert_int_equal(close(after), 0);
    assert_int_equal(close(inside), 0);
    assert_int_equal(text_entries("new"), 4);
    assert_int_equal(text_entries("new/sub"), 1);
}

static void overwritten_ones(void **state)
{
    text_directory("over");
    text_put("over/a", "old");
    text_put("over/b", "old");
    text_put("over/c", "old");
    int a = text_begin("over/a", O_WRONLY, "new"), b = text_begin("over/b", O_RDWR, "new");
    int c = text_open("over/c", O_RDWR);
    assert_int_equal(listed("over", "a"), 1);
    assert_int_equal(listed("over", "b"), 1);
    assert_int_equal(listed("over", "c"), 1);
    assert_int_equal(text_entries("over"), 3);
    assert_int_equal(fsync(a), 0);
    assert_int_equal(text_entries("over"), 3);
    close(a);
    close(b);
    close(c);
    assert_int_equal(text_entries("over"), 3);
}

static void renamed_ones(void **state)
{
    text_directory("moving");
    text_put("moving/old", "old");
    int fd = text_begin("moving/a", O_WRONLY, "x"), over = text_begin("moving/old", O_RDWR, "x");
    assert_int_equal(text_move("moving/a", "moving/b"), 0);
    assert_int_equal(text_move("moving/old", "moving/c"), 0);
    assert_int_equal(listed("moving", "a"), 0);
    assert_int_equal(listed("moving", "old"), 0);
    assert_int_equal(listed("moving", "b"), 1);
    assert_int_equal(listed("moving", "c"), 1);
    assert_int_equal(text_entries("moving"), 2);
    assert_int_equal(text_move("moving", "moved"), 0);
    assert_int_equal(text_entries("moved"), 2);
    close(fd);
    close(over);
    assert_int_equal(text_entries("moved"), 2);
}

static void unlinked_ones(void **state)
{
    text_directory("gone");
    text_put("gone/old", "old");
    text_put("gone/older", "old");
    int fd = text_begin("gone/a", O_WRONLY, "x"), over = text_begin("gone/old", O_RDWR, "x");
    int kept = text_open("gone/older", O_RDWR);
    assert_int_equal(text_remove("gone/a"), 0);
    assert_int_equal(text_remove("gone/old"), 0);
    assert_int_equal(text_remove("gone/older"), 0);
    assert_int_equal(text_entries("gone"), 0);
    int again = text_begin("gone/a", O_WRONLY, "again");
    assert_int_equal(listed("gone", "a"), 1);
    close(fd);
    assert_int_equal(listed("gone", "a"), 1);
    close(again);
    close(over);
    close(kept);
    assert_int_equal(listed("gone", "a"), 1);
    assert_int_equal(text_entries("gone"), 1);
}

/* A stream over a directory whose files become objects, or come to be, under it. */
static void published_meanwhile(void **state)
{
    text_directory("meanwhile");
    text_put("meanwhile/a", "x");
    text_put("meanwhile/y", "x");
    int fd = text_begin("meanwhile/m", O_WRONLY, "x");
    DIR *stream = opendir(preload_path("meanwhile"));
    struct dirent *entry = readdir(stream);
    assert_non_null(entry);
    assert_int_equal(close(fd), 0);
    assert_int_equal(count_of(stream, "m"), 1);
    fd = text_begin("meanwhile/n", O_RDWR, "x");
    rewinddir(stream);
    assert_int_equal(count_of(stream, "n"), 1);
    rewinddir(stream);
    assert_int_equal(count_of(stream, "m"), 1);
    closedir(stream);
    close(fd);
}

/* ---- many, and positions among them ---- */

static int opened[64];

static void many_make(void)
{
    char name[64];
    text_directory("many");
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "many/f%05d", i * 10);
        text_put(name, "x");
    }
    for (unsigned i = 0; i < 64; i++) { /* every other one is new */
        snprintf(name, sizeof name, "many/f%05u", i % 2 ? i * 230 : i * 230 + 5);
        opened[i] = text_begin(name, i % 3 ? O_WRONLY : O_RDWR, "x");
    }
}

static void many_are_complete(DIR *stream, int already)
{
    static bool seen[MANY * 10 + 64 * 230];
    memset(seen, 0, sizeof seen);
    int count = already;
    for (struct dirent *entry; (entry = readdir(stream)); count++) {
        int number;
        if (sscanf(entry->d_name, "f%d", &number) != 1)
            continue;
        assert_false(seen[number]);
        seen[number] = true;
    }
    assert_int_equal(count, MANY + 32 + 2);
}

static void among_many(void **state)
{
    many_make();
    DIR *stream = opendir(preload_path("many"));
    many_are_complete(stream, 0);
    rewinddir(stream);
    many_are_complete(stream, 0);
    rewinddir(stream);
    for (int i = 0; i < 700; i++)
        assert_non_null(readdir(stream));
    for (unsigned i = 0; i < 64; i++)
        assert_int_equal(close(opened[i]), 0);
    many_are_complete(stream, 700);
    closedir(stream);
    assert_int_equal(text_entries("many"), MANY + 32);
}

/* Every position leads back to the entry that followed it. */
static void positions(void **state)
{
    enum { COUNT = 12 };
    char name[64], names[COUNT + 2][256];
    long places[COUNT + 2];
    int fds[COUNT];
    text_directory("places");
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "places/%c", 'a' + i);
        fds[i] = text_begin(name, O_WRONLY, "x");
        if (i % 3 == 1) {
            assert_int_equal(close(fds[i]), 0);
            fds[i] = -1;
        }
    }
    DIR *stream = opendir(preload_path("places"));
    for (int i = 0; i < COUNT + 2; i++) {
        places[i] = telldir(stream);
        struct dirent *entry = readdir(stream);
        assert_non_null(entry);
        snprintf(names[i], sizeof *names, "%s", entry->d_name);
    }
    long end = telldir(stream);
    assert_null(readdir(stream));
    for (int round = 0; round < 2; round++) {
        for (int i = COUNT + 2; i-- > 0;) {
            seekdir(stream, places[i]);
            assert_int_equal(telldir(stream), places[i]);
            for (int follow = i; follow < COUNT + 2 && follow < i + 3; follow++)
                assert_string_equal(readdir(stream)->d_name, names[follow]);
        }
        seekdir(stream, end);
        assert_null(readdir(stream));
        for (int i = 0; i < COUNT; i++) /* nor does it matter that they become objects */
            if (fds[i] >= 0 && i % 2 == round)
                assert_int_equal(close(fds[i]), 0);
    }
    closedir(stream);
}

static void raw_records(void **state)
{
    text_directory("raw");
    int fds[6];
    static char buffer[4096];
    char name[32];
    for (int i = 0; i < 6; i++) {
        snprintf(name, sizeof name, "raw/%d", i);
        fds[i] = text_begin(name, O_RDWR, "x");
    }
    int directory = open(preload_path("raw"), O_RDONLY | O_DIRECTORY), count = 0;
    for (ssize_t got; (got = getdents64(directory, buffer, 80)) > 0;) /* two or three records */
        for (ssize_t at = 0; at < got; count++)
            at += ((struct dirent64 *)(void *)(buffer + at))->d_reclen;
    assert_int_equal(count, 8);
    close(directory);
    for (int i = 0; i < 6; i++)
        assert_int_equal(close(fds[i]), 0);
}

/* ---- what walks ---- */

static int visits;

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)path;
    (void)at;
    visits += type == FTW_F && S_ISREG(st->st_mode) && st->st_size == 3;
    return 0;
}

static void walked(void **state)
{
    text_directory("walk");
    text_directory("walk/sub");
    text_put("walk/old", "old");
    int a = text_begin("walk/one", O_WRONLY, "abc"), b = text_begin("walk/sub/two", O_RDWR, "abc");

    struct dirent **list;
    int count = scandir(preload_path("walk"), &list, NULL, alphasort);
    assert_int_equal(count, 5);
    assert_string_equal(list[3]->d_name, "one");
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);

    glob_t globbed;
    assert_int_equal(glob(preload_path("walk/o*"), 0, NULL, &globbed), 0);
    assert_int_equal(globbed.gl_pathc, 2);
    globfree(&globbed);
    assert_int_equal(glob(preload_path("walk/*/t*"), 0, NULL, &globbed), 0);
    assert_int_equal(globbed.gl_pathc, 1);
    globfree(&globbed);

    visits = 0;
    assert_int_equal(nftw(preload_path("walk"), visit, 8, FTW_PHYS), 0);
    assert_int_equal(visits, 3);

    char *roots[] = {strdup(preload_path("walk")), NULL};
    FTS *walk = fts_open(roots, FTS_PHYSICAL, NULL);
    int files = 0;
    for (FTSENT *entry; (entry = fts_read(walk));)
        files += entry->fts_info == FTS_F;
    fts_close(walk);
    free(roots[0]);
    assert_int_equal(files, 3);
    assert_int_equal(close(a), 0);
    assert_int_equal(close(b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_ones),
        cmocka_unit_test(overwritten_ones),
        cmocka_unit_test(renamed_ones),
        cmocka_unit_test(unlinked_ones),
        cmocka_unit_test(published_meanwhile),
        cmocka_unit_test(among_many),
        cmocka_unit_test(positions),
        cmocka_unit_test(raw_records),
        cmocka_unit_test(walked),
    };
    return cmocka_run_group_tests_name("staged_list", tests, NULL, NULL);
}
