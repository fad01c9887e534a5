/* No room for a map: a clean errno, and reading goes on. */
#include "tests/preload/preload.h"

#include <sys/mman.h>

#define SIZE ((size_t)3 * 1024 * 1024)

static void no_room(void **state)
{
    const char *path = preload_path("map.full");
    preload_make(path, SIZE);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    for (int i = 0; i < 3; i++)
        assert_errno(mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0), ENOSPC);
    char bytes[100];
    assert_int_equal(pread(fd, bytes, sizeof bytes, 1000), sizeof bytes);
    assert_true(preload_matches(bytes, sizeof bytes, 1000));
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_room)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
