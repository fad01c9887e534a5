/* The table of directories, their pages by key, and what is spent on them. See listed.h. */
#include "core/listed.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define PATIENCE_MAX  1024u /* look-ups that come before the first page, when pages were no use */
#define SWEEP_TTLS    4     /* a page that was asked about within so many is one of the sweep's */
#define ASCENDING_MIN 4u    /* inodes one after the other: no accident */
#define IN_ORDER_MIN  2u

/* Behind all keys that begin with a group's: a store that is asked for what lies behind "a/" shows the
 * group again. The last character that there is. */
#define BEHIND_GROUP "\xf4\x8f\xbf\xbf"

struct page {
    char *from;
    int64_t asked_ns;  /* 0: it is only known to begin here */
    int64_t missed_ns; /* since when, within the TTL, ... */
    unsigned misses;   /* ... so many look-ups of what it had were in vain */
    bool is_last;
};

/* What pressing look-ups have cost lately. */
struct sweep {
    int64_t last_ns;   /* the last look-up */
    unsigned misses;   /* that were pressing */
    unsigned patience; /* so many come before the first page */
    unsigned step;     /* pages to ask for next */
    unsigned limit;    /* more take too long */
    unsigned bought;   /* pages in this round, ... */
    int64_t round_ns;  /* ... which began then, ... */
    uint64_t found;    /* ... after so many look-ups that cost nothing */
};

/* Of a marked directory. */
struct order {
    char *expected; /* NULL: none */
    unsigned in_order, step;
    uint64_t inode; /* of the last look-up */
    unsigned ascending;
    bool by_inode;
};

struct directory {
    char *name;
    uint64_t used; /* as listed->uses was */
    bool marked;
    int64_t unmarked_ns;
    struct page *pages;
    size_t count, room;
    struct sweep sweep;
    struct order order;
};

struct listed {
    pthread_mutex_t mutex;
    int64_t ttl_ns;
    unsigned pages_fresh;
    _Atomic uint64_t uses; /* changes under the mutex; 0: no directory was ever noted */
    struct directory directories[LISTED_DIRECTORIES]; /* name NULL: free */
};

struct listed *listed_new(int64_t ttl_ns, unsigned pages_fresh)
{
    struct listed *listed = calloc(1, sizeof *listed);

    if (!listed)
        return NULL;
    pthread_mutex_init(&listed->mutex, NULL);
    listed->ttl_ns = ttl_ns;
    listed->pages_fresh = pages_fresh;
    return listed;
}

/* ---- directories ----------------------------------------------------------------------------- */

/* From page `first` up to `end`. */
static void remove_pages(struct directory *directory, size_t first, size_t end)
{
    for (size_t i = first; i < end; i++)
        free(directory->pages[i].from);
    memmove(directory->pages + first, directory->pages + end,
            (directory->count - end) * sizeof *directory->pages);
    directory->count -= end - first;
}

static void clear(struct directory *directory)
{
    if (directory->count)
        remove_pages(directory, 0, directory->count);
    free(directory->pages);
    free(directory->order.expected);
    free(directory->name);
    memset(directory, 0, sizeof *directory);
}

void listed_free(struct listed *listed)
{
    if (!listed)
        return;
    for (unsigned i = 0; i < LISTED_DIRECTORIES; i++)
        clear(&listed->directories[i]);
    pthread_mutex_destroy(&listed->mutex);
    free(listed);
}

static struct directory *find(struct listed *listed, const char *name)
{
    for (unsigned i = 0; i < LISTED_DIRECTORIES; i++) {
        struct directory *directory = &listed->directories[i];

        if (directory->name && strcmp(directory->name, name) == 0) {
            directory->used = ++listed->uses;
            return directory;
        }
    }
    return NULL;
}

/* NULL without memory. */
static struct directory *obtain(struct listed *listed, const char *name)
{
    struct directory *directory = find(listed, name);

    if (directory)
        return directory;
    directory = &listed->directories[0];
    for (unsigned i = 1; i < LISTED_DIRECTORIES; i++)
        if (listed->directories[i].used < directory->used)
            directory = &listed->directories[i];
    clear(directory);
    directory->name = strdup(name);
    if (!directory->name)
        return NULL;
    directory->used = ++listed->uses;
    directory->sweep.patience = LISTED_NAMES_FIRST;
    directory->sweep.limit = LISTED_PAGES_MAX;
    return directory;
}

