/* What posix_spawn_file_actions_t holds: glibc's own layout (spawn_int.h); new kinds have only ever
 * been added at the end. */
#ifndef S3DLIO_SHIM_CALLS_PROCESS_ACTION_H
#define S3DLIO_SHIM_CALLS_PROCESS_ACTION_H

#include <sys/types.h>

enum action_kind {
    ACTION_CLOSE,
    ACTION_DUP2,
    ACTION_OPEN,
    ACTION_CHDIR,
    ACTION_FCHDIR,
    ACTION_CLOSEFROM,
    ACTION_TERMINAL,
};

struct __spawn_action {
    int kind;
    union {
        struct {
            int fd, new_fd;
        } dup2;
        struct {
            int fd;
            char *path;
            int flags;
            mode_t mode;
        } open;
        struct {
            char *path;
        } chdir;
    } as; /* fd comes first wherever there is one */
};

#endif
