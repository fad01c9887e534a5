/* Makes the bundled server misbehave: its faults are described in tests/server/README.md. Virtual runs
 * only. */
#ifndef S3DLIO_TESTS_PRELOAD_FAULTS_H
#define S3DLIO_TESTS_PRELOAD_FAULTS_H

#include "tests/preload/preload.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* One request to the server's own interface, of which the answer is 2xx. */
static inline void faults_ask(const char *method, const char *body)
{
    char text[1024];
    unsigned port = 0;
    const char *endpoint = getenv("AWS_ENDPOINT_URL");
    assert_int_equal(endpoint ? sscanf(endpoint, "http://127.0.0.1:%u", &port) : 0, 1);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    int length = snprintf(text, sizeof text,
                          "%s /-/faults HTTP/1.1\r\nHost: server\r\nConnection: close\r\n"
                          "Content-Length: %zu\r\n\r\n%s",
                          method, strlen(body), body);
    assert_int_equal(write(fd, text, (size_t)length), length);
    ssize_t got = read(fd, text, sizeof text - 1);
    close(fd);
    text[got > 0 ? got : 0] = '\0';
    if (strncmp(text, "HTTP/1.1 2", 10))
        fail_msg("%s: %s", body, text);
}

static inline void faults_add(const char *rule)
{
    faults_ask("POST", rule);
}

static inline void faults_end(void)
{
    faults_ask("DELETE", "");
}

#endif
