/* Attributes from answers and to metadata, names of caches, inodes. See attr.h. */
#include "core/attr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/hash.h"
#include "core/xattr.h"

void attr_uri_text(const struct uri *uri, char ret_text[ATTR_URI_BYTES])
{
    int length = uri_format(uri, ret_text, ATTR_URI_BYTES);

    if (uri->bucket[0] && length > 0 && ret_text[length - 1] == '/')
        ret_text[length - 1] = '\0';
}

uint64_t attr_inode(const char *uri_text)
{
    uint64_t hash = hash_mix(hash_text(HASH_BASIS, uri_text));

    return hash > 1 ? hash : hash + 2;
}

static bool parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
    char *end;
    unsigned long long value;

    if (!text || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno || *end || value > max)
        return false;
    *ret_value = value;
    return true;
}

/* "1700000000", "1700000000.25" or "2023-11-14T22:13:20.25Z". */
static bool parse_time(const char *text, struct timespec *ret_time)
{
    long nanoseconds = 0, unit = 100000000;
    const char *dot;
    char seconds_text[24];
    uint64_t seconds;

    if (!text)
        return false;
    dot = strchr(text, '.');
    if (strchr(text, 'T'))
        return clock_parse_iso8601(text, ret_time) == 0;
    snprintf(seconds_text, sizeof seconds_text, "%.*s", (int)strcspn(text, "."), text);
    if (!parse_number(seconds_text, INT64_MAX, &seconds))
        return false;
    for (const char *p = dot ? dot + 1 : ""; *p && unit; p++, unit /= 10) {
        if (*p < '0' || *p > '9')
            return false;
        nanoseconds += (*p - '0') * unit;
    }
    *ret_time = (struct timespec){.tv_sec = (time_t)seconds, .tv_nsec = nanoseconds};
    return true;
}

static void apply_mode(const struct store_metadata *metadata, struct attr *attr)
{
    uint64_t value;

    if (!parse_number(store_metadata_get(metadata, "mode"), UINT32_MAX, &value))
        return;
    attr->has |= ATTR_HAS_MODE;
    attr->mode = (uint32_t)value & 07777;
    if (S_ISLNK(value) && attr->type == ATTR_FILE)
        attr->type = ATTR_SYMLINK;
}

static void apply_metadata(const struct store_metadata *metadata, struct attr *attr)
{
    struct timespec time;
    const char *marked;
    uint64_t value;

    if (metadata->length == 0)
        return;
    apply_mode(metadata, attr);
    if (parse_number(store_metadata_get(metadata, "uid"), UINT32_MAX - 1, &value)) {
        attr->has |= ATTR_HAS_UID;
        attr->uid = (uint32_t)value;
    }
    if (parse_number(store_metadata_get(metadata, "gid"), UINT32_MAX - 1, &value)) {
        attr->has |= ATTR_HAS_GID;
        attr->gid = (uint32_t)value;
    }
    if (parse_time(store_metadata_get(metadata, "mtime"), &time)) {
        attr->has |= ATTR_HAS_MTIME;
        attr->mtime = time;
    }
    if (parse_time(store_metadata_get(metadata, "atime"), &time)) {
        attr->has |= ATTR_HAS_ATIME;
        attr->atime = time;
    }
    attr->has_xattr = store_metadata_get(metadata, XATTR_METADATA);
    marked = store_metadata_get(metadata, ATTR_MARKED);
    if (attr->type == ATTR_DIRECTORY)
        attr->marked = marked ? strcmp(marked, "1") == 0 : (attr->has & ATTR_HAS_MODE) != 0;
}

static void attr_init(enum attr_type type, const struct uri *uri, struct attr *ret_attr)
{
    char text[ATTR_URI_BYTES];

    memset(ret_attr, 0, sizeof *ret_attr);
    ret_attr->type = type;
    attr_uri_text(uri, text);
    ret_attr->inode = attr_inode(text);
}

void attr_from_object(const struct store_object *object, const struct uri *uri,
                      struct attr *ret_attr)
{
    size_t key_length = strlen(uri->key);
    bool is_marker = key_length == 0 || uri->key[key_length - 1] == '/';

