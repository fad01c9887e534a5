/* What an open directory lists: positions over the engine's list, which only goes forward, and the
 * files that the process is writing there.
 *
 * Positions are labels: 0 is ".", 1 is "..", from 2 on the entries in the store's order, counted as
 * this process met them. Files being written are looked at first, then the store is asked, so that
 * one which becomes an object meanwhile is not missed; they are put where the store would have
 * them, and what the store has of their names is left out, so that each is there once. The position
 * that POSIX shares between descriptors is the slot's offset; here is only the list and how far it
 * has come. Going back lists again and skips: to the entry behind a marked one by name
 * (directory_mark), otherwise by count.
 *
 * Locking: the slot's lock covers file->directory and everything in it. A fork child finds its
 * parent's state, perhaps in the middle of a change, and leaves it alone: it lists by itself.
 */
#include "shim/calls/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/report.h"
#include "shim/staged_names.h"

#define MARKS_MAX 65536u

struct mark {
    int64_t position;
    bool is_directory;
    char *name; /* owned */
};

struct directory {
    pid_t pid;                /* whose list it is */
    struct s3dlio_list *list; /* NULL: not opened yet */
    struct staged_names own;  /* written by this process as the list began */
    unsigned own_at;          /* the first of them that was not given yet */
    bool has_listed;          /* `listed` is the store's next, not given yet */
    bool next_is_ready;       /* the one after it is at hand */
    bool list_ended;
    int64_t next;             /* label of what comes next */
    bool has_current;         /* `current` is entry next - 1 */
    bool ended, is_stale;
    struct s3dlio_entry listed, current; /* their names belong to the list, or to `own` */
    struct mark *marks;          /* owned, in the order of directory_mark */
    unsigned mark_count, mark_room;
};

void directory_free(struct directory *directory)
{
    if (!directory || directory->pid != getpid())
        return;
    if (directory->list)
        engine_call(list_close)(directory->list);
    staged_names_free(&directory->own);
    for (unsigned i = 0; i < directory->mark_count; i++)
        free(directory->marks[i].name);
    free(directory->marks);
    free(directory);
}

/* Under the slot's lock. */
static struct directory *directory_of(struct file *file)
{
    pid_t pid = getpid();
    if (!file->directory || file->directory->pid != pid) {
        struct directory *fresh = calloc(1, sizeof *fresh);
        if (!fresh)
            return NULL;
        fresh->pid = pid;
        fresh->next = 2;
        file->directory = fresh;
    }
    return file->directory;
}

/* Entries come in the order of their keys, and a directory's key ends in a slash. */
static int key_compare(const char *a, bool a_is_directory, const char *b, bool b_is_directory)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    unsigned char x = *a ? (unsigned char)*a : a_is_directory ? '/' : 0;
    unsigned char y = *b ? (unsigned char)*b : b_is_directory ? '/' : 0;
    return (x > y) - (x < y);
}

static const struct mark *mark_find(const struct directory *directory, int64_t position)
{
    for (unsigned i = directory->mark_count; i > 0; i--)
        if (directory->marks[i - 1].position == position)
            return &directory->marks[i - 1];
    return NULL;
}

void directory_mark(struct file *file, int64_t position, const char *name, bool is_directory)
{
    int locked = arena_lock(file->slot);
    struct directory *directory = directory_of(file);
    if (directory && !mark_find(directory, position) && directory->mark_count < MARKS_MAX) {
        if (directory->mark_count == directory->mark_room) {
            unsigned room = directory->mark_room ? directory->mark_room * 2 : 16;
            struct mark *marks = realloc(directory->marks, room * sizeof *marks);
            if (marks) {
                directory->marks = marks;
                directory->mark_room = room;
            }
        }
        char *copy = directory->mark_count < directory->mark_room ? strdup(name) : NULL;
        if (copy)
            directory->marks[directory->mark_count++] = (struct mark){position, is_directory, copy};
    }
    if (locked)
        arena_unlock(file->slot);
}

void directory_rewind(struct file *file)
{
    int locked = arena_lock(file->slot);
    if (file->directory && file->directory->pid == getpid())
        file->directory->is_stale = true;
    if (locked)
        arena_unlock(file->slot);
}

/* ---- moving the list ---- */

/* Makes `listed` what the store has next, less what is being written. 0 or -errno. */
static int list_look(struct directory *directory)
{
    struct s3dlio_error error = {0};
    int result = 1;
    while (!directory->has_listed && !directory->list_ended && result > 0) {
        result = engine_call(list_next)(directory->list, &directory->listed, &error);
        directory->list_ended = !result;
        directory->next_is_ready = result > 0 && directory->listed.next_is_ready;
        directory->has_listed =
            result > 0 && !staged_names_has(&directory->own, directory->listed.name);
    }
    if (result < 0)
        report_error(&error);
    return result < 0 ? result : 0;
}

