/* Cutting objects and uploads: arithmetic only. See range_plan.h.
 *
 * Sizes of parts by network speed, for lengths that are known:
 *   at least 50 Gb/s and more than 1 GB: 64 MiB; at least 25 Gb/s and more than 500 MB: 32 MiB;
 *   otherwise 16 MiB; below that length of one part a single put does.
 * Without a length: 8 MiB for a tenth of the parts that may be, a thousand, 16 MiB for another, and so
 * on, doubling; when the speed was set, no part is smaller than what the speed says for the length so far.
 */
#include "core/range_plan.h"

#include "config/options.h"
#include "store/store.h"

#define MIB              (UINT64_C(1) << 20)
#define RANGE_LAST_BYTES (2 * MIB) /* shorter ones take little less time */
#define SPEED_PART_BYTES (16 * MIB) /* the least that the network speed asks for */

static bool is_set(const struct options *options, enum option_id id)
{
    return options->values[id].origin != ORIGIN_DEFAULT;
}

void range_plan_init(struct range_plan *plan, const struct options *options)
{
    *plan = (struct range_plan){
        .get_part_bytes = (uint64_t)option_int(options, GET_PART_SIZE),
        .get_part_is_set = is_set(options, OPTION_ID_GET_PART_SIZE),
        .get_threshold_bytes = (uint64_t)option_int(options, GET_THRESHOLD),
        .get_threshold_is_set = is_set(options, OPTION_ID_GET_THRESHOLD),
        .first_window_bytes = (uint64_t)option_int(options, FIRST_WINDOW),
        .block_bytes = (uint64_t)option_int(options, BLOCK_SIZE),
        .put_part_bytes = (uint64_t)option_int(options, PUT_PART_SIZE),
        .min_part_bytes = (uint64_t)option_int(options, MIN_PART_SIZE),
        .parts_max = STORE_PARTS_MAX,
        .network_mbps = option_int(options, NETWORK_SPEED_GBPS),
        .network_is_set = is_set(options, OPTION_ID_NETWORK_SPEED_GBPS),
    };
}

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static bool is_parallel(const struct range_plan *plan, uint64_t size_bytes)
{
    return !plan->get_threshold_is_set || size_bytes >= plan->get_threshold_bytes;
}

uint64_t range_plan_get_bytes(const struct range_plan *plan, uint64_t size_bytes, bool near)
{
    if (!is_parallel(plan, size_bytes))
        return clamp(size_bytes, MIB, UINT64_MAX);
    if (plan->get_part_is_set)
        return plan->get_part_bytes;
    if (near)
        return RANGE_NEAR_BYTES;
    if (size_bytes < plan->get_threshold_bytes || plan->get_threshold_is_set)
        return clamp(size_bytes / 4, MIB, plan->get_part_bytes);
    return plan->get_part_bytes;
}

uint64_t range_plan_flight_max(const struct range_plan *plan, uint64_t size_bytes, bool near,
                               unsigned count)
{
    if (!is_parallel(plan, size_bytes))
        count = 1;
    return count * range_plan_get_bytes(plan, size_bytes, near);
}

uint64_t range_plan_towards_end(const struct range_plan *plan, uint64_t range_bytes,
                                uint64_t left_bytes, unsigned count)
{
    uint64_t each = left_bytes / larger(count, 1) / RANGE_ALIGN_BYTES * RANGE_ALIGN_BYTES;

    if (!plan->get_part_is_set && each < range_bytes && range_bytes > RANGE_LAST_BYTES)
        range_bytes = larger(each, RANGE_LAST_BYTES);
    return range_bytes < left_bytes ? range_bytes : left_bytes;
}

static uint64_t round_up(uint64_t value, uint64_t unit)
{
    return (value + unit - 1) / unit * unit;
}

/* `bytes`, doubled until `size_bytes` fit into the number of parts that a store takes. */
static uint64_t whole_parts_bytes(const struct range_plan *plan, uint64_t bytes,
                                  uint64_t size_bytes)
{
    while (bytes < STORE_PART_MAX && size_bytes / bytes >= plan->parts_max)
        bytes *= 2;
    return bytes;
}

/* What the network speed asks for in an upload of so many bytes. */
static uint64_t speed_part_bytes(const struct range_plan *plan, uint64_t size_bytes)
{
    if (plan->network_mbps >= 50000 && size_bytes > UINT64_C(1000000000))
        return 64 * MIB;
    if (plan->network_mbps >= 25000 && size_bytes > UINT64_C(500000000))
        return 32 * MIB;
    return SPEED_PART_BYTES;
}

static uint64_t growing_part_bytes(const struct range_plan *plan, unsigned number)
{
    unsigned before = number > 0 ? number - 1 : 0;
    uint64_t bytes = (8 * MIB) << before / larger(plan->parts_max / 10, 1);
    uint64_t least = plan->min_part_bytes;

    if (plan->network_is_set) /* at least so much has been sent */
        least = larger(least, speed_part_bytes(plan, before * SPEED_PART_BYTES));
    return larger(bytes, least);
}

uint64_t range_plan_part_bytes(const struct range_plan *plan, unsigned number,
                               uint64_t size_hint_bytes, bool equal_parts)
{
    unsigned half = plan->parts_max / 2;
    uint64_t bytes;

    if (!plan->put_part_bytes && !size_hint_bytes && !equal_parts)
        return clamp(growing_part_bytes(plan, number), STORE_PART_MIN, STORE_PART_MAX);
    if (plan->put_part_bytes)
        bytes = whole_parts_bytes(plan, plan->put_part_bytes, size_hint_bytes);
    else if (size_hint_bytes)
        bytes = whole_parts_bytes(
            plan, larger(speed_part_bytes(plan, size_hint_bytes), plan->min_part_bytes),
            size_hint_bytes);
    else
        bytes = larger(SPEED_PART_BYTES, plan->min_part_bytes);
    /* One size holds until the limit on the number of parts comes near. */
    if (!equal_parts && number > half)
        bytes <<= (number - half) / larger(plan->parts_max / 20, 1) + 1;
    return clamp(bytes, STORE_PART_MIN, STORE_PART_MAX);
}

uint64_t range_plan_copy_part_bytes(uint64_t length_bytes)
{
    uint64_t bytes = 512 * MIB;

    while (length_bytes / bytes >= STORE_PARTS_MAX)
        bytes *= 2;
    return clamp(round_up(bytes, MIB), STORE_PART_MIN, STORE_PART_MAX);
}
