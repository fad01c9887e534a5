/* Processes: what fork copies, what exec and spawn may hand on. Functions return 0 or -errno unless
 * they say otherwise. */
#ifndef S3DLIO_SHIM_CALLS_PROCESS_H
#define S3DLIO_SHIM_CALLS_PROCESS_H

#include <limits.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

#include "shim/path.h"

/* An open virtual file, or a virtual working directory. */
bool process_has_virtual(void);

/* Between a real vfork and its exec or _exit: memory, and with it every table here, is the
 * parent's. Nothing of ours may be changed then. */
bool process_is_vfork_child(void);

/* There the engine cannot be used, its descriptors are not the child's. Does `work` in a process of
 * its own and returns what that returned, 0 or -errno. */
int process_apart(int (*work)(const void *arg), const void *arg);

/* fork by the given call, with everything of ours made ready for it. `keep_fd` survives in the
 * child, other vfork pipes do not; -1 for none. As fork(2): -1 with errno. */
pid_t process_fork(pid_t (*real)(void), int keep_fd);

/* The system call clone of a process with memory of its own, on this stack: `a` has its arguments.
 * As process_fork. */
bool process_clone_is_ours(const long *a);
long process_clone(const long *a);

/* What vfork jumps to; for the assembly only. */
void *process_vfork_target(void);

/* Why the program will not load this library: "is statically linked, …", behind its name; NULL when
 * it will, or when it is none and exec says so. As execveat(2) finds it. */
const char *process_target_refuses(int dirfd, const char *path);

/* The environment for a program: the given one, what is to follow every program (S3DLIO_FOLLOW),
 * and `variable` unless NULL. `room` has process_environ_room pointers; it may be the given one. */
size_t process_environ_room(char *const *environment);
char *const *process_environ(char *const *environment, const char *variable, const char **room);
bool process_preloads(char *const *environment); /* is this library in LD_PRELOAD? */
bool process_follows(void);

/* execve, along PATH as execvpe when `searches`; only returns with -errno. Hands over what is
 * virtual. Where an exec fails everything is as it was. */
int process_exec(const char *name, bool searches, char *const argv[], char *const envp[]);
/* Nothing virtual is anywhere near such an exec, nor the environment to be changed. */
bool process_exec_is_plain(const char *path, char *const envp[]);
bool process_search_is_plain(const char *name, char *const envp[]);
const char *process_search_path(void); /* PATH, or what counts without one */

/* posix_spawn; of actions and attributes each may be NULL. 0 with the child executing the
 * program, or what kept it from that. */
struct process_program {
    const char *name;
    bool searches; /* along PATH */
    char *const *argv;
    char *const *envp;
    const posix_spawn_file_actions_t *actions;
    const posix_spawnattr_t *attributes;
};
int process_spawn(const struct process_program *program, pid_t *ret_pid);
/* The same without a copy of this process; below 0 where that cannot be, and nothing has happened.
 * */
int process_spawn_planned(const struct process_program *program, pid_t *ret_pid);

/* A program or script in a bucket: what to give to the real execve instead. */
struct image {
    char path[PATH_MAX];     /* interpreter, /proc/self/fd/N of a copy in memory, or what a link
                              * in the bucket leads to outside of it */
    char head[256];          /* the script's first line; the next two point into it */
    const char *interpreter; /* NULL for a binary */
    const char *argument;    /* of the interpreter; NULL for none */
    const char *script;      /* becomes argv[1] or argv[2] of the interpreter; a virtual path */
    int fd;                  /* the copy, or -1 */
};
/* -EACCES without permission, -ENOEXEC for neither script nor ELF. image_fini after success. */
int image_init(const struct vpath *path, struct image *ret_image);
void image_fini(struct image *image);
/* Room that image_arguments needs for `count` arguments, argv[0] included, in pointers. */
#define IMAGE_EXTRA 4
void image_arguments(const struct image *image, char *const argv[], const char **ret_argv);

#endif
