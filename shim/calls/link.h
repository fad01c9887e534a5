/* Following symbolic links.
 *
 * An operation is tried on the path as it is written: what exists by that name is found with not
 * one request more than before there were links. Only when it answers -ENOTDIR (a link may stand in
 * the middle: to the store it is an object) or -ELOOP (it met a link at the end and has to act on
 * what that leads to) the links are looked for, and the operation is tried on what they lead to:
 *
 *     struct vpath path;
 *     LINK_FOLLOW(&path, LINK_AT_END, result, operation(&path));
 *
 * A link may lead out of the mounts. Then the result is LINK_TO_REAL and path.path the real path,
 * and the real call is made on that. Operations that act on a link itself never answer -ELOOP.
 */
#ifndef S3DLIO_SHIM_CALLS_LINK_H
#define S3DLIO_SHIM_CALLS_LINK_H

#include <errno.h>

#include "shim/path.h"

/* What a link at the end of a path means to a call. */
enum link_last {
    LINK_IS_MEANT, /* the link itself, slash or not: unlink, rename, mkdir */
    LINK_BY_SLASH, /* the link itself, unless a slash behind it asks for more: lstat */
    LINK_AT_END,   /* what it leads to */
};

#define LINK_AGAIN   1         /* of link_follow: try again on *path, which has changed */
#define LINK_TO_REAL (-100000) /* no errno: path->path is a real path */
#define LINK_DEPTH   40        /* as Linux (path_resolution(7)) */

/* After -ENOTDIR or -ELOOP: LINK_AGAIN, LINK_TO_REAL, or what the call has to answer. Needs as
 * little of a small stack as the engine's own functions. */
int link_follow(struct vpath *path, enum link_last last, int result);
/* Before the first use of the engine. */
void link_prepare(void);

#define LINK_FOLLOW(path, last, result, operation)                                                 \
    do                                                                                             \
        (result) = (operation);                                                                    \
    while (((result) == -ENOTDIR || (result) == -ELOOP) &&                                         \
           ((result) = link_follow(path, last, (int)(result))) == LINK_AGAIN)

/* The result of a real call as operations give it. */
static inline int link_real(int result)
{
    return result < 0 ? -errno : result;
}

#endif
