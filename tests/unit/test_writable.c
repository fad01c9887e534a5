/* Is memory that a caller named writable, as the kernel sees it, and is nothing beside it touched?
 * Each case with /dev/zero and, in a child that may open nothing, without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/writable.h"

#define PAGE  ((size_t)4096)
#define PAGES ((size_t)600) /* more than one call of the kernel looks at */
/* Far below where the kernel maps by itself: a hole stays one. ThreadSanitizer knows no memory there,
 * AddressSanitizer none where that does. */
#ifdef __SANITIZE_THREAD__
#    define QUIET ((unsigned char *)0x1000000000)
#else
#    define QUIET ((unsigned char *)0x200000000000)
#endif

static unsigned char *map_pages(void)
{
    unsigned char *memory = mmap(QUIET, PAGES * PAGE, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    if (memory != QUIET)
        fail_msg("no memory at %p", (void *)QUIET);
    return memory;
}

static bool refuses(unsigned char *memory, size_t length)
{
    errno = 4711;
    return writable_check(memory, length) == -EFAULT && errno == 4711;
}

static bool accepts(unsigned char *memory, size_t length)
{
    errno = 4711;
    return writable_check(memory, length) == 0 && errno == 4711;
}

/* Only the first byte of what was asked for, and of each page in it, may differ. */
static bool keeps_the_rest(const unsigned char *memory, size_t from, size_t to)
{
    for (size_t i = 0; i < PAGES * PAGE; i++) {
        bool may_differ = i >= from && i < to && (i == from || i % PAGE == 0);

        if (memory[i] != 'm' && !may_differ)
            return false;
    }
    return true;
}

static bool looks_at_good_memory(void)
{
    static const size_t runs[][2] = {
        {0, 1},
        {0, PAGES * PAGE},
        {100, 101},
        {PAGE - 1, PAGE + 1},
        {17, 300 * PAGE + 5},
        {256 * PAGE, 512 * PAGE},
        {255 * PAGE + 1, PAGES * PAGE},
    };
    unsigned char *memory = map_pages();
    bool good = accepts(memory, 0) && accepts(NULL, 0);

    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        memset(memory, 'm', PAGES * PAGE);
        good = good && accepts(memory + runs[i][0], runs[i][1] - runs[i][0]) &&
               keeps_the_rest(memory, runs[i][0], runs[i][1]);
    }
    munmap(memory, PAGES * PAGE);
    return good;
}

/* The page of that number is read-only, forbidden, or not there. */
static bool looks_at_bad_pages(void)
{
    static const size_t numbers[] = {0, 1, 255, 256, 257, PAGES - 1};
    bool good = true;

    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        unsigned char *memory = map_pages(), *bad = memory + numbers[i] * PAGE;
        size_t from = 10;

        mprotect(bad, PAGE, PROT_READ);
        good = good && refuses(memory + from, PAGES * PAGE - from) && refuses(bad, PAGE);
        mprotect(bad, PAGE, PROT_NONE);
        good = good && refuses(memory + from, PAGES * PAGE - from) && refuses(bad + PAGE - 1, 1);
        munmap(bad, PAGE);
        good = good && refuses(memory + from, PAGES * PAGE - from) && refuses(bad, 1);
        munmap(memory, PAGES * PAGE);
    }
    return good;
}

/* Behind the end of a mapped file there is SIGBUS. */
static bool looks_at_mapped_file(void)
{
    int file = memfd_create("short", MFD_CLOEXEC);
    unsigned char *memory = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    bool good = ftruncate(file, (off_t)(2 * PAGE)) == 0 && accepts(memory, 2 * PAGE) &&
                refuses(memory, 4 * PAGE) && refuses(memory + 2 * PAGE, 1);

    munmap(memory, 4 * PAGE);
    close(file);
    return good;
}

static bool looks_at_addresses(void)
{
    return refuses((unsigned char *)8, 1) && refuses((unsigned char *)UINTPTR_MAX - 10, 100) &&
           refuses((unsigned char *)UINTPTR_MAX - 10, 5);
}

static bool looks_at_all(void)
{
    return looks_at_good_memory() && looks_at_bad_pages() && looks_at_mapped_file() &&
           looks_at_addresses();
}

static void without_a_device(void **state)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit before, none;

        getrlimit(RLIMIT_NOFILE, &before);
        none = (struct rlimit){0, 0};
        setrlimit(RLIMIT_NOFILE, &none);
        _exit(!(looks_at_good_memory() && looks_at_bad_pages() && looks_at_addresses()));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void with_the_device(void **state)
{
    assert_true(looks_at_all());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_a_device), /* first: the device is opened once */
        cmocka_unit_test(with_the_device),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
