/* A shard: one event loop with its own epoll set, driven by whoever waits.
 *
 * The waiting thread drives: a thread that has to wait for bytes leads the loop itself, others
 * sleep on a futex of their own until what they wait for is ready. When requests are in flight and
 * nobody has driven for about a millisecond, the shard's own thread takes over, and yields at the
 * next wait. The shard's lock guards everything that hangs on it: watches, timers, connections, the
 * requests and ranges in flight. All callbacks run under it, on the driving thread; they must not
 * sleep, and may start and finish requests.
 *
 * Threads that hold another shard's lock, or none, hand it work by shard_post: nobody takes the lock of
 * a second shard.
 *
 * A wait left by longjmp or a killed thread is found stale: leadership is a hint with a heartbeat,
 * waiters live in thread-local storage of their thread and carry a sequence number.
 *
 * After fork the child calls shard_reset_child on each shard: the lock is free (io/gate.h), epoll
 * set, thread and watches are forgotten without touching the parent's.
 */
#ifndef S3DLIO_IO_SHARD_H
#define S3DLIO_IO_SHARD_H

#include <stdbool.h>
#include <stdint.h>

struct shard;

struct shard_watch {
    int fd;
    uint32_t events; /* EPOLLIN | EPOLLOUT, level-triggered */
    void (*on_event)(struct shard_watch *watch, uint32_t events);
    uint32_t slot; /* the shard's own */
};

struct shard_timer {
    int64_t at_ns; /* CLOCK_NEVER: not set */
    void (*on_timer)(struct shard_timer *timer);
    struct shard_timer *prev, *next; /* the shard's own */
};

/* Something for a shard to do. The memory is the owner's again when on_post is called. */
struct shard_post {
    void (*on_post)(struct shard_post *post);
    struct shard_post *next; /* the shard's own */
};

/* index: 0-based, for names of threads and statistics. 0 or -errno. No thread, no fd yet. */
int shard_new(unsigned index, struct shard **ret_shard);
void shard_free(struct shard *shard);
unsigned shard_index(const struct shard *shard);

void shard_lock(struct shard *shard); /* inside the gate only */
void shard_unlock(struct shard *shard);
/* Takes the lock if nobody has it or wants it, and no thread waits in the shard: one that does so next
 * leads it, and receives what it waits for itself. False: it is in use, or cannot be set up. */
bool shard_try_lock_idle(struct shard *shard);

/* All of these with the lock held. The watch and timer memory is the caller's. */
int shard_watch_add(struct shard *shard, struct shard_watch *watch);
int shard_watch_modify(struct shard *shard, struct shard_watch *watch, uint32_t events);
void shard_watch_remove(struct shard *shard, struct shard_watch *watch); /* before close(fd) */
void shard_timer_init(struct shard_timer *timer, void (*on_timer)(struct shard_timer *));
void shard_timer_set(struct shard *shard, struct shard_timer *timer, int64_t at_ns);
void shard_timer_clear(struct shard *shard, struct shard_timer *timer);

/* Requests in flight: while the count is above zero the background thread watches over the
 * shard. */
void shard_hold(struct shard *shard);
void shard_release(struct shard *shard);

/* From any thread inside the gate, whichever lock it holds: on_post is called soon, under this
 * shard's lock and on the thread that drives, in the order of posting. Where nobody drives its own
 * thread does so at once; without one it waits until the shard is next used. Until then the shard is
 * held. In a fork child what was posted before is forgotten: on_post is not called. */
void shard_post(struct shard *shard, struct shard_post *post);
/* The same, but for -errno, and nothing posted, when nobody drives and no thread can be started. */
int shard_try_post(struct shard *shard, struct shard_post *post);

struct shard_waiter {
    /* Is what we wait for there? Under the lock, by the waiting thread and by leaders: no
     * writes. */
    bool (*ready)(const struct shard_waiter *waiter);
    /* May be NULL. Tried by the waiting thread itself, under the lock, before it sleeps: receive
     * what the kernel already has, without asking epoll. Returns whether anything moved. */
    bool (*advance)(struct shard_waiter *waiter);
    /* May be NULL. The waiting thread is being cancelled, or leaves by pthread_exit: on it, inside
     * the gate, no lock held, after the last ready(). It may free what `arg` points to. */
    void (*unwound)(struct shard_waiter *waiter);
    void *arg;
};

/* Waits until ready(), driving the loop as needed. Lock held on entry and return, released while
 * asleep. 0, or -ETIMEDOUT when deadline_ns (CLOCK_NEVER: none) has passed; -ECANCELED when a
 * signal handler forked during the sleep and this is the child, where what was waited for no
 * longer exists; -errno when the loop cannot be set up (no descriptor, no memory). The shard
 * keeps a copy of *waiter: ready and advance find their state by ->arg, and that must outlive a
 * longjmp out of the wait (the heap, not the caller's stack) until the thread waits again. */
int shard_wait(struct shard *shard, const struct shard_waiter *waiter, int64_t deadline_ns);

/* How long threads that wait have slept in its loop, all in all, because there was nothing to do.
 * With the lock held. */
int64_t shard_slept_ns(const struct shard *shard);

/* A number of the calling thread, for spreading threads over shards. */
uint64_t shard_thread_id(void);

/* Runs one round without sleeping, lock held. */
void shard_poll(struct shard *shard);

void shard_reset_child(struct shard *shard);

#endif
