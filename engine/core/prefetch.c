/* Guesses: readers that were opened before the program asked. See prefetch.h.
 *
 * A guess is found by its name under the mutex, and whoever takes it out of the table owns it.
 * Its reader has one range, guarded by the reader's shard's lock like all ranges; so is `over`.
 * A timer on that shard ends it.
 */
#define HASH_NONFATAL_OOM 1 /* before the first header that has a hash */
#include "core/prefetch.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "core/engine.h"
#include "core/order.h"
#include "core/prefetch_page.h"
#include "core/reader_private.h"
#include "io/gate.h"

#define KEEP_MAX_NS  (60 * NS_PER_S)
#define WHOLE_ENOUGH 2u /* objects read to the end, before large ones are fetched whole */

struct prefetch_guess {
    UT_hash_handle hh;
    struct prefetch_guess *prev, *next; /* the oldest first */
    struct reader *reader;
    struct shard_timer timer;
    uint64_t generation;
    bool over;
    char uri[];
};

void prefetch_init(struct prefetch *prefetch, unsigned count_max, int64_t ttl_ns)
{
    memset(prefetch, 0, sizeof *prefetch);
    pthread_mutex_init(&prefetch->mutex, NULL);
    prefetch->keep_ns = ttl_ns < KEEP_MAX_NS ? ttl_ns : KEEP_MAX_NS;
    prefetch->count_max = count_max;
    prefetch->generation = gate_generation();
    if (count_max > 0 && ttl_ns > 0)
        prefetch->orders = orders_new(count_max, prefetch->keep_ns);
}

void prefetch_fini(struct prefetch *prefetch)
{
    orders_free(prefetch->orders);
    pthread_mutex_destroy(&prefetch->mutex);
}

/* ---- the end of a guess ---------------------------------------------------------------------- */

static struct shard *shard_of(const struct prefetch_guess *guess)
{
    return guess->reader->shard;
}

/* The lock is held. What was received for nothing is counted, and not as some stream's. */
static void end_locked(struct prefetch_guess *guess)
{
    struct range *range = guess->reader->window;

    if (range && range->users == 0) {
        DL_DELETE(guess->reader->window, range);
        range_drop_unread(range, STATS_PREFETCH_WASTED, range->arrived - range->offset);
    }
    stream_settle(guess->reader);
    shard_release(shard_of(guess));
    guess->over = true;
}

static void on_time(struct shard_timer *timer)
{
    struct prefetch_guess *guess =
        (struct prefetch_guess *)((char *)timer - offsetof(struct prefetch_guess, timer));

    end_locked(guess);
}

/* It is out of the table. Nothing of the parent's is touched in a fork child but its memory. */
static void guess_free(struct prefetch_guess *guess)
{
    if (guess->generation == gate_generation()) {
        shard_lock(shard_of(guess));
        shard_timer_clear(shard_of(guess), &guess->timer);
        if (!guess->over)
            end_locked(guess);
        shard_unlock(shard_of(guess));
    }
    reader_close(guess->reader);
    free(guess);
}

/* The mutex is held. */
static void take_out(struct prefetch *prefetch, struct prefetch_guess *guess)
{
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table is there while it has entries */
    HASH_DELETE(hh, prefetch->by_uri, guess);
    DL_DELETE(prefetch->oldest, guess);
    prefetch->count--;
}

/* Takes out those whose time is over, and in a fork child all of the parent's: a list for
 * free_all. */
static struct prefetch_guess *take_out_old(struct prefetch *prefetch, int64_t now_ns)
{
    bool is_child = prefetch->generation != gate_generation();
    struct prefetch_guess *list = NULL;

    prefetch->generation = gate_generation();
    while (prefetch->oldest &&
           (is_child || now_ns - prefetch->oldest->reader->asked_ns >= prefetch->keep_ns)) {
        struct prefetch_guess *guess = prefetch->oldest;

        take_out(prefetch, guess);
        DL_APPEND(list, guess);
    }
    return list;
}

