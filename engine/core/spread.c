/* The rule for spreading streams. See spread.h. */
#include "core/spread.h"

#define BUSY_SHARE 8 /* slept for no more than this part of the time: the thread is the limit */
#define IDLE_SHARE 2 /* for at least this: something else is */

unsigned spread_width_max(unsigned shards, bool is_set, unsigned processors)
{
    if (is_set || shards <= processors / 2)
        return shards;
    return processors / 2 > 0 ? processors / 2 : 1;
}

unsigned spread_decide(unsigned width, unsigned width_max, const struct spread_sample *sample)
{
    if (width > width_max)
        width = width_max;
    if (sample->slept_ns >= sample->elapsed_ns / IDLE_SHARE)
        return width > 1 ? width / 2 : 1;
    if (sample->awaited < sample->ranges / 2 || sample->slept_ns > sample->elapsed_ns / BUSY_SHARE)
        return width;
    return 2 * width < width_max ? 2 * width : width_max;
}
