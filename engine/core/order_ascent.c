/* Directories whose files are opened in the sequence of their names, and that this process has not
 * listed: another one did, or nobody.
 *
 * Some names in a row, each behind the one before, and a page of the directory's listing is wished
 * for that begins behind the first of them. It becomes an order like any other, and what was opened
 * meanwhile is gone through once more. Near its end the next page is wished for, not before so many
 * names were opened, and only if the page was followed. Names ascend by chance, too, or with gaps, or
 * in directories that have no more of them: each page that was not followed yet doubts the next, and
 * makes the row twice as long that is wanted before it.
 */
#include "core/order_private.h"

#include <stdlib.h>
#include <string.h>

#define ROW_FIRST   3u
#define DOUBT_MAX   8u   /* the row is that many times twice as long */
#define AGAIN_OPENS 200u /* in a directory, between two pages */
#define FOLLOWED    16u  /* opens: the page was of use */
#define TEXT_BYTES  64u  /* memory for texts, in units of that */

/* False without memory: then it is what it was. */
static bool text_set(struct order_text *text, const char *from, size_t length)
{
    if (length >= text->room_bytes) {
        size_t room_bytes = (length / TEXT_BYTES + 1) * TEXT_BYTES;
        char *larger = realloc(text->text, room_bytes);

        if (!larger)
            return false;
        text->text = larger;
        text->room_bytes = room_bytes;
    }
    memcpy(text->text, from, length);
    text->text[length] = '\0';
    return true;
}

static void forget_names(struct order_ascent *ascent)
{
    ascent->count = ascent->row = 0;
}

/* All but the memory for texts. */
static void forget(struct order_ascent *ascent)
{
    forget_names(ascent);
    ascent->opens = 0;
    ascent->was_asked = ascent->was_followed = ascent->is_over = false;
}

void order_ascents_fini(struct order_ascents *ascents)
{
    for (unsigned i = 0; i < ORDER_ASCENTS_MAX; i++) {
        for (unsigned k = 0; k < ORDER_ASCENT_KEPT; k++)
            free(ascents->list[i].kept[k].name.text);
        free(ascents->list[i].directory.text);
    }
}

static struct order_ascent *find(struct order_ascents *ascents, const char *directory,
                                 size_t length)
{
    for (unsigned i = 0; i < ORDER_ASCENTS_MAX; i++) {
        const char *known = ascents->list[i].directory.text;

        if (known && strncmp(known, directory, length) == 0 && !known[length])
            return &ascents->list[i];
    }
    return NULL;
}

/* In place of the one that was used longest ago. NULL without memory. */
static struct order_ascent *add(struct order_ascents *ascents, const char *directory, size_t length)
{
    struct order_ascent *oldest = &ascents->list[0];

    for (unsigned i = 1; i < ORDER_ASCENTS_MAX; i++)
        if (ascents->list[i].used < oldest->used)
            oldest = &ascents->list[i];
    forget(oldest);
    return text_set(&oldest->directory, directory, length) ? oldest : NULL;
}

/* ---- what is opened -------------------------------------------------------------------------- */

/* Behind the others; in place of the first one where there are as many as may be. */
static void keep(struct order_ascent *ascent, const char *name, int64_t now_ns)
{
    bool is_full = ascent->count == ORDER_ASCENT_KEPT;
    struct order_kept kept = ascent->kept[is_full ? 0 : ascent->count];

    if (!text_set(&kept.name, name, strlen(name)))
        return;
    kept.at_ns = now_ns;
    if (is_full)
        memmove(&ascent->kept[0], &ascent->kept[1], --ascent->count * sizeof ascent->kept[0]);
    ascent->kept[ascent->count++] = kept;
    ascent->row++;
}

/* Does the page that there is end soon? */
static bool is_near_end(const struct orders *orders, const struct order *order, const char *name)
{
    const struct order_name *listed;

    if (!order || !order->first)
        return true;
    if (order->is_last_page)
        return false;
    listed = order_find_name(order, name);
    return listed ? order->numbers - listed->number <= 2 * (uint64_t)orders->depth_max
                  : strcmp(name, order->first->prev->text) > 0;
}

