/* Hints that a directory has a marker object, shared by the processes of a user. See
 * names_private.h.
 *
 * Set by whoever makes a marker, or sees one in a listing that shows that no file has the name:
 * where both exist the file wins, and HEAD of the marker could not tell. They go by the endpoint,
 * too: the same key of another one is another object.
 */
#include <string.h>

#include "core/attr_cache_shared.h"
#include "core/engine.h"
#include "core/names_private.h"

static uint64_t hash_of(struct engine *engine, const struct uri *uri)
{
    struct store_description description = {.endpoint = ""};
    char text[sizeof description.endpoint + 1 + ATTR_URI_BYTES];
    struct error ignored;
    struct store *store;
    size_t length;

    if (engine_store(engine, uri->scheme, &store, &ignored) == 0 && store->ops->describe)
        store->ops->describe(store, &description);
    length = strlen(description.endpoint);
    memcpy(text, description.endpoint, length);
    text[length++] = ' ';
    attr_uri_text(uri, text + length);
    return attr_inode(text);
}

void names_set_hint(struct engine *engine, const struct uri *uri, bool has_marker)
{
    attr_shared_set_hint(attr_cache_shared(engine->attrs), hash_of(engine, uri), has_marker);
}

bool names_has_hint(struct engine *engine, const struct uri *uri)
{
    return attr_shared_has_hint(attr_cache_shared(engine->attrs), hash_of(engine, uri));
}
