/* Stores LENGTH zeros as one object through the public interface: store URI LENGTH put|hint|stream.
 * put: from memory, in one call; hint: as a stream whose length was told; stream: whose length was
 * not. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <s3dlio.h>

#define WRITE_BYTES ((size_t)4 << 20)

static int store_stream(const char *uri, const void *zeros, size_t length, size_t hint,
                        struct s3dlio_error *error)
{
    struct s3dlio_write_options options = {.size_hint_bytes = hint};
    struct s3dlio_writer *writer;
    int r = s3dlio_writer_open(uri, &options, NULL, &writer, error);

    if (r < 0)
        return r;
    for (size_t at = 0, n; at < length; at += n) {
        n = length - at < WRITE_BYTES ? length - at : WRITE_BYTES;
        if (s3dlio_writer_write(writer, zeros, n, error) < 0)
            break;
    }
    return s3dlio_writer_close(writer, NULL, error);
}

int main(int argc, char **argv)
{
    struct s3dlio_error error = {0};
    size_t length = argc == 4 ? strtoull(argv[2], NULL, 10) : 0;
    void *zeros = mmap(NULL, length, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    int r;

    if (argc != 4 || zeros == MAP_FAILED)
        return 2;
    if (strcmp(argv[3], "put") == 0)
        r = s3dlio_put(argv[1], zeros, length, NULL, NULL, NULL, &error);
    else
        r = store_stream(argv[1], zeros, length, strcmp(argv[3], "hint") == 0 ? length : 0, &error);
    if (r < 0)
        fprintf(stderr, "store: %s\n", error.message);
    return r < 0;
}