/* They were in vain. */
static void note_unused(struct prefetch *prefetch, const struct prefetch_guess *list)
{
    bool has_other = false;

    for (; list; list = list->next)
        if (list->generation == gate_generation() &&
            !orders_note_unused_name(prefetch->orders, list->uri))
            has_other = true;
    if (has_other)
        orders_note_unused(prefetch->orders);
}

static void free_all(struct prefetch_guess *list)
{
    while (list) {
        struct prefetch_guess *next = list->next;

        guess_free(list);
        list = next;
    }
}

/* ---- making one ------------------------------------------------------------------------------ */

static void on_object(struct range *range)
{
    reader_learn((struct reader *)range->owner, &range->fetch.call.request.object);
}

/* How much of it; 0: nothing. An empty object is found by asking for its attributes. */
static uint64_t bytes_of(const struct engine *engine, uint64_t size_bytes)
{
    uint64_t window_bytes = engine->plan.first_window_bytes;

    if (size_bytes == ORDER_SIZE_UNKNOWN)
        return window_bytes;
    if (size_bytes > window_bytes && (atomic_load(&engine->prefetch.read_whole) < WHOLE_ENOUGH ||
                                      size_bytes > engine->plan.get_part_bytes))
        return window_bytes;
    return size_bytes;
}

static bool has_room(const struct engine *engine, uint64_t bytes)
{
    const struct budget *budget = &engine->budget;
    uint64_t all_bytes = budget_share(budget), share_bytes = all_bytes / PREFETCH_SHARE;

    return atomic_load(&budget->class_bytes[BUDGET_PREFETCH]) + bytes <= share_bytes &&
           budget_used(budget) + bytes <= all_bytes - share_bytes;
}

/* What is known of the name already: false when fetching it makes no sense. */
static bool makes_sense(struct engine *engine, struct order_guess *guess)
{
    struct attr attr;

    switch (attr_cache_get(engine->attrs, guess->uri, &attr)) {
    case ATTR_CACHE_ABSENT: return false;
    case ATTR_CACHE_FOUND: guess->size_bytes = attr.size_bytes; return attr.type == ATTR_FILE;
    case ATTR_CACHE_NAMED: return attr.type != ATTR_DIRECTORY;
    default: return true;
    }
}

static struct prefetch_guess *guess_new(struct engine *engine, const char *text)
{
    size_t length = strlen(text);
    struct prefetch_guess *guess = calloc(1, sizeof *guess + length + 1);
    struct error ignored;
    struct uri uri;

    if (!guess)
        return NULL;
    memcpy(guess->uri, text, length);
    guess->generation = gate_generation();
    shard_timer_init(&guess->timer, on_time);
    if (uri_parse(text, &uri) == 0)
        guess->reader = reader_new(engine, &uri, &ignored);
    if (!guess->reader || guess->reader->is_inline) {
        reader_close(guess->reader);
        free(guess);
        return NULL;
    }
    return guess;
}

/* Sends its request. False: there is no memory for what it brings. */
static bool guess_start(struct prefetch_guess *guess, uint64_t bytes)
{
    struct reader *reader = guess->reader;
    struct range *range = range_new(reader->engine, &reader->uri, reader->store, reader->shard);

    if (!range)
        return false;
    range->owner = reader;
    range->on_object = on_object;
    range->buffered_only = true;
    range->fetch.call.no_retry = true;
    range->fetch.call.account.is_guess = true;
    shard_lock(reader->shard);
    if (!range_reserve(range, BUDGET_PREFETCH, bytes)) {
        range_drop(range);
        shard_unlock(reader->shard);
        return false;
    }
    reader->asked_ns = clock_now_ns();
    DL_APPEND(reader->window, range);
    range_start(range, 0, bytes, 0, NULL);
    shard_hold(reader->shard);
    shard_timer_set(reader->shard, &guess->timer,
                    reader->asked_ns + reader->engine->prefetch.keep_ns);
    shard_unlock(reader->shard);
    return true;
}

