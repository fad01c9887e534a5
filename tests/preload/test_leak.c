/* One process that opens and closes for ever: neither memory nor descriptors grow. Each loop is
 * measured after a quarter of its rounds, when caches and allocators have what they want, and at
 * its end. */
#include "tests/preload/usage.h"

#include <stdio.h>

/* Three times as many rounds again may add so much: a leak of 70 bytes a written file is beyond
 * it. */
#define GROWTH_BYTES MIB

#define ROUNDS_WRITE 20000u
#define ROUNDS_OTHER 4000u
#define NAMES        64u

static char content[3000];

static const char *name_of(unsigned round)
{
    char name[64];
    snprintf(name, sizeof name, "leak-%u", round % NAMES);
    return preload_path(name);
}

static bool write_one(unsigned round)
{
    int fd = open(name_of(round), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    ssize_t n = write(fd, content, sizeof content);
    return !close(fd) && n == sizeof content;
}

static bool read_one(unsigned round)
{
    char buffer[4096];
    int fd = open(name_of(round), O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, buffer, sizeof buffer);
    return !close(fd) && n == sizeof content;
}

static bool change_one(unsigned round)
{
    int fd = open(name_of(round), O_RDWR | O_CLOEXEC);
    ssize_t n = pwrite(fd, "changed", 7, 1000);
    return !close(fd) && n == 7;
}

static bool stat_one(unsigned round)
{
    struct stat st;
    char missing[PATH_MAX];
    snprintf(missing, sizeof missing, "%s-not-%u", name_of(round), round);
    return !stat(name_of(round), &st) && st.st_size == sizeof content && stat(missing, &st) < 0;
}

static bool list_one(unsigned round)
{
    DIR *dir = opendir(preload_root());
    unsigned count = 0;
    if (!dir)
        return false;
    while (readdir(dir))
        count++;
    return !closedir(dir) && count >= NAMES;
}

static bool rename_one(unsigned round)
{
    char other[PATH_MAX];
    snprintf(other, sizeof other, "%s-moved", name_of(round));
    return !rename(name_of(round), other) && !rename(other, name_of(round));
}

static bool stream_one(unsigned round)
{
    char line[64];
    FILE *file = fopen(name_of(round), "re");
    bool is_read = file && fgets(line, sizeof line, file);
    return file && !fclose(file) && is_read;
}

static bool make_and_remove_one(unsigned round)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s-directory-%u", name_of(round), round);
    return !mkdir(path, 0755) && !rmdir(path);
}

static void repeat(bool (*once)(unsigned round), unsigned rounds)
{
    struct usage first = {0}, last;
    for (unsigned round = 0; round < rounds; round++) {
        if (round == rounds / 4)
            first = usage_now();
        if (!once(round))
            fail_msg("round %u: %s", round, strerror(errno));
    }
    last = usage_now();
    if (getenv("S3DLIO_TEST_USAGE"))
        fprintf(stderr, "+%lld KiB, %u and %u descriptors\n",
                ((long long)last.resident_bytes - (long long)first.resident_bytes) / 1024,
                first.fd_count, last.fd_count);
    assert_int_equal(last.fd_count, first.fd_count);
    if (USAGE_IS_MEASURED && last.resident_bytes > first.resident_bytes + GROWTH_BYTES)
        fail_msg("%llu KiB more than after a quarter",
                 (unsigned long long)((last.resident_bytes - first.resident_bytes) / 1024));
}

static void writing(void **state)
{
    repeat(write_one, ROUNDS_WRITE);
}

static void reading(void **state)
{
    repeat(read_one, ROUNDS_OTHER);
}

static void reading_streams(void **state)
{
    repeat(stream_one, ROUNDS_OTHER / 2);
}

static void looking(void **state)
{
    repeat(stat_one, ROUNDS_OTHER);
}

static void listing(void **state)
{
    repeat(list_one, ROUNDS_OTHER / 2);
}

static void renaming(void **state)
{
    repeat(rename_one, ROUNDS_OTHER / 4);
}

static void directories(void **state)
{
    repeat(make_and_remove_one, ROUNDS_OTHER / 4);
}

static void changing(void **state)
{
    repeat(change_one, ROUNDS_OTHER / 4);
}

static int set_up(void **state)
{
    memset(content, 'x', sizeof content);
    return usage_begin(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writing),         cmocka_unit_test(reading),
        cmocka_unit_test(reading_streams), cmocka_unit_test(looking),
        cmocka_unit_test(listing),         cmocka_unit_test(renaming),
        cmocka_unit_test(directories),     cmocka_unit_test(changing),
    };
    return cmocka_run_group_tests(tests, set_up, usage_end);
}
