/* Lines on stderr; see report.h. The line goes to descriptor 2 unless that is virtual or closed. */
#include "shim/report.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "config/options.h"
#include "shim/engine.h"
#include "shim/fdtab.h"
#include "shim/start.h"

void report_line(const char *format, ...)
{
    const struct options *options = start_options();
    if (options && option_int(options, LOG) == 0)
        return;
    int saved = errno;
    char line[1024];
    int length = snprintf(line, sizeof line, "s3dlio: ");
    va_list args;
    va_start(args, format);
    length += vsnprintf(line + length, sizeof line - (size_t)length - 1, format, args);
    va_end(args);
    if (length > (int)sizeof line - 2)
        length = (int)sizeof line - 2;
    line[length++] = '\n';
    if (!fdtab_is_virtual(2))
        syscall(SYS_write, 2, line, (size_t)length);
    errno = saved;
}

int report_refusal(const char *operation, const char *path)
{
    static _Atomic(const char *) seen[64];
    for (unsigned i = 0; i < sizeof seen / sizeof *seen; i++) {
        const char *known = NULL;
        if (atomic_compare_exchange_strong(&seen[i], &known, operation)) {
            report_line("%s%s%s: not supported on object storage in this version: "
                        "write a new file in one pass, or work on a local copy",
                        operation, path ? " " : "", path ? path : "");
            break;
        }
        if (!strcmp(known, operation))
            break;
    }
    return -EOPNOTSUPP;
}

/* What programs ask for all day; their errno says it all. */
static int is_expected(int errnum)
{
    static const int expected[] = {ENOENT, EEXIST,    EISDIR, ENOTDIR,
                                   ENOTEMPTY, EFAULT, EINTR,  ECANCELED};
    for (unsigned i = 0; i < sizeof expected / sizeof *expected; i++)
        if (expected[i] == errnum)
            return 1;
    return 0;
}

void report_error(const struct s3dlio_error *error)
{
    if (error->errnum && (!is_expected(error->errnum) || !strcmp(error->class_name, "no-bucket")))
        engine_call(report)(error);
}

void report_name_error(const struct s3dlio_error *error, const char *uri)
{
    const char *bucket = strstr(uri, "://");
    bool has_key = bucket && strchr(bucket + 3, '/');
    if (has_key || error->errnum != ENOENT)
        report_error(error);
}
