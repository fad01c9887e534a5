/* Randomness for jitter, hedging and write ids.
 *
 * A splitmix64 state per thread, seeded from the kernel; no lock. The process id is compared on
 * each call, because a fork child continues with its parent's state and must not repeat the ids
 * that the parent gives out; pthread_atfork would miss children of raw clone. Not for secrets. */
#include "base/random.h"

#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static _Thread_local struct {
    uint64_t state;
    pid_t owner; /* process that seeded it; 0 = never seeded */
} random_thread;

static void random_seed(pid_t self)
{
    uint64_t seed;

    /* 8 bytes come whole or not at all; the fallback serves kernels that refuse the call. */
    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed) {
        struct timespec now;
        clock_gettime(CLOCK_REALTIME, &now);
        seed = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec ^ (uint64_t)self << 20 ^
               (uint64_t)(uintptr_t)&random_thread;
    }
    random_thread.state = seed;
    random_thread.owner = self;
}

uint64_t random_u64(void)
{
    pid_t self = getpid();
    uint64_t z;

    if (random_thread.owner != self)
        random_seed(self);
    z = random_thread.state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t random_below(uint64_t bound)
{
    uint64_t skew, value;

    if (bound == 0)
        return 0;
    skew = -bound % bound; /* 2^64 mod bound: values below it would favour small results */
    do {
        value = random_u64();
    } while (value < skew);
    return value % bound;
}

void random_hex(char *ret_text, unsigned length)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t bits = 0;

    for (unsigned i = 0; i < length; i++, bits >>= 4) {
        if (i % 16 == 0)
            bits = random_u64();
        ret_text[i] = hex[bits & 15];
    }
    ret_text[length] = '\0';
}
