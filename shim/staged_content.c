/* From stream to draft to object; see staged.h. */
#include <errno.h>
#include <unistd.h>

#include "shim/engine.h"
#include "shim/handover.h"
#include "shim/report.h"
#include "shim/staged.h"

bool staged_is_ours(const struct staged *staged)
{
    return staged->pid == getpid() && (staged->draft || staged->writer || staged->sleeps);
}

/* The engine's own figure where there is one: a process may be killed before it tells the node. */
uint64_t staged_length(const struct staged *staged)
{
    return staged->draft && staged_is_ours(staged) ? engine_call(draft_length)(staged->draft)
                                                   : staged->node->length_bytes;
}

int staged_order(struct staged *staged)
{
    return shared_lock_take(&staged->node->order);
}

void staged_unorder(struct staged *staged, int locked)
{
    if (locked)
        shared_lock_give(&staged->node->order);
}

/* ---- from the program before ---- */

static int adopt(struct staged *staged, bool streams)
{
    struct s3dlio_error error = {0};
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_writer *writer;
    int result = engine_require();
    if (!result)
        result = engine_call(draft_adopt)(staged->files, &draft, &error);
    if (result < 0) {
        report_error(&error);
        return result;
    }
    handover_release(staged->files);
    if (streams && arena_node_is_alone(staged->node) && !staged->node->error &&
        !engine_call(draft_to_writer)(draft, &writer, &error))
        staged->writer = writer;
    else
        staged->draft = draft;
    staged->sleeps = false;
    return 0;
}

int staged_wake(struct staged *staged, bool streams)
{
    int locked = staged_order(staged);
    int result = staged->sleeps ? adopt(staged, streams) : 0;
    staged_unorder(staged, locked);
    return result;
}

int staged_handles(const struct staged *staged, int ret_fds[2])
{
    if (!staged->sleeps)
        return staged->draft ? engine_call(draft_handles)(staged->draft, ret_fds) : -EOPNOTSUPP;
    ret_fds[0] = staged->files[0];
    ret_fds[1] = staged->files[1];
    return 0;
}

/* ---- from stream to draft ---- */

static int convert(struct staged *staged, struct s3dlio_error *ret_error)
{
    struct s3dlio_draft *draft = NULL;
    if (staged->draft)
        return staged->node->error;
    if (!staged->writer || !staged_is_ours(staged))
        return -EOPNOTSUPP;
    if (staged->node->error)
        return staged->node->error;
    int result = engine_call(draft_from_writer)(staged->writer, &draft, ret_error);
    if (result < 0)
        return result;
    staged->draft = draft;
    staged->writer = NULL;
    return 0;
}

int staged_make_draft(struct staged *staged)
{
    struct s3dlio_error error = {0};
    int locked = staged_order(staged);
    int result = convert(staged, &error);
    staged_unorder(staged, locked);
    if (error.errnum)
        report_error(&error);
    return result;
}

void staged_share(struct staged *staged)
{
    if (staged->draft || !staged_is_ours(staged))
        return;
    struct s3dlio_error ignored;
    int locked = staged_order(staged);
    if (staged->writer)
        convert(staged, &ignored);
    staged_unorder(staged, locked);
}

/* A stream begins anew as an empty draft: what it has sent is given up. */
static int begin_anew(struct staged *staged)
{
    struct vpath path;
    struct s3dlio_attr attr;
    struct s3dlio_draft *draft = NULL;
    struct s3dlio_error error = {0};
    staged_attr(staged, &attr);
    staged_path(staged, path.path);
    int result = path_from_virtual(path.path, &path);
    struct s3dlio_write_options options = {
        .has = attr.has, .mode = attr.mode, .uid = attr.uid, .gid = attr.gid};
    if (result > 0)
        result =
            engine_call(draft_open)(path.uri, &options, S3DLIO_DRAFT_EMPTY, NULL, &draft, &error);
    if (result < 0) {
        report_error(&error);
        return result;
    }
    engine_call(writer_abort)(staged->writer);
    staged->writer = NULL;
    staged->draft = draft;
    return 0;
}

static int empty(struct staged *staged)
{
    struct s3dlio_error error = {0};
    int result = convert(staged, &error);
    if (result == -EOPNOTSUPP && staged_is_ours(staged)) {
        error.errnum = 0;
        result = begin_anew(staged);
    }
    if (!result)
        result = engine_call(draft_truncate)(staged->draft, 0, &error);
    if (!result)
        staged_changed(staged, 0);
    else if (error.errnum)
        report_error(&error);
    return result;
}

int staged_empty(struct staged *staged)
{
    int locked = staged_order(staged);
    int result = empty(staged);
    staged_unorder(staged, locked);
    return result;
}

/* ---- to the object ---- */

/* What was appended may have come behind another version, and be further on. */
static void look_at_length(struct staged *staged)
{
    if (staged->draft)
        staged->node->length_bytes = engine_call(draft_length)(staged->draft);
    else if (staged->writer)
        staged->node->length_bytes = engine_call(writer_length)(staged->writer);
}

static int publish_ordered(struct staged *staged)
{
    struct arena_node *node = staged->node;
    struct s3dlio_error error = {0};
    int result = 0;
    if (!staged_is_ours(staged) || node->is_discarded || node->error)
        return node->error;
    if (staged->sleeps)
        result = adopt(staged, false);
    if (result < 0)
        return result;
    if (staged->draft)
        result = engine_call(draft_publish)(staged->draft, NULL, &error);
    else if (staged->writer)
        node->error = result = engine_call(writer_publish)(staged->writer, NULL, &error);
    if (result < 0)
        report_error(&error);
    else {
        look_at_length(staged);
        node->is_stored = true;
        node->is_due = staged->maps != 0;
    }
    return result;
}

/* In order, so that whoever removes or changes the name knows that nothing is on its way there. */
int staged_publish(struct staged *staged)
{
    int locked = staged_order(staged);
    int result = publish_ordered(staged);
    staged_unorder(staged, locked);
    return result;
}

int staged_refresh(struct staged *staged)
{
    struct s3dlio_error error = {0};
    int locked = staged_order(staged), result = staged->sleeps ? adopt(staged, false) : 0;
    if (!result && staged->draft && !staged->node->is_discarded && !staged->node->error)
        result = engine_call(draft_refresh)(staged->draft, &error);
    if (result > 0)
        look_at_length(staged);
    else if (result < 0)
        report_error(&error);
    staged_unorder(staged, locked);
    return result < 0 ? result : 0;
}

int staged_end_stream(struct staged *staged)
{
    struct s3dlio_error error = {0};
    int locked = staged_order(staged), result = staged->node->error;
    struct s3dlio_writer *writer = atomic_exchange(&staged->writer, NULL);
    if (!writer)
        result = 0;
    else if (staged->pid != getpid())
        engine_call(writer_forget)(writer);
    else if (result || staged->node->is_discarded)
        engine_call(writer_abort)(writer);
    else
        result = engine_call(writer_close_soon)(writer, &error);
    if (writer)
        staged->node->is_due = false;
    staged_unorder(staged, locked);
    if (error.errnum)
        report_error(&error);
    return result < 0 ? result : 0; /* 1: it is on its way */
}
