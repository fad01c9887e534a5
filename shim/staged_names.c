/* Names of staged files; see staged_names.h. The registry's lock is held while they are
 * collected. */
#include "shim/staged_names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shim/engine.h"
#include "shim/report.h"
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
    bool recursive; /* names may have slashes */
    struct staged_names names;
    unsigned room;
    bool is_short; /* memory ran out */
};

static bool collect(const struct staged_view *view, void *arg)
{
    struct collection *collection = arg;
    struct staged_names *names = &collection->names;
    const char *name = below(view->path, collection->directory);
    if (!name || (!collection->recursive && strchr(name, '/')))
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

static int names_find(const char *directory, bool recursive, struct staged_names *ret_names)
{
    struct collection collection = {.directory = directory, .recursive = recursive};
    struct staged_names *names = &collection.names;
    staged_each(collect, &collection);
    *ret_names = (struct staged_names){0};
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

int staged_names_in(const char *directory, struct staged_names *ret_names)
{
    return names_find(directory, false, ret_names);
}

bool staged_names_has(const struct staged_names *names, const char *name)
{
    const struct staged_name key = {.name = (char *)(uintptr_t)name};
    return names->count && bsearch(&key, names->items, names->count, sizeof *names->items, compare);
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

/* ---- other names, and none ---- */

#define STAGED_ELSEWHERE "rename, while another process writes it,"

int staged_unlink_all(const struct vpath *path, bool is_one_of_many)
{
    struct s3dlio_error error = {0};
    int locked = 0;
    struct staged *staged = staged_take(path->path, &locked);
    int result = is_one_of_many && !staged
                     ? engine_call(unlink_soon)(path->uri, NULL, &error)
                     : engine_call(unlink)(path->uri, NULL, &error);
    result = staged_explain(path->path, result);
    if ((!result || result == -ENOENT) && staged_unlink(path->path))
        result = 0;
    staged_give(staged, locked);
    if (result < 0)
        report_error(&error);
    return result;
}

static int rename_ordered(struct staged *staged, const struct vpath *to, unsigned flags)
{
    struct s3dlio_error error = {0};
    int result = staged->draft
                     ? engine_call(draft_rename)(staged->draft, to->uri, flags, NULL, &error)
                     : engine_call(writer_rename)(staged->writer, to->uri, flags, NULL, &error);
    result = staged_explain(to->path, result);
    if (result < 0)
        report_error(&error);
    else
        staged_take_name(staged, to);
    return result;
}

static int rename_taken(struct staged *staged, const char *from, const struct vpath *to,
                        unsigned flags)
{
    struct s3dlio_attr attr;
    if (!staged)
        return staged_stat(from, &attr) ? report_refusal(STAGED_ELSEWHERE, from) : 0;
    int result = rename_ordered(staged, to, flags);
    return result < 0 ? result : 1;
}

/* Two at a time are taken in the order of their names, so that renames do not wait for each
 * other. */
int staged_rename(const struct vpath *from, const struct vpath *to, unsigned flags,
                  int (*otherwise)(const void *arg), const void *arg)
{
    int locked = 0, victim_locked = 0;
    bool victim_first = strcmp(to->path, from->path) < 0;
    struct staged *victim = victim_first ? staged_take(to->path, &victim_locked) : NULL;
    struct staged *staged = staged_take(from->path, &locked);
    if (!victim_first)
        victim = staged_take(to->path, &victim_locked);
    int result = rename_taken(staged, from->path, to, flags);
    if (!result) {
        result = otherwise(arg);
        if (!result)
            staged_unlink(to->path);
    }
    staged_give(staged, locked);
    staged_give(victim, victim_locked);
    return result < 0 ? result : 0;
}

static int follow(const struct vpath *from, const struct vpath *to)
{
    int locked = 0;
    struct staged *staged = staged_take(from->path, &locked);
    int result = rename_taken(staged, from->path, to, S3DLIO_RENAME_FOLLOW);
    staged_give(staged, locked);
    return result < 0 ? result : 0;
}

int staged_can_follow(const char *directory)
{
    struct staged_names names;
    struct vpath top, path;
    int result = names_find(directory, true, &names);
    strcpy(top.path, directory);
    for (unsigned i = 0; i < names.count && !result; i++) {
        result = path_join(&top, names.items[i].name, &path);
        int locked = 0;
        struct staged *staged = result ? NULL : staged_take(path.path, &locked);
        if (!staged && !result && staged_stat(path.path, &names.items[i].attr))
            result = report_refusal(STAGED_ELSEWHERE, path.path);
        staged_give(staged, locked);
    }
    staged_names_free(&names);
    return result;
}

int staged_rename_below(const char *from, const char *to)
{
    struct staged_names names;
    struct vpath old_directory, new_directory, old_path, new_path;
    int first = names_find(from, true, &names);
    if (first < 0 || !names.count)
        return first;
    strcpy(old_directory.path, from);
    strcpy(new_directory.path, to);
    for (unsigned i = 0; i < names.count; i++) {
        int result = path_join(&old_directory, names.items[i].name, &old_path);
        if (!result)
            result = path_join(&new_directory, names.items[i].name, &new_path);
        if (!result)
            result = follow(&old_path, &new_path);
        first = first ? first : result;
    }
    staged_names_free(&names);
    return first;
}

int staged_name_first(struct staged *staged, const struct vpath *to)
{
    struct arena_node *node = staged->node;
    int locked = staged_order(staged), result;
    if (!node->is_nameless) {
        result = node->is_discarded ? -ENOENT : -EPERM;
    } else {
        result = rename_ordered(staged, to, S3DLIO_RENAME_NOREPLACE);
        result = result < 0 ? result : staged_publish(staged);
        if (result < 0) {
            arena_node_discard(node);
            node->is_nameless = true;
        }
    }
    staged_unorder(staged, locked);
    return result;
}
