/* Runs a fuzzer without libFuzzer, for a moment and always the same way: each seed whole, each of
 * its beginnings, and each with one byte changed. Which fuzzer it is, the program's name says:
 * test_fuzz_NAME takes corpus/NAME. A property that does not hold aborts. */
#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fuzz/fuzz.h"

#define SEED_MAX      ((size_t)64 << 10)
#define VARIATION_MAX 4096 /* of a seed, in its length: longer ones go whole only */

static void feed(const uint8_t *seed, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1); /* so that reading past the end is found */

    assert_non_null(copy);
    memcpy(copy, seed, length);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static void feed_variations(uint8_t *seed, size_t length)
{
    static const uint8_t bytes[] = {0, '/', '<', '%', '\n', 0xff};

    for (size_t at = 0; at < length; at++) {
        uint8_t before = seed[at];

        feed(seed, at);
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed[at] = bytes[i];
            feed(seed, length);
        }
        seed[at] = before;
    }
}

static void seeds_and_their_like(void **state)
{
    const char *name = strrchr(program_invocation_short_name, '_');
    static uint8_t seed[SEED_MAX];
    const struct dirent *entry;
    unsigned seeds = 0;
    char path[512];
    DIR *folder;

    (void)state;
    assert_non_null(name);
    snprintf(path, sizeof path, "tests/fuzz/corpus/%s", name + 1);
    folder = opendir(path);
    if (!folder) {
        fail_msg("%s: %s; run from the root of the tree", path, strerror(errno));
        return;
    }
    while ((entry = readdir(folder))) {
        FILE *file;
        size_t length;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "tests/fuzz/corpus/%s/%s", name + 1, entry->d_name);
        file = fopen(path, "rb");
        assert_non_null(file);
        length = fread(seed, 1, sizeof seed, file);
        fclose(file);
        feed(seed, length);
        if (length <= VARIATION_MAX)
            feed_variations(seed, length);
        seeds++;
    }
    closedir(folder);
    assert_true(seeds > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(seeds_and_their_like)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
