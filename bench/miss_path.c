/* What a program pays that touches no virtual path: stat, open, read and close of a local file.
 *
 * miss_path FILE ROUNDS
 *
 * Prints one JSON line with nanoseconds per call of each kind; run with and without the shim. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    const char *path = argv[1];
    long rounds = atol(argv[2]);
    struct stat st;
    char byte;
    double t0 = now_ns();
    for (long i = 0; i < rounds; i++)
        if (stat(path, &st) < 0)
            return 1;
    double t1 = now_ns();
    for (long i = 0; i < rounds; i++) {
        int fd = open(path, O_RDONLY);
        if (fd < 0 || close(fd) < 0)
            return 1;
    }
    double t2 = now_ns();
    int fd = open(path, O_RDONLY);
    for (long i = 0; i < rounds; i++)
        if (pread(fd, &byte, 1, 0) != 1)
            return 1;
    double t3 = now_ns();
    printf("{\"stat_ns\": %.2f, \"open_close_ns\": %.2f, \"pread_ns\": %.2f}\n",
           (t1 - t0) / (double)rounds, (t2 - t1) / (double)rounds, (t3 - t2) / (double)rounds);
    return 0;
}
