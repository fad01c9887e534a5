/* posix_spawn where something virtual is near and all that the child will do can be told
 * beforehand: glibc makes it, without a copy of this process's memory.
 *
 * Placeholders are descriptors like others, so glibc's own actions move them as they should. What
 * the child then has open is worked out here, on a list; the letter that says so is written before
 * there is a child, and what goes with it is left open by actions at the end. Whatever takes code
 * of ours in the child (a virtual path in an action, a virtual working directory, closing all but
 * some, a program in a bucket or one that does not load this library) is process_spawn.c's, by
 * fork, and so is every failure: nothing has happened then.
 */
#include <alloca.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "shim/calls/lock.h"
#include "shim/calls/process.h"
#include "shim/calls/process_action.h"
#include "shim/engine.h"
#include "shim/file.h"
#include "shim/handover.h"
#include "shim/real.h"
#include "shim/staged.h"

#define HANDED_MAX 64u
#define FDS_MAX    (3 * HANDED_MAX + 3) /* of a file three, the arena, the token, the letter */

/* What the child has open of what is virtual, each with a reference. */
struct plan {
    struct handed handed[HANDED_MAX];
    bool cloexec[HANDED_MAX];
    unsigned count;
    bool is_short; /* of room */
    bool moves;    /* to another working directory */
};

/* ---- the list ---- */

static void add(struct plan *plan, const struct handed *handed, bool cloexec)
{
    if (plan->count == HANDED_MAX) {
        plan->is_short = true;
        return;
    }
    file_ref(handed->file);
    plan->cloexec[plan->count] = cloexec;
    plan->handed[plan->count++] = *handed;
}

static void add_open(int fd, struct file *file, void *plan)
{
    int flags = REAL(fcntl)(fd, F_GETFD);
    if (flags >= 0)
        add(plan, &(struct handed){fd, fd, file}, flags & FD_CLOEXEC);
}

static void drop(struct plan *plan, unsigned index)
{
    file_put(plan->handed[index].file);
    plan->handed[index] = plan->handed[--plan->count];
    plan->cloexec[index] = plan->cloexec[plan->count];
}

static int find(const struct plan *plan, int fd)
{
    for (unsigned i = 0; i < plan->count; i++)
        if (plan->handed[i].fd == fd)
            return (int)i;
    return -1;
}

static void drop_fd(struct plan *plan, int fd)
{
    int index = find(plan, fd);
    if (index >= 0)
        drop(plan, (unsigned)index);
}

static void duplicate(struct plan *plan, int from, int to)
{
    if (from != to)
        drop_fd(plan, to);
    int index = find(plan, from);
    if (index < 0)
        return;
    struct handed handed = plan->handed[index];
    handed.fd = to;
    if (from == to) /* glibc clears close-on-exec */
        plan->cloexec[index] = false;
    else
        add(plan, &handed, false);
}

static void end(struct plan *plan)
{
    while (plan->count)
        drop(plan, plan->count - 1);
}

/* ---- the actions ---- */

/* False: what it does cannot be told. */
static bool foresee(struct plan *plan, const struct __spawn_action *action)
{
    int fd = action->as.dup2.fd;
    switch (action->kind) {
    case ACTION_CLOSE: drop_fd(plan, fd); return true;
    case ACTION_DUP2: duplicate(plan, fd, action->as.dup2.new_fd); return true;
    case ACTION_OPEN:
        drop_fd(plan, fd);
        return !path_maybe(action->as.open.path) &&
               (!plan->moves || action->as.open.path[0] == '/');
    case ACTION_CHDIR: plan->moves = true; return !path_maybe(action->as.chdir.path);
    case ACTION_FCHDIR: plan->moves = true; return find(plan, fd) < 0;
    case ACTION_TERMINAL: return find(plan, fd) < 0;
    default: return false;
    }
}

static bool foresee_all(struct plan *plan, const posix_spawn_file_actions_t *actions)
{
    file_each(add_open, plan);
    for (int i = 0; actions && i < actions->__used; i++)
        if (!foresee(plan, &actions->__actions[i]))
            return false;
    for (unsigned i = plan->count; i-- > 0;)
        if (plan->cloexec[i])
            drop(plan, i);
    return !plan->is_short;
}

/* Is ready to be shared, as before a fork. */
static bool make_ready(const struct plan *plan)
{
    for (unsigned i = 0; i < plan->count; i++) {
        const struct handed *handed = &plan->handed[i];
        int draft_fds[2];
        if (handed->fd > 2 || handed->placeholder > 2)
            lock_share(handed->file);
        if (!handed->file->staged)
            continue;
        staged_share(handed->file->staged);
        if (staged_handles(handed->file->staged, draft_fds))
            return false;
    }
    return true;
}

