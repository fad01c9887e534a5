/* Modes, owners, times and extended attributes of the file store: metadata becomes what the file
 * system keeps by itself, and the other way round.
 *
 * Metadata has the keys of core/attr.h and core/xattr.h: mode, uid, gid, mtime as numbers, and
 * xattr as percent-encoded {"name":"base64",...}. Nothing else is kept. What is so already is not set, so
 * that nobody needs a right to change what does not change.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/percent.h"
#include "store/file.h"
#include "store/internal.h"

#define XATTR     "xattr"
#define USER      "user."
#define NAMES_MAX 65536u /* what Linux lists at most (listxattr(2)) */

/* A descriptor, and its path for those of O_PATH. */
struct target {
    int fd;
    char path[32];
};

static struct target target_of(int fd)
{
    struct target target = {.fd = fd};

    snprintf(target.path, sizeof target.path, "/proc/self/fd/%d", fd);
    return target;
}

/* ---- extended attributes --------------------------------------------------------------------- */

/* The names, each with its NUL, on the heap; NULL: none, or none to be had. */
static char *read_names(const struct target *target, size_t *ret_length)
{
    char *names = malloc(NAMES_MAX);
    ssize_t length = names ? listxattr(target->path, names, NAMES_MAX) : -1;

    if (length > 0) {
        *ret_length = (size_t)length;
        return names;
    }
    free(names);
    return NULL;
}

/* 0, or a buffer's error. One that is gone, or may not be read, is left out. */
static int append_pair(const struct target *target, const char *name, struct buffer *json)
{
    char value[STORE_METADATA_MAX];
    ssize_t length = getxattr(target->path, name, value, sizeof value);
    int r;

    if (length < 0)
        return errno == ERANGE ? -E2BIG : 0;
    r = buffer_append_str(json, json->length > 1 ? ",\"" : "{\"");
    if (r == 0)
        r = percent_encode(json, name, strlen(name), false);
    if (r == 0)
        r = buffer_append_str(json, "\":\"");
    if (r == 0)
        r = base64_encode(json, value, (size_t)length);
    return r == 0 ? buffer_append_str(json, "\"") : r;
}

int file_read_xattrs(int fd, struct store_metadata *metadata)
{
    struct target target = target_of(fd);
    size_t length = 0;
    char *names = read_names(&target, &length);
    struct buffer json, text;
    int r = 0;

    if (!names)
        return 0;
    buffer_init(&json, STORE_METADATA_MAX);
    buffer_init(&text, STORE_METADATA_MAX);
    for (size_t at = 0; r == 0 && at < length; at += strlen(names + at) + 1)
        if (strncmp(names + at, USER, strlen(USER)) == 0)
            r = append_pair(&target, names + at, &json);
    if (r == 0 && json.length) {
        r = buffer_append_str(&json, "}");
        if (r == 0)
            r = percent_encode(&text, buffer_str(&json), json.length, false);
    }
    if (r == 0 && text.length)
        r = store_metadata_set(metadata, XATTR, buffer_str(&text));
    else if (r < 0 && r != -ENOMEM)
        r = store_metadata_set(metadata, XATTR, "");
    buffer_fini(&json);
    buffer_fini(&text);
    free(names);
    return r;
}

/* The next string between quotes behind *at, NUL put at its end; NULL when there is none. */
static char *next_string(char **at)
{
    char *begin = *at ? strchr(*at, '"') : NULL;
    char *end = begin ? strchr(begin + 1, '"') : NULL;

    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return begin + 1;
}

static bool has_value(const struct target *target, const char *name, const void *value,
                      size_t length)
{
    char there[STORE_METADATA_MAX];
    ssize_t count = getxattr(target->path, name, there, sizeof there);

    return count >= 0 && (size_t)count == length && memcmp(there, value, length) == 0;
}

/* Takes the name out of those that are there. */
static void strike(char *names, size_t length, const char *name)
{
    for (size_t at = 0; at < length; at += strlen(names + at) + 1)
        if (strcmp(names + at, name) == 0)
            names[at] = '-';
}

/* `text` is used up. */
static int write_pairs(const struct target *target, char *text, char *names, size_t names_length)
{
    unsigned char value[STORE_METADATA_MAX];
    char *name, *encoded;
    int r = 0;

    while (r == 0 && (name = next_string(&text)) && (encoded = next_string(&text))) {
        long length = base64_decode(encoded, strlen(encoded), value);

        if (percent_decode(name, strlen(name), false) < 0 || length < 0)
            return -EINVAL;
        strike(names, names_length, name);
        if (!has_value(target, name, value, (size_t)length) &&
            setxattr(target->path, name, value, (size_t)length, 0) < 0)
            r = -errno;
    }
    return r;
}