static bool is_guessed(struct prefetch *prefetch, const char *uri)
{
    struct prefetch_guess *guess;

    pthread_mutex_lock(&prefetch->mutex);
    HASH_FIND_STR(prefetch->by_uri, uri, guess);
    pthread_mutex_unlock(&prefetch->mutex);
    return guess != NULL;
}

/* False: without memory, or another thread was faster. */
static bool put_in(struct prefetch *prefetch, struct prefetch_guess *guess)
{
    struct prefetch_guess *other;
    bool is_in;

    pthread_mutex_lock(&prefetch->mutex);
    HASH_FIND_STR(prefetch->by_uri, guess->uri, other);
    if (!other)
        HASH_ADD_STR(prefetch->by_uri, uri, guess);
    is_in = guess->hh.tbl != NULL;
    if (is_in) {
        DL_APPEND(prefetch->oldest, guess);
        prefetch->count++;
    }
    pthread_mutex_unlock(&prefetch->mutex);
    return is_in;
}

/* False: not now. */
static bool fetch_ahead(struct engine *engine, struct order_guess *guessed)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_guess *guess;
    uint64_t bytes;

    if (is_guessed(prefetch, guessed->uri) || !makes_sense(engine, guessed))
        return true;
    bytes = bytes_of(engine, guessed->size_bytes);
    if (bytes == 0)
        return true;
    if (!has_room(engine, bytes))
        return false;
    guess = guess_new(engine, guessed->uri);
    if (!guess)
        return true;
    if (!endpoint_has_room_for_guess(guess->reader->endpoint, limiter_flow(bytes)) ||
        !guess_start(guess, bytes)) {
        reader_close(guess->reader);
        free(guess);
        return false;
    }
    stats_add(engine_stats(engine), STATS_PREFETCH_ASKED, 1);
    if (!put_in(prefetch, guess)) {
        guess_free(guess);
        return false;
    }
    return true;
}

/* ---- what the program does ------------------------------------------------------------------- */

void prefetch_begin_listing(struct engine *engine, const char *directory)
{
    struct prefetch *prefetch = &engine->prefetch;

    if (!prefetch->orders)
        return;
    pthread_mutex_lock(&prefetch->mutex);
    orders_begin_listing(prefetch->orders, directory);
    pthread_mutex_unlock(&prefetch->mutex);
}

void prefetch_note_listed(struct engine *engine, const char *directory, const char *name,
                          const struct attr *attr)
{
    struct order_file file = {attr->size_bytes, attr->inode};
    struct prefetch *prefetch = &engine->prefetch;

    if (!prefetch->orders)
        return;
    pthread_mutex_lock(&prefetch->mutex);
    orders_add_listed(prefetch->orders, directory, name, &file);
    pthread_mutex_unlock(&prefetch->mutex);
}

void prefetch_tell(struct engine *engine, const char *const *uris, size_t count)
{
    struct prefetch *prefetch = &engine->prefetch;
    char text[ATTR_URI_BYTES];
    struct uri uri;

    if (!prefetch->orders)
        return;
    pthread_mutex_lock(&prefetch->mutex);
    orders_add_told(prefetch->orders, NULL);
    for (size_t i = 0; i < count; i++) {
        if (uri_parse(uris[i], &uri) < 0)
            continue;
        attr_uri_text(&uri, text);
        orders_add_told(prefetch->orders, text);
    }
    pthread_mutex_unlock(&prefetch->mutex);
}

/* Out of the table, and with it what nobody came for in time. */
static struct prefetch_guess *find(struct prefetch *prefetch, const char *uri)
{
    struct prefetch_guess *guess, *old;

