/* The names in a directory, filtered, typed and sorted. Plain memory, no locks.
 *
 * Directories carry a slash behind their name while sorting, because that is where their keys stand
 * in the order of a listing ("a.b" before "a/x" before "a0"). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"

#define DIRENT_BYTES ((size_t)64 << 10)

static int grow_text(struct file_names *names, size_t room)
{
    size_t capacity = names->text_capacity ? names->text_capacity : 4096;
    char *text;

    while (capacity < names->text_length + room)
        capacity *= 2;
    if (capacity == names->text_capacity)
        return 0;
    text = realloc(names->text, capacity);
    if (!text)
        return -ENOMEM;
    names->text = text;
    names->text_capacity = capacity;
    return 0;
}

static int append_name(struct file_names *names, const char *name, bool is_directory,
                       bool is_symlink)
{
    size_t length = strlen(name);

    if (grow_text(names, length + 2) < 0)
        return -ENOMEM;
    if (names->count == names->capacity) {
        size_t capacity = names->capacity ? 2 * names->capacity : 64;
        struct file_name *grown = reallocarray(names->names, capacity, sizeof *grown);

        if (!grown)
            return -ENOMEM;
        names->names = grown;
        names->capacity = capacity;
    }
    names->names[names->count++] = (struct file_name){names->text_length, is_directory, is_symlink};
    memcpy(names->text + names->text_length, name, length);
    names->text_length += length;
    if (is_directory)
        names->text[names->text_length++] = '/';
    names->text[names->text_length++] = '\0';
    return 0;
}

/* Types the entry by stat where readdir does not say, or where it is a symlink. */
static int add_entry(struct file_names *names, int dir_fd, const struct dirent64 *entry)
{
    bool is_symlink = false;
    struct stat st;

    if (entry->d_type == DT_REG || entry->d_type == DT_DIR)
        return append_name(names, entry->d_name, entry->d_type == DT_DIR, false);
    if (entry->d_type != DT_LNK && entry->d_type != DT_UNKNOWN)
        return 0;
    if (fstatat(dir_fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return 0; /* gone meanwhile */
    if (S_ISLNK(st.st_mode)) {
        int fd = file_open_below(dir_fd, entry->d_name, O_PATH);

        if (fd < 0)
            return 0;
        is_symlink = fstat(fd, &st) == 0;
        close(fd);
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return 0;
    return append_name(names, entry->d_name, S_ISDIR(st.st_mode), is_symlink);
}

static bool name_is_wanted(const char *name, const char *prefix, bool hidden)
{
    return strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
           strncmp(name, prefix, strlen(prefix)) == 0 && file_name_is_hidden(name) == hidden;
}

static int name_compare(const void *a, const void *b, void *text)
{
    const struct file_name *x = a, *y = b;

    return strcmp((const char *)text + x->at, (const char *)text + y->at);
}

int file_names_read(int dir_fd, const char *prefix, bool hidden, struct file_names *ret_names)
{
    struct file_names names = {0};
    char *buffer = malloc(DIRENT_BYTES);
    ssize_t length = 0;
    int r = buffer ? 0 : -ENOMEM;

    while (r == 0 && (length = getdents64(dir_fd, buffer, DIRENT_BYTES)) > 0)
        for (ssize_t at = 0; at < length && r == 0;) {
            const struct dirent64 *entry = (const struct dirent64 *)(buffer + at);

            if (name_is_wanted(entry->d_name, prefix, hidden))
                r = add_entry(&names, dir_fd, entry);
            at += entry->d_reclen;
        }
    if (r == 0 && length < 0)
        r = -errno;
    free(buffer);
    if (r < 0) {
        file_names_fini(&names);
        return r;
    }
    if (names.count > 1)
        qsort_r(names.names, names.count, sizeof *names.names, name_compare, names.text);
    *ret_names = names;
    return 0;
}

void file_names_fini(struct file_names *names)
{
    free(names->text);
    free(names->names);
    *names = (struct file_names){0};
}