void listed_note_marked(struct listed *listed, const char *name)
{
    struct directory *directory;

    pthread_mutex_lock(&listed->mutex);
    directory = obtain(listed, name);
    if (directory) {
        directory->marked = true;
        if (directory->count)
            remove_pages(directory, 0, directory->count);
    }
    pthread_mutex_unlock(&listed->mutex);
}

bool listed_is_empty(struct listed *listed)
{
    return atomic_load_explicit(&listed->uses, memory_order_relaxed) == 0;
}

enum listed_kind listed_kind(struct listed *listed, const char *name)
{
    enum listed_kind kind = LISTED_NOT;
    struct directory *directory;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, name);
    if (directory)
        kind = directory->marked ? LISTED_MARKED : LISTED_PLAIN;
    pthread_mutex_unlock(&listed->mutex);
    return kind;
}

int64_t listed_unmarked_ns(struct listed *listed, const char *name)
{
    struct directory *directory;
    int64_t unmarked_ns;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, name);
    unmarked_ns = directory ? directory->unmarked_ns : 0;
    pthread_mutex_unlock(&listed->mutex);
    return unmarked_ns;
}

void listed_note_unmarked(struct listed *listed, const char *name, int64_t asked_ns)
{
    struct directory *directory;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, name);
    if (directory)
        directory->unmarked_ns = asked_ns;
    pthread_mutex_unlock(&listed->mutex);
}

/* ---- pages ----------------------------------------------------------------------------------- */

/* The first page that does not begin before `from`. */
static size_t seek(const struct directory *directory, const char *from)
{
    size_t low = 0, high = directory->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(directory->pages[middle].from, from) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The page that holds the key; directory->count: none. */
static size_t page_of(const struct directory *directory, const char *key)
{
    size_t at = seek(directory, key);

    return at > 0 ? at - 1 : directory->count;
}

/* Where to begin behind that key; NULL without memory. */
static char *behind(const char *key)
{
    size_t length = strlen(key);
    bool is_group = length > 0 && key[length - 1] == '/';
    char *from = malloc(length + sizeof BEHIND_GROUP);

    if (from) {
        memcpy(from, key, length + 1);
        if (is_group)
            memcpy(from + length, BEHIND_GROUP, sizeof BEHIND_GROUP);
    }
    return from;
}

/* Takes `from` over. -1 without memory. */
static int insert(struct directory *directory, size_t at, char *from)
{
    if (directory->count == directory->room) {
        size_t room = directory->room ? 2 * directory->room : 8;
        struct page *pages = realloc(directory->pages, room * sizeof *pages);

        if (!pages) {
            free(from);
            return -1;
        }
        directory->pages = pages;
        directory->room = room;
    }
    memmove(directory->pages + at + 1, directory->pages + at,
            (directory->count - at) * sizeof *directory->pages);
    directory->pages[at] = (struct page){.from = from};
    directory->count++;
    return 0;
}

/* A page begins there: its index, or -1 without memory. */
static int obtain_page(struct directory *directory, const char *key)
{
    char *from = behind(key);
    size_t at;

    if (!from)
        return -1;
    at = seek(directory, from);
    if (at == directory->count || strcmp(directory->pages[at].from, from) != 0)
        return insert(directory, at, from) < 0 ? -1 : (int)at;
    free(from);
    return (int)at;
}

static void note(struct directory *directory, const struct listed_page *page)
{
    int at, end;

    if (directory->count >= LISTED_PAGES_MAX)
        remove_pages(directory, 0, LISTED_PAGES_MAX / 4);
    at = obtain_page(directory, page->from);
    end = page->last ? obtain_page(directory, page->last) : (int)directory->count;
    if (at < 0 || end <= at)
        return;
    directory->pages[at].asked_ns = page->asked_ns;
    directory->pages[at].is_last = !page->last;
    remove_pages(directory, (size_t)at + 1, (size_t)end);
}

void listed_note(struct listed *listed, const char *name, const struct listed_page *page)
{
    struct directory *directory;

    pthread_mutex_lock(&listed->mutex);
    directory = obtain(listed, name);
    if (directory) {
        directory->marked = false;
        note(directory, page);
    }
    pthread_mutex_unlock(&listed->mutex);
}

bool listed_next(struct listed *listed, const char *name, const char *from, char **ret_from)
{
    struct directory *directory;
    bool is_known = false;
    char *next = NULL;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, name);
    if (directory) {
        size_t at = seek(directory, from);

        while (at < directory->count && strcmp(directory->pages[at].from, from) == 0)
            at++;
        is_known = at > 0 && (at < directory->count || directory->pages[at - 1].is_last);
        if (at < directory->count)
            next = strdup(directory->pages[at].from);
    }
    pthread_mutex_unlock(&listed->mutex);
    if (is_known)
        *ret_from = next;
    else
        free(next);
    return is_known;
}

