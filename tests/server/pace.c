/*
 * Delays and rates; see pace.h. All that is random comes from one seeded generator under a lock, so
 * that a run with requests in the same order sees the same delays.
 */
#include "pace.h"

#include "timer.h"

#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#define MEGABYTE             1e6
#define RECEIVE_BUFFER_BYTES (256 << 10)
#define BURST_NS             (5 * 1000 * 1000ull) /* unused time a connection may save up */

void pace_init(struct pace *pace, const struct network *network)
{
    pace->network = network;
    pace->random = network->seed;
    pthread_mutex_init(&pace->lock, NULL);
}

void pace_fini(struct pace *pace)
{
    pthread_mutex_destroy(&pace->lock);
}

double pace_random(struct pace *pace)
{
    pthread_mutex_lock(&pace->lock);
    uint64_t z = pace->random += 0x9E3779B97F4A7C15u; /* splitmix64 */
    pthread_mutex_unlock(&pace->lock);
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

void pace_socket(const struct network *network, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (network->down_mbps > 0) {
        uint64_t rate = (uint64_t)(network->down_mbps * MEGABYTE);
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "cubic", 5);
        setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &rate, sizeof(rate));
    }
    if (network->up_mbps > 0) {
        int bytes = RECEIVE_BUFFER_BYTES;
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    }
}

uint64_t pace_first_byte_ns(struct pace *pace)
{
    const struct network *network = pace->network;
    if (network->first_byte_ms <= 0)
        return 0;
    double u = 1.0 - pace_random(pace), v = pace_random(pace);
    double normal = sqrt(-2.0 * log(u)) * cos(2.0 * M_PI * v); /* Box-Muller */
    double delay_ms = network->first_byte_ms * exp(network->first_byte_sigma * normal);
    if (pace_random(pace) * 100.0 < network->tail_percent)
        delay_ms *= network->tail_factor;
    return (uint64_t)(delay_ms * 1e6);
}

uint64_t pace_received_ns(const struct network *network, struct connection *connection,
                          uint64_t bytes)
{
    if (network->up_mbps <= 0)
        return 0;
    uint64_t now_ns = timer_now_ns();
    if (connection->paid_until_ns + BURST_NS < now_ns)
        connection->paid_until_ns = now_ns - BURST_NS;
    connection->paid_until_ns += (uint64_t)((double)bytes * 1e9 / (network->up_mbps * MEGABYTE));
    return connection->paid_until_ns > now_ns ? connection->paid_until_ns - now_ns : 0;
}
