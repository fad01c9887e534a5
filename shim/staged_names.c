/* Names of staged files; see staged_names.h. The registry's lock is held while they are collected. */
#include "shim/staged_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/staged.h"

/* What follows `directory` and a slash in the path, or NULL. */
static const char *below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return !strncmp(path, directory, length) && path[length] == '/' ? path + length + 1 : NULL;
}

/* ---- listing ---- */

struct collection {
    const char *directory;
    struct staged_names names;
    unsigned room;
    bool is_short; /* memory ran out */
};

static bool collect(const struct staged_view *view, void *arg)
{
    struct collection *collection = arg;
    struct staged_names *names = &collection->names;
    const char *name = below(view->path, collection->directory);
    if (!name || strchr(name, '/'))
        return true;
    if (names->count == collection->room) {
        unsigned room = collection->room ? collection->room * 2 : 16;
        struct staged_name *items = realloc(names->items, room * sizeof *items);
        if (!items)
            return !(collection->is_short = true);
        names->items = items;
        collection->room = room;
    }
    struct staged_name *item = &names->items[names->count];
    *item = (struct staged_name){.name = strdup(name), .attr = view->attr};
    if (!item->name)
        return !(collection->is_short = true);
    names->count++;
    return true;
}

static int compare(const void *a, const void *b)
{
    return strcmp(((const struct staged_name *)a)->name, ((const struct staged_name *)b)->name);
}

int staged_names_in(const char *directory, struct staged_names *ret_names)
{
    struct collection collection = {.directory = directory};
    struct staged_names *names = &collection.names;
    staged_each(collect, &collection);
    if (collection.is_short) {
        staged_names_free(names);
        return -ENOMEM;
    }
    if (names->count)
        qsort(names->items, names->count, sizeof *names->items, compare);
    unsigned kept = 0;
    for (unsigned i = 0; i < names->count; i++) {
        if (kept && !compare(&names->items[kept - 1], &names->items[i]))
            free(names->items[i].name);
        else
            names->items[kept++] = names->items[i];
    }
    names->count = kept;
    *ret_names = *names;
    return 0;
}

bool staged_names_has(const struct staged_names *names, const char *name)
{
    const struct staged_name key = {.name = (char *)(uintptr_t)name};
    return names->count &&
           bsearch(&key, names->items, names->count, sizeof *names->items, compare);
}

void staged_names_free(struct staged_names *names)
{
    for (unsigned i = 0; i < names->count; i++)
        free(names->items[i].name);
    free(names->items);
    *names = (struct staged_names){0};
}

/* ---- what is where ---- */

struct search {
    const char *path;
    bool found;
};

static bool search_below(const struct staged_view *view, void *arg)
{
    struct search *search = arg;
    search->found = below(view->path, search->path) != NULL;
    return !search->found;
}

static bool search_above(const struct staged_view *view, void *arg)
{
    struct search *search = arg;
    search->found = below(search->path, view->path) != NULL;
    return !search->found;
}

bool staged_is_below(const char *directory)
{
    struct search search = {.path = directory};
    staged_each(search_below, &search);
    return search.found;
}

int staged_explain(const char *path, int result)
{
    struct search search = {.path = path};
    if (result == -ENOENT)
        staged_each(search_above, &search);
    return search.found ? -ENOTDIR : result;
}
