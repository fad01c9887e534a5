/* What an entry of a listing is called, and what the listing says of it.
 *
 * Left out are names that cannot be paths, and the directory's own marker; a prefix is hidden by an
 * object of the same name, which comes before it. No locks but the cache's.
 */
#ifndef S3DLIO_CORE_LISTING_ENTRY_H
#define S3DLIO_CORE_LISTING_ENTRY_H

#include "core/attr.h"
#include "core/attr_cache.h"

/* The directory, and room for the name of an entry. */
struct listing_directory {
    struct uri uri;            /* key empty or ending in '/' */
    char text[ATTR_URI_BYTES]; /* its name in the cache */
    char name[URI_KEY_MAX + 1];
};

/* The name relative to the directory, without the slash of a prefix, into directory->name. False for
 * what is no entry. */
bool listing_entry_name(struct listing_directory *directory, const struct store_entry *entry);
/* The same as a name in the cache; false when it is too long for any. */
bool listing_entry_text(const struct listing_directory *directory, char text[ATTR_URI_BYTES]);
void listing_entry_attr(const struct store_entry *entry, const char *text, struct attr *ret_attr);
/* Has a file of the same name been seen before a prefix? */
bool listing_entry_is_hidden(struct attr_cache *cache, const char *text, const struct attr *attr);
/* All of a page of a directory that is not marked, with attr_cache_renew. */
void listing_entry_renew(struct attr_cache *cache, struct listing_directory *directory,
                         const struct store_page *page, int64_t asked_ns, int64_t since_ns);

#endif
