/*
 * s3server: an S3-compatible server for tests. See README.md for what it does, server.h for what
 * there is one of.
 *
 * The main thread starts everything, says where it listens, and waits for SIGTERM or SIGINT.
 */
#include "body.h"
#include "config.h"
#include "seed.h"
#include "serve.h"
#include "server.h"
#include "sign.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG                    4096
#define PACED_RECEIVE_BUFFER_BYTES (256 << 10)

/* A listening socket, or -1 after a line on stderr; *ret_port is the port it got. */
static int open_socket(const struct config *config, unsigned *ret_port)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    char service[8];
    snprintf(service, sizeof(service), "%u", (unsigned)config->port);
    if (getaddrinfo(config->address, service, &hints, &found)) {
        fprintf(stderr, "s3server: bad address %s\n", config->address);
        return -1;
    }
    int on = 1, size = PACED_RECEIVE_BUFFER_BYTES;
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (config->network.up_mbps > 0) /* before the handshake, which fixes the window's scale */
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    struct sockaddr_storage address;
    socklen_t length = sizeof(address);
    bool ok = fd >= 0 && !bind(fd, found->ai_addr, found->ai_addrlen) && !listen(fd, BACKLOG) &&
              !getsockname(fd, (struct sockaddr *)&address, &length);
    freeaddrinfo(found);
    if (!ok || getnameinfo((struct sockaddr *)&address, length, NULL, 0, service, sizeof(service),
                           NI_NUMERICSERV)) {
        fprintf(stderr, "s3server: cannot listen on %s port %s: %s\n", config->address, service,
                strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *ret_port = (unsigned)atoi(service);
    return fd;
}

/* Whole or not at all: whoever waits for the file may read it at once. */
static bool write_port(const char *path, unsigned port)
{
    char temporary[4096];
    if (!path)
        return true;
    if (snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid()) >=
        (int)sizeof(temporary))
        return false;
    FILE *file = fopen(temporary, "we");
    if (!file)
        return false;
    bool ok = fprintf(file, "%u\n", port) > 0;
    ok = !fclose(file) && ok;
    return ok && !rename(temporary, path);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (!getrlimit(RLIMIT_NOFILE, &limit)) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int init(struct server *server)
{
    const struct config *config = &server->config;
    const struct store_ops *ops = config->directory ? &STORE_DIRECTORY : &STORE_MEMORY;
    if (!sign_startup() || getrandom(&server->instance, sizeof(server->instance), 0) < 0)
        return -EIO;
    body_startup();
    atomic_store(&server->next_connection, 1);
    atomic_store(&server->next_id, 1);
    stats_init(&server->stats);
    faults_init(&server->faults);
    pace_init(&server->pace, &config->network);
    int error = store_init(&server->store, ops, config->directory);
    if (error)
        fprintf(stderr, "s3server: %s: %s\n", config->directory ? config->directory : "memory",
                strerror(-error));
    return error;
}

static void fini(struct server *server)
{
    store_fini(&server->store);
    pace_fini(&server->pace);
    faults_fini(&server->faults);
    stats_fini(&server->stats);
}

static int serve_until(struct server *server, const sigset_t *signals)
{
    const struct config *config = &server->config;
    unsigned port;
    int signal_number;
    int fd = open_socket(config, &port);
    if (fd < 0)
        return 1;
    if (timer_start(&server->timer)) {
        close(fd);
        return 1;
    }
    struct MHD_Daemon *daemon = serve_start(server, fd);
    if (!daemon) {
        fprintf(stderr, "s3server: cannot start serving\n");
        timer_stop(&server->timer);
        close(fd);
        return 1;
    }
    int status = 0;
    if (write_port(config->port_file, port)) {
        printf("s3server: %s://%s:%u\n", config->tls_cert ? "https" : "http", config->address,
               port);
        fflush(stdout);
        sigwait(signals, &signal_number);
    } else {
        fprintf(stderr, "s3server: cannot write %s\n", config->port_file);
        status = 1;
    }
    serve_stop(server, daemon);
    timer_fini(&server->timer);
    return status;
}

int main(int argc, char **argv)
{
    static struct server server;
    bool help = false;
    int status = config_parse(argc, argv, &server.config, &help);
    if (status || help) {
        config_fini(&server.config);
        return status;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL); /* in every thread to come */
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    if (init(&server))
        return 1;
    status = seed_fill(&server) ? serve_until(&server, &signals) : 1;
    fini(&server);
    config_fini(&server.config);
    return status;
}
