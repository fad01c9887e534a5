/* Makes the bundled server misbehave, and asks it what it holds, without the library under test:
 * its own interface is described in tests/server/README.md. Virtual runs only. */
#ifndef S3DLIO_TESTS_PRELOAD_FAULTS_H
#define S3DLIO_TESTS_PRELOAD_FAULTS_H

#include "tests/preload/preload.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static inline int faults_connect(void)
{
    unsigned port = 0;
    const char *endpoint = getenv("AWS_ENDPOINT_URL");
    assert_int_equal(endpoint ? sscanf(endpoint, "http://127.0.0.1:%u", &port) : 0, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* One request to the server's own interface, "METHOD /-/PATH", of which the answer is 2xx: its
 * body, which the caller frees. */
static inline char *faults_answer(const char *request, const char *body)
{
    size_t size = 1 << 16, used = 0;
    char *text = malloc(size);
    int fd = faults_connect();
    int length = snprintf(text, size,
                          "%s HTTP/1.1\r\nHost: server\r\nConnection: close\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          request, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)length), length);
    for (ssize_t got; (got = read(fd, text + used, size - 1 - used)) > 0;) {
        used += (size_t)got;
        if (size - used < 2) {
            char *grown = realloc(text, size *= 2);
            assert_non_null(grown);
            text = grown;
        }
    }
    close(fd);
    text[used] = '\0';
    char *begin = strstr(text, "\r\n\r\n");
    if (strncmp(text, "HTTP/1.1 2", 10) || !begin)
        fail_msg("%s %s: %s", request, body, text);
    else
        memmove(text, begin + 4, strlen(begin + 4) + 1);
    return text;
}

static inline void faults_add(const char *rule)
{
    free(faults_answer("POST /-/faults", rule));
}

static inline void faults_end(void)
{
    free(faults_answer("DELETE /-/faults", ""));
}

#endif
