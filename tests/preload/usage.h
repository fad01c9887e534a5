/* What this process takes of memory, spool and descriptors, seen from outside: a child that is made
 * before anything virtual was touched looks at /proc, because in here some of it is not shown. */
#ifndef S3DLIO_TESTS_USAGE_H
#define S3DLIO_TESTS_USAGE_H

#include "tests/preload/preload.h"

#include <dirent.h>
#include <sys/wait.h>

#define MIB (UINT64_C(1) << 20)

/* A sanitizer's own memory is no measure of ours. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#    define USAGE_IS_MEASURED 0
#else
#    define USAGE_IS_MEASURED 1
#endif

struct usage {
    uint64_t resident_bytes, peak_bytes; /* RSS, shared pages and mapped files included */
    uint64_t file_bytes;                 /* blocks of files without a name: spool files, memfds */
    unsigned fd_count;
};

static struct {
    pid_t pid;
    int ask, answer;
} usage_watcher;

static inline uint64_t usage_status_bytes(pid_t pid, const char *field)
{
    char path[64], line[256];
    unsigned long long kib = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)) && line[strlen(field)] == ':')
            sscanf(line + strlen(field) + 1, "%llu", &kib);
    fclose(file);
    return kib << 10;
}

/* Mapped files that have no name any more; what is open as well is counted with the descriptors. */
static inline uint64_t usage_mapped_bytes(pid_t pid)
{
    char path[64], line[PATH_MAX + 256];
    uint64_t sum = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof line, file)) {
        unsigned long long start, end;
        if (strstr(line, " (deleted)") && !strstr(line, "/memfd:") &&
            sscanf(line, "%llx-%llx", &start, &end) == 2)
            sum += end - start;
    }
    fclose(file);
    return sum;
}

static inline void usage_count_fds(pid_t pid, struct usage *usage)
{
    char path[64];
    struct dirent *entry;
    struct stat st;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    DIR *dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        if (entry->d_name[0] == '.')
            continue;
        usage->fd_count++;
        if (!fstatat(dirfd(dir), entry->d_name, &st, 0) && S_ISREG(st.st_mode) && !st.st_nlink)
            usage->file_bytes += (uint64_t)st.st_blocks * 512;
    }
    if (dir)
        closedir(dir);
}

static inline void usage_watch(pid_t pid, int ask, int answer)
{
    char byte;
    while (read(ask, &byte, 1) == 1) {
        struct usage usage = {.resident_bytes = usage_status_bytes(pid, "VmRSS"),
                              .peak_bytes = usage_status_bytes(pid, "VmHWM"),
                              .file_bytes = usage_mapped_bytes(pid)};
        usage_count_fds(pid, &usage);
        if (write(answer, &usage, sizeof usage) != sizeof usage)
            break;
    }
    _exit(0);
}

/* Before the first virtual path is touched. */
static inline int usage_begin(void **state)
{
    int ask[2], answer[2];
    pid_t pid = getpid();
    if (pipe2(ask, O_CLOEXEC) || pipe2(answer, O_CLOEXEC))
        return -1;
    usage_watcher.pid = fork();
    if (!usage_watcher.pid) {
        close(ask[1]);
        usage_watch(pid, ask[0], answer[1]);
    }
    close(ask[0]);
    close(answer[1]);
    usage_watcher.ask = ask[1];
    usage_watcher.answer = answer[0];
    return usage_watcher.pid > 0 ? 0 : -1;
}

static inline int usage_end(void **state)
{
    close(usage_watcher.ask);
    close(usage_watcher.answer);
    return waitpid(usage_watcher.pid, NULL, 0) == usage_watcher.pid ? 0 : -1;
}

static inline struct usage usage_now(void)
{
    struct usage usage;
    assert_int_equal(write(usage_watcher.ask, "", 1), 1);
    assert_int_equal(read(usage_watcher.answer, &usage, sizeof usage), sizeof usage);
    return usage;
}

/* From here on the peak is counted anew. */
static inline void usage_reset_peak(void)
{
    int fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "5", 1), 1);
    close(fd);
}

#endif