    attr_init(is_marker ? ATTR_DIRECTORY : ATTR_FILE, uri, ret_attr);
    ret_attr->size_bytes = is_marker ? 0 : object->size_bytes;
    ret_attr->mtime = object->mtime;
    memcpy(ret_attr->etag, object->etag, sizeof ret_attr->etag);
    apply_metadata(&object->metadata, ret_attr);
    attr_take_own(ret_attr, &object->attributes, &object->mtime);
}

void attr_take_own(struct attr *attr, const struct store_attributes *own,
                   const struct timespec *mtime)
{
    if (!own->known)
        return;
    attr->is_own = true;
    attr->has = ATTR_HAS_MODE | ATTR_HAS_UID | ATTR_HAS_GID | ATTR_HAS_MTIME | ATTR_HAS_ATIME;
    attr->mode = own->mode;
    attr->uid = own->uid;
    attr->gid = own->gid;
    attr->mtime = *mtime;
    attr->atime = own->atime;
}

struct attr attr_of_new(const struct store *store, const struct attr *attr)
{
    struct attr made = *attr;

    if (store->capabilities & STORE_CAP_ATTRIBUTES && attr->mode)
        made.has |= ATTR_HAS_MODE;
    return made;
}

void attr_directory(const struct uri *uri, struct attr *ret_attr)
{
    attr_init(ATTR_DIRECTORY, uri, ret_attr);
}

void attr_merge(struct attr *to, const struct attr *from)
{
    if (from->has & ATTR_HAS_MODE || !(to->has & ATTR_HAS_MODE))
        to->mode = from->mode;
    if (from->has & ATTR_HAS_UID)
        to->uid = from->uid;
    if (from->has & ATTR_HAS_GID)
        to->gid = from->gid;
    if (from->has & ATTR_HAS_MTIME)
        to->mtime = from->mtime;
    if (from->has & ATTR_HAS_ATIME)
        to->atime = from->atime;
    to->has |= from->has;
}

static int add_number(struct store_metadata *metadata, const char *name, uint32_t value)
{
    char text[16];

    snprintf(text, sizeof text, "%u", value);
    return store_metadata_add(metadata, name, text);
}

/* Times before the epoch have no form that both s3fs and rclone read: they become it. */
static int add_time(struct store_metadata *metadata, const char *name, const struct timespec *time)
{
    long long seconds = time->tv_sec < 0 ? 0 : (long long)time->tv_sec;
    char text[48];

    if (time->tv_nsec)
        snprintf(text, sizeof text, "%lld.%09ld", seconds, time->tv_nsec);
    else
        snprintf(text, sizeof text, "%lld", seconds);
    return store_metadata_add(metadata, name, text);
}

void attr_take_stored(struct attr *attr, const struct attr *stored)
{
    attr->has = stored->has;
    attr->mode = stored->mode;
    attr->uid = stored->uid;
    attr->gid = stored->gid;
    attr->atime = stored->atime;
    if (stored->has & ATTR_HAS_MTIME)
        attr->mtime = stored->mtime;
    else if (attr->mtime.tv_sec == 0)
        clock_gettime(CLOCK_REALTIME, &attr->mtime);
}

int attr_to_metadata(const struct attr *attr, struct store_metadata *metadata)
{
    static const mode_t types[] = {
        [ATTR_FILE] = S_IFREG, [ATTR_DIRECTORY] = S_IFDIR, [ATTR_SYMLINK] = S_IFLNK};
    int r = 0;

    if (attr->has & ATTR_HAS_MODE)
        r = add_number(metadata, "mode", (attr->mode & 07777) | types[attr->type]);
    if (r == 0 && (attr->has & ATTR_HAS_UID))
        r = add_number(metadata, "uid", attr->uid);
    if (r == 0 && (attr->has & ATTR_HAS_GID))
        r = add_number(metadata, "gid", attr->gid);
    if (r == 0 && (attr->has & ATTR_HAS_MTIME))
        r = add_time(metadata, "mtime", &attr->mtime);
    if (r == 0 && (attr->has & ATTR_HAS_ATIME))
        r = add_time(metadata, "atime", &attr->atime);
    if (r == 0 && attr->type == ATTR_DIRECTORY && (attr->has || attr->marked))
        r = store_metadata_add(metadata, ATTR_MARKED, attr->marked ? "1" : "0");
    return r;
}
