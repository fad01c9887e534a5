/* Orders and the names in them. See order_private.h. */
#include "core/order_private.h"

#include <stdlib.h>
#include <string.h>

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

static void drop_name(struct orders *orders, struct order *order, struct order_name *name)
{
    if (name == order->last)
        order->last = NULL;
    if (name == order->last_guess)
        order->last_guess = NULL;
    if (name == order->guess_before)
        order->guess_before = NULL;
    if (order->source == ORDER_OPENED)
        order_epoch_forget(&orders->epoch, name);
    /* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): the table is there while it has entries */
    HASH_DELETE(hh, order->by_text, name);
    DL_DELETE(order->first, name);
    order->count--;
    orders->names--;
    free(name);
}

void order_drop(struct orders *orders, struct order *order)
{
    while (order->first)
        drop_name(orders, order, order->first);
    if (orders->leading == order)
        orders->leading = NULL;
    if (order->source == ORDER_OPENED)
        order_epoch_forget(&orders->epoch, NULL);
    DL_DELETE(orders->list, order);
    orders->count--;
    free(order);
}

void orders_free(struct orders *orders)
{
    if (!orders)
        return;
    while (orders->list)
        order_drop(orders, orders->list);
    order_ascents_fini(&orders->ascents);
    free(orders);
}

void order_use(struct orders *orders, struct order *order)
{
    DL_DELETE(orders->list, order);
    DL_PREPEND(orders->list, order);
}

/* `directory` without a slash at its end; "" for orders of whole names. */
struct order *order_find(struct orders *orders, enum order_source source, const char *directory)
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

struct order *order_add(struct orders *orders, enum order_source source, const char *directory,
                        size_t length)
{
    struct order *order = calloc(1, sizeof *order + length + 1);

    if (!order)
        return NULL;
    if (orders->count == ORDERS_MAX)
        order_drop(orders, orders->list->prev);
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

struct order_name *order_find_name(const struct order *order, const char *text)
{
    struct order_name *name;

    HASH_FIND_STR(order->by_text, text, name);
    return name;
}

struct order_name *order_add_name(struct orders *orders, struct order *order, const char *text,
                                  uint64_t size_bytes)
{
    size_t length = strlen(text);
    struct order_name *name;

    make_room(orders);
    name = calloc(1, sizeof *name + length + 1);
    if (!name)
        return NULL;
    memcpy(name->text, text, length + 1);
    name->size_bytes = size_bytes;
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
