/* How objects are cut into ranges and uploads into parts: pure functions, no state.
 *
 * Reads: ranges are 8 MiB (a quarter of objects below the threshold) unless an option says
 * otherwise; near stores get RANGE_NEAR_BYTES. A threshold that was set is obeyed to the letter:
 * below it one request at a time. Uploads: at most 10,000 parts of 5 MiB to 5 GiB; the size from network speed and length where they are known, else growing so that
 * any object fits.
 */
#ifndef S3DLIO_CORE_RANGE_PLAN_H
#define S3DLIO_CORE_RANGE_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct options;

#define RANGE_NEAR_BYTES  (UINT64_C(2) << 20)
#define RANGE_NEAR_COUNT  2u /* to begin with */
#define RANGE_ALIGN_BYTES (UINT64_C(64) << 10)

struct range_plan {
    uint64_t get_part_bytes; /* as set or the default */
    bool get_part_is_set;    /* an option, profile or file named it: holds everywhere */
    uint64_t get_threshold_bytes;
    bool get_threshold_is_set;
    uint64_t first_window_bytes;
    uint64_t block_bytes;
    uint64_t put_part_bytes; /* 0: chosen */
    uint64_t min_part_bytes;
    unsigned parts_max;   /* of an upload: STORE_PARTS_MAX; tests make it less */
    int64_t network_mbps; /* thousandths of a Gb/s */
    bool network_is_set;
};

void range_plan_init(struct range_plan *plan, const struct options *options);

/* Size of one range of a sequential reader of an object of `size_bytes`. */
uint64_t range_plan_get_bytes(const struct range_plan *plan, uint64_t size_bytes, bool near);
/* How much a sequential reader may have under way, in bytes, when so many ranges at once are worth
 * while: a multiple of a range. */
uint64_t range_plan_flight_max(const struct range_plan *plan, uint64_t size_bytes, bool near,
                               unsigned count);
/* The next of ranges of range_bytes, `count` at once, where left_bytes of the object are left (at most
 * those): the last ones become shorter, so that none is long under way when all others have come. */
uint64_t range_plan_towards_end(const struct range_plan *plan, uint64_t range_bytes,
                                uint64_t left_bytes, unsigned count);

/* The size of part `number` (from 1) of an upload whose length will be size_hint_bytes (0:
 * unknown). */
uint64_t range_plan_part_bytes(const struct range_plan *plan, unsigned number,
                               uint64_t size_hint_bytes, bool equal_parts);
/* Cuts `length` bytes for a server-side copy: parts of equal size. */
uint64_t range_plan_copy_part_bytes(uint64_t length_bytes);

#endif
