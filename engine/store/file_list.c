/* Listings of the file store: a walk over sorted directories in the order of keys.
 *
 * Directories are shown as an object store with markers would show them: "dir/" is a common
 * prefix with a delimiter, an empty object of that key without, and the first entry of its own
 * listing. The walk keeps its levels on the heap. A page begins again at the top and passes over
 * what the token names, so that nothing is kept between pages; directories that lie wholly
 * before it are not read. Symlinks to directories are shown but not walked into, so that a walk
 * ends.
 *
 * A token is the last name shown, "p" before a common prefix, "k" before a key.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"
#include "store/internal.h"

#define PAGE_KEYS 10000u

struct walk_level {
    struct walk_level *up;
    struct file_names names;
    size_t next;       /* index in names */
    size_t key_length; /* of the key of this directory */
    int fd;
};

struct walk {
    const struct store_request *request;
    struct store_page_builder *builder;
    struct walk_level *level; /* innermost */
    const char *after;        /* show what comes behind this */
    bool after_prefix;        /* and is not below it */
    bool full;                /* there is more than fits the page */
    bool last_is_prefix;
    unsigned max;
    char last[FILE_PATH_MAX + 2]; /* shown last, with room for the token's letter */
    char key[FILE_PATH_MAX + 1];  /* of the entry at hand */
};

static bool is_below(const char *key, const char *directory)
{
    return strncmp(key, directory, strlen(directory)) == 0;
}

/* Was the key shown on an earlier page, or left out by start_after? */
static bool is_passed(const struct walk *walk)
{
    return walk->after && (strcmp(walk->key, walk->after) <= 0 ||
                           (walk->after_prefix && is_below(walk->key, walk->after)));
}

/* Is everything in the directory whose key is at hand passed? */
static bool is_passed_wholly(const struct walk *walk)
{
    return walk->after && (walk->after_prefix ? is_passed(walk)
                                              : strcmp(walk->key, walk->after) < 0 &&
                                                    !is_below(walk->after, walk->key));
}

/* ---- showing -------------------------------------------------------------------------------- */

/* Adds the key at hand. 0 or -errno; sets full when there is no room. */
static int show(struct walk *walk, const struct stat *st, bool is_prefix)
{
    struct store_entry entry = {
        .key = walk->key,
        .is_prefix = is_prefix,
        .mtime = st->st_mtim,
        .attributes = file_attributes(st),
    };

    if (is_passed(walk))
        return 0;
    if (store_page_builder_count(walk->builder) == walk->max) {
        walk->full = true;
        return 0;
    }
    if (!is_prefix) {
        entry.size_bytes = S_ISREG(st->st_mode) ? (uint64_t)st->st_size : 0;
        file_etag(st, entry.etag);
    }
    walk->last_is_prefix = is_prefix;
    strcpy(walk->last, walk->key);
    return store_page_builder_add(walk->builder, &entry);
}

