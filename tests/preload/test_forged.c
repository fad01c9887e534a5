/* The arena is believed in nothing. Every round a process opens files, damages the arena (seeded, in
 * the places that are used), goes on with all kinds of calls, and so do a child of it and the program
 * that the child executes: any of these calls may fail or find something else, but none of them ends
 * the process or keeps it for ever.
 *
 * S3DLIO_TEST_SEED and S3DLIO_TEST_COUNT choose where to begin and how many rounds to do. */
#include "tests/preload/text.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define ROUNDS        150
#define SECONDS       20
#define NOTHING_FOUND 101
#define PAGE          4096
#define PAGES_MAX     64

static unsigned long seed;

static uint64_t random_next(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed * UINT64_C(0x2545f4914f6cdd1d) >> 8;
}

/* ---- damage ---- */

static unsigned found; /* arenas, by this process */

/* Numbers at which bounds are, and any; none that is the number of a living thread (pid_max, proc(5)):
 * a lock of somebody who lives is waited for, and should be. */
static uint64_t value(void)
{
    static const uint64_t often[] = {0,         ~UINT64_C(0), INT64_MAX,         UINT32_MAX,
                                     INT32_MAX, 1u << 22,     UINT64_C(1) << 63, 1u << 30};
    uint64_t kind = random_next() % 12;
    return kind < sizeof often / sizeof *often ? often[kind] : random_next();
}

/* One word of this page that is something, if any is. */
static void damage_page(char *page)
{
    size_t unit = random_next() % 2 ? 4 : 8, at = random_next() % PAGE / unit * unit;
    uint64_t number = value(), none = 0;
    for (size_t i = 0; i < PAGE && !memcmp(page + at, &none, unit); i += unit)
        at = (at + unit) % PAGE;
    memcpy(page + at, &number, unit);
}

/* Of the pages that are in use. `memory` is theirs, its end is some pages further. */
static void damage_arena(int fd, char *memory, size_t length)
{
    off_t used[PAGES_MAX];
    unsigned count = 0;
    off_t at = lseek(fd, 0, SEEK_DATA);
    for (; at >= 0 && count < PAGES_MAX; at = lseek(fd, at + PAGE, SEEK_DATA))
        used[count++] = at;
    if (!count)
        return;
    char *page = memory + used[random_next() % count];
    if (random_next() % 8)
        damage_page(page);
    else if ((size_t)(page - memory) + 2 * PAGE < length) /* names without an end */
        memset(page + random_next() % PAGE / 8 * 8, 'x', PAGE);
}

/* The arena that this process has. */
static void damage_arenas(unsigned times)
{
    DIR *directory = opendir("/proc/self/fd");
    for (struct dirent *entry; (entry = readdir(directory));) {
        char name[300], target[64] = "";
        snprintf(name, sizeof name, "/proc/self/fd/%s", entry->d_name);
        ssize_t length = readlink(name, target, sizeof target - 1);
        if (length < 0 || strncmp(target, "/memfd:s3dlio-arena", 19))
            continue;
        struct stat st;
        int fd = atoi(entry->d_name);
        if (fstat(fd, &st))
            continue;
        size_t size = (size_t)st.st_size;
        void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        for (unsigned i = 0; memory != MAP_FAILED && i < times; i++)
            damage_arena(fd, memory, size);
        found += memory != MAP_FAILED && munmap(memory, size) == 0;
    }
    closedir(directory);
}

/* ---- calls, whatever they answer ---- */

static void use(int fd)
{
    char buffer[5000] = "";
    struct stat st;
    if (read(fd, buffer, 10) > 0 && lseek(fd, 0, SEEK_CUR) < 0)
        lseek(fd, 0, SEEK_SET);
    lseek(fd, 3, SEEK_CUR);
    if (write(fd, "written", 7) == 7 && pread(fd, buffer, sizeof buffer, 2) < 0)
        fsync(fd);
    fstat(fd, &st);
    if (ftruncate(fd, 5) == 0)
        close(dup(fd));
    fcntl(fd, F_GETFL);
}

