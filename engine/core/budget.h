/* One memory budget for the buffers of a process: guesses, read-ahead, blocks, parts.
 *
 * A reservation never waits: it is granted or refused at once, and whoever is refused does with
 * less (a window of one range, a part sent early, a tail in the spool). So no call ever waits for
 * memory that only a later call of the program would free. Floors: the first two ranges of
 * read-ahead, the first blocks and the first part are granted whatever else is reserved.
 *
 * The processes of a user share it (core/fellows.h): each has what the number of those that move data at
 * the moment leaves it, and its floors.
 *
 * Atomics throughout; reservations are bytes, and each is released under the class that took it. A
 * fork child inherits the figures with the memory that they stand for.
 */
#ifndef S3DLIO_CORE_BUDGET_H
#define S3DLIO_CORE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the order in which they are asked to shrink. */
enum budget_class {
    BUDGET_PREFETCH,
    BUDGET_BLOCKS,
    BUDGET_READ_AHEAD,
    BUDGET_PARTS,
    BUDGET_CLASS_COUNT
};

struct budget {
    uint64_t limit_bytes;   /* of all processes of the user that move data together */
    atomic_uint divided_by; /* so many at the moment */
    uint64_t floor_bytes[BUDGET_CLASS_COUNT];
    atomic_uint_fast64_t used_bytes;
    atomic_uint_fast64_t class_bytes[BUDGET_CLASS_COUNT];
    atomic_uint_fast64_t peak_bytes;
};

/* The sizes that make the floors. */
struct budget_units {
    uint64_t block_bytes, range_bytes, part_bytes;
};

/* limit_bytes 0: the smaller of 1 GiB and an eighth of the memory limit of the process. */
void budget_init(struct budget *budget, uint64_t limit_bytes, const struct budget_units *units);
/* So many processes move data at the moment, this one included. What is in use stays; floors hold. */
void budget_divide(struct budget *budget, unsigned processes);
/* What this one may use. */
uint64_t budget_share(const struct budget *budget);
bool budget_try(struct budget *budget, enum budget_class class, uint64_t bytes);
/* Takes what may not be refused: bytes that a caller will be handed anyway, and that do not
 * stay. */
void budget_force(struct budget *budget, enum budget_class class, uint64_t bytes);
void budget_release(struct budget *budget, enum budget_class class, uint64_t bytes);
uint64_t budget_used(const struct budget *budget);
uint64_t budget_used_by(const struct budget *budget, enum budget_class class);
uint64_t budget_peak(const struct budget *budget);

/* The memory limit of this process in bytes: the tightest of its control groups (v1 and v2) and the
 * machine's memory. */
uint64_t budget_memory_limit(void);

#endif
