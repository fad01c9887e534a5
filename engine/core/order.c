/* Which order a program follows, and what comes next in it. See order.h.
 *
 * A name has a number in its order; the numbers only grow, so what is left of an order that lost
 * its beginning still counts. Guesses are the names `stride`, 2 * stride … behind the one that
 * was opened last.
 */
#include "core/order.h"

#include <stdlib.h>
#include <string.h>

#define HASH_NONFATAL_OOM 1
#include <uthash.h>
#include <utlist.h>

#define WRONG_MAX        3u
#define DEPTH_FIRST      2u
#define DEPTH_FIRST_TOLD 8u
#define KEEP_SHARE       2 /* of the time that a guess keeps: to be opened within */

enum source { LISTED, BY_INODE, TOLD, OPENED };

struct name {
    UT_hash_handle hh;
    struct name *prev, *next; /* in the order */
    uint64_t number;
    uint64_t size_bytes;
    uint64_t inode; /* 0: not known */
    char text[];    /* behind the order's directory */
};

struct order {
    struct order *prev, *next; /* the last used first */
    enum source source;
    struct name *by_text, *first;
    unsigned count;
    uint64_t numbers;

    struct name *last;         /* opened; NULL: none yet */
    struct name *last_guess;   /* since then, or before and still ahead of it; NULL: none */
    struct name *guess_before; /* what last_guess was, for orders_take_back */
    uint64_t stride;
    unsigned run;   /* opens in a row that followed the order */
    unsigned depth; /* how many names may be guessed ahead */
    unsigned depth_max, wrong;
    int64_t last_ns, interval_ns; /* between opens, smoothed */
    size_t directory_length;      /* with its slash */
    char directory[];             /* "" where names are whole */
};

struct orders {
    struct order *list;
    struct order *leading; /* gave the last guess, or would */
    unsigned count, names, depth_max;
    int64_t keep_ns;
};

struct orders *orders_new(unsigned depth_max, int64_t keep_ns)
{
    struct orders *orders = calloc(1, sizeof *orders);

    if (!orders)
        return NULL;
    orders->depth_max = depth_max;
    orders->keep_ns = keep_ns;
    return orders;
}

/* ---- orders and their names ------------------------------------------------------------------ */

static void drop_name(struct orders *orders, struct order *order, struct name *name)
{
    if (name == order->last)
        order->last = NULL;
    if (name == order->last_guess)
        order->last_guess = NULL;
    if (name == order->guess_before)
        order->guess_before = NULL;
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table is there while it has entries */
    HASH_DELETE(hh, order->by_text, name);
    DL_DELETE(order->first, name);
    order->count--;
    orders->names--;
    free(name);
}

static void drop_order(struct orders *orders, struct order *order)
{
    while (order->first)
        drop_name(orders, order, order->first);
    if (orders->leading == order)
        orders->leading = NULL;
    DL_DELETE(orders->list, order);
    orders->count--;
    free(order);
}

void orders_free(struct orders *orders)
{
    if (!orders)
        return;
    while (orders->list)
        drop_order(orders, orders->list);
    free(orders);
}

static void use(struct orders *orders, struct order *order)
{
    DL_DELETE(orders->list, order);
    DL_PREPEND(orders->list, order);
}

/* `directory` without a slash at its end; "" for orders of whole names. */
static struct order *find_order(struct orders *orders, enum source source, const char *directory)
{
    size_t length = strlen(directory);
    struct order *order;

    DL_FOREACH(orders->list, order)
    {
        if (order->source == source && (!length || (order->directory_length == length + 1 &&
                                                    !memcmp(order->directory, directory, length))))
            break;
    }
    return order;
}

static struct order *add_order(struct orders *orders, enum source source, const char *directory,
                               size_t length)
{
    struct order *order = calloc(1, sizeof *order + length + 1);

    if (!order)
        return NULL;
    if (orders->count == ORDERS_MAX)
        drop_order(orders, orders->list->prev);
    order->source = source;
    order->stride = 1;
    order->depth_max = orders->depth_max;
    memcpy(order->directory, directory, length);
    order->directory_length = length;
    DL_PREPEND(orders->list, order);
    orders->count++;
    return order;
}

/* The longest order loses its beginning. */
static void make_room(struct orders *orders)
{
    struct order *order, *longest = orders->list;

    if (orders->names < ORDER_NAMES_MAX)
        return;
    DL_FOREACH(orders->list, order)
    {
        if (order->count > longest->count)
            longest = order;
    }
    drop_name(orders, longest, longest->first);
}

static struct name *find_name(const struct order *order, const char *text)
{
    struct name *name;

    HASH_FIND_STR(order->by_text, text, name);
    return name;
}

