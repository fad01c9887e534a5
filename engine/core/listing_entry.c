/* From a page of a listing to names and attributes. See listing_entry.h. */
#include "core/listing_entry.h"

#include <string.h>

#include "core/engine.h"
#include "core/marked.h"

/* Can a path reach it? Every component is something other than "", "." and "..". */
static bool is_reachable(const char *name)
{
    for (const char *at = name;;) {
        size_t length = strcspn(at, "/");

        if (length == 0 || (length == 1 && at[0] == '.') ||
            (length == 2 && at[0] == '.' && at[1] == '.'))
            return false;
        at += length;
        if (!*at)
            return true;
        at++;
    }
}

bool listing_entry_name(struct listing_directory *directory, const struct store_entry *entry)
{
    size_t prefix_length = strlen(directory->uri.key);
    size_t length = strlen(entry->key);

    if (length < prefix_length || length > URI_KEY_MAX + prefix_length)
        return false;
    length -= prefix_length;
    if (length == 0 || length > URI_KEY_MAX)
        return false;
    memcpy(directory->name, entry->key + prefix_length, length + 1);
    if (entry->is_prefix && directory->name[length - 1] == '/')
        directory->name[length - 1] = '\0';
    if (prefix_length == 0 && strcmp(directory->name, MARKED_BUCKET_KEY) == 0)
        return false;
    return is_reachable(directory->name);
}

void listing_entry_attr(const struct store_entry *entry, const char *text, struct attr *ret_attr)
{
    memset(ret_attr, 0, sizeof *ret_attr);
    ret_attr->type = entry->is_prefix ? ATTR_DIRECTORY : ATTR_FILE;
    ret_attr->inode = attr_inode(text);
    ret_attr->mtime = entry->mtime;
    ret_attr->mark_unknown = entry->is_prefix && !entry->attributes.known;
    attr_take_own(ret_attr, &entry->attributes, &entry->mtime);
    if (!entry->is_prefix) {
        ret_attr->size_bytes = entry->size_bytes;
        memcpy(ret_attr->etag, entry->etag, sizeof ret_attr->etag);
    }
}

bool listing_entry_text(const struct listing_directory *directory, char text[ATTR_URI_BYTES])
{
    size_t base_length = strlen(directory->text), name_length = strlen(directory->name);
    bool slash = directory->uri.bucket[0] != '\0';

    if (base_length + slash + name_length >= ATTR_URI_BYTES)
        return false;
    memcpy(text, directory->text, base_length);
    text[base_length] = '/';
    memcpy(text + base_length + slash, directory->name, name_length + 1);
    return true;
}

bool listing_entry_is_hidden(struct attr_cache *cache, const char *text, const struct attr *attr)
{
    struct attr known;

    return attr->type == ATTR_DIRECTORY &&
           attr_cache_get(cache, text, &known) == ATTR_CACHE_FOUND && known.type != ATTR_DIRECTORY;
}

void listing_entry_renew(struct attr_cache *cache, struct listing_directory *directory,
                         const struct store_page *page, int64_t asked_ns, int64_t since_ns)
{
    char text[ATTR_URI_BYTES];
    struct attr attr;

    for (size_t i = 0; i < page->count; i++) {
        if (!listing_entry_name(directory, &page->entries[i]) ||
            !listing_entry_text(directory, text))
            continue;
        listing_entry_attr(&page->entries[i], text, &attr);
        if (!listing_entry_is_hidden(cache, text, &attr))
            attr_cache_renew(cache, text, &attr, asked_ns, since_ns);
    }
}
