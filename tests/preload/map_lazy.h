/* What the tests of maps whose pages come when they are touched have in common: one file, maps of it,
 * and touching them. */
#ifndef S3DLIO_TESTS_PRELOAD_MAP_LAZY_H
#define S3DLIO_TESTS_PRELOAD_MAP_LAZY_H

#include "tests/preload/preload.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SIZE    ((size_t)5 * 1024 * 1024 + 1234)
#define APART   ((size_t)256 * 1024) /* farther than what comes with one touch */

static char *data;
static size_t page;

static inline int setup(void **state)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    data = strdup(preload_path("lazy.dat"));
    preload_make(data, SIZE);
    signal(SIGPIPE, SIG_IGN);
    return 0;
}

static inline unsigned char *map_part(size_t length, int protection, int flags, size_t offset)
{
    int fd = open(data, O_RDONLY);
    assert_true(fd >= 0);
    unsigned char *memory = mmap(NULL, length, protection, flags, fd, (off_t)offset);
    assert_ptr_not_equal(memory, MAP_FAILED);
    close(fd);
    return memory;
}

static inline unsigned char *map_all(int protection, int flags)
{
    return map_part(SIZE, protection, flags, 0);
}

static inline bool is_byte(const volatile unsigned char *memory, size_t at)
{
    return memory[at] == preload_byte(at);
}

/* A page at every step, the last first. */
static inline bool touches_match(const volatile unsigned char *memory, size_t start, size_t end)
{
    bool match = true;
    for (size_t at = end; at > start; at -= at - start < APART ? at - start : APART)
        match = match && is_byte(memory, at - 1);
    return match;
}

/* What a child makes of it: its exit status, or minus the signal that ended it. */
static inline int in_child(int (*work)(void *arg), void *arg)
{
    int status;
    pid_t child = fork();
    if (!child) {
        signal(SIGBUS, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        _exit(work(arg));
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static inline int touch(void *address)
{
    return *(volatile unsigned char *)address * 0;
}

#endif
