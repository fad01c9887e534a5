/* The floor of a sequential read: an epoll receiver without any library.
 *
 * raw_receiver HOST PORT PATH SIZE_BYTES CONNECTIONS RANGE_BYTES
 *
 * Fetches an object (anonymous GET with Range) over keep-alive connections, each range straight
 * into one reused buffer of 1 MiB as a program's read(2) would hand it over. Prints one JSON line:
 * see measure.h.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "measure.h"

#define BUFFER_BYTES (1u << 20)
#define CONNECTIONS_MAX 64

struct lane {
    int fd;
    uint64_t body_left;
    size_t head_length;
    char head[8192];
};

struct job {
    const char *host, *path;
    int port;
    uint64_t size, next, range, received;
    unsigned lanes_open;
    struct lane lanes[CONNECTIONS_MAX];
    char *buffer;
};

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static int lane_request(struct job *job, struct lane *lane)
{
    char text[1024];
    if (job->next >= job->size)
        return 0;
    uint64_t last = job->next + job->range < job->size ? job->next + job->range : job->size;
    int length = snprintf(text, sizeof text,
                          "GET %s HTTP/1.1\r\nHost: %s:%d\r\nRange: bytes=%llu-%llu\r\n\r\n",
                          job->path, job->host, job->port, (unsigned long long)job->next,
                          (unsigned long long)last - 1);
    job->next = last;
    lane->head_length = 0;
    lane->body_left = 0;
    if (send(lane->fd, text, (size_t)length, MSG_NOSIGNAL) != length)
        die("send");
    return 1;
}

/* Reads the head; body bytes that came along count as received. */
static int lane_head(struct job *job, struct lane *lane)
{
    ssize_t got = recv(lane->fd, lane->head + lane->head_length,
                       sizeof lane->head - 1 - lane->head_length, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && errno == EAGAIN ? 0 : -1;
    lane->head_length += (size_t)got;
    lane->head[lane->head_length] = '\0';
    char *end = strstr(lane->head, "\r\n\r\n");
    if (!end)
        return 0;
    char *length = strcasestr(lane->head, "content-length:");
    if (strncmp(lane->head, "HTTP/1.1 206", 12) || !length || length > end)
        return -1;
    size_t along = lane->head_length - (size_t)(end + 4 - lane->head);
    lane->body_left = strtoull(length + 15, NULL, 10) - along;
    job->received += along;
    return 1;
}

static void lane_ready(struct job *job, struct lane *lane)
{
    if (!lane->body_left && lane_head(job, lane) < 0)
        die("answer");
    while (lane->body_left) {
        size_t room = lane->body_left < BUFFER_BYTES ? lane->body_left : BUFFER_BYTES;
        ssize_t got = recv(lane->fd, job->buffer, room, MSG_DONTWAIT);
        if (got < 0 && errno == EAGAIN)
            return;
        if (got <= 0)
            die("recv");
        lane->body_left -= (uint64_t)got;
        job->received += (uint64_t)got;
        if (!lane->body_left && !lane_request(job, lane))
            return;
    }
}

static int lane_connect(const struct job *job)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)job->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || inet_pton(AF_INET, job->host, &address.sin_addr) != 1 ||
        connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        die("connect");
    return fd;
}

static void run(struct job *job, unsigned connections)
{
    int epoll = epoll_create1(0);
    for (unsigned i = 0; i < connections; i++) {
        struct lane *lane = &job->lanes[i];
        lane->fd = lane_connect(job);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = lane};
        epoll_ctl(epoll, EPOLL_CTL_ADD, lane->fd, &event);
        lane_request(job, lane);
    }
    while (job->received < job->size) {
        struct epoll_event events[CONNECTIONS_MAX];
        int count = epoll_wait(epoll, events, CONNECTIONS_MAX, 30000);
        if (count <= 0)
            die("epoll_wait");
        for (int i = 0; i < count; i++)
            lane_ready(job, events[i].data.ptr);
    }
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: %s HOST PORT PATH SIZE CONNECTIONS RANGE\n", argv[0]);
        return 2;
    }
    static struct job job;
    job.host = argv[1];
    job.port = atoi(argv[2]);
    job.path = argv[3];
    job.size = strtoull(argv[4], NULL, 10);
    job.range = strtoull(argv[6], NULL, 10);
    unsigned connections = (unsigned)atoi(argv[5]);
    job.buffer = malloc(BUFFER_BYTES);
    if (!job.buffer || !connections || connections > CONNECTIONS_MAX || !job.range)
        return 2;

    double start = measure_now(CLOCK_MONOTONIC);
    run(&job, connections);
    measure_print(job.received, start);
    return 0;
}
