/* Extended attributes of what is being written: part of the metadata that the upload takes along,
 * or, when that has begun already, stored right after it. */
#include <errno.h>

#include "core/writer_private.h"
#include "core/xattr.h"

ssize_t writer_read_xattr(struct writer *writer, const struct xattr_room *room,
                          const struct limits *limits, struct error *err)
{
    ssize_t r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    r = xattr_read_in(&writer->base.metadata, room, err);
    writer_leave(writer);
    return r;
}

int writer_set_xattr(struct writer *writer, const struct xattr_value *value,
                     const struct limits *limits, struct error *err)
{
    struct xattr_value told = *value;
    int r = writer_enter(writer, true, limits, err);

    if (r < 0)
        return r;
    told.says_none = writer->store->capabilities & STORE_CAP_ATTRIBUTES;
    r = writer_check_open(writer, err);
    if (r == 0 && !attr_is_kept(writer->store))
        r = error_set_errno(err, EOPNOTSUPP, "the store keeps no metadata");
    if (r == 0)
        r = xattr_set_in(writer->engine, &writer->base.metadata, &told, err);
    if (r > 0) {
        writer->appends = false; /* another version has others */
        r = writer->changed ? upload_set_metadata(writer->upload, XATTR_METADATA,
                                                  &writer->base.metadata)
                            : 1;
        if (r > 0)
            writer->late_xattr = true;
        else if (r < 0)
            error_set_errno(err, -r, "storing an attribute");
    }
    writer_leave(writer);
    return r < 0 ? r : 0;
}