static void use_all(const int fds[], unsigned count)
{
    struct stat st;
    DIR *directory = opendir(preload_root());
    while (directory && readdir(directory))
        ;
    if (directory)
        closedir(directory);
    for (unsigned i = 0; i < count; i++)
        use(fds[i]);
    stat(preload_path("fg-writing"), &st);
    int fd = open(preload_path("fg-other"), O_RDWR | O_CREAT, 0644);
    use(fd);
    rename(preload_path("fg-writing"), preload_path("fg-renamed"));
    unlink(preload_path("fg-renamed"));
    close(fd);
}

static int fds[3];

static void open_all(void)
{
    fds[0] = open(preload_path("fg-read"), O_RDONLY);
    fds[1] = open(preload_path("fg-writing"), O_RDWR | O_CREAT | O_TRUNC, 0644);
    fds[2] = open(preload_path("fg-stream"), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (unsigned i = 1; i < 3; i++)
        if (write(fds[i], "content of it", 13) != 13)
            _exit(80);
}

static _Noreturn void next_program(char **argv)
{
    alarm(SECONDS);
    seed = strtoul(argv[2], NULL, 10);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = atoi(argv[3 + i]);
    use_all(fds, 3);
    damage_arenas(4);
    use_all(fds, 3);
    _exit(0);
}

static _Noreturn void child(void)
{
    char numbers[4][24];
    alarm(SECONDS);
    use_all(fds, 3);
    for (unsigned i = 0; i < 3; i++)
        snprintf(numbers[i + 1], sizeof numbers[0], "%d", fds[i]);
    snprintf(numbers[0], sizeof numbers[0], "%lu", (unsigned long)random_next() | 1);
    execl("/proc/self/exe", "test_forged", "next", numbers[0], numbers[1], numbers[2], numbers[3],
          (char *)NULL);
    _exit(0); /* refused: so may it be */
}

/* 0, or the status of whom it ended. */
static int round_status(void)
{
    int status = 0;
    pid_t pid = fork();
    if (!pid) {
        alarm(3 * SECONDS);
        open_all();
        damage_arenas(1 + (unsigned)(random_next() % 6));
        if (preload_is_virtual() && !found)
            _exit(NOTHING_FOUND);
        pid_t second = fork();
        if (!second)
            child();
        use_all(fds, 3);
        if (second > 0 && waitpid(second, &status, 0) == second && WIFSIGNALED(status))
            _exit(100 + WTERMSIG(status));
        for (unsigned i = 0; i < 3; i++)
            close(fds[i]);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status)         ? WTERMSIG(status)
           : WEXITSTATUS(status) > 100 ? WEXITSTATUS(status)
                                       : 0;
}

static unsigned long number_from(const char *name, unsigned long fallback)
{
    const char *text = getenv(name);
    return text ? strtoul(text, NULL, 10) : fallback;
}

static void nothing_is_believed(void **state)
{
    unsigned long first = number_from("S3DLIO_TEST_SEED", 1);
    unsigned long count = number_from("S3DLIO_TEST_COUNT", ROUNDS);
    /* In a child: this process is to have no arena that the rounds could inherit. */
    pid_t pid = fork();
    if (!pid) {
        preload_make(preload_path("fg-read"), 100000);
        _exit(0);
    }
    int status = -1;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    for (unsigned long i = first; i < first + count; i++) {
        seed = i * 2654435761u + 1;
        status = round_status();
        if (status)
            fail_msg("S3DLIO_TEST_SEED=%lu S3DLIO_TEST_COUNT=1 shows it: %s of %s", i,
                     strsignal(status % 100),
                     status > 100 ? "the child or its program" : "the process");
    }
}

int main(int argc, char **argv)
{
    if (argc == 6 && !strcmp(argv[1], "next"))
        next_program(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_believed),
    };
    return cmocka_run_group_tests_name("forged", tests, NULL, NULL);
}