static struct name *add_name(struct orders *orders, struct order *order, const char *text,
                             uint64_t size_bytes)
{
    size_t length = strlen(text);
    struct name *name;

    make_room(orders);
    name = malloc(sizeof *name + length + 1);
    if (!name)
        return NULL;
    memcpy(name->text, text, length + 1);
    name->size_bytes = size_bytes;
    name->inode = 0;
    name->number = order->numbers;
    HASH_ADD_STR(order->by_text, text, name);
    if (!name->hh.tbl) {
        free(name);
        return NULL;
    }
    DL_APPEND(order->first, name);
    order->numbers++;
    order->count++;
    orders->names++;
    return name;
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void drop_of(struct orders *orders, enum source source, const char *directory)
{
    struct order *order = find_order(orders, source, directory);

    if (order)
        drop_order(orders, order);
}

void orders_begin_listing(struct orders *orders, const char *directory)
{
    size_t length = strlen(directory);
    struct order *order;

    drop_of(orders, LISTED, directory);
    drop_of(orders, BY_INODE, directory);
    order = add_order(orders, LISTED, directory, length + 1);
    if (order)
        order->directory[length] = '/';
}

void orders_add_listed(struct orders *orders, const char *directory, const char *name,
                       const struct order_file *file)
{
    struct order *order = find_order(orders, LISTED, directory);
    struct name *listed = order ? find_name(order, name) : NULL;

    if (order && !listed)
        listed = add_name(orders, order, name, 0);
    if (listed) {
        listed->size_bytes = file->size_bytes;
        listed->inode = file->inode;
    }
}

void orders_add_told(struct orders *orders, const char *uri)
{
    struct order *order = find_order(orders, TOLD, "");

    if (!uri && order)
        drop_order(orders, order);
    if (!uri)
        return;
    if (!order)
        order = add_order(orders, TOLD, "", 0);
    if (order && !find_name(order, uri))
        add_name(orders, order, uri, ORDER_SIZE_UNKNOWN);
}

/* ---- the way through one order -------------------------------------------------------------- */

/* Does it go on as before, or with a few left out? */
static bool follows(const struct order *order, const struct name *name)
{
    uint64_t distance;

    if (!order->last)
        return order->source == LISTED ? name == order->first : order->source == TOLD;
    if (name->number <= order->last->number)
        return false;
    distance = name->number - order->last->number;
    return distance == order->stride ||
           (order->run > 0 && order->stride == 1 && distance <= 1 + ORDER_LEFT_OUT_MAX);
}

/* What was guessed and is behind, or not on the way any more, was wrong. */
static void leave(struct order *order, const struct name *name)
{
    uint64_t distance =
        order->last && name->number > order->last->number ? name->number - order->last->number : 0;

    if (order->last_guess && order->last && order->last_guess->number > order->last->number)
        order->wrong++;
    order->last_guess = order->guess_before = NULL;
    order->stride = distance > 0 && distance <= ORDER_STRIDE_MAX ? distance : 1;
    order->run = order->depth = 0;
}

/* How many are opened while a guess keeps. */
static unsigned depth_in_time(const struct orders *orders, const struct order *order)
{
    int64_t in_time = order->interval_ns > 0 ? orders->keep_ns / KEEP_SHARE / order->interval_ns
                                             : order->depth_max;

    return in_time < 1 ? 1 : in_time < order->depth_max ? (unsigned)in_time : order->depth_max;
}

static void note_time(struct order *order, int64_t now_ns)
{
    int64_t interval_ns = now_ns - order->last_ns;

    if (order->run > 1)
        order->interval_ns += (interval_ns - order->interval_ns) / 4;
    else
        order->interval_ns = order->run == 1 && order->last_ns ? interval_ns : 0;
    order->last_ns = now_ns;
}

/* ---- directories read in the order of their inodes ------------------------------------------- */

/* Is no inode of the order between the two? */
static bool is_next_inode(const struct order *order, const struct name *a, const struct name *b)
{
    const struct name *name;

    if (!a || !a->inode || b->inode <= a->inode)
        return false;
    DL_FOREACH(order->first, name)
    {
        if (name->inode > a->inode && name->inode < b->inode)
            return false;
    }
    return true;
}

static int by_inode(const void *a, const void *b)
{
    uint64_t left = (*(const struct name *const *)a)->inode;
    uint64_t right = (*(const struct name *const *)b)->inode;

    return (left > right) - (left < right);
}

static struct order *find_sorted(struct orders *orders, const struct order *listed)
{
    struct order *order;

    DL_FOREACH(orders->list, order)
    {
        if (order->source == BY_INODE && order->directory_length == listed->directory_length &&
            memcmp(order->directory, listed->directory, order->directory_length) == 0)
            break;
    }
    return order;
}

/* The same names again, sorted, the program at `last`. NULL: there is no room for them. */
static struct order *sort_names(struct orders *orders, const struct order *listed,
                                const struct name *last)
{
    struct name **names = NULL, *name;
    struct order *order = NULL;
    unsigned count = 0;

    if (orders->names + listed->count <= ORDER_NAMES_MAX && orders->count < ORDERS_MAX)
        names = malloc(listed->count * sizeof *names);
    if (names)
        order = add_order(orders, BY_INODE, listed->directory, listed->directory_length);
    if (order) {
        DL_FOREACH(listed->first, name) names[count++] = name;
        qsort(names, count, sizeof *names, by_inode);
    }
    for (unsigned i = 0; i < count; i++) {
        name = add_name(orders, order, names[i]->text, names[i]->size_bytes);
        if (names[i] == last)
            order->last = name;
    }
    free(names);
    return order;
}

/* ---- where the program is -------------------------------------------------------------------- */

/* Of a command line two have to be opened: the second may be where the first is copied to. */
static unsigned first_depth(const struct order *order)
{
    if (order->source != TOLD)
        return DEPTH_FIRST;
    return order->run > 1 ? DEPTH_FIRST_TOLD : 0;
}

static void step(struct orders *orders, struct order *order, struct name *name, int64_t now_ns)
{
    unsigned in_time;

    if (name == order->last)
        return;
    if (follows(order, name)) {
        order->run++;
        order->depth = order->depth ? 2 * order->depth : first_depth(order);
    } else {
        leave(order, name);
    }
    note_time(order, now_ns);
    in_time = depth_in_time(orders, order);
    if (order->depth > in_time)
        order->depth = in_time;
    order->last = name;
    if (order->last_guess && order->last_guess->number <= name->number)
        order->last_guess = order->guess_before = NULL;
}

/* The one of both that the program has followed longer gives the guesses. */
static void consider(struct orders *orders, struct order *order)
{
    if (order->depth > 0 && order->wrong < WRONG_MAX &&
        (!orders->leading || order->run > orders->leading->run))
        orders->leading = order;
}

static void note_in(struct orders *orders, struct order *order, struct name *name, int64_t now_ns)
{
    struct order *sorted = NULL;

    if (order->source == LISTED && !follows(order, name) &&
        is_next_inode(order, order->last, name) && !find_sorted(orders, order))
        sorted = sort_names(orders, order, order->last);
    step(orders, order, name, now_ns);
    use(orders, order);
    consider(orders, order);
    if (!sorted)
        return;
    name = find_name(sorted, name->text);
    if (name)
        step(orders, sorted, name, now_ns);
    consider(orders, sorted);
}

/* What the program opens for the first time is the last of all that it has opened. */
static void note_opened(struct orders *orders, const char *uri, uint64_t size_bytes)
{
    struct order *order = find_order(orders, OPENED, "");

    if (!order)
        order = add_order(orders, OPENED, "", 0);
    if (!order || find_name(order, uri))
        return;
    use(orders, order);
    order->last = add_name(orders, order, uri, size_bytes);
    order->last_guess = order->guess_before = NULL;
    order->run = order->depth = 0;
}

void orders_note_open(struct orders *orders, const char *uri, uint64_t size_bytes, int64_t now_ns)
{
    struct order *order, *next;

    orders->leading = NULL;
    DL_FOREACH_SAFE(orders->list, order, next)
    {
        struct name *name = NULL;

        if (strncmp(uri, order->directory, order->directory_length) == 0)
            name = find_name(order, uri + order->directory_length);
        if (!name)
            continue;
        if (size_bytes != ORDER_SIZE_UNKNOWN)
            name->size_bytes = size_bytes;
        note_in(orders, order, name, now_ns);
    }
    note_opened(orders, uri, size_bytes);
}

/* ---- what comes next ------------------------------------------------------------------------- */

static struct name *behind(struct name *name, uint64_t distance)
{
    while (name && distance-- > 0)
        name = name->next;
    return name;
}

bool orders_guess(struct orders *orders, struct order_guess *ret_guess)
{
    struct order *order = orders->leading;
    struct name *from, *name;

    if (!order || !order->last)
        return false;
    from = order->last_guess ? order->last_guess : order->last;
    name = behind(from, order->stride);
    if (!name || (order->source == TOLD && !name->next) || /* where all others go, perhaps */
        name->number - order->last->number > order->depth * order->stride ||
        order->directory_length + strlen(name->text) >= sizeof ret_guess->uri)
        return false;
    order->guess_before = order->last_guess;
    order->last_guess = name;
    memcpy(ret_guess->uri, order->directory, order->directory_length);
    strcpy(ret_guess->uri + order->directory_length, name->text);
    ret_guess->size_bytes = name->size_bytes;
    return true;
}

void orders_take_back(struct orders *orders)
{
    if (orders->leading)
        orders->leading->last_guess = orders->leading->guess_before;
}

void orders_note_unused(struct orders *orders)
{
    struct order *order = orders->leading ? orders->leading : orders->list;

    if (!order)
        return;
    order->depth_max = order->depth_max > 2 ? order->depth_max / 2 : 1;
    if (order->depth > order->depth_max)
        order->depth = order->depth_max;
}
