/* Changing what is stored with an object, in place: one copy onto itself.
 *
 * The object is looked at, its metadata edited, and a copy of the version seen takes its place with
 * everything else as it was: content type, headers, storage class. When another version got there
 * first, the edit is made again on that. Markers of directories that do not exist are made.
 *
 * A copy is new to the store, so its own time is lost: the time before becomes part of the metadata
 * unless the edit sets one. What is stored this way a listing does not show: the directory above is
 * marked first (core/marked.h).
 */
#ifndef S3DLIO_CORE_METADATA_CHANGE_H
#define S3DLIO_CORE_METADATA_CHANGE_H

#include "core/attr.h"
#include "core/limits.h"

struct engine;

struct metadata_edit {
    /* Edits *metadata; `object` is as it was seen (NULL: a marker to be made). 1 when something has
     * changed, 0 when not, -errno with *err. May be called again on another version. */
    int (*edit)(void *arg, const struct store_object *object, struct store_metadata *metadata,
                struct error *err);
    void *arg;
    bool is_mark; /* it is the mark of the directory itself: nothing above needs one */
};

/* The object of exactly this key; a key that ends in '/' is a marker. 0, with what is there then in
 * *ret_attr (may be NULL); -EOPNOTSUPP where nothing can be stored with an object. The attribute
 * cache knows the new attributes, by the key's name. */
int metadata_change(struct engine *engine, const struct uri *key, const struct metadata_edit *edit,
                    const struct limits *limits, struct attr *ret_attr, struct error *err);

/* What `attr->has` says is stored with the name from now on, S3DLIO_METADATA permitting; the rest
 * stays. No request when that changes nothing. A directory's attributes go to its marker. */
int metadata_set_attr(struct engine *engine, const struct uri *uri, const struct attr *attr,
                      const struct limits *limits, struct attr *ret_attr, struct error *err);

/* The key under which the metadata of that name is stored: of a directory its marker, "name/". */
int metadata_key(const struct uri *uri, const struct attr *attr, struct uri *ret_key,
                 struct error *err);

/* May programs store metadata? 1; 0: it is dropped silently; -EPERM with *err (S3DLIO_METADATA). */
int metadata_permitted(struct engine *engine, struct error *err);

#endif
