/* A fixed limiter: counts what is under way and smooths first-byte times. See limiter.h. */
#include "core/limiter.h"

void limiter_init(struct limiter *limiter, unsigned inflight_max)
{
    limiter->inflight_max = inflight_max;
    atomic_init(&limiter->inflight, 0);
    atomic_init(&limiter->first_byte_ns, 0);
}

void limiter_on_start(struct limiter *limiter)
{
    atomic_fetch_add_explicit(&limiter->inflight, 1, memory_order_relaxed);
}

/* An eighth of the way to each sample, all of it down: a busy moment must not look like distance. */
void limiter_on_first_byte(struct limiter *limiter, int64_t elapsed_ns)
{
    int64_t known = atomic_load_explicit(&limiter->first_byte_ns, memory_order_relaxed);
    int64_t next = known == 0 || elapsed_ns < known ? elapsed_ns : known + (elapsed_ns - known) / 8;

    atomic_store_explicit(&limiter->first_byte_ns, next > 0 ? next : 1, memory_order_relaxed);
}

void limiter_on_done(struct limiter *limiter, uint64_t bytes, enum error_class class)
{
    (void)bytes;
    (void)class;
    atomic_fetch_sub_explicit(&limiter->inflight, 1, memory_order_relaxed);
}

void limiter_reset_child(struct limiter *limiter)
{
    atomic_store(&limiter->inflight, 0);
}

unsigned limiter_target(const struct limiter *limiter)
{
    return limiter->inflight_max;
}

bool limiter_is_near(const struct limiter *limiter)
{
    int64_t known = atomic_load_explicit(&limiter->first_byte_ns, memory_order_relaxed);

    return known > 0 && known < LIMITER_NEAR_NS;
}
