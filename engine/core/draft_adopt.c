/* A draft goes from one program to the next, by the two files that it lies in. See draft.h.
 *
 * What the files say was written by a process of this user, perhaps with another version of this
 * library: it is looked at before it is believed.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/draft_ahead.h"
#include "core/draft_private.h"
#include "io/fd.h"

int draft_handles(struct draft *draft, const struct limits *limits, int ret_fds[2])
{
    struct error ignored;

    if (draft->shared_fd < 0)
        return -EOPNOTSUPP;
    if (draft->ahead && draft_enter(draft, true, limits, &ignored) == 0) {
        draft_ahead_settle(draft, limits);
        draft_leave(draft);
    }
    ret_fds[0] = draft->shared_fd;
    ret_fds[1] = draft->spool_fd;
    return 0;
}

static bool is_spool(int fd)
{
    struct stat st;
    int flags = fcntl(fd, F_GETFL);

    return flags >= 0 && (flags & O_ACCMODE) == O_RDWR && fstat(fd, &st) == 0 &&
           S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

/* Copies, so that a failure leaves the caller's. */
static int take_files(struct draft *draft, const int fds[2], struct error *err)
{
    int *own[2] = {&draft->shared_fd, &draft->spool_fd};

    if (!is_spool(fds[1]))
        return error_set(err, ERROR_INVALID, "no spool of this user's");
    for (unsigned i = 0; i < 2; i++) {
        fd_room_begin(FD_FOR_FILES);
        *own[i] = fd_adopt(fcntl(fds[i], F_DUPFD_CLOEXEC, 0));
        fd_room_end();
        if (*own[i] < 0)
            return error_set_errno(err, EMFILE, "a draft from another program");
    }
    return draft_shared_adopt(draft, err);
}

static bool is_text(const char *text, size_t size)
{
    return memchr(text, '\0', size) != NULL;
}

static int take_facts(struct draft *draft, const struct limits *limits, struct error *err)
{
    struct uri uri;
    int r = shared_turn_take(&draft->shared->turn, limits, err);

    if (r < 0)
        return r;
    uri = draft_facts(draft)->uri;
    shared_turn_give(&draft->shared->turn);
    if (!is_text(uri.scheme, sizeof uri.scheme) || !is_text(uri.bucket, sizeof uri.bucket) ||
        !is_text(uri.key, sizeof uri.key))
        return error_set(err, ERROR_INVALID, "the shared state of a draft makes no sense");
    r = engine_store(draft->engine, uri.scheme, &draft->store, err);
    if (r == 0)
        turn_init(&draft->turn, engine_shard(draft->engine, draft->store, &uri, 0));
    return r;
}

int draft_adopt(struct engine *engine, const int fds[2], const struct limits *limits,
                struct draft **ret_draft, struct error *err)
{
    struct draft *draft = calloc(1, sizeof *draft);
    int r;

    if (!draft)
        return error_set(err, ERROR_NO_MEMORY, "opening a draft");
    draft->engine = engine;
    draft->shared_fd = draft->spool_fd = -1;
    r = take_files(draft, fds, err);
    if (r == 0)
        r = take_facts(draft, limits, err);
    if (r < 0) {
        draft_free(draft);
        return r;
    }
    close(fds[0]);
    close(fds[1]);
    *ret_draft = draft;
    return 0;
}
