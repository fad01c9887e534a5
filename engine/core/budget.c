/* The memory budget: atomic counters, and where its limit comes from. See budget.h.
 *
 * The limit of a control group is looked for in its own folder and every folder above, because a
 * limit anywhere on the way binds. Files that are missing or unreadable bind nothing.
 */
#include "core/budget.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUDGET_DEFAULT_MAX (UINT64_C(1) << 30)
#define BUDGET_SHARE       8
#define FLOOR_BLOCKS       4
#define FLOOR_RANGES       2
#define CGROUP_ROOT        "/sys/fs/cgroup"
#define PATH_BYTES         1024

/* Reads at most size - 1 bytes of a small file; false when there is none. */
static bool read_small_file(const char *path, char *buffer, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (fd < 0)
        return false;
    length = read(fd, buffer, size - 1);
    close(fd);
    if (length <= 0)
        return false;
    buffer[length] = '\0';
    return true;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The number in a limit file; "max", zero and nonsense are no limit. */
static uint64_t read_limit(const char *path)
{
    char text[64];
    unsigned long long value;

    if (!read_small_file(path, text, sizeof text))
        return UINT64_MAX;
    value = strtoull(text, NULL, 10);
    return value ? value : UINT64_MAX;
}

/* The tightest limit from `group` (a path within `root`) up to the root. */
static uint64_t group_limit(const char *root, const char *group, const char *file)
{
    char path[PATH_BYTES + 64];
    char current[PATH_BYTES];
    uint64_t limit = UINT64_MAX;
    char *slash;

    snprintf(current, sizeof current, "%s", group);
    for (;;) {
        snprintf(path, sizeof path, "%s%s/%s", root, strcmp(current, "/") == 0 ? "" : current,
                 file);
        limit = smaller(limit, read_limit(path));
        slash = strrchr(current, '/');
        if (!slash || current[0] == '\0')
            return limit;
        *slash = '\0';
    }
}

static uint64_t cgroup_limit(void)
{
    char text[4096];
    uint64_t limit = UINT64_MAX;
    char *save = NULL;

    if (!read_small_file("/proc/self/cgroup", text, sizeof text))
        return limit;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *controllers = strchr(line, ':');
        char *group = controllers ? strchr(controllers + 1, ':') : NULL;

        if (!group)
            continue;
        *group++ = '\0';
        controllers++;
        if (controllers[0] == '\0')
            limit = smaller(limit, group_limit(CGROUP_ROOT, group, "memory.max"));
        else if (strstr(controllers, "memory"))
            limit =
                smaller(limit, group_limit(CGROUP_ROOT "/memory", group, "memory.limit_in_bytes"));
    }
    return limit;
}

uint64_t budget_memory_limit(void)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : UINT64_MAX;

    return smaller(machine, cgroup_limit());
}

void budget_init(struct budget *budget, uint64_t limit_bytes, const struct budget_units *units)
{
    memset(budget, 0, sizeof *budget);
    atomic_init(&budget->divided_by, 1);
    budget->limit_bytes = limit_bytes
                              ? limit_bytes
                              : smaller(BUDGET_DEFAULT_MAX, budget_memory_limit() / BUDGET_SHARE);
    budget->floor_bytes[BUDGET_BLOCKS] = FLOOR_BLOCKS * units->block_bytes;
    budget->floor_bytes[BUDGET_READ_AHEAD] = FLOOR_RANGES * units->range_bytes;
    budget->floor_bytes[BUDGET_PARTS] = units->part_bytes;
}

void budget_divide(struct budget *budget, unsigned processes)
{
    atomic_store_explicit(&budget->divided_by, processes, memory_order_relaxed);
}

uint64_t budget_share(const struct budget *budget)
{
    return budget->limit_bytes / atomic_load_explicit(&budget->divided_by, memory_order_relaxed);
}

static void raise_peak(struct budget *budget, uint64_t used)
{
    uint_fast64_t peak = atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);

    while (used > peak && !atomic_compare_exchange_weak(&budget->peak_bytes, &peak, used))
        ;
}

bool budget_try(struct budget *budget, enum budget_class class, uint64_t bytes)
{
    uint64_t in_class = atomic_fetch_add(&budget->class_bytes[class], bytes) + bytes;
    uint64_t used = atomic_fetch_add(&budget->used_bytes, bytes) + bytes;

    if (used > budget_share(budget) && in_class > budget->floor_bytes[class]) {
        atomic_fetch_sub(&budget->used_bytes, bytes);
        atomic_fetch_sub(&budget->class_bytes[class], bytes);
        return false;
    }
    raise_peak(budget, used);
    return true;
}

void budget_force(struct budget *budget, enum budget_class class, uint64_t bytes)
{
    atomic_fetch_add(&budget->class_bytes[class], bytes);
    raise_peak(budget, atomic_fetch_add(&budget->used_bytes, bytes) + bytes);
}

void budget_release(struct budget *budget, enum budget_class class, uint64_t bytes)
{
    atomic_fetch_sub(&budget->class_bytes[class], bytes);
    atomic_fetch_sub(&budget->used_bytes, bytes);
}

uint64_t budget_used(const struct budget *budget)
{
    return atomic_load_explicit(&budget->used_bytes, memory_order_relaxed);
}

uint64_t budget_used_by(const struct budget *budget, enum budget_class class)
{
    return atomic_load_explicit(&budget->class_bytes[class], memory_order_relaxed);
}

uint64_t budget_peak(const struct budget *budget)
{
    return atomic_load_explicit(&budget->peak_bytes, memory_order_relaxed);
}
