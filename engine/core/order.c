/* Which order a program follows, and what comes next in it. See order.h.
 *
 * A name has a number in its order; the numbers only grow, so what is left of an order that lost
 * its beginning still counts. Guesses are the names `stride`, 2 * stride … behind the one that
 * was opened last.
 */
#include "core/order_private.h"

#include <stdlib.h>
#include <string.h>

#define DEPTH_FIRST      2u
#define DEPTH_FIRST_TOLD 8u
#define PAGE_RUN_MIN     24u /* a few names in a row end soon */
#define PAGE_PART        4u  /* of what was followed of a page that nobody listed */

/* ---- what is told ---------------------------------------------------------------------------- */

static void drop_of(struct orders *orders, enum order_source source, const char *directory)
{
    struct order *order = order_find(orders, source, directory);

    if (order)
        order_drop(orders, order);
}

void orders_begin_listing(struct orders *orders, const char *directory)
{
    size_t length = strlen(directory);
    struct order *order;

    drop_of(orders, ORDER_LISTED, directory);
    drop_of(orders, ORDER_BY_INODE, directory);
    order = order_add(orders, ORDER_LISTED, directory, length + 1);
    if (order)
        order->directory[length] = '/';
}

void orders_add_listed(struct orders *orders, const char *directory, const char *name,
                       const struct order_file *file)
{
    struct order *order = order_find(orders, ORDER_LISTED, directory);
    struct order_name *listed = order ? order_find_name(order, name) : NULL;

    if (order && !listed)
        listed = order_add_name(orders, order, name, 0);
    if (listed) {
        listed->size_bytes = file->size_bytes;
        listed->inode = file->inode;
    }
}

void orders_add_told(struct orders *orders, const char *uri)
{
    struct order *order = order_find(orders, ORDER_TOLD, "");

    if (!uri && order)
        order_drop(orders, order);
    if (!uri)
        return;
    if (!order)
        order = order_add(orders, ORDER_TOLD, "", 0);
    if (order && !order_find_name(order, uri))
        order_add_name(orders, order, uri, ORDER_SIZE_UNKNOWN);
}

/* ---- the way through one order -------------------------------------------------------------- */

/* Does it go on as before, or with a few left out? */
static bool follows(const struct order *order, const struct order_name *name)
{
    uint64_t distance;

    if (!order->last)
        return order->source == ORDER_LISTED ? name == order->first : order->source == ORDER_TOLD;
    if (name->number <= order->last->number)
        return false;
    distance = name->number - order->last->number;
    return distance == order->stride ||
           (order->run > 0 && order->stride == 1 && distance <= 1 + ORDER_LEFT_OUT_MAX);
}

/* What was guessed and is behind, or not on the way any more, was wrong. */
static void leave(struct order *order, const struct order_name *name)
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
    int64_t in_time = order->interval_ns > 0
                          ? orders->keep_ns / ORDER_KEEP_SHARE / order->interval_ns
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
static bool is_next_inode(const struct order *order, const struct order_name *a,
                          const struct order_name *b)
{
    const struct order_name *name;

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
    uint64_t left = (*(const struct order_name *const *)a)->inode;
    uint64_t right = (*(const struct order_name *const *)b)->inode;

    return (left > right) - (left < right);
}

static struct order *find_sorted(struct orders *orders, const struct order *listed)
{
    struct order *order;

    DL_FOREACH(orders->list, order)
    {
        if (order->source == ORDER_BY_INODE &&
            order->directory_length == listed->directory_length &&
            memcmp(order->directory, listed->directory, order->directory_length) == 0)
            break;
    }
    return order;
}

