/* Rows in memory, and who writes them when. See oplog.h.
 *
 * Two pieces of memory: requests fill one under `mutex`, whoever writes exchanges it for the other,
 * which is empty again before `writing` is let go. Order: writing, gate, mutex. Nobody waits for
 * `writing` inside the gate, because it is held during writes to disks, which a fork is not to wait
 * for; so the child makes it anew. The thread ends when nothing was added for a second.
 */
#include "core/oplog.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/own_files.h"
#include "core/oplog_private.h"
#include "io/futex.h"
#include "io/gate.h"
#include "io/thread.h"

#define MEMORY_BYTES   ((size_t)512 << 10)
#define TEXT_MAX_BYTES ((size_t)8 << 20)
#define WRITE_AFTER_NS NS_PER_S
#define ERROR_BYTES    160

struct oplog {
    pthread_mutex_t mutex; /* a leaf: down to `running` */
    char *filling;         /* NULL until the first row */
    size_t filled;
    uint64_t dropped; /* not yet told */
    bool running;     /* the thread is there */

    _Atomic bool failed;
    _Atomic uint32_t wakes; /* a futex: do not wait any longer */

    pthread_mutex_t writing; /* what follows */
    char *emptying;
    uint64_t dropped_ever;
    struct oplog_file file;
    struct oplog_client client;
    char name[];
};

struct oplog *oplog_new(const char *name)
{
    struct oplog *log = calloc(1, sizeof *log + strlen(name) + 1);

    if (!log)
        return NULL;
    pthread_mutex_init(&log->mutex, NULL);
    pthread_mutex_init(&log->writing, NULL);
    strcpy(log->name, name);
    log->file = (struct oplog_file){.name = log->name, .fd = -1};
    return log;
}

void oplog_free(struct oplog *log)
{
    free(log);
}

void oplog_reset_child(struct oplog *log)
{
    pthread_mutex_init(&log->mutex, NULL);
    pthread_mutex_init(&log->writing, NULL);
    oplog_file_close(&log->file);
    log->file.own_name = true;
    log->client.id[0] = '\0';
    log->filled = 0;
    log->dropped = log->dropped_ever = 0;
    log->running = false;
}

/* ---- adding ---------------------------------------------------------------------------------- */

static void error_words(const struct oplog_row *row, char *text)
{
    const struct error *error = row->error;

    text[0] = '\0';
    if (row->abandoned)
        strcpy(text, "abandoned");
    else if (error && error->class != ERROR_NONE && error->http_status)
        snprintf(text, ERROR_BYTES, "%s: %d %s", error_class_name(error->class),
                 error->http_status, error->code);
    else if (error && error->class != ERROR_NONE)
        snprintf(text, ERROR_BYTES, "%s: %.120s", error_class_name(error->class),
                 error->message);
}

static int64_t real_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec * NS_PER_S + now.tv_nsec;
}

/* Room for a record in what is being filled; NULL: there is none. */
static struct oplog_record *make_room(struct oplog *log, size_t length)
{
    struct oplog_record *record = NULL;

    if (!log->filling)
        log->filling = malloc(MEMORY_BYTES);
    if (log->filling && MEMORY_BYTES - log->filled >= length) {
        record = (struct oplog_record *)(log->filling + log->filled);
        log->filled += length;
    }
    return record;
}

static void *writer_main(void *arg);

static void add(struct oplog *log, const struct oplog_record *head, const char *const texts[3])
{
    struct oplog_record *record;
    bool start = false, wake = false;

    pthread_mutex_lock(&log->mutex);
    record = make_room(log, head->length);
    if (record) {
        char *at = record->texts;

        *record = *head;
        for (unsigned i = 0; i < 3; i++)
            at = stpcpy(at, texts[i]) + 1;
        wake = log->filled > MEMORY_BYTES / 2 && log->filled - head->length <= MEMORY_BYTES / 2;
    } else {
        log->dropped++;
    }
    if (!log->running)
        start = log->running = true;
    pthread_mutex_unlock(&log->mutex);
    if (wake) {
        atomic_fetch_add(&log->wakes, 1);
        futex_wake(&log->wakes, 1, FUTEX_BITS_ALL);
    }
    if (start && thread_start("s3dlio-oplog", THREAD_STACK_BYTES, writer_main, log, NULL) < 0) {
        pthread_mutex_lock(&log->mutex);
        log->running = false; /* what is there is written at the end, or by the next one's thread */
        pthread_mutex_unlock(&log->mutex);
    }
}

