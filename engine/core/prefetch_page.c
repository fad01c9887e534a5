/* Pages of listings for orders. See prefetch_page.h. */
#define HASH_NONFATAL_OOM 1 /* before the first header that has a hash */
#include "core/prefetch_page.h"

#include <stdlib.h>
#include <string.h>

#include "core/call.h"
#include "core/engine.h"
#include "core/listing_entry.h"
#include "core/order.h"
#include "io/gate.h"

#define PAGE_KEYS 500u

struct prefetch_page {
    struct call *call;
    struct order_wish wish;
    struct listing_directory directory;
    char after[URI_KEY_MAX + 1];
};

static void page_free(struct prefetch_page *page)
{
    if (page)
        call_delete(page->call);
    free(page);
}

static void end_asking(struct prefetch *prefetch)
{
    pthread_mutex_lock(&prefetch->mutex);
    prefetch->is_asking = false;
    pthread_mutex_unlock(&prefetch->mutex);
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* The mutex is held. */
static void add_entry(struct orders *orders, struct prefetch_page *page,
                      const struct store_entry *entry)
{
    struct listing_directory *directory = &page->directory;
    char text[ATTR_URI_BYTES];
    struct attr attr;

    if (entry->is_prefix || !listing_entry_name(directory, entry) ||
        !listing_entry_text(directory, text))
        return;
    listing_entry_attr(entry, text, &attr);
    orders_add_listed(orders, directory->text, directory->name,
                      &(struct order_file){.size_bytes = attr.size_bytes});
}

static void take_up(struct prefetch *prefetch, struct prefetch_page *page)
{
    const struct store_page *shown = page->call->request.page;

    pthread_mutex_lock(&prefetch->mutex);
    if (orders_begin_page(prefetch->orders, &page->wish)) {
        for (size_t i = 0; i < shown->count; i++)
            add_entry(prefetch->orders, page, &shown->entries[i]);
        orders_end_page(prefetch->orders, &page->wish, !shown->next_token);
    }
    pthread_mutex_unlock(&prefetch->mutex);
}

void prefetch_page_take(struct engine *engine)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_page *page;
    bool is_parents;

    if (!atomic_load_explicit(&prefetch->page, memory_order_relaxed))
        return;
    page = atomic_exchange(&prefetch->page, NULL);
    if (!page)
        return;
    is_parents = page->call->generation != gate_generation();
    if (!is_parents && !call_is_done(page->call)) {
        atomic_store(&prefetch->page, page);
        return;
    }
    if (!is_parents && page->call->request.error.class == ERROR_NONE && page->call->request.page)
        take_up(prefetch, page);
    page_free(page);
    end_asking(prefetch);
}

/* ---- the question ---------------------------------------------------------------------------- */

/* False: no such keys. */
static bool set_names(struct prefetch_page *page)
{
    struct uri *uri = &page->directory.uri;
    size_t length, after_length = strlen(page->wish.after);

    if (uri_parse(page->wish.directory, uri) < 0)
        return false;
    length = strlen(uri->key);
    if (length + 1 + after_length > URI_KEY_MAX)
        return false;
    if (length > 0 && uri->key[length - 1] != '/')
        strcpy(uri->key + length++, "/");
    strcpy(page->directory.text, page->wish.directory);
    memcpy(page->after, uri->key, length);
    memcpy(page->after + length, page->wish.after, after_length + 1);
    return true;
}

static struct prefetch_page *page_new(struct engine *engine, const struct order_wish *wish)
{
    struct prefetch_page *page = calloc(1, sizeof *page);
    struct error ignored;

    if (!page)
        return NULL;
    page->wish = *wish;
    if (set_names(page))
        page->call = call_new(engine, STORE_LIST, &page->directory.uri, NULL, &ignored);
    if (!page->call) {
        free(page);
        return NULL;
    }
    page->call->request.prefix = page->call->uri.key;
    page->call->request.delimiter = "/";
    page->call->request.start_after = page->after;
    page->call->request.max_keys = PAGE_KEYS;
    page->call->no_retry = true;
    page->call->account.is_guess = true;
    return page;
}

/* Where listings have no order, nothing is asked for. */
static bool can_ask(const struct prefetch_page *page)
{
    unsigned capabilities = atomic_load(&page->call->request.store->capabilities);

    return (capabilities & STORE_CAP_LIST_ORDERED) && !(capabilities & STORE_CAP_INLINE);
}

void prefetch_page_ask(struct engine *engine, const struct order_wish *wish)
{
    struct prefetch *prefetch = &engine->prefetch;
    struct prefetch_page *page = page_new(engine, wish);
    bool is_able = page && can_ask(page);

    if (is_able && !endpoint_has_room_for_guess(page->call->endpoint, LIMITER_SHORT)) {
        page_free(page); /* it is wished for again */
        end_asking(prefetch);
        return;
    }
    pthread_mutex_lock(&prefetch->mutex);
    orders_note_asked(prefetch->orders, wish);
    prefetch->is_asking = is_able;
    pthread_mutex_unlock(&prefetch->mutex);
    if (!is_able) {
        page_free(page);
        return;
    }
    call_begin(page->call);
    atomic_store(&prefetch->page, page);
}
