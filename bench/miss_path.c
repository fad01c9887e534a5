/* What a program pays that touches no virtual path: stat, open, read and close of a local file.
 *
 * miss_path FILE ROUNDS
 *
 * Prints one JSON line with nanoseconds per call of each kind, the fastest of short stretches; run
 * with and without the shim. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK 2000

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static int one_stat(const char *path, int fd)
{
    struct stat st;
    return stat(path, &st);
}

static int one_open(const char *path, int fd)
{
    int opened = open(path, O_RDONLY);
    return opened < 0 ? -1 : close(opened);
}

static int one_read(const char *path, int fd)
{
    char byte;
    return pread(fd, &byte, 1, 0) == 1 ? 0 : -1;
}

/* The fastest of many short stretches: what the call costs when nothing else interferes. */
static double fastest(int (*call)(const char *, int), const char *path, int fd, long rounds)
{
    double best = 1e18;
    for (long done = 0; done < rounds; done += CHUNK) {
        double start = now_ns();
        for (int i = 0; i < CHUNK; i++)
            if (call(path, fd) < 0)
                exit(1);
        double each = (now_ns() - start) / CHUNK;
        best = each < best ? each : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const char *path = argv[1];
    long rounds = atol(argv[2]);
    int fd = open(path, O_RDONLY);
    printf("{\"stat_ns\": %.2f, \"open_close_ns\": %.2f, \"pread_ns\": %.2f}\n",
           fastest(one_stat, path, fd, rounds), fastest(one_open, path, fd, rounds),
           fastest(one_read, path, fd, rounds));
    return 0;
}