/* ---- the program ---- */

static bool find_along(const char *name, const char *at, char path[PATH_MAX])
{
    for (bool more = true; more;) {
        size_t length = strcspn(at, ":");
        int needed = snprintf(path, PATH_MAX, "%.*s%s%s", (int)length, at, length ? "/" : "", name);
        if (path_maybe(at))
            return false;
        if (needed < PATH_MAX && !REAL(faccessat)(AT_FDCWD, path, X_OK, AT_EACCESS))
            return true;
        more = at[length] == ':';
        at += length + more;
    }
    return false;
}

/* Its file, if that is a real one that takes over what it is given. */
static bool find_program(const struct process_program *program, const struct plan *plan,
                         char path[PATH_MAX])
{
    bool searches = program->searches && !strchr(program->name, '/');
    if (searches ? !find_along(program->name, process_search_path(), path)
                 : strlen(program->name) >= PATH_MAX || !strcpy(path, program->name))
        return false;
    return !path_maybe(path) && (!plan->moves || path[0] == '/') &&
           !process_target_refuses(AT_FDCWD, path);
}

/* ---- the child ---- */

struct actions {
    struct __spawn_action *list;
    int used, given; /* the caller's come first */
};

/* The child has it open, unless the caller's actions put something else there. */
static int leave_open(int fd, void *arg)
{
    struct actions *actions = arg;
    for (int i = 0; i < actions->given; i++) {
        const struct __spawn_action *action = &actions->list[i];
        if (action->as.dup2.fd == fd ||
            (action->kind == ACTION_DUP2 && action->as.dup2.new_fd == fd))
            return -EBUSY;
    }
    actions->list[actions->used++] =
        (struct __spawn_action){.kind = ACTION_DUP2, .as.dup2 = {fd, fd}};
    return 0;
}

/* Everything but the record: that of the child is there. `path` is the program's file. */
static int spawn(const struct process_program *program, const char *path, const struct plan *plan,
                 const struct arena_child *child, pid_t *ret_pid)
{
    struct handover handover;
    int given = program->actions ? program->actions->__used : 0;
    struct actions actions = {.given = given, .used = given};
    actions.list = alloca(((size_t)given + FDS_MAX) * sizeof *actions.list);
    if (given)
        memcpy(actions.list, program->actions->__actions, (size_t)given * sizeof *actions.list);
    const char **room = alloca(process_environ_room(program->envp) * sizeof *room);
    char *const *envp = process_environ(program->envp, NULL, room);
    int result = process_preloads(envp) ? 0 : -EOPNOTSUPP;
    if (!result)
        result = handover_write(plan->handed, plan->count, child, &handover);
    if (result < 0)
        return result;
    result = handover_each_fd(plan->handed, plan->count, child, leave_open, &actions);
    if (!result)
        result = leave_open(handover.fd, &actions);
    posix_spawn_file_actions_t all = {
        .__allocated = actions.used, .__used = actions.used, .__actions = actions.list};
    envp = process_environ(envp, handover.variable, room);
    if (!result)
        result = -REAL(posix_spawn)(ret_pid, path, &all, program->attributes, program->argv, envp);
    REAL(close)(handover.fd);
    return result;
}

static bool is_plain_user(const posix_spawnattr_t *attributes)
{
    short flags = 0;
    if (attributes)
        posix_spawnattr_getflags(attributes, &flags);
    return !(flags & POSIX_SPAWN_RESETIDS);
}

static int spawn_planned(const struct process_program *program, const char *path,
                         const struct plan *plan, pid_t *ret_pid)
{
    struct arena_child child;
    pid_t pid = -1;
    int result = arena_child_begin(&child);
    if (result < 0)
        return result;
    result = spawn(program, path, plan, &child, &pid);
    if (!result && engine_is_loaded())
        engine_call(give_readers)(pid);
    arena_child_end(&child, result < 0 ? -1 : pid);
    if (!result && ret_pid)
        *ret_pid = pid;
    return result;
}

int process_spawn_planned(const struct process_program *program, pid_t *ret_pid)
{
    struct plan plan;
    char path[PATH_MAX];
    int result = -EOPNOTSUPP;
    plan.count = 0;
    plan.is_short = plan.moves = false;
    if (path_cwd()[0] || !arena_is_used() || !engine_is_settled() || process_is_vfork_child() ||
        !is_plain_user(program->attributes))
        return result;
    if (foresee_all(&plan, program->actions) && find_program(program, &plan, path) &&
        make_ready(&plan))
        result = spawn_planned(program, path, &plan, ret_pid);
    end(&plan);
    return result;
}
