/* dprintf: glibc writes without calling write. */
#include <errno.h>
#include <stdlib.h>

#include "shim/calls/io.h"
#include "shim/entry.h"
#include "shim/fdtab.h"
#include "shim/real.h"

static int print(struct file *file, const char *format, va_list args)
{
    int saved = errno;
    char *text = NULL;
    int length = vasprintf(&text, format, args);
    if (length < 0)
        return -1;
    ssize_t done = 0;
    while (done < length) {
        ssize_t count = io_write(file, text + done, (size_t)(length - done));
        if (count <= 0) {
            done = count;
            break;
        }
        done += count;
    }
    free(text);
    return (int)entry_return(saved, done);
}

int vdprintf(int fd, const char *format, va_list args)
{
    struct file *file = likely(!fdtab_is_virtual(fd)) ? NULL : file_get(fd);
    if (likely(!file))
        return REAL(vdprintf)(fd, format, args);
    int result = print(file, format, args);
    file_put(file);
    return result;
}

int dprintf(int fd, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = vdprintf(fd, format, args);
    va_end(args);
    return result;
}

int __vdprintf_chk(int fd, int flag, const char *format, va_list args)
{
    if (unlikely(fdtab_is_virtual(fd)))
        return vdprintf(fd, format, args);
    return REAL(__vdprintf_chk)(fd, flag, format, args);
}

int __dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = __vdprintf_chk(fd, flag, format, args);
    va_end(args);
    return result;
}
