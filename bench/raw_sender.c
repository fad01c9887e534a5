/* The floor of a sequential write: blocking sends of parts without any library.
 *
 * raw_sender HOST PORT PATH SIZE_BYTES CONNECTIONS PART_BYTES
 *
 * Copies 1 MiB blocks into a part as a program's write(2) hands them over, computes the part's
 * CRC32C block by block while it is in the cache, and sends it by an anonymous PUT with
 * Content-Length, one thread a connection. Prints one JSON line: see measure.h.
 */
#include <arpa/inet.h>
#include <isa-l/crc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

#define BLOCK_BYTES (1u << 20)
#define CONNECTIONS_MAX 64

struct job {
    const char *host, *path;
    int port;
    uint64_t size, part;
    _Atomic uint64_t next;
    _Atomic unsigned crc_sum; /* so that the work is not thrown away */
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void send_all(int fd, const char *data, size_t length)
{
    while (length) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent <= 0)
            die("send");
        data += sent;
        length -= (size_t)sent;
    }
}

static void answer_ok(int fd)
{
    char head[4096];
    size_t length = 0;
    while (length < sizeof head - 1) {
        ssize_t got = recv(fd, head + length, sizeof head - 1 - length, 0);
        if (got <= 0)
            die("recv");
        length += (size_t)got;
        head[length] = '\0';
        if (strstr(head, "\r\n\r\n"))
            break;
    }
    if (strncmp(head, "HTTP/1.1 200", 12)) {
        fprintf(stderr, "raw_sender: %.40s\n", head);
        exit(1);
    }
}

static void send_part(struct job *job, int fd, const char *block, char *part, uint64_t length)
{
    unsigned crc = 0;
    for (uint64_t at = 0; at < length; at += BLOCK_BYTES) {
        size_t here = length - at < BLOCK_BYTES ? (size_t)(length - at) : BLOCK_BYTES;
        memcpy(part + at, block, here);
        crc = crc32_iscsi((unsigned char *)part + at, (int)here, crc);
    }
    atomic_fetch_add(&job->crc_sum, crc);
    char head[1024];
    int head_length = snprintf(head, sizeof head,
                               "PUT %s HTTP/1.1\r\nHost: %s:%d\r\nContent-Length: %llu\r\n\r\n",
                               job->path, job->host, job->port, (unsigned long long)length);
    send_all(fd, head, (size_t)head_length);
    send_all(fd, part, length);
    answer_ok(fd);
}

static void *lane_run(void *arg)
{
    struct job *job = arg;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)job->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || inet_pton(AF_INET, job->host, &address.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    char *block = malloc(BLOCK_BYTES), *part = malloc(job->part);
    if (!block || !part)
        die("malloc");
    memset(block, 'x', BLOCK_BYTES);
    for (uint64_t at; (at = atomic_fetch_add(&job->next, job->part)) < job->size;)
        send_part(job, fd, block, part, job->size - at < job->part ? job->size - at : job->part);
    close(fd);
    free(block);
    free(part);
    return NULL;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s HOST PORT PATH SIZE CONNECTIONS PART\n", argv[0]);
        return 2;
    }
    static struct job job;
    pthread_t threads[CONNECTIONS_MAX];
    job.host = argv[1];
    job.port = atoi(argv[2]);
    job.path = argv[3];
    job.size = strtoull(argv[4], NULL, 10);
    job.part = strtoull(argv[6], NULL, 10);
    unsigned connections = (unsigned)atoi(argv[5]);
    if (!connections || connections > CONNECTIONS_MAX || !job.part)
        return 2;
    double start = measure_now(CLOCK_MONOTONIC);
    for (unsigned i = 0; i < connections; i++)
        if (pthread_create(&threads[i], NULL, lane_run, &job))
            die("pthread_create");
    for (unsigned i = 0; i < connections; i++)
        pthread_join(threads[i], NULL);
    measure_print(job.size, start);
    return 0;
}