static bool is_wished(struct orders *orders, struct order_ascent *ascent, const char *name)
{
    const struct order *order = order_find(orders, ORDER_LISTED, ascent->directory.text);
    unsigned doubt = orders->ascents.doubt < DOUBT_MAX ? orders->ascents.doubt : DOUBT_MAX;

    if (order && order->is_page && order->followed >= FOLLOWED && !ascent->was_followed) {
        ascent->was_followed = true;
        orders->ascents.doubt /= 2;
    }
    if (ascent->is_over || (order && !order->is_page) ||
        (orders->leading && orders->leading != order))
        return false;
    if (!ascent->was_asked)
        return ascent->row >= ROW_FIRST << doubt;
    if (ascent->row < ROW_FIRST || ascent->opens < AGAIN_OPENS || !is_near_end(orders, order, name))
        return false;
    ascent->is_over = !ascent->was_followed || (order && order->wrong >= ORDER_WRONG_MAX);
    return !ascent->is_over;
}

void order_ascent_note(struct orders *orders, const char *uri, int64_t now_ns)
{
    struct order_ascents *ascents = &orders->ascents;
    const char *slash = strrchr(uri, '/'), *last;
    struct order_ascent *ascent;

    ascents->wished = NULL;
    if (!slash || slash == uri)
        return;
    ascent = find(ascents, uri, (size_t)(slash - uri));
    if (!ascent)
        ascent = add(ascents, uri, (size_t)(slash - uri));
    if (!ascent)
        return;
    ascent->used = ++ascents->serial;
    last = ascent->count ? ascent->kept[ascent->count - 1].name.text : "";
    if (strcmp(slash + 1, last) == 0)
        return;
    if (strcmp(slash + 1, last) < 0)
        forget_names(ascent);
    ascent->opens++;
    keep(ascent, slash + 1, now_ns);
    if (ascent->count && is_wished(orders, ascent, slash + 1))
        ascents->wished = ascent;
}

/* ---- pages ----------------------------------------------------------------------------------- */

bool orders_wish(const struct orders *orders, struct order_wish *ret_wish)
{
    const struct order_ascent *ascent = orders->ascents.wished;

    if (!ascent || strlen(ascent->directory.text) >= sizeof ret_wish->directory ||
        strlen(ascent->kept[0].name.text) >= sizeof ret_wish->after)
        return false;
    strcpy(ret_wish->directory, ascent->directory.text);
    strcpy(ret_wish->after, ascent->kept[0].name.text);
    return true;
}

void orders_note_asked(struct orders *orders, const struct order_wish *wish)
{
    struct order_ascent *ascent = find(&orders->ascents, wish->directory, strlen(wish->directory));

    orders->ascents.wished = NULL;
    orders->ascents.doubt++;
    if (!ascent)
        return;
    ascent->was_asked = true;
    ascent->was_followed = false;
    ascent->opens = 0;
}

bool orders_begin_page(struct orders *orders, const struct order_wish *wish)
{
    struct order *order = order_find(orders, ORDER_LISTED, wish->directory);
    unsigned wrong = order ? order->wrong : 0;

    if ((order && !order->is_page) ||
        !find(&orders->ascents, wish->directory, strlen(wish->directory)))
        return false;
    orders_begin_listing(orders, wish->directory);
    order = order_find(orders, ORDER_LISTED, wish->directory);
    if (!order || !order_add_name(orders, order, wish->after, ORDER_SIZE_UNKNOWN))
        return false;
    order->is_page = true;
    order->wrong = wrong;
    return true;
}

void orders_end_page(struct orders *orders, const struct order_wish *wish, bool is_last)
{
    struct order *order = order_find(orders, ORDER_LISTED, wish->directory);
    struct order_ascent *ascent = find(&orders->ascents, wish->directory, strlen(wish->directory));

    if (!order || !ascent)
        return;
    order->is_last_page = is_last;
    for (unsigned i = 0; i < ascent->count; i++) {
        struct order_name *name = order_find_name(order, ascent->kept[i].name.text);

        if (name)
            order_step(orders, order, name, ascent->kept[i].at_ns);
    }
}