/* ---- what is worth it ------------------------------------------------------------------------ */

static bool is_fresh(const struct listed *listed, const struct page *page, int64_t now_ns)
{
    return page->asked_ns && now_ns - page->asked_ns < listed->ttl_ns;
}

/* The last round has passed: was it worth its pages? */
static void judge_round(const struct listed *listed, struct sweep *sweep,
                        const struct listed_miss *miss)
{
    bool is_over = sweep->bought && miss->now_ns - sweep->round_ns >= listed->ttl_ns;
    bool is_late = miss->now_ns - sweep->last_ns >= 2 * listed->ttl_ns;

    if (is_over && miss->found - sweep->found < sweep->bought) {
        sweep->patience = sweep->patience < PATIENCE_MAX / 2 ? 2 * sweep->patience : PATIENCE_MAX;
        is_late = true;
    } else if (is_over) {
        sweep->patience = LISTED_NAMES_FIRST;
        sweep->step = (sweep->bought + 1) / 2;
    }
    if (is_over)
        sweep->bought = 0;
    if (is_late)
        sweep->misses = sweep->step = 0;
}

/* How many pages to ask for, from the missed one on. */
static unsigned worth(const struct listed *listed, struct directory *directory, struct page *page,
                      const struct listed_miss *miss)
{
    struct sweep *sweep = &directory->sweep;

    judge_round(listed, sweep, miss);
    sweep->last_ns = miss->now_ns;
    if (miss->now_ns - page->missed_ns >= listed->ttl_ns) {
        page->missed_ns = miss->now_ns;
        page->misses = 0;
    }
    page->misses++;
    if (miss->is_pressing && sweep->misses++ >= sweep->patience)
        return sweep->step ? sweep->step : 1;
    return page->misses > LISTED_NAMES_FIRST;
}

/* Which pages: those from the missed one on, among those that were asked about in this sweep, then
 * those behind and those before these. Who has come farther than ever goes on from there. */
struct choice {
    const struct listed *listed;
    struct directory *directory;
    int64_t now_ns;
    bool *taken;
    unsigned count, max;
};

static void take(struct choice *choice, size_t from, size_t end)
{
    struct directory *directory = choice->directory;

    for (size_t i = from; i < end && choice->count < choice->max; i++) {
        struct page *page = &directory->pages[i];

        if (choice->taken[i] || !page->asked_ns || is_fresh(choice->listed, page, choice->now_ns))
            continue;
        choice->taken[i] = true;
        choice->count++;
    }
}

static void choose(struct choice *choice, size_t missed)
{
    const struct directory *directory = choice->directory;
    size_t low = missed, high = missed;

    for (size_t i = 0; i < directory->count; i++) {
        int64_t age_ns = choice->now_ns - directory->pages[i].missed_ns;

        if (!directory->pages[i].missed_ns || age_ns >= SWEEP_TTLS * choice->listed->ttl_ns)
            continue;
        low = i < low ? i : low;
        high = i > high ? i : high;
    }
    choice->taken[missed] = true;
    choice->count = 1;
    take(choice, missed, missed == high ? directory->count : high + 1);
    take(choice, low, missed);
    take(choice, high + 1, directory->count);
    take(choice, 0, low);
}

/* No more than find room where their entries go. */
static unsigned most(const struct listed *listed, const struct directory *directory, int64_t now_ns)
{
    unsigned fresh = 0;

    for (size_t i = 0; i < directory->count; i++)
        fresh += is_fresh(listed, &directory->pages[i], now_ns);
    return fresh + 1 < listed->pages_fresh ? listed->pages_fresh - fresh : 1;
}

/* False without memory. */
static bool make_spans(struct choice *choice, struct listed_plan *plan)
{
    const struct directory *directory = choice->directory;

    plan->spans = calloc(choice->count, sizeof *plan->spans);
    for (size_t i = 0; plan->spans && i < directory->count; i++) {
        struct listed_span *span = &plan->spans[plan->count];
        bool is_last = i + 1 == directory->count;

        if (!choice->taken[i])
            continue;
        span->from = strdup(directory->pages[i].from);
        span->until = is_last ? NULL : strdup(directory->pages[i + 1].from);
        plan->count++;
        if (!span->from || (!is_last && !span->until))
            return false;
    }
    return plan->spans != NULL;
}