/* Of an entry of the directory; what is gone meanwhile is not shown. */
static int show_entry(struct walk *walk, const char *name, bool is_symlink, bool is_prefix)
{
    struct stat st;
    int fd, r;

    if (is_passed(walk))
        return 0;
    if (!is_symlink)
        return fstatat(walk->level->fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0
                   ? 0
                   : show(walk, &st, is_prefix);
    fd = file_open_below(walk->level->fd, name, O_PATH);
    if (fd < 0)
        return 0;
    r = fstat(fd, &st) < 0 ? 0 : show(walk, &st, is_prefix);
    close(fd);
    return r;
}

/* ---- walking -------------------------------------------------------------------------------- */

static void walk_up(struct walk *walk)
{
    struct walk_level *level = walk->level;

    walk->level = level->up;
    file_names_fini(&level->names);
    if (level->fd >= 0)
        close(level->fd);
    free(level);
}

/* Enters an open directory, whose key is the first key_length bytes at hand. Takes over fd. */
static int walk_down(struct walk *walk, int fd, const char *name_prefix, size_t key_length)
{
    struct walk_level *level = calloc(1, sizeof *level);
    int r;

    if (!level) {
        close(fd);
        return -ENOMEM;
    }
    *level = (struct walk_level){.up = walk->level, .key_length = key_length, .fd = fd};
    r = file_names_read(fd, name_prefix, false, &level->names);
    if (r < 0) {
        close(fd);
        free(level);
        return r;
    }
    walk->level = level;
    return 0;
}

static int walk_directory(struct walk *walk, char *name, bool is_symlink)
{
    size_t key_length = strlen(walk->key);
    struct stat st;
    int fd, r;

    name[strlen(name) - 1] = '\0';
    if (walk->request->delimiter)
        return show_entry(walk, name, is_symlink, true);
    if (is_symlink || is_passed_wholly(walk))
        return 0;
    fd = file_open_below(walk->level->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0)
        return fd == -ENOENT || fd == -EACCES || fd == -ELOOP ? 0 : fd;
    r = fstat(fd, &st) < 0 ? -errno : show(walk, &st, false);
    if (r < 0 || walk->full) {
        close(fd);
        return r;
    }
    return walk_down(walk, fd, "", key_length);
}

static int walk_all(struct walk *walk)
{
    int r = 0;

    while (r == 0 && walk->level && !walk->full) {
        struct walk_level *level = walk->level;
        const struct file_name *entry;
        char *name;

        if (level->next == level->names.count) {
            walk_up(walk);
            continue;
        }
        entry = &level->names.names[level->next++];
        name = level->names.text + entry->at;
        if (level->key_length + strlen(name) >= sizeof walk->key)
            continue; /* no key can be so long */
        strcpy(walk->key + level->key_length, name);
        r = entry->is_directory ? walk_directory(walk, name, entry->is_symlink)
                                : show_entry(walk, name, entry->is_symlink, false);
    }
    while (walk->level)
        walk_up(walk);
    return r;
}

/* Opens the directory that the prefix lies in and shows its marker. 1 when there is none. */
static int walk_begin(struct walk *walk, const struct file_store *store, struct error *err)
{
    const char *prefix = walk->request->prefix ? walk->request->prefix : "";
    const char *slash = strrchr(prefix, '/');
    size_t length = slash ? (size_t)(slash - prefix) + 1 : 0;
    struct file_path path;
    struct stat st;
    int fd, r = 0;

    if (strlen(prefix) > URI_KEY_MAX)
        return error_set(err, ERROR_TOO_LONG, "the prefix is too long");
    memcpy(walk->key, prefix, length);
    walk->key[length] = '\0';
    if (file_path_make(walk->request->bucket, walk->key, &path, err) < 0) {
        error_clear(err); /* no file can be there */
        return 1;
    }
    fd = file_open_beneath(store, path.text, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT || fd == -ENOTDIR)
        return 1;
    if (fd < 0)
        return file_error(err, -fd, "open the directory");
    if (length && !prefix[length])
        r = fstat(fd, &st) < 0 ? -errno : show(walk, &st, false);
    if (r == 0)
        r = walk_down(walk, fd, prefix + length, length);
    else
        close(fd);
    return r < 0 ? file_error(err, -r, "read the directory") : 0;
}

static void walk_resume(struct walk *walk, const struct store_request *request)
{
    walk->after = request->start_after;
    if (request->token && request->token[0]) {
        walk->after = request->token + 1;
        walk->after_prefix = request->token[0] == 'p';
    }
}

/* The token for the next page, in the place of the last name; NULL when this was the last. */
static const char *walk_token(struct walk *walk)
{
    if (!walk->full)
        return NULL;
    memmove(walk->last + 1, walk->last, strlen(walk->last) + 1);
    walk->last[0] = walk->last_is_prefix ? 'p' : 'k';
    return walk->last;
}

static int list_page(struct walk *walk, struct file_store *store, struct store_request *request,
                     struct error *err)
{
    int r = file_check_bucket(store, request->bucket, err);

    if (r < 0)
        return r;
    walk->request = request;
    walk->max = request->max_keys ? request->max_keys : PAGE_KEYS;
    walk_resume(walk, request);
    r = walk_begin(walk, store, err);
    if (r == 0 && (r = walk_all(walk)) < 0)
        file_error(err, -r, "read the directory");
    return r;
}

int file_list(struct file_store *store, struct store_request *request, struct error *err)
{
    struct walk *walk;
    int r;

    if (request->delimiter && strcmp(request->delimiter, "/") != 0)
        return error_set(err, ERROR_UNSUPPORTED, "directories are divided by slashes only");
    walk = calloc(1, sizeof *walk);
    if (!walk || !(walk->builder = store_page_builder_new())) {
        free(walk);
        return error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    }
    r = list_page(walk, store, request, err);
    if (r < 0) {
        store_page_builder_free(walk->builder);
    } else {
        request->page = store_page_builder_finish(walk->builder, walk_token(walk));
        r = request->page ? 0 : error_set(err, ERROR_NO_MEMORY, "no memory for a listing");
    }
    free(walk);
    return r;
}

/* `name` ends in a slash. */
static int add_bucket(struct store_page_builder *builder, int root_fd, const char *name)
{
    struct store_entry entry = {.key = name, .is_prefix = true};
    char bare[NAME_MAX + 1];
    struct stat st;
    int fd;

    snprintf(bare, sizeof bare, "%.*s", (int)(strlen(name) - 1), name);
    fd = file_open_below(root_fd, bare, O_PATH | O_DIRECTORY);
    if (fd >= 0 && fstat(fd, &st) == 0) {
        entry.mtime = st.st_mtim;
        entry.attributes = file_attributes(&st);
    }
    if (fd >= 0)
        close(fd);
    return store_page_builder_add(builder, &entry);
}

int file_list_buckets(struct file_store *store, struct store_request *request, struct error *err)
{
    struct store_page_builder *builder = store_page_builder_new();
    struct file_names names = {0};
    int fd = file_open_beneath(store, "", O_RDONLY | O_DIRECTORY);
    int r = fd < 0 ? fd : file_names_read(fd, "", false, &names);

    if (!builder)
        r = -ENOMEM;
    for (size_t i = 0; r == 0 && i < names.count; i++)
        if (names.names[i].is_directory)
            r = add_bucket(builder, fd, names.text + names.names[i].at);
    if (r == 0 && !(request->page = store_page_builder_finish(builder, NULL)))
        r = -ENOMEM;
    else if (r < 0)
        store_page_builder_free(builder);
    file_names_fini(&names);
    if (fd >= 0)
        close(fd);
    return r < 0 ? file_error(err, -r, "read the directory") : 0;
}
