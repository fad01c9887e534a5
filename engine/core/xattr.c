/* Extended attributes as one piece of metadata. See xattr.h for its form. */
#include "core/xattr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/buffer.h"
#include "base/percent.h"
#include "core/call.h"
#include "core/engine.h"
#include "core/metadata_change.h"
#include "core/names.h"

#define NAME_MAX_BYTES 255u
#define USER           "user."
#define VIRTUAL        "user.s3."

/* ---- the text -------------------------------------------------------------------------------- */

/* One pair of {"name":"value",…}: where its parts are. */
struct pair {
    const char *name, *value; /* without quotes; value is base64 */
    size_t name_length, value_length;
};

static const char *next_string(const char *at, const char **ret_text, size_t *ret_length)
{
    const char *end;

    at = at ? strchr(at, '"') : NULL;
    end = at ? strchr(at + 1, '"') : NULL;
    if (!end)
        return NULL;
    *ret_text = at + 1;
    *ret_length = (size_t)(end - at) - 1;
    return end + 1;
}

/* The pair behind *at, which moves behind it. False at the end. */
static bool next_pair(const char **at, struct pair *ret_pair)
{
    const char *next = next_string(*at, &ret_pair->name, &ret_pair->name_length);

    next = next_string(next, &ret_pair->value, &ret_pair->value_length);
    *at = next;
    return next != NULL;
}

static int check_told(const struct store_metadata *metadata, struct error *err)
{
    const char *stored = store_metadata_get(metadata, XATTR_METADATA);

    return stored && !stored[0]
               ? error_set_errno(err, E2BIG, "there are more attributes than can be passed on")
               : 0;
}

/* The stored text, decoded; on the heap. NULL without any, or without memory. */
static char *stored_text(const struct store_metadata *metadata)
{
    const char *stored = store_metadata_get(metadata, XATTR_METADATA);
    char *text = stored ? strdup(stored) : NULL;

    if (text && percent_decode(text, strlen(text), false) < 0)
        text[0] = '\0';
    return text;
}

/* The name of a pair as programs know it. */
static void pair_name(const struct pair *pair, char ret_name[NAME_MAX_BYTES + 1])
{
    size_t length = pair->name_length > NAME_MAX_BYTES ? 0 : pair->name_length;
    char raw[NAME_MAX_BYTES + 1];
    long decoded;

    memcpy(raw, pair->name, length);
    raw[length] = '\0';
    strcpy(ret_name, raw);
    decoded = percent_decode(raw, length, false);
    if (decoded >= 0 && !memchr(raw, '\0', (size_t)decoded))
        strcpy(ret_name, raw);
}

static bool find_pair(const char *text, const char *name, struct pair *ret_pair)
{
    char found[NAME_MAX_BYTES + 1];

    while (text && next_pair(&text, ret_pair)) {
        pair_name(ret_pair, found);
        if (strcmp(found, name) == 0)
            return true;
    }
    return false;
}

static int append_raw(struct buffer *out, const struct pair *pair)
{
    return buffer_append_format(out, "%s\"%.*s\":\"%.*s\"", out->length > 1 ? "," : "",
                                (int)pair->name_length, pair->name, (int)pair->value_length,
                                pair->value);
}

static int append_new(struct buffer *out, const struct xattr_value *value)
{
    int r = buffer_append_str(out, out->length > 1 ? ",\"" : "\"");

    if (r == 0)
        r = percent_encode(out, value->name, strlen(value->name), false);
    if (r == 0)
        r = buffer_append_str(out, "\":\"");
    if (r == 0)
        r = base64_encode(out, value->data, value->length);
    return r == 0 ? buffer_append_str(out, "\"") : r;
}

/* ---- names ----------------------------------------------------------------------------------- */

static int check_name(const char *name, struct error *err)
{
    size_t length = strlen(name);

    if (length > NAME_MAX_BYTES)
        return error_set_errno(err, ERANGE, "the attribute's name is too long");
    if (strncmp(name, USER, strlen(USER)) != 0)
        return error_set_errno(err, EOPNOTSUPP, "only attributes of the kind user.* are stored");
    if (length == strlen(USER))
        return error_set(err, ERROR_INVALID, "the attribute has no name");
    return 0;
}

static bool is_virtual(const char *name)
{
    return strncmp(name, VIRTUAL, strlen(VIRTUAL)) == 0;
}