    pthread_mutex_lock(&prefetch->mutex);
    old = take_out_old(prefetch, clock_now_ns());
    note_unused(prefetch, old);
    HASH_FIND_STR(prefetch->by_uri, uri, guess);
    if (guess)
        take_out(prefetch, guess);
    pthread_mutex_unlock(&prefetch->mutex);
    free_all(old);
    return guess;
}

/* The lock is held. */
static bool is_of_use(const struct prefetch_guess *guess)
{
    return !guess->over && guess->reader->window && !range_failed(guess->reader->window);
}

struct reader *prefetch_take(struct engine *engine, const char *uri)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_guess *guess = prefetch->orders ? find(prefetch, uri) : NULL;
    struct reader *reader = NULL;

    if (!guess)
        return NULL;
    shard_lock(shard_of(guess));
    if (is_of_use(guess)) {
        reader = guess->reader;
        shard_timer_clear(reader->shard, &guess->timer);
        shard_release(reader->shard);
        reader->window->fetch.call.no_retry = false;
        reader->window->fetch.call.account.is_guess = false;
        range_become(reader->window, BUDGET_READ_AHEAD);
        stats_add(engine_stats(engine), STATS_AHEAD_ASKED,
                  reader->window->end - reader->window->offset);
    }
    shard_unlock(shard_of(guess));
    if (!reader) {
        guess_free(guess);
        return NULL;
    }
    free(guess);
    stats_add(engine_stats(engine), STATS_PREFETCH_USED, 1);
    return reader;
}

bool prefetch_look(struct engine *engine, const char *uri, const struct limits *limits,
                   struct attr *ret_attr)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_guess *guess = prefetch->orders ? find(prefetch, uri) : NULL;
    struct error ignored;
    bool is_good;

    if (!guess)
        return false;
    shard_lock(shard_of(guess));
    is_good = is_of_use(guess) && reader_wait_prefetched(guess->reader, limits, &ignored) == 1;
    if (is_good)
        *ret_attr = guess->reader->attr;
    shard_unlock(shard_of(guess));
    if (!is_good || !put_in(prefetch, guess))
        guess_free(guess);
    return is_good;
}

void prefetch_go_on(struct engine *engine, const char *uri, uint64_t size_bytes)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct order_guess guess;
    struct order_wish wish;
    bool is_wished;

    if (!prefetch->orders)
        return;
    prefetch_page_take(engine);
    pthread_mutex_lock(&prefetch->mutex);
    orders_note_open(prefetch->orders, uri, size_bytes, clock_now_ns());
    while (prefetch->count < prefetch->count_max && orders_guess(prefetch->orders, &guess)) {
        bool is_taken_up;

        pthread_mutex_unlock(&prefetch->mutex);
        is_taken_up = fetch_ahead(engine, &guess);
        pthread_mutex_lock(&prefetch->mutex);
        if (!is_taken_up) {
            orders_take_back(prefetch->orders);
            break;
        }
    }
    is_wished = !prefetch->is_asking && orders_wish(prefetch->orders, &wish);
    prefetch->is_asking |= is_wished;
    pthread_mutex_unlock(&prefetch->mutex);
    if (is_wished)
        prefetch_page_ask(engine, &wish);
}

void prefetch_note_read(struct engine *engine, uint64_t read_bytes, uint64_t size_bytes)
{
    struct prefetch *prefetch = &engine->prefetch;

    if (!prefetch->orders || size_bytes <= engine->plan.first_window_bytes)
        return;
    if (read_bytes < size_bytes)
        atomic_store(&prefetch->read_whole, 0);
    else if (atomic_load(&prefetch->read_whole) < WHOLE_ENOUGH)
        atomic_fetch_add(&prefetch->read_whole, 1);
}

void prefetch_drop(struct engine *engine)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_guess *all;

    if (!prefetch->orders)
        return;
    pthread_mutex_lock(&prefetch->mutex);
    all = take_out_old(prefetch, INT64_MAX);
    pthread_mutex_unlock(&prefetch->mutex);
    free_all(all);
}
