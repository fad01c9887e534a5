/* What the files of the shard share: shard.c (life, watches, timers), shard_wait.c (leader and
 * followers), shard_background.c (the shard's own thread), shard_post.c (work that other threads
 * hand it). Everybody else includes io/shard.h. */
#ifndef S3DLIO_IO_SHARD_PRIVATE_H
#define S3DLIO_IO_SHARD_PRIVATE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "io/shard.h"

#define SHARD_EVENTS_MAX 32
/* The longest sleep of a leader, and how late it may be before it counts as gone. */
#define SHARD_LEADER_SLEEP_NS (100 * NS_PER_MS)
#define SHARD_LEADER_LATE_NS  (150 * NS_PER_MS)
/* A follower looks for itself this often whether anybody leads. */
#define SHARD_FOLLOWER_SLEEP_NS (200 * NS_PER_MS)

/* One wait in progress. Type-stable memory of the shard, never freed before it: a wait that was
 * left by longjmp leaves its sleeper behind, marked gone by its thread as soon as that waits
 * again. */
struct shard_sleeper {
    struct shard_sleeper *prev, *next; /* of the sleepers while asleep, of the free ones */
    struct shard_waiter waiter;
    struct shard *shard;
    struct shard_sleeper *outer; /* the wait of this thread that a handler interrupted */
    const void *frame;           /* where on the stack it was made */
    uint64_t generation;
    uint64_t ticket; /* of leadership; 0: follows */
    bool linked;
    bool notified;            /* woken since it fell asleep */
    _Atomic bool interrupted; /* its thread waits elsewhere, in a signal handler */
    _Atomic bool gone;
    sem_t wake;
};

/* A registered watch; the number goes into epoll's data, so that an event which outlived its watch
 * is recognised. */
struct shard_slot {
    struct shard_watch *watch; /* NULL: free */
    uint32_t generation;
    uint32_t next_free;
};

enum shard_park { SHARD_PARK_AWAKE, SHARD_PARK_TICKING, SHARD_PARK_DEEP };

struct shard {
    unsigned index;
    pthread_mutex_t lock;
    _Atomic uint32_t lock_wanted;    /* threads that wait for the lock */
    _Atomic uint32_t lock_impatient; /* of those, who let nobody in before them; a futex */
    uint64_t generation;
    int epoll_fd;        /* -1: not yet */
    _Atomic int wake_fd; /* there while anybody leads */

    struct shard_slot *slots;
    uint32_t slot_count, slot_free; /* slot_free: first free one, slot_count when none */
    struct shard_timer timers;      /* ring, earliest first */

    _Atomic uint64_t leader; /* ticket of who is asleep in epoll; 0: nobody */
    uint64_t last_ticket;
    bool leader_is_background;
    bool woken;                    /* wake_fd is readable, or will be */
    int64_t sleep_until_ns;        /* the leader's */
    int64_t polled_ns;             /* when epoll was asked last */
    int64_t slept_ns;              /* by leaders that waited themselves */
    struct shard_sleeper sleepers; /* ring of those asleep, oldest first */
    struct shard_sleeper *free_sleepers;

    _Atomic uint32_t held;
    _Atomic uint32_t drives; /* counts moves of program threads */

    _Atomic(struct shard_post *) posts; /* the last one first */

    _Atomic bool background_running; /* or being started */
    pthread_cond_t background_ended;
    _Atomic bool background_quit;
    _Atomic uint32_t park; /* enum shard_park, a futex */
};

/* shard.c */
int shard_open(struct shard *shard); /* epoll set and eventfd, if not yet */
void shard_dispatch(struct shard *shard, const struct epoll_event *events, int count);
int64_t shard_next_timer(const struct shard *shard);   /* CLOCK_NEVER: none */
void shard_interrupt(struct shard *shard);             /* ends the leader's sleep */
int shard_sleep_ms(int64_t from_ns, int64_t until_ns); /* for epoll_wait, rounded up */

/* shard_wait.c */
bool shard_is_led(const struct shard *shard, int64_t now_ns); /* by a program thread, live */
void shard_notify_ready(struct shard *shard);     /* wakes sleepers whose ready() holds */
void shard_notify_successor(struct shard *shard); /* wakes one to lead if nobody does */
/* Marks the calling thread as leader until it next holds the lock; returns its ticket. */
uint64_t shard_take_lead(struct shard *shard, int64_t now_ns, int64_t until_ns, bool background);
void shard_waits_reset(struct shard *shard);
void shard_waits_free(struct shard *shard);

/* shard_post.c */
bool shard_has_posts(const struct shard *shard);
void shard_run_posts(struct shard *shard);

/* shard_background.c */
/* Any thread, lock held or not. Starts the thread if there is none; 0 or -errno. */
int shard_background_start(struct shard *shard);
void shard_background_wake(struct shard *shard); /* any thread: it looks at once */
void shard_background_kick(struct shard *shard); /* requests are in flight, nobody drives */
void shard_background_stop(struct shard *shard); /* lock not held, gate not held */

#endif