static const char *virtual_value(const char *name, const struct store_object *object,
                                 const char *uri_text)
{
    const char *class = store_metadata_get(&object->metadata, ":x-amz-storage-class");

    name += strlen(VIRTUAL);
    if (strcmp(name, "etag") == 0)
        return object->etag[0] ? object->etag : NULL;
    if (strcmp(name, "content-type") == 0)
        return object->content_type[0] ? object->content_type : NULL;
    if (strcmp(name, "uri") == 0)
        return uri_text;
    if (strcmp(name, "storage-class") == 0)
        return class ? class : "STANDARD";
    return NULL;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* HEAD of what holds the attributes of `uri`; NULL in *ret_head for a directory without a
 * marker. */
static int look(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct call **ret_head, struct error *err)
{
    struct attr attr;
    struct call *head;
    struct uri key;
    int r = names_lookup(engine, uri, limits, &attr, err);

    *ret_head = NULL;
    if (r < 0)
        return r;
    if (attr.type == ATTR_DIRECTORY && !uri->key[0] && !attr.is_own)
        return 0;
    r = metadata_key(uri, &attr, &key, err);
    head = r == 0 ? call_new(engine, STORE_HEAD, &key, limits, err) : NULL;
    if (!head)
        return -error_errno(err);
    r = call_run(head, limits, err);
    if (r == 0) {
        *ret_head = head;
        return 0;
    }
    call_delete(head);
    return err->class == ERROR_NOT_FOUND && attr.type == ATTR_DIRECTORY ? 0 : r;
}

static ssize_t give(const void *data, size_t length, void *out, size_t size, struct error *err)
{
    if (size == 0)
        return (ssize_t)length;
    if (length > size)
        return error_set_errno(err, ERANGE, "the attribute is longer than the buffer");
    memcpy(out, data, length);
    return (ssize_t)length;
}

static ssize_t give_pair(const struct pair *pair, void *out, size_t size, struct error *err)
{
    unsigned char *data = malloc(pair->value_length + 1);
    long length = data ? base64_decode(pair->value, pair->value_length, data) : -ENOMEM;
    ssize_t r;

    if (length < 0)
        r = error_set_errno(err, length == -ENOMEM ? ENOMEM : EIO, "reading an attribute");
    else
        r = give(data, (size_t)length, out, size, err);
    free(data);
    return r;
}

static ssize_t no_data(struct error *err)
{
    return error_set_errno(err, ENODATA, "there is no attribute of that name");
}

static ssize_t get_stored(const struct store_metadata *metadata, const struct xattr_room *room,
                          struct error *err)
{
    char *stored = stored_text(metadata);
    struct pair pair;
    ssize_t r = check_told(metadata, err);

    if (r == 0)
        r = find_pair(stored, room->name, &pair) ? give_pair(&pair, room->value, room->size, err)
                                                 : no_data(err);
    free(stored);
    return r;
}

ssize_t xattr_get(struct engine *engine, const struct uri *uri, const struct xattr_room *room,
                  const struct limits *limits, struct error *err)
{
    char uri_text[ATTR_URI_BYTES];
    struct call *head = NULL;
    const char *text;
    ssize_t r = check_name(room->name, err);

    if (r == 0)
        r = look(engine, uri, limits, &head, err);
    if (r < 0)
        return r;
    if (!head)
        return no_data(err);
    if (is_virtual(room->name)) {
        attr_uri_text(uri, uri_text);
        text = virtual_value(room->name, &head->request.object, uri_text);
        r = text ? give(text, strlen(text), room->value, room->size, err) : no_data(err);
    } else {
        r = get_stored(&head->request.object.metadata, room, err);
    }
    call_delete(head);
    return r;
}

static ssize_t list_names(const char *text, char *names, size_t size, struct error *err)
{
    char name[NAME_MAX_BYTES + 1];
    struct pair pair;
    size_t total = 0;

    while (text && next_pair(&text, &pair)) {
        size_t length;

        pair_name(&pair, name);
        length = strlen(name) + 1;
        if (length == 1)
            continue;
        if (size && total + length > size)
            return error_set_errno(err, ERANGE, "the names are longer than the buffer");
        if (size)
            memcpy(names + total, name, length);
        total += length;
    }
    return (ssize_t)total;
}

static ssize_t list_stored(const struct store_metadata *metadata, char *names, size_t size,
                           struct error *err)
{
    char *text = stored_text(metadata);
    ssize_t r = check_told(metadata, err);

    if (r == 0)
        r = list_names(text, names, size, err);
    free(text);
    return r;
}

ssize_t xattr_list(struct engine *engine, const struct uri *uri, char *names, size_t size,
                   const struct limits *limits, struct error *err)
{
    struct call *head;
    ssize_t r = look(engine, uri, limits, &head, err);

    if (r < 0 || !head)
        return r;
    r = list_stored(&head->request.object.metadata, names, size, err);
    call_delete(head);
    return r;
}

ssize_t xattr_read_in(const struct store_metadata *metadata, const struct xattr_room *room,
                      struct error *err)
{
    ssize_t r;

    if (!room->name)
        return list_stored(metadata, room->value, room->size, err);
    r = check_name(room->name, err);
    return r < 0 ? r : get_stored(metadata, room, err);
}

/* ---- changing -------------------------------------------------------------------------------- */

static size_t metadata_bytes(const struct store_metadata *metadata)
{
    size_t bytes = 0;

    for (size_t at = 0; at < metadata->length;) {
        const char *name = metadata->data + at;
        size_t name_length = strlen(name), value_length = strlen(name + name_length + 1);

        if (name[0] != ':')
            bytes += name_length + value_length;
        at += name_length + value_length + 2;
    }
    return bytes;
}

/* All pairs but that one, and the new one. */
static int build_text(const char *text, const struct xattr_value *value, struct buffer *json)
{
    char name[NAME_MAX_BYTES + 1];
    struct pair pair;
    int r = buffer_append_str(json, "{");

    while (r == 0 && text && next_pair(&text, &pair)) {
        pair_name(&pair, name);
        if (strcmp(name, value->name) != 0)
            r = append_raw(json, &pair);
    }
    if (r == 0 && value->data)
        r = append_new(json, value);
    return r;
}

static int store_text(const struct buffer *json, bool says_none, struct store_metadata *metadata)
{
    struct buffer encoded;
    int r;

    if (json->length == 1 && !says_none) /* nothing is left */
        return store_metadata_set(metadata, XATTR_METADATA, NULL);
    buffer_init(&encoded, STORE_METADATA_MAX);
    r = percent_encode(&encoded, buffer_str(json), json->length, false);
    if (r == 0)
        r = buffer_append_str(&encoded, "%7D");
    if (r == 0)
        r = store_metadata_set(metadata, XATTR_METADATA, buffer_str(&encoded));
    buffer_fini(&encoded);
    return r;
}

static int edit_xattr(void *arg, const struct store_object *object, struct store_metadata *metadata,
                      struct error *err)
{
    const struct xattr_value *value = arg;
    char *text = stored_text(metadata);
    struct buffer json;
    struct pair pair;
    bool exists = find_pair(text, value->name, &pair);
    bool says_none = object ? object->attributes.known : value->says_none;
    int r = check_told(metadata, err);

    if (r < 0) {
        free(text);
        return r;
    }
    if (exists && (value->flags & XATTR_SET_CREATE)) {
        r = error_set(err, ERROR_EXISTS, "the attribute exists");
    } else if (!exists && (!value->data || (value->flags & XATTR_SET_REPLACE))) {
        r = (int)no_data(err);
    } else {
        buffer_init(&json, STORE_METADATA_MAX);
        r = build_text(text, value, &json);
        if (r == 0)
            r = store_text(&json, says_none, metadata);
        buffer_fini(&json);
        if (r == -ENOMEM)
            error_set(err, ERROR_NO_MEMORY, "storing an attribute");
        else if (r < 0 || metadata_bytes(metadata) > XATTR_METADATA_MAX)
            r = error_set_errno(err, ENOSPC, "an object has room for %u bytes of metadata",
                                XATTR_METADATA_MAX);
    }
    free(text);
    return r < 0 ? r : 1;
}

static int check_change(const struct xattr_value *value, struct error *err)
{
    int r = check_name(value->name, err);

    if (r == 0 && is_virtual(value->name))
        r = error_set(err, ERROR_REFUSED, "the attributes %s* are the store's own", VIRTUAL);
    return r;
}

int xattr_set(struct engine *engine, const struct uri *uri, const struct xattr_value *value,
              const struct limits *limits, struct error *err)
{
    struct metadata_edit edit = {.edit = edit_xattr, .arg = (void *)value};
    struct attr attr;
    struct uri key;
    int r = check_change(value, err);

    if (r == 0)
        r = names_lookup(engine, uri, limits, &attr, err);
    if (r == 0 && attr.type == ATTR_SYMLINK)
        r = error_set(err, ERROR_REFUSED, "links have no attributes of the kind user.*");
    if (r == 0)
        r = metadata_permitted(engine, err);
    if (r <= 0)
        return r;
    r = metadata_key(uri, &attr, &key, err);
    return r < 0 ? r : metadata_change(engine, &key, &edit, limits, NULL, err);
}

/* ---- of what is being written ---------------------------------------------------------------- */

int xattr_set_in(struct engine *engine, struct store_metadata *metadata,
                 const struct xattr_value *value, struct error *err)
{
    struct store_metadata edited = {0};
    int r = check_change(value, err);

    if (r == 0)
        r = metadata_permitted(engine, err);
    if (r <= 0)
        return r;
    if (store_metadata_copy(metadata, &edited) < 0)
        return error_set(err, ERROR_NO_MEMORY, "storing an attribute");
    r = edit_xattr((void *)value, NULL, &edited, err);
    if (r > 0 && value->data &&
        metadata_bytes(&edited) > XATTR_METADATA_MAX - XATTR_METADATA_KEPT)
        r = error_set_errno(err, ENOSPC, "an object has room for %u bytes of metadata",
                            XATTR_METADATA_MAX);
    if (r > 0) {
        store_metadata_fini(metadata);
        *metadata = edited;
    } else {
        store_metadata_fini(&edited);
    }
    return r;
}

static int edit_all(void *arg, const struct store_object *object, struct store_metadata *metadata,
                    struct error *err)
{
    int r = store_metadata_set(metadata, XATTR_METADATA, store_metadata_get(arg, XATTR_METADATA));

    (void)object;
    return r < 0 ? error_set_errno(err, -r, "storing attributes") : 1;
}

int xattr_store_all(struct engine *engine, const struct uri *uri,
                    const struct store_metadata *metadata, const struct limits *limits,
                    struct attr *ret_attr, struct error *err)
{
    struct metadata_edit edit = {.edit = edit_all, .arg = (void *)metadata};

    return metadata_change(engine, uri, &edit, limits, ret_attr, err);
}
