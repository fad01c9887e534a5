/* Puts that are kept back for a moment, and what a program changes of a file after its close. See
 * deferred.h.
 *
 * A put that is held has its seat, its place and its memory like any other; only its request is
 * missing. It goes when its time is over, when somebody waits for it or for a place, and when more
 * than HELD_MAX are held. Whoever gives it another name looks at the store first, so it is taken
 * then: nobody sends or changes it until it is given back.
 */
#include <string.h>
#include <utlist.h>

#include "base/clock.h"
#include "core/deferred_private.h"
#include "core/marked.h"
#include "core/metadata_change.h"
#include "core/names.h"
#include "core/reader.h"
#include "core/rename.h"

#define HELD_MAX       16u
#define LOOK_AGAIN_NS  (20 * NS_PER_MS)
#define READ_MAX_BYTES (UINT64_C(1) << 20)

/* ---- held ------------------------------------------------------------------------------------ */

/* Other processes that wait for it cannot wake anybody here: they are looked for. */
static void set_timer(struct deferred_put *put)
{
    int64_t next_ns = clock_deadline_ns(LOOK_AGAIN_NS);

    shard_timer_set(deferred_shard(put->engine), &put->timer,
                    next_ns < put->held_until_ns ? next_ns : put->held_until_ns);
}

static void on_timer(struct shard_timer *timer)
{
    struct deferred_put *put = CONTAINER(timer, struct deferred_put, timer);

    if (clock_now_ns() >= put->held_until_ns ||
        deferred_table_is_wanted(put->engine->deferred.table, put->seat))
        deferred_let_go(put);
    else
        set_timer(put);
}

static void keep(struct deferred_put *put)
{
    put->state = PUT_HELD;
    put->engine->deferred.held++;
    set_timer(put);
}

static void stop_keeping(struct deferred_put *put)
{
    put->engine->deferred.held--;
    shard_timer_clear(deferred_shard(put->engine), &put->timer);
}

void deferred_let_go(struct deferred_put *put)
{
    struct shard *shard = deferred_shard(put->engine);

    put->is_wanted = true;
    if (put->state != PUT_HELD)
        return;
    stop_keeping(put);
    put->state = PUT_SENT;
    deferred_send(put); /* it may be gone after that */
    shard_release(shard);
}

void deferred_let_all_go(struct engine *engine)
{
    struct deferred_put *put, *next;

    for (put = engine->deferred.puts; put; put = next) {
        next = put->next; /* it may be gone */
        deferred_let_go(put);
    }
}

static void push_out(struct deferred *deferred)
{
    struct deferred_put *put;

    if (deferred->held <= HELD_MAX)
        return;
    DL_SEARCH_SCALAR(deferred->puts, put, state, PUT_HELD);
    if (put)
        deferred_let_go(put);
}

void deferred_hold(struct deferred_put *put)
{
    struct deferred *deferred = &put->engine->deferred;

    put->held_until_ns = clock_deadline_ns(deferred->hold_ns);
    shard_timer_init(&put->timer, on_timer);
    shard_hold(deferred_shard(put->engine));
    keep(put);
    if (deferred->hold_ns == 0)
        deferred_let_go(put);
    else
        push_out(deferred);
}

/* ---- attributes ------------------------------------------------------------------------------ */

int deferred_goes_again(struct deferred_put *put, const char *etag)
{
    int r;

    if (!put->late.has)
        return 0;
    r = upload_set_attr(put->upload, &put->late);
    if (r == 0)
        r = upload_renew(put->upload);
    if (r < 0)
        return r;
    put->late.has = 0;
    put->is_again = true;
    strncpy(put->etag, etag, sizeof put->etag - 1);
    return 1;
}

/* Under the lock. */
static int change_attr(struct deferred_put *put, const struct attr *attr)
{
    struct attr wanted = *attr;

    if (!(wanted.has & ATTR_HAS_MODE))
        wanted.mode = put->attr.mode;
    if (put->state == PUT_TAKEN ||
        (put->state == PUT_HELD && upload_set_attr(put->upload, &wanted)))
        return 0;
    if (put->state == PUT_SENT)
        attr_merge(&put->late, &wanted);
    attr_merge(&put->attr, &wanted);
    deferred_table_change(put->engine->deferred.table, put->seat, &put->attr);
    return 1;
}

/* Is there one, and may its attributes be changed? Its directory is marked then. */
static int prepare_attr(struct engine *engine, const struct uri *uri, const struct limits *limits,
                        struct error *err)
{
    struct deferred_put *put;
    struct store *store;
    int r;

    shard_lock(deferred_shard(engine));
    put = deferred_find(&engine->deferred, uri);
    shard_unlock(deferred_shard(engine));
    if (!put)
        return 0;
    r = engine_store(engine, uri->scheme, &store, err);
    if (r == 0 && !attr_is_kept(store))
        return 0;
    if (r == 0)
        r = metadata_permitted(engine, err);
    if (r > 0 && store->capabilities & STORE_CAP_METADATA) {
        r = marked_require(engine, uri, limits, err);
        r = r < 0 ? r : 1;
    }
    return r;
}

