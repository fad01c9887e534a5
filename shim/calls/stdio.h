/* Streams over virtual descriptors.
 *
 * Such a stream is a cookie stream whose descriptor number is stored in the FILE, so that fileno
 * and all that asks it keep working. It acts on the number, as a FILE does: whatever stands there
 * now, virtual or real, is read and written. The three standard streams have such a stream each,
 * prepared in advance; the variables stdin, stdout, stderr point to it while their descriptor is
 * virtual.
 *
 * Locking: `streams.lock` guards the list only and is never held over I/O. A stream's own state is
 * under its FILE's lock, which glibc takes around the cookie functions.
 */
#ifndef S3DLIO_SHIM_CALLS_STDIO_H
#define S3DLIO_SHIM_CALLS_STDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <wchar.h>

#include "shim/path.h"

struct stream {
    FILE *file;
    char *buffer; /* owned; a standard stream's is mapped once and stays */
    size_t buffer_size;
    const char *carry; /* input that an earlier owner of the number had read ahead */
    size_t carry_length;
    struct stream *next;
    bool standard;
    int orientation;         /* of fwide(3); stdio_wide.c */
    mbstate_t input, output; /* conversions in progress */
};

/* ---- for other families ---- */

/* Before the first virtual descriptor exists: makes the three standard cookie streams. Idempotent,
 * any thread. */
void stdio_prepare(void);
/* Descriptor `fd` became virtual or stopped being so. Allocates nothing, flushes nothing; any
 * thread, also a signal handler; numbers above 2 are ignored. */
void stdio_fd_changed(int fd);
/* At the end of a process: output still in our streams goes to their descriptors, input read ahead
 * is given back. Waits for no other thread's stream for long. */
void stdio_flush_all(void);
/* Around fork: nobody changes the list meanwhile. */
void stdio_fork_prepare(void);
void stdio_fork_done(void); /* parent and child */

/* ---- among the stdio files ---- */

/* fputwc on a stream of ours whose lock is held: WEOF with errno when it cannot be written. */
wint_t stream_put_wide(struct stream *stream, wchar_t character);

/* A cookie stream over `fd`, on the list. `flags` as of open(2). NULL without memory. */
FILE *stream_new(int fd, int flags);
/* The stream of a FILE of ours, or NULL. */
struct stream *stream_find(FILE *file);
/* The same, taken off the list: the caller owns it. */
struct stream *stream_take(FILE *file);
void stream_free(struct stream *stream); /* not its FILE */
/* Makes a stream one for `flags`, as freshly opened: empty buffers, no error, no end of file. */
void stream_set_mode(FILE *file, int flags);
/* A FILE for `stream` in a mode of fopencookie. NULL without memory. */
FILE *stream_cookie(struct stream *stream, const char *mode);
/* Puts a stream on the list. */
void stream_link(struct stream *stream);

/* open(2) flags of a mode of fopen(3), or -EINVAL. */
int stream_mode_flags(const char *mode);
/* 1: `path` names something virtual, *ret_path says what (also through /dev/stdin, /dev/fd/N and
 * /proc/self/fd/N). 0: not ours. -errno. */
int stream_target(const char *path, struct vpath *ret_path);

/* The standard streams, by number 0 to 2; -1 when `file` is none of the six FILEs. */
int standard_index(FILE *file);
FILE *standard_original(int index);
FILE *standard_cookie(int index);
/* The variable points to the cookie stream. */
bool standard_is_switched(int index);
/* Points the variable to one of the two, moving nothing. */
void standard_switch(int index, bool to_cookie);

#endif
