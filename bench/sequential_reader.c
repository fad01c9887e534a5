/* The work: reads a file from beginning to end in 1 MiB reads, as dd bs=1M does.
 *
 * sequential_reader PATH [BLOCK_BYTES]
 *
 * A plain program; run it under the shim on a virtual path. Prints one JSON line: bytes, seconds, CPU
 * seconds of this process (all its threads), peak resident KiB.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static double now(clockid_t clock)
{
    struct timespec ts;
    clock_gettime(clock, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    size_t block = argc > 2 ? strtoull(argv[2], NULL, 10) : 1 << 20;
    char *buffer = malloc(block);
    double start = now(CLOCK_MONOTONIC);
    int fd = argc > 1 ? open(argv[1], O_RDONLY) : -1;
    if (fd < 0 || !buffer) {
        perror(argc > 1 ? argv[1] : "usage: sequential_reader PATH [BLOCK_BYTES]");
        return 1;
    }
    unsigned long long total = 0;
    ssize_t got;
    while ((got = read(fd, buffer, block)) > 0)
        total += (unsigned long long)got;
    if (got < 0 || close(fd) < 0) {
        perror("read");
        return 1;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"bytes\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f, \"peak_kib\": %ld}\n", total,
           now(CLOCK_MONOTONIC) - start, now(CLOCK_PROCESS_CPUTIME_ID), usage.ru_maxrss);
    return 0;
}