int deferred_set_attr(struct engine *engine, const struct uri *uri, const struct attr *attr,
                      const struct limits *limits, struct error *err)
{
    struct deferred_put *put;
    int r = deferred_any(&engine->deferred) ? prepare_attr(engine, uri, limits, err) : 0;

    if (r <= 0)
        return r;
    shard_lock(deferred_shard(engine));
    put = deferred_find(&engine->deferred, uri);
    r = put ? change_attr(put, attr) : 0;
    shard_unlock(deferred_shard(engine));
    return r;
}

/* ---- taken ----------------------------------------------------------------------------------- */

static struct deferred_put *take(struct engine *engine, const struct uri *uri, bool only_new)
{
    struct deferred_put *put;

    shard_lock(deferred_shard(engine));
    put = deferred_find(&engine->deferred, uri);
    if (put && put->state == PUT_HELD && (put->is_new || !only_new)) {
        stop_keeping(put);
        put->state = PUT_TAKEN;
        put->is_wanted = false;
    } else {
        put = NULL;
    }
    shard_unlock(deferred_shard(engine));
    return put;
}

/* Somebody may have begun to wait for it, or its time may be over. */
static void give_back(struct deferred_put *put)
{
    struct shard *shard = deferred_shard(put->engine);

    shard_lock(shard);
    keep(put);
    if (put->is_wanted)
        deferred_let_go(put);
    shard_unlock(shard);
}

int deferred_open(struct engine *engine, const struct uri *uri, struct reader **ret_reader,
                  struct error *err)
{
    struct deferred_put *put;
    struct reader_put bytes;
    int r = 0;

    if (!deferred_any(&engine->deferred) || !(put = take(engine, uri, false)))
        return 0;
    bytes = (struct reader_put){put->memory.data, put->memory.size_bytes, put->serial};
    if (bytes.size_bytes <= READ_MAX_BYTES)
        r = reader_open_put(engine, uri, &put->attr, &bytes, ret_reader, err) == 0;
    give_back(put);
    return r;
}

/* ---- names ----------------------------------------------------------------------------------- */

static void tell_caches(struct engine *engine, const struct rename *rename)
{
    char text[ATTR_URI_BYTES];
    struct uri parent;

    attr_uri_text(rename->from, text);
    attr_cache_remove(engine->attrs, text);
    if (names_parent(rename->from, &parent) && parent.key[0]) {
        attr_uri_text(&parent, text);
        attr_cache_keep(engine->attrs, text);
    }
    attr_uri_text(rename->to, text);
    attr_cache_forget(engine->attrs, text);
}

/* Under the lock. Listed first, as in deferred_begin: a reader that is opened from then on waits. */
static bool take_name(struct deferred_put *put, const struct rename *rename)
{
    struct engine *engine = put->engine;
    char text[ATTR_URI_BYTES];
    unsigned seat;

    if (deferred_find_on_the_way(&engine->deferred, rename->to) ||
        !(seat = deferred_seat(put, rename->to)))
        return false;
    put->call.uri = *rename->to;
    if (reader_registry_has(engine, rename->to)) {
        put->call.uri = *rename->from;
        deferred_table_leave(engine->deferred.table, seat);
        return false;
    }
    deferred_table_leave(engine->deferred.table, put->seat);
    put->seat = seat;
    put->is_new = false; /* as far as is known */
    attr_uri_text(rename->to, text);
    put->attr.inode = attr_inode(text);
    tell_caches(engine, rename);
    return true;
}

static int give_name(struct deferred_put *put, const struct rename *rename,
                     const struct limits *limits, struct error *err)
{
    struct shard *shard = deferred_shard(put->engine);
    bool was_exclusive, is_named = false;
    int r = rename_check_target(put->engine, rename, limits, err);

    if (r < 0)
        return r;
    was_exclusive = upload_rename(put->upload, rename->to, rename->no_replace);
    r = upload_put_prepare(put->upload, limits, err);
    if (r == 0) {
        shard_lock(shard);
        is_named = take_name(put, rename);
        shard_unlock(shard);
    }
    if (!is_named)
        upload_rename(put->upload, rename->from, was_exclusive);
    return r < 0 ? r : is_named;
}

/* What is on its way to the new name is waited for before the put is taken, so that two threads never
 * wait for what the other has taken. */
int deferred_rename(struct engine *engine, const struct rename *rename, const struct limits *limits,
                    struct error *err)
{
    struct deferred_put *put;
    int r;

    if (!deferred_any(&engine->deferred) || uri_is_same(rename->from, rename->to) ||
        strcmp(rename->from->scheme, rename->to->scheme) != 0)
        return 0;
    r = deferred_wait(engine, rename->to, limits, err);
    if (r < 0)
        return r;
    put = take(engine, rename->from, true);
    if (!put)
        return 0;
    r = give_name(put, rename, limits, err);
    give_back(put);
    return r;
}
