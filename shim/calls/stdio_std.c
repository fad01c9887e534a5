/* stdin, stdout, stderr while their descriptors are virtual.
 *
 * A FILE of glibc's own cannot be made to call us, but the three variables are assignable.
 * Switching never flushes: natively `printf; dup2; printf` sends both to the new file, so output
 * that is pending moves to the new stream's buffer, input read ahead is kept, and the old stream is
 * emptied without writing. The way back is taken when the cookie stream is empty; until then it
 * serves the real descriptor just as well. FILE pointers that a program copied before keep pointing
 * to glibc's stream and get EBADF meanwhile.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <wchar.h>

#include "shim/calls/stdio.h"
#include "shim/fdtab.h"
#include "shim/real.h"

#define STREAM_UNBUFFERED    0x0002
#define STREAM_SEEN          0x0030 /* end of file, error */
#define STREAM_LINE_BUFFERED 0x0200
#define STREAM_PUTTING       0x0800

#define STANDARD_BUFFER (64u << 10)
#define LOCK_TRIES      100

static struct standard {
    FILE **variable;
    FILE *original;
    struct stream stream;
} standards[3];

/* The head of glibc's struct _IO_wide_data, which is where wide output waits. */
struct wide_head {
    wchar_t *read_ptr, *read_end, *read_base, *write_base, *write_ptr;
};

static void standard_make(int index, FILE **variable, const char *mode)
{
    struct standard *standard = &standards[index];
    struct stream *stream = &standard->stream;
    void *buffer = REAL(mmap)(NULL, STANDARD_BUFFER, PROT_READ | PROT_WRITE,
                              MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FILE *file = buffer == MAP_FAILED ? NULL : stream_cookie(stream, mode);
    if (!file)
        return;
    file->_fileno = index;
    stream->file = file;
    stream->buffer = buffer;
    stream->buffer_size = STANDARD_BUFFER;
    stream->standard = true;
    standard->variable = variable;
    standard->original = *variable;
    stream_link(stream);
}

static void standards_make(void)
{
    standard_make(0, &stdin, "r");
    standard_make(1, &stdout, "w");
    standard_make(2, &stderr, "w");
}

void stdio_prepare(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int saved = errno;
    pthread_once(&once, standards_make);
    errno = saved;
}

int standard_index(FILE *file)
{
    for (int i = 0; i < 3; i++) {
        struct standard *standard = &standards[i];
        if (standard->stream.file && (file == standard->original || file == standard->stream.file))
            return i;
    }
    return -1;
}

FILE *standard_original(int index)
{
    return standards[index].original;
}

FILE *standard_cookie(int index)
{
    return standards[index].stream.file;
}

bool standard_is_switched(int index)
{
    return *standards[index].variable == standards[index].stream.file;
}

/* The flags that a dup2 leaves alone: buffering, end of file, error. */
static void flags_copy(const FILE *from, FILE *to)
{
    int kept = STREAM_UNBUFFERED | STREAM_LINE_BUFFERED | STREAM_SEEN;
    to->_flags = (to->_flags & ~kept) | (from->_flags & kept);
}

void standard_switch(int index, bool to_cookie)
{
    struct standard *standard = &standards[index];
    *standard->variable = to_cookie ? standard->stream.file : standard->original;
}

static void output_move(FILE *from, struct stream *to)
{
    if (from->_mode <= 0) {
        fwrite_unlocked(from->_IO_write_base, 1,
                        (size_t)(from->_IO_write_ptr - from->_IO_write_base), to->file);
        return;
    }
    const struct wide_head *wide = (const void *)from->_wide_data;
    for (const wchar_t *at = wide->write_base; at < wide->write_ptr; at++)
        stream_put_wide(to, *at);
}

/* The stream is empty. Without the flag "putting", glibc sets its pointers up anew at the next
 * write, which it does not do after setvbuf on a stream that has been written to. */
static void mode_set(struct standard *standard)
{
    const FILE *original = standard->original;
    struct stream *stream = &standard->stream;
    FILE *file = stream->file;
    if (original->_flags & STREAM_UNBUFFERED)
        setvbuf(file, NULL, _IONBF, 0);
    else if (!file->_IO_buf_base || file->_flags & STREAM_UNBUFFERED)
        setvbuf(file, stream->buffer, _IOFBF, stream->buffer_size);
    flags_copy(original, file);
    stream->orientation = original->_mode;
    file->_flags &= ~STREAM_PUTTING;
    file->_IO_write_end = file->_IO_write_ptr; /* no room: the next write comes by there */
}

static void to_cookie(int index)
{
    struct standard *standard = &standards[index];
    FILE *original = standard->original;
    bool locked = false;
    for (int i = 0; i < LOCK_TRIES && !locked; i++) {
        locked = ftrylockfile(original) == 0;
        if (!locked)
            sched_yield();
    }
    mode_set(standard);
    output_move(original, &standard->stream);
    standard->stream.carry = original->_IO_read_ptr;
    standard->stream.carry_length = (size_t)(original->_IO_read_end - original->_IO_read_ptr);
    __fpurge(original);
    standard_switch(index, true);
    if (locked)
        funlockfile(original);
}

static bool is_empty(const struct stream *stream)
{
    FILE *file = stream->file;
    return !__fpending(file) && file->_IO_read_ptr == file->_IO_read_end && !stream->carry_length;
}

void stdio_fd_changed(int fd)
{
    if ((unsigned)fd > 2 || !standards[fd].stream.file)
        return;
    int saved = errno;
    struct standard *standard = &standards[fd];
    if (fdtab_is_virtual(fd)) {
        if (*standard->variable == standard->original && standard->original->_fileno == fd)
            to_cookie(fd);
    } else if (standard_is_switched(fd) && is_empty(&standard->stream)) {
        flags_copy(standard->stream.file, standard->original);
        standard_switch(fd, false);
    }
    errno = saved;
}
