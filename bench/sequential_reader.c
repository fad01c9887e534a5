/* The work: reads a file from beginning to end in 1 MiB reads, as dd bs=1M does.
 *
 * sequential_reader PATH [BLOCK_BYTES]
 *
 * A plain program; run it under the shim on a virtual path. Prints one JSON line: see measure.h.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "measure.h"

static char *buffer;

int main(int argc, char **argv)
{
    size_t block = argc > 2 ? strtoull(argv[2], NULL, 10) : 1 << 20;
    buffer = malloc(block);
    double start = measure_now(CLOCK_MONOTONIC);
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
    measure_print(total, start);
    return 0;
}