/* Of the kind user.*, those of the text and no others. */
static int write_xattrs(const struct target *target, const char *stored)
{
    size_t length = 0;
    char *names = read_names(target, &length), *text = strdup(stored);
    int r = text ? 0 : -ENOMEM;

    if (r == 0 && percent_decode(text, strlen(text), false) < 0)
        r = -EINVAL;
    if (r == 0)
        r = write_pairs(target, text, names, length);
    for (size_t at = 0; r == 0 && at < length; at += strlen(names + at) + 1)
        if (strncmp(names + at, USER, strlen(USER)) == 0 &&
            removexattr(target->path, names + at) < 0 && errno != ENODATA)
            r = -errno;
    free(names);
    free(text);
    return r;
}

int file_copy_xattrs(int from_fd, int to_fd)
{
    struct target from = target_of(from_fd), to = target_of(to_fd);
    size_t length = 0;
    char *names = read_names(&from, &length), *value = malloc(XATTR_SIZE_MAX);
    int r = value ? 0 : -ENOMEM;

    for (size_t at = 0; r == 0 && at < length; at += strlen(names + at) + 1) {
        ssize_t count = strncmp(names + at, USER, strlen(USER)) == 0
                            ? getxattr(from.path, names + at, value, XATTR_SIZE_MAX)
                            : -1;

        if (count >= 0 && setxattr(to.path, names + at, value, (size_t)count, 0) < 0)
            r = -errno;
    }
    free(names);
    free(value);
    return r;
}

/* ---- modes, owners, times -------------------------------------------------------------------- */

/* What metadata says of a number; `otherwise` where it says nothing. */
static uint32_t number_of(const struct store_metadata *metadata, const char *name,
                          uint32_t otherwise)
{
    const char *text = store_metadata_get(metadata, name);

    return text && text[0] >= '0' && text[0] <= '9' ? (uint32_t)strtoul(text, NULL, 10) : otherwise;
}

static int change_owner(const struct target *target, uid_t uid, gid_t gid)
{
    int r = fchown(target->fd, uid, gid);

    return r < 0 && errno == EBADF ? chown(target->path, uid, gid) : r;
}

/* The owner that a file has which this one replaces may be more than this process can give. */
static int set_owner(const struct target *target, const struct store_metadata *metadata,
                     const struct stat *st, const struct stat *replaced)
{
    uid_t uid = number_of(metadata, "uid", st->st_uid);
    gid_t gid = number_of(metadata, "gid", st->st_gid);
    bool carried = replaced && uid == replaced->st_uid && gid == replaced->st_gid;

    if (uid == st->st_uid && gid == st->st_gid)
        return 0;
    if (change_owner(target, uid, gid) == 0)
        return 0;
    if (errno != EPERM || !carried)
        return -errno;
    if (gid != st->st_gid)
        change_owner(target, (uid_t)-1, gid);
    return 0;
}

/* chown(2) takes set-id bits away, so that modes come behind it. */
static int set_mode(const struct target *target, const struct store_metadata *metadata,
                    const struct stat *replaced)
{
    struct stat st;
    mode_t mode;

    if (fstat(target->fd, &st) < 0)
        return -errno;
    mode = number_of(metadata, "mode", (replaced ? replaced : &st)->st_mode) & 07777;
    if (mode == (st.st_mode & 07777) || fchmod(target->fd, mode) == 0)
        return 0;
    return errno == EBADF && chmod(target->path, mode) == 0 ? 0 : -errno;
}

/* Seconds with a fraction, as core/attr.c writes them. */
static struct timespec time_of(const struct store_metadata *metadata, const char *name)
{
    const char *text = store_metadata_get(metadata, name);
    struct timespec time = {.tv_nsec = UTIME_OMIT};
    long unit = 100000000;
    char *end;

    if (!text || text[0] < '0' || text[0] > '9')
        return time;
    time = (struct timespec){.tv_sec = (time_t)strtoll(text, &end, 10)};
    for (end += *end == '.'; *end >= '0' && *end <= '9' && unit; end++, unit /= 10)
        time.tv_nsec += (*end - '0') * unit;
    return time;
}

static int set_times(const struct target *target, const struct store_metadata *metadata)
{
    struct timespec times[2] = {time_of(metadata, "atime"), time_of(metadata, "mtime")};

    if (times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
        return 0;
    if (futimens(target->fd, times) == 0)
        return 0;
    return errno == EBADF && utimensat(AT_FDCWD, target->path, times, 0) == 0 ? 0 : -errno;
}

bool file_says_xattrs(const struct store_metadata *metadata)
{
    const char *text = metadata ? store_metadata_get(metadata, XATTR) : NULL;

    return text && text[0];
}

int file_write_attributes(int fd, const struct store_metadata *metadata, const struct stat *st,
                          const struct stat *replaced)
{
    struct target target = target_of(fd);
    int r = set_owner(&target, metadata, st, replaced);

    if (r == 0)
        r = set_mode(&target, metadata, replaced);
    if (r == 0 && file_says_xattrs(metadata))
        r = write_xattrs(&target, store_metadata_get(metadata, XATTR));
    return r == 0 ? set_times(&target, metadata) : r;
}