/* They count as asked for, so that other look-ups do not ask for them again meanwhile. */
static void note_asked(struct choice *choice)
{
    for (size_t i = 0; i < choice->directory->count; i++)
        if (choice->taken[i]) {
            choice->directory->pages[i].asked_ns = choice->now_ns;
            choice->directory->pages[i].misses = 0;
        }
}

static void note_bought(struct sweep *sweep, unsigned count, const struct listed_miss *miss)
{
    if (!sweep->bought) {
        sweep->round_ns = miss->now_ns;
        sweep->found = miss->found;
    }
    sweep->bought += count;
    sweep->step = 2 * count;
}

static bool plan(struct listed *listed, struct directory *directory, const struct listed_miss *miss,
                 struct listed_plan *ret_plan)
{
    size_t missed = page_of(directory, miss->key);
    struct choice choice = {.listed = listed, .directory = directory, .now_ns = miss->now_ns};
    unsigned room;

    if (missed == directory->count || is_fresh(listed, &directory->pages[missed], miss->now_ns))
        return false;
    choice.max = worth(listed, directory, &directory->pages[missed], miss);
    if (!choice.max)
        return false;
    room = most(listed, directory, miss->now_ns);
    room = room < directory->sweep.limit ? room : directory->sweep.limit;
    choice.max = choice.max < room ? choice.max : room;
    choice.taken = calloc(directory->count, sizeof *choice.taken);
    if (!choice.taken)
        return false;
    choose(&choice, missed);
    if (!make_spans(&choice, ret_plan)) {
        free(choice.taken);
        return false;
    }
    note_asked(&choice);
    if (miss->is_pressing)
        note_bought(&directory->sweep, choice.count, miss);
    free(choice.taken);
    return true;
}

bool listed_plan(struct listed *listed, const struct listed_miss *miss,
                 struct listed_plan *ret_plan)
{
    struct listed_plan made = {0};
    struct directory *directory;
    bool is_worth;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, miss->directory);
    is_worth = directory && plan(listed, directory, miss, &made);
    pthread_mutex_unlock(&listed->mutex);
    if (is_worth)
        *ret_plan = made;
    else
        listed_plan_fini(&made);
    return is_worth;
}

void listed_plan_fini(struct listed_plan *plan)
{
    for (unsigned i = 0; i < plan->count; i++) {
        free(plan->spans[i].from);
        free(plan->spans[i].until);
    }
    free(plan->spans);
    *plan = (struct listed_plan){0};
}

void listed_note_took(struct listed *listed, const char *name, unsigned pages, int64_t took_ns)
{
    struct directory *directory;

    pthread_mutex_lock(&listed->mutex);
    directory = find(listed, name);
    if (directory && took_ns > listed->ttl_ns / 2)
        directory->sweep.limit = pages > 1 ? pages / 2 : 1;
    else if (directory && took_ns < listed->ttl_ns / 4 && directory->sweep.limit < LISTED_PAGES_MAX)
        directory->sweep.limit *= 2;
    pthread_mutex_unlock(&listed->mutex);
}

/* ---- marked directories ---------------------------------------------------------------------- */

static unsigned entries_worth(struct order *order, const char *name, uint64_t inode)
{
    bool is_expected = order->expected && strcmp(order->expected, name) == 0;

    order->ascending = inode > order->inode ? order->ascending + 1 : 0;
    order->inode = inode;
    if (is_expected) {
        order->in_order++;
    } else {
        bool was_wrong = order->by_inode;

        order->by_inode = !was_wrong && order->ascending >= ASCENDING_MIN;
        order->ascending = was_wrong ? 0 : order->ascending;
        order->in_order = 0;
    }
    if (order->in_order < IN_ORDER_MIN)
        order->step = 1;
    else if (order->step < LISTED_ENTRIES_MAX)
        order->step *= 2;
    return order->step;
}

unsigned listed_entries(struct listed *listed, const char *directory, const char *entry,
                        uint64_t inode, bool *ret_by_inode)
{
    struct directory *at;
    unsigned count = 1;

    pthread_mutex_lock(&listed->mutex);
    at = find(listed, directory);
    if (at) {
        count = entries_worth(&at->order, entry, inode);
        *ret_by_inode = at->order.by_inode;
    }
    pthread_mutex_unlock(&listed->mutex);
    return count;
}

void listed_expect(struct listed *listed, const char *directory, const char *entry)
{
    struct directory *at;

    pthread_mutex_lock(&listed->mutex);
    at = find(listed, directory);
    if (at) {
        free(at->order.expected);
        at->order.expected = entry ? strdup(entry) : NULL;
    }
    pthread_mutex_unlock(&listed->mutex);
}
