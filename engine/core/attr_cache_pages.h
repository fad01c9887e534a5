/* The pages that the attribute cache keeps. Part of attr_cache.c, under its mutex. */
#ifndef S3DLIO_CORE_ATTR_CACHE_PAGES_H
#define S3DLIO_CORE_ATTR_CACHE_PAGES_H

#include "core/attr_cache.h"

#define ATTR_PAGES_MAX 8u

struct attr_page {
    struct uri prefix;
    struct store_page *page; /* owned; NULL: free */
    bool grouped;
    int64_t asked_ns, seen_ns;
};

struct attr_pages {
    struct attr_page pages[ATTR_PAGES_MAX];
};

/* Takes `page` over, in the place of the oldest. */
void attr_pages_keep(struct attr_pages *pages, const struct uri *prefix, struct store_page *page,
                     bool grouped, int64_t asked_ns);
/* As attr_cache_start, from the youngest page that was asked for after oldest_ns. */
bool attr_pages_start(struct attr_pages *pages, const struct uri *directory, int64_t oldest_ns,
                      struct attr_cache_start *ret_start);
void attr_pages_clear(struct attr_pages *pages);

#endif
