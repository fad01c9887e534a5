/* How many requests of a kind are worth having under way at an endpoint, found while they run.
 *
 * What is judged is goodput: of SHORT requests (below LIMITER_LONG_BYTES) how many end in a time, of
 * LONG ones how many bytes move. A round measures it at one level: requests that began in the round
 * tell what each takes, and by Little's law so many at once move so much. The first rounds go up in
 * steps of two as long as that pays, as TCP begins. Then the level is held, with a trial of more or
 * fewer now and then; each failure makes the next one later. Answers that take longer to begin, with
 * no more goodput for it, bring a trial of fewer at once. A request that is refused because there are
 * too many (429, 503) halves the level, and for a while the number at which that happened is
 * avoided. A level that is not made use of is not judged.
 *
 * Where nothing is known yet the level opens, by one for each answer, to what a table says for objects
 * of that size and number. An endpoint that is near begins with very few.
 * Of several users in the process each has a share, and takes what others leave; processes share by
 * dividing where each begins and how far it may go (core/fellows.h). What was fetched on a guess is
 * in nobody's way. A number that was set is that of each user, and nothing is measured.
 *
 * Pure computation: no clock, no lock. Times are int64_t nanoseconds of any one clock.
 */
#ifndef S3DLIO_CORE_LIMITER_H
#define S3DLIO_CORE_LIMITER_H

#include <stdbool.h>
#include <stdint.h>

#define LIMITER_LONG_BYTES UINT64_C(1000000)
#define LIMITER_SHORT_MAX  128u
#define LIMITER_LONG_MAX   64u
#define LIMITER_AVOID_NS   INT64_C(10000000000) /* a number of requests that was refused, at first */

enum limiter_flow { LIMITER_SHORT, LIMITER_LONG, LIMITER_FLOWS };

struct limiter_round {
    uint64_t number;
    int64_t begun_ns, seen_ns; /* from its first request on; 0: none yet */
    double area;               /* requests under way × ns, until seen_ns */
    unsigned count;            /* requests that began and ended in it, */
    double work, busy_ns;      /* what they moved, how long they took together, */
    double first_byte_ns;      /* and until they were answered */
};

enum limiter_phase { LIMITER_OPENING, LIMITER_RISING, LIMITER_HOLDING, LIMITER_TRYING };

/* Of one flow. */
struct limiter_course {
    enum limiter_phase phase;
    unsigned level, level_max;
    unsigned in_flight, guesses; /* guesses: of those in flight */
    unsigned goal, answers;      /* OPENING */
    bool is_known;               /* a round was judged */
    struct limiter_round round;
    unsigned base;      /* the level to go back to, and what was measured there; 0: nothing */
    double speed, best; /* best: at any level since the last upheaval */
    double typical_ns;
    uint64_t unit_bytes;           /* of a usual request: others are not comparable */
    unsigned unusual, unused, odd; /* in a row: such requests, and rounds */
    int64_t trial_at_ns, pause_ns;
    bool tries_fewer;
    uint64_t refused_round; /* requests of rounds before were begun at a level that is gone */
    unsigned ceiling;       /* so many at once were not refused; 0: none were of late */
    int64_t avoid_until_ns, avoid_ns;
};

struct limiter {
    unsigned fixed; /* 0: found */
    bool is_local;
    unsigned near_long; /* where a near endpoint begins */
    unsigned users, fellows;
    struct limiter_course flows[LIMITER_FLOWS];
};

struct limiter_options {
    unsigned fixed;           /* of each user; 0: found */
    unsigned connections_max; /* more at once would only wait */
    bool is_local;            /* no network is between */
    unsigned near_long;       /* LONG requests with which a near endpoint begins */
};
void limiter_init(struct limiter *limiter, const struct limiter_options *options);
/* In a fork child: what is under way is the parent's; what was learned stays. */
void limiter_reset_child(struct limiter *limiter);

static inline enum limiter_flow limiter_flow(uint64_t bytes)
{
    return bytes < LIMITER_LONG_BYTES ? LIMITER_SHORT : LIMITER_LONG;
}

/* So many objects, or ranges of one, are going to be asked for, of objects of that size (0:
 * unknown), at an endpoint of that least first-byte time (0: unknown). Heeded as long as nothing is
 * known. */
void limiter_expect(struct limiter *limiter, uint64_t object_bytes, uint64_t count,
                    int64_t least_ns);

/* Of one request, while it is under way. */
struct limiter_begun {
    enum limiter_flow flow;
    bool is_guess;
    unsigned number; /* under way with it */
    uint64_t round;
};
struct limiter_begun limiter_begin(struct limiter *limiter, enum limiter_flow flow, bool is_guess,
                                   bool is_near, int64_t now_ns);

enum limiter_outcome {
    LIMITER_WORKED,
    LIMITER_REFUSED, /* too many at once */
    LIMITER_UNKNOWN, /* says nothing: failed, abandoned, or of another kind */
};
struct limiter_end {
    enum limiter_outcome outcome;
    bool is_near;
    int64_t now_ns;
    int64_t elapsed_ns, first_byte_ns; /* since it was sent; 0: the first byte is not known */
    int64_t least_ns;                  /* the endpoint's least first-byte time; 0: not known */
    uint64_t bytes;
};
void limiter_end(struct limiter *limiter, const struct limiter_begun *begun,
                 const struct limiter_end *end);

/* How many at once are worth while, altogether: what was found, or what was set. */
unsigned limiter_target(const struct limiter *limiter, enum limiter_flow flow);
/* Of one user. */
unsigned limiter_share(const struct limiter *limiter, enum limiter_flow flow);
void limiter_join(struct limiter *limiter);
void limiter_leave(struct limiter *limiter);
/* May a user that has `own` requests under way begin another? The first always. */
bool limiter_has_room(const struct limiter *limiter, enum limiter_flow flow, unsigned own);
/* The same of one that nobody has asked for yet. */
bool limiter_has_room_for_guess(const struct limiter *limiter, enum limiter_flow flow);
/* So many processes move data there, this one included. */
void limiter_set_fellows(struct limiter *limiter, unsigned count);

#endif