static int list_advance(struct directory *directory)
{
    directory->has_current = false;
    int result = list_look(directory);
    if (result < 0)
        return result;
    const struct s3dlio_entry *listed = &directory->listed;
    const struct staged_name *own =
        directory->own_at < directory->own.count ? &directory->own.items[directory->own_at] : NULL;
    if (own && directory->has_listed &&
        key_compare(own->name, false, listed->name, listed->attr.type == S3DLIO_DIRECTORY) > 0)
        own = NULL;
    if (own) {
        directory->current = (struct s3dlio_entry){.name = own->name, .attr = own->attr};
        directory->own_at++;
    } else {
        directory->current = *listed;
    }
    directory->has_current = own || directory->has_listed;
    directory->has_listed = directory->has_listed && own;
    directory->ended = !directory->has_current;
    directory->next += directory->has_current;
    return directory->has_current;
}

static int list_restart(struct file *file, struct directory *directory)
{
    struct s3dlio_error error = {0};
    staged_names_free(&directory->own);
    int result = staged_names_in(file->path, &directory->own);
    if (result < 0)
        return result;
    result = directory->list ? engine_call(list_rewind)(directory->list, &error)
                             : engine_call(list_open)(file->uri, 0, NULL, &directory->list, &error);
    if (result < 0) {
        report_error(&error);
        return result;
    }
    directory->next = 2;
    directory->own_at = 0;
    directory->has_listed = directory->list_ended = false;
    directory->next_is_ready = true; /* the first page is there */
    directory->has_current = directory->ended = directory->is_stale = false;
    return 0;
}

/* After a restart: to the first entry behind the marked one, which gets the label it had. */
static int list_skip_mark(struct directory *directory, const struct mark *mark)
{
    int result;
    do {
        result = list_advance(directory);
    } while (result > 0 &&
             key_compare(directory->current.name, directory->current.attr.type == S3DLIO_DIRECTORY,
                         mark->name, mark->is_directory) <= 0);
    directory->next = mark->position + (result > 0);
    return result;
}

/* Makes `current` the entry at a position from 2 on: 1, 0 behind the end, -errno. */
static int list_seek(struct file *file, struct directory *directory, int64_t position)
{
    int64_t reachable = directory->next - directory->has_current;
    if (!directory->list || directory->is_stale || position < reachable) {
        const struct mark *mark = position > 2 ? mark_find(directory, position) : NULL;
        int result = list_restart(file, directory);
        if (result < 0)
            return result;
        if (mark)
            return list_skip_mark(directory, mark);
    }
    while (!directory->ended && (!directory->has_current || directory->next <= position)) {
        int result = list_advance(directory);
        if (result < 0)
            return result;
    }
    return !directory->ended;
}

/* ---- records ---- */

static unsigned char type_of(const struct s3dlio_attr *attr)
{
    static const unsigned char types[] = {
        [S3DLIO_FILE] = DT_REG, [S3DLIO_DIRECTORY] = DT_DIR, [S3DLIO_SYMLINK] = DT_LNK};
    return attr->type < sizeof types ? types[attr->type] : DT_UNKNOWN;
}

/* Would the entry at `position` be waited for? Whoever has something to give by then does not. */
static bool is_waited_for(const struct directory *directory, int64_t position)
{
    return directory->list && !directory->is_stale && !directory->ended && !directory->has_listed &&
           !directory->list_ended && directory->next == position && !directory->next_is_ready;
}

static ssize_t record_put(char *at, size_t room, const char *name, uint64_t inode,
                          unsigned char type, int64_t next_position)
{
    size_t length = strlen(name) + 1;
    size_t size = (offsetof(struct dirent64, d_name) + length + 7) & ~(size_t)7;
    if (size > room || size > UINT16_MAX)
        return 0;
    struct dirent64 *record = (struct dirent64 *)(void *)at;
    record->d_ino = inode ? inode : 1; /* 0 would mean "deleted" to old programs */
    record->d_off = next_position;
    record->d_reclen = (unsigned short)size;
    record->d_type = type;
    memcpy(at + offsetof(struct dirent64, d_name), name, length);
    return (ssize_t)size;
}

static ssize_t fill_locked(struct file *file, int64_t position, char *buffer, size_t size)
{
    struct directory *directory = directory_of(file);
    if (!directory)
        return -ENOMEM;
    size_t used = 0;
    for (;; position++) {
        const char *name = position ? ".." : ".";
        uint64_t inode = file->attr.inode;
        unsigned char type = DT_DIR;
        if (position >= 2) {
            if (used && is_waited_for(directory, position))
                break;
            int result = list_seek(file, directory, position);
            if (result < 0 && !used)
                return result;
            if (result <= 0)
                break;
            name = directory->current.name;
            inode = directory->current.attr.inode;
            type = type_of(&directory->current.attr);
        }
        ssize_t put = record_put(buffer + used, size - used, name, inode, type, position + 1);
        if (!put)
            return used ? (ssize_t)used : -EINVAL;
        used += (size_t)put;
    }
    return (ssize_t)used;
}

ssize_t directory_fill(struct file *file, int64_t position, void *buffer, size_t size)
{
    if (file->kind != FILE_DIRECTORY)
        return -ENOTDIR;
    if (file->slot->flags & O_PATH)
        return -EBADF;
    if (position < 0)
        return -EINVAL;
    int locked = arena_lock(file->slot);
    ssize_t result = fill_locked(file, position, buffer, size);
    if (locked)
        arena_unlock(file->slot);
    return result;
}
