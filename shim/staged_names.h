/* The names of files that this process is writing, as directories have them: what is in one, what
 * is below one, and what stands in the way of another name. Answers cost nothing while nothing is
 * being written.
 */
#ifndef S3DLIO_SHIM_STAGED_NAMES_H
#define S3DLIO_SHIM_STAGED_NAMES_H

#include <stdbool.h>

#include "s3dlio.h"
#include "shim/path.h"

struct staged;

struct staged_name {
    char *name; /* owned; no slash in it */
    struct s3dlio_attr attr;
};

struct staged_names {
    struct staged_name *items; /* owned; in the order of bytes, each name once */
    unsigned count;
};

/* What is being written in that directory, given as a canonical virtual path. -ENOMEM. */
int staged_names_in(const char *directory, struct staged_names *ret_names);
bool staged_names_has(const struct staged_names *names, const char *name);
/* Leaves no names; zeroed ones are fine. */
void staged_names_free(struct staged_names *names);

/* Is something being written in that directory, or below it? */
bool staged_is_below(const char *directory);
/* What a look-up of the path came to: its -ENOENT is -ENOTDIR when one of the directories in the
 * path is a file that is being written. */
int staged_explain(const char *path, int result);

/* As unlink(2), at the store and of what is being written: of that nothing is published any more.
 * What went wrong is reported. is_one_of_many: as s3dlio_unlink_soon, unless it is being
 * written. */
int staged_unlink_all(const struct vpath *path, bool is_one_of_many);
/* As rename(2) of a file that may be written just now, to a name that is not its own. flags:
 * S3DLIO_RENAME_… When nothing of it is being written, `otherwise` renames it: 0 or -errno. Then
 * what was being written under the new name is unlinked. -EOPNOTSUPP, said to people, when only
 * another process can get at it. */
int staged_rename(const struct vpath *from, const struct vpath *to, unsigned flags,
                  int (*otherwise)(const void *arg), const void *arg);
/* Can everything that is being written below the directory go with it? 0, or a refusal with one
 * line: not what only another process can get at. */
int staged_can_follow(const char *directory);
/* A directory was renamed: what is being written below it goes with it. */
int staged_rename_below(const char *from, const char *to);
/* The first name of a file that was opened without one: published under it. -EEXIST; -ENOENT when
 * it is not to have a name; -EPERM when it has one already. After a failure it is without a
 * name. */
int staged_name_first(struct staged *staged, const struct vpath *to);

#endif
