/* The public functions about what was counted. */
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/api.h"
#include "core/reader.h"
#include "core/stats_board.h"
#include "core/stats_format.h"
#include "core/stats_kind.h"
#include "core/teller.h"

static uint64_t of_kind(const struct stats_copy *copy, enum stats_kind_word kind)
{
    uint64_t requests = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        requests += stats_kind(i)->kind == kind ? copy->requests[i] : 0;
    return requests;
}

static void export_stats(const struct stats_copy *copy, struct s3dlio_stats *ret_stats)
{
    *ret_stats = (struct s3dlio_stats){
        .requests = copy->requests_all,
        .retries = copy->counters[STATS_RETRIES],
        .errors = copy->counters[STATS_ERRORS],
        .requests_get = of_kind(copy, STATS_KIND_GET),
        .requests_head = of_kind(copy, STATS_KIND_HEAD),
        .requests_put = of_kind(copy, STATS_KIND_PUT),
        .requests_list = of_kind(copy, STATS_KIND_LIST),
        .requests_delete = of_kind(copy, STATS_KIND_DELETE),
        .requests_other = of_kind(copy, STATS_KIND_OTHER),
        .bytes_received = copy->counters[STATS_BYTES_RECEIVED],
        .bytes_sent = copy->counters[STATS_BYTES_SENT],
        .connections_opened = copy->counters[STATS_CONNECTIONS_OPENED],
        .memory_bytes = copy->memory_bytes,
        .memory_peak_bytes = copy->memory_peak_bytes,
        .memory_budget_bytes = copy->memory_limit_bytes,
    };
}

void s3dlio_get_stats(struct s3dlio_stats *ret_stats)
{
    struct stats_copy *copy = malloc(sizeof *copy);
    struct api api;

    memset(ret_stats, 0, sizeof *ret_stats);
    if (!api_enter(&api, NULL, NULL) && copy) {
        engine_copy_stats(api.engine, copy);
        export_stats(copy, ret_stats);
    }
    api_leave(&api, 0);
    free(copy);
}

/* ---- of others ------------------------------------------------------------------------------- */

struct found {
    struct s3dlio_process *processes;
    size_t count, room;
    int error;
};

static void export_process(const struct board_entry *entry, struct s3dlio_process *ret_process)
{
    const uint64_t *counters = entry->stats.counters;

    _Static_assert(S3DLIO_TIME_BUCKETS == HISTOGRAM_BUCKETS, "both sides have the same buckets");
    *ret_process = (struct s3dlio_process){
        .pid = entry->pid,
        .in_flight = entry->stats.in_flight,
        .cache_hits = counters[STATS_ATTRIBUTES_FOUND] + counters[STATS_BLOCKS_FOUND],
        .cache_misses = counters[STATS_ATTRIBUTES_ASKED] + counters[STATS_BLOCKS_FETCHED],
        .elapsed_ns = entry->stats.elapsed_ns,
    };
    export_stats(&entry->stats, &ret_process->stats);
    memcpy(ret_process->command, entry->command, sizeof ret_process->command);
    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        for (unsigned j = 0; j < HISTOGRAM_BUCKETS; j++)
            ret_process->first_byte[j] += entry->stats.first_byte[i].buckets[j];
}

static void on_process(void *arg, const struct board_entry *entry)
{
    struct found *found = arg;

    if (found->count == found->room) {
        size_t room = 2 * found->room + 16;
        void *more = realloc(found->processes, room * sizeof *found->processes);

        if (!more) {
            found->error = -ENOMEM;
            return;
        }
        found->processes = more;
        found->room = room;
    }
    export_process(entry, &found->processes[found->count++]);
}

int s3dlio_processes(struct s3dlio_process **ret_processes, size_t *ret_count)
{
    struct found found = {0};
    struct gate_scope scope;
    int r;

    gate_enter(&scope);
    r = board_read(on_process, &found);
    gate_leave(&scope);
    r = r < 0 ? r : found.error;
    if (r < 0) {
        free(found.processes);
        return r;
    }
    *ret_processes = found.processes;
    *ret_count = found.count;
    return 0;
}

uint64_t s3dlio_percentile_ns(const uint64_t buckets[S3DLIO_TIME_BUCKETS], unsigned permille)
{
    struct histogram_copy copy = {.max_ns = 0};

    memcpy(copy.buckets, buckets, sizeof copy.buckets);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        copy.count += buckets[i];
    return histogram_percentile(&copy, permille);
}

/* ---- as text --------------------------------------------------------------------------------- */

typedef int format_fn(const struct stats_copy *copy, const struct stats_about *about,
                      struct buffer *out);

/* A program's locale may have a comma in numbers. */
static int format_plainly(format_fn *format, const struct stats_copy *copy,
                          const struct engine *engine, struct buffer *out)
{
    struct rusage usage = {.ru_maxrss = 0};
    struct stats_about about = {program_invocation_short_name, getpid(), 0, &engine->options};
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), before;
    int r;

    if (plain == (locale_t)0)
        return -ENOMEM;
    getrusage(RUSAGE_SELF, &usage);
    about.resident_bytes = (uint64_t)usage.ru_maxrss * 1024;
    before = uselocale(plain);
    r = format(copy, &about, out);
    uselocale(before);
    freelocale(plain);
    return r;
}

/* Not by api_enter: this is for engine threads and for exit, and makes no engine. */
int s3dlio_format_stats(enum s3dlio_stats_format format, char **ret_text, size_t *ret_length_bytes)
{
    static format_fn *const formats[] = {stats_format_text, stats_format_json,
                                         stats_format_prometheus};
    struct engine *engine = engine_used();
    struct stats_copy *copy = malloc(sizeof *copy);
    struct gate_scope scope;
    struct buffer out;
    int r = -ENODATA;

    if (!copy || (unsigned)format >= sizeof formats / sizeof formats[0]) {
        free(copy);
        return copy ? -EINVAL : -ENOMEM;
    }
    buffer_init(&out, STATS_TEXT_MAX);
    if (engine) {
        gate_enter(&scope);
        engine_copy_stats(engine, copy);
        gate_leave(&scope);
        if (copy->requests_all)
            r = format_plainly(formats[format], copy, engine, &out);
    }
    free(copy);
    if (r < 0) {
        buffer_fini(&out);
        return r;
    }
    *ret_text = out.data;
    *ret_length_bytes = out.length;
    return 0;
}

/* Nor is one made here. */
void s3dlio_drop_unused(void)
{
    struct engine *engine = engine_used();
    struct gate_scope scope;

    if (!engine)
        return;
    gate_enter(&scope);
    prefetch_drop(engine);
    reader_drop_all_unread(engine);
    gate_leave(&scope);
}

void s3dlio_flush_log(void)
{
    struct engine *engine = engine_used();

    if (engine && engine->oplog)
        oplog_flush(engine->oplog);
}

/* For programs that are not under the shim; there uploads may follow, and then the shim's call. */
__attribute__((destructor)) static void at_exit(void)
{
    struct engine *engine = engine_used();
    struct gate_scope scope;

    s3dlio_flush_log();
    if (!engine)
        return;
    gate_enter(&scope);
    engine_leave_fellows(engine);
    gate_leave(&scope);
}

void s3dlio_set_teller(void (*tell)(void))
{
    teller_set(tell);
}

void s3dlio_wake_teller(void)
{
    teller_wake();
}