void oplog_add(struct oplog *log, const struct oplog_row *row)
{
    char error[ERROR_BYTES];
    const char *texts[3] = {row->bucket ? row->bucket : "", row->name ? row->name : "", error};
    int64_t end_ns = real_now_ns(), shift_ns = end_ns - row->ended_ns;
    struct oplog_record head = {
        .length = sizeof head + 3,
        .store = row->store,
        .objects = row->objects,
        .bytes = row->bytes,
        .start_ns = row->submitted_ns + shift_ns,
        .first_byte_ns = row->first_byte_ns ? row->first_byte_ns + shift_ns : 0,
        .end_ns = end_ns,
        .thread = row->thread,
        .operation = (uint8_t)row->operation,
    };

    if (atomic_load_explicit(&log->failed, memory_order_relaxed))
        return;
    error_words(row, error);
    for (unsigned i = 0; i < 3; i++)
        head.length += strlen(texts[i]);
    head.length = (head.length + 7) & ~(size_t)7;
    add(log, &head, texts);
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Takes what is there; how much. Inside the gate, with `writing`. */
static size_t take(struct oplog *log, uint64_t *ret_dropped)
{
    char *filled;
    size_t length;

    pthread_mutex_lock(&log->mutex);
    filled = log->filling;
    length = log->filled;
    log->filling = log->emptying;
    log->emptying = filled;
    log->filled = 0;
    *ret_dropped = log->dropped;
    log->dropped = 0;
    pthread_mutex_unlock(&log->mutex);
    return length;
}

/* What was taken, as text; inside the gate, where stores may be asked for their endpoints. */
static int format_taken(struct oplog *log, size_t length, uint64_t dropped, struct buffer *text)
{
    const struct oplog_record *record;
    int r = 0;

    if (!log->client.id[0])
        oplog_client_init(&log->client);
    for (size_t at = 0; at < length && r == 0; at += record->length) {
        record = (const struct oplog_record *)(log->emptying + at);
        r = oplog_row_format(&log->client, record, text);
    }
    if (r == 0 && dropped)
        r = buffer_append_format(text, "# %llu rows were dropped here\n",
                                 (unsigned long long)dropped);
    return r;
}

static void fail(struct oplog *log, int r)
{
    if (!atomic_exchange(&log->failed, true))
        log_error("S3DLIO_OPLOG: cannot write to %s: %s: nothing is logged from here on",
                  log->file.path[0] ? log->file.path : log->name, strerrordesc_np(-r));
}

/* True: there was something to write. With `writing`. */
static bool write_out(struct oplog *log)
{
    struct buffer text;
    struct gate_scope scope;
    uint64_t dropped;
    size_t length;
    int r = 0;

    buffer_init(&text, TEXT_MAX_BYTES);
    gate_enter(&scope);
    length = take(log, &dropped);
    if (length && log->file.fd < 0 && !atomic_load(&log->failed))
        r = oplog_file_open(&log->file);
    if (r == 0)
        r = format_taken(log, length, dropped, &text);
    gate_leave(&scope);
    log->dropped_ever += dropped;
    if (r == 0 && text.length && !atomic_load(&log->failed))
        r = oplog_file_append(&log->file, text.data, text.length);
    buffer_fini(&text);
    if (r < 0)
        fail(log, r);
    return length > 0;
}

static bool leave(struct oplog *log)
{
    struct gate_scope scope;
    bool leaves;

    gate_enter(&scope);
    pthread_mutex_lock(&log->mutex);
    leaves = log->filled == 0;
    if (leaves)
        log->running = false;
    pthread_mutex_unlock(&log->mutex);
    gate_leave(&scope);
    return leaves;
}

static void *writer_main(void *arg)
{
    struct oplog *log = arg;
    bool wrote;

    /* At once, too: that the file cannot be written is told while somebody listens. */
    do {
        uint32_t wakes = atomic_load(&log->wakes);

        pthread_mutex_lock(&log->writing);
        wrote = write_out(log);
        pthread_mutex_unlock(&log->writing);
        if (wrote)
            futex_wait(&log->wakes, wakes, WRITE_AFTER_NS, FUTEX_BITS_ALL);
    } while (wrote || !leave(log));
    return NULL;
}

void oplog_flush(struct oplog *log)
{
    sigset_t all, before;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* a handler that ends the process comes here */
    own_files_begin();
    pthread_mutex_lock(&log->writing);
    write_out(log);
    if (log->dropped_ever)
        log_warn("S3DLIO_OPLOG: %llu rows were dropped, because %s could not keep up",
                 (unsigned long long)log->dropped_ever, log->file.path);
    log->dropped_ever = 0;
    pthread_mutex_unlock(&log->writing);
    own_files_end();
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}
