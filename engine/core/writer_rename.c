/* What is being streamed takes another name. See writer.h.
 *
 * The version that is appended to, or was published, moves with it. An upload belongs to the key that it
 * was begun for; before its first part it is only made anew.
 */
#include <string.h>

#include "core/rename.h"
#include "core/writer_private.h"

static int take_other_name(struct writer *writer, const struct uri *to, bool no_replace,
                           const struct limits *limits, struct error *err)
{
    struct uri from = writer->uri;
    struct rename_open open = {
        .rename = {.from = &from, .to = to, .no_replace = no_replace},
        .is_absent = writer->exclusive,
    };
    int r = rename_open_file(writer->engine, &open, limits, err);

    if (r == 0 && writer->base.exists && !open.moved)
        r = error_set(err, ERROR_NOT_FOUND, "the file was removed");
    if (r < 0)
        return r;
    if (writer->base.exists && strcmp(writer->base.attr.etag, open.rename.before.etag) == 0)
        writer->base.attr = open.rename.after;
    writer->exclusive = no_replace && !open.moved;
    writer->uri = *to;
    return writer_new_upload(writer, err);
}

int writer_rename(struct writer *writer, const struct uri *to, bool no_replace,
                  const struct limits *limits, struct error *err)
{
    int r = writer_enter(writer, false, limits, err);

    if (r < 0)
        return r;
    r = writer->finishing ? error_set(err, ERROR_BUSY, "the writer is being closed already")
                          : upload_check(writer->upload, err);
    writer->finishing = true; /* a signal handler's call finds it so while this one sleeps */
    if (r == 0 && !rename_is_same(&writer->uri, to)) {
        if (upload_has_begun(writer->upload))
            r = error_set(err, ERROR_UNSUPPORTED, "parts have been sent under the old name");
        else
            r = take_other_name(writer, to, no_replace, limits, err);
    }
    writer->finishing = false;
    writer_leave(writer);
    return r;
}