/* The same names again, sorted, the program at `last`. NULL: there is no room for them. */
static struct order *sort_names(struct orders *orders, const struct order *listed,
                                const struct order_name *last)
{
    struct order_name **names = NULL, *name;
    struct order *order = NULL;
    unsigned count = 0;

    if (orders->names + listed->count <= ORDER_NAMES_MAX && orders->count < ORDERS_MAX)
        names = malloc(listed->count * sizeof *names);
    if (names)
        order = order_add(orders, ORDER_BY_INODE, listed->directory, listed->directory_length);
    if (order) {
        DL_FOREACH(listed->first, name) names[count++] = name;
        qsort(names, count, sizeof *names, by_inode);
    }
    for (unsigned i = 0; i < count; i++) {
        name = order_add_name(orders, order, names[i]->text, names[i]->size_bytes);
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
    if (order->source != ORDER_TOLD)
        return DEPTH_FIRST;
    return order->run > 1 ? DEPTH_FIRST_TOLD : 0;
}

/* How many the program has followed says how many more it will: nobody here has asked for the
 * listing of such a page. */
static unsigned depth_earned(const struct order *order)
{
    if (!order->is_page)
        return order->depth_max;
    return order->run < PAGE_RUN_MIN ? 0 : order->run / PAGE_PART;
}

void order_step(struct orders *orders, struct order *order, struct order_name *name, int64_t now_ns)
{
    unsigned in_time;

    if (name == order->last)
        return;
    if (follows(order, name)) {
        order->run++;
        order->followed++;
        order->depth = order->depth ? 2 * order->depth : first_depth(order);
    } else {
        leave(order, name);
    }
    note_time(order, now_ns);
    in_time = depth_in_time(orders, order);
    if (order->depth > in_time)
        order->depth = in_time;
    if (order->depth > depth_earned(order))
        order->depth = depth_earned(order);
    order->last = name;
    if (order->last_guess && order->last_guess->number <= name->number)
        order->last_guess = order->guess_before = NULL;
}

/* The one of both that the program has followed longer gives the guesses. */
static void consider(struct orders *orders, struct order *order)
{
    if (order->depth > 0 && order->wrong < ORDER_WRONG_MAX &&
        (!orders->leading || order->run > orders->leading->run))
        orders->leading = order;
}

static void note_in(struct orders *orders, struct order *order, struct order_name *name,
                    int64_t now_ns)
{
    struct order *sorted = NULL;

    if (order->source == ORDER_LISTED && !follows(order, name) &&
        is_next_inode(order, order->last, name) && !find_sorted(orders, order))
        sorted = sort_names(orders, order, order->last);
    order_step(orders, order, name, now_ns);
    order_use(orders, order);
    consider(orders, order);
    if (!sorted)
        return;
    name = order_find_name(sorted, name->text);
    if (name)
        order_step(orders, sorted, name, now_ns);
    consider(orders, sorted);
}

/* What the program opens for the first time is the last of all that it has opened. */
static void note_opened(struct orders *orders, const char *uri, uint64_t size_bytes, int64_t now_ns)
{
    struct order *order = order_find(orders, ORDER_OPENED, "");
    struct order_name *name = order ? order_find_name(order, uri) : NULL;

    if (!order)
        order = order_add(orders, ORDER_OPENED, "", 0);
    if (name)
        order_epoch_note_again(&orders->epoch, order, name, now_ns);
    if (!order || name)
        return;
    order_use(orders, order);
    order->last = order_add_name(orders, order, uri, size_bytes);
    if (order->last)
        order_epoch_note_new(&orders->epoch, order, order->last, now_ns);
    order->last_guess = order->guess_before = NULL;
    order->run = order->depth = 0;
}

void orders_note_open(struct orders *orders, const char *uri, uint64_t size_bytes, int64_t now_ns)
{
    struct order *order, *next;

    orders->leading = NULL;
    DL_FOREACH_SAFE(orders->list, order, next)
    {
        struct order_name *name = NULL;

        if (strncmp(uri, order->directory, order->directory_length) == 0)
            name = order_find_name(order, uri + order->directory_length);
        if (!name)
            continue;
        if (size_bytes != ORDER_SIZE_UNKNOWN)
            name->size_bytes = size_bytes;
        note_in(orders, order, name, now_ns);
    }
    note_opened(orders, uri, size_bytes, now_ns);
    order_ascent_note(orders, uri, now_ns);
}

/* ---- what comes next ------------------------------------------------------------------------- */

static struct order_name *behind(struct order_name *name, uint64_t distance)
{
    while (name && distance-- > 0)
        name = name->next;
    return name;
}

static struct order_name *guess_in(const struct order *order)
{
    struct order_name *from, *name;

    if (!order->last)
        return NULL;
    from = order->last_guess ? order->last_guess : order->last;
    name = behind(from, order->stride);
    if (!name || (order->source == ORDER_TOLD && !name->next) || /* where all others go, perhaps */
        name->number - order->last->number > order->depth * order->stride ||
        order->directory_length + strlen(name->text) >= ATTR_URI_BYTES)
        return NULL;
    return name;
}

bool orders_guess(struct orders *orders, struct order_guess *ret_guess)
{
    struct order *order = orders->leading ? orders->leading : order_find(orders, ORDER_OPENED, "");
    struct order_name *name;

    if (!order)
        return false;
    name = orders->leading ? guess_in(order) : order_epoch_guess(orders, order);
    if (!name)
        return false;
    if (orders->leading) {
        order->guess_before = order->last_guess;
        order->last_guess = name;
    }
    memcpy(ret_guess->uri, order->directory, order->directory_length);
    strcpy(ret_guess->uri + order->directory_length, name->text);
    ret_guess->size_bytes = name->size_bytes;
    return true;
}

void orders_take_back(struct orders *orders)
{
    if (orders->leading)
        orders->leading->last_guess = orders->leading->guess_before;
    else
        order_epoch_take_back(&orders->epoch);
}

bool orders_note_unused_name(struct orders *orders, const char *uri)
{
    const struct order *opened = order_find(orders, ORDER_OPENED, "");
    const struct order_name *name = opened ? order_find_name(opened, uri) : NULL;

    return name && order_epoch_note_unused(&orders->epoch, name);
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
