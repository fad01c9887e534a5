/* The work: writes a file from beginning to end in 1 MiB writes, as dd bs=1M does.
 *
 * sequential_writer PATH SIZE_BYTES [BLOCK_BYTES]
 *
 * A plain program; run it under the shim on a virtual path. Each block differs from the one before.
 * Prints one JSON line: see measure.h.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "measure.h"

static char *buffer;

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s PATH SIZE_BYTES [BLOCK_BYTES]\n", argv[0]);
        return 2;
    }
    unsigned long long size = strtoull(argv[2], NULL, 10), total = 0;
    size_t block = argc > 3 ? strtoull(argv[3], NULL, 10) : 1 << 20;
    buffer = malloc(block);
    double start = measure_now(CLOCK_MONOTONIC);
    int fd = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0 || !buffer) {
        perror(argv[1]);
        return 1;
    }
    memset(buffer, 'x', block);
    while (total < size) {
        size_t length = size - total < block ? (size_t)(size - total) : block;
        memcpy(buffer, &total, length < sizeof total ? length : sizeof total);
        ssize_t written = write(fd, buffer, length);
        if (written <= 0) {
            perror("write");
            return 1;
        }
        total += (unsigned long long)written;
    }
    if (close(fd) < 0) {
        perror("close");
        return 1;
    }
    measure_print(total, start);
    return 0;
}
