/* A lock of an open file description, asked for again and again, so that signals and deadlines are
 * heard. See append_turn.h. */
#include "core/append_turn.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/clock.h"
#include "core/lock_file.h"
#include "store/store.h"

#define COURTESY_NS NS_PER_S

/* The lock file is not that of users' locks: those may hold any byte of it. */
static void name_of(const struct uri *uri, struct uri *ret_uri)
{
    *ret_uri = *uri;
    snprintf(ret_uri->scheme, sizeof ret_uri->scheme, "+%.*s", (int)sizeof ret_uri->scheme - 2,
             uri->scheme);
}

/* The second byte: the first is the lock file's own. */
static int use_byte(int fd, short type)
{
    struct flock use = {.l_type = type, .l_whence = SEEK_SET, .l_start = 1, .l_len = 1};

    return fcntl(fd, F_OFD_SETLK, &use) < 0 ? -errno : 0;
}

bool append_turn_is_needed(const struct store *store)
{
    const unsigned wanted = STORE_CAP_IF_NONE_MATCH | STORE_CAP_IF_MATCH_PUT;

    return (store->capabilities & wanted) != wanted;
}

/* Nobody wakes the word: it is looked again after a moment. Until then 0 says that it is not
 * free. */
static int wait_until_free(int fd, int64_t until_ns, const struct limits *limits,
                           struct error *err)
{
    _Atomic uint32_t word = 0;
    int r = use_byte(fd, F_WRLCK);

    while (r == -EAGAIN || r == -EACCES || r == -EINTR) {
        if (clock_now_ns() >= until_ns)
            return 0;
        r = limits_wait_shared(limits, &word, 0, err);
        if (r < 0)
            return r;
        r = use_byte(fd, F_WRLCK);
    }
    return r < 0 ? error_set_errno(err, ENOLCK, "a lock file cannot be locked") : 0;
}

int append_turn_take(struct append_turn *turn, struct store *store, const struct uri *uri,
                     const struct limits *limits, struct error *err)
{
    bool is_needed = append_turn_is_needed(store);
    int64_t until_ns = is_needed ? INT64_MAX : clock_now_ns() + COURTESY_NS;
    struct error *told = is_needed ? err : NULL;
    int r;

    if (turn->fd >= 0)
        return 0;
    if (is_needed)
        store_tell_lack(STORE_CAP_IF_NONE_MATCH);
    name_of(uri, &turn->uri);
    turn->store = store;
    r = lock_file_open(store, &turn->uri, false, &turn->fd, told);
    if (r == 0)
        r = wait_until_free(turn->fd, until_ns, limits, told);
    return is_needed ? r : 0;
}

int append_turn_judge(int r, const struct error *reason, struct error *err)
{
    if (r >= 0 || err->class != ERROR_TIMEOUT || reason->class == ERROR_NONE)
        return r;
    *err = *reason;
    return -error_errno(err);
}

/* Unlocked first: a child that was forked meanwhile has the description, too. */
void append_turn_give(struct append_turn *turn)
{
    if (turn->fd < 0)
        return;
    use_byte(turn->fd, F_UNLCK);
    lock_file_close(turn->store, turn->fd, &turn->uri);
    turn->fd = -1;
}
