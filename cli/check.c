/* Printing checks and counting failures. The count is the only state; one thread. */
#include "cli/check.h"

#include <stdarg.h>
#include <stdio.h>

static unsigned failures;

void check_line(enum check_level level, const char *what, const char *advice, const char *format,
                ...)
{
    static const char *const words[] = {
        [CHECK_OK] = "ok  ", [CHECK_WARN] = "warn", [CHECK_FAIL] = "FAIL"};
    va_list args;

    printf("%s  %s: ", words[level], what);
    va_start(args, format);
    vprintf(format, args);
    va_end(args);
    printf("%s%s\n", advice && *advice ? " — " : "", advice ? advice : "");
    fflush(stdout); /* checks may take seconds; show what is known */
    failures += level == CHECK_FAIL;
}

unsigned check_failures(void)
{
    return failures;
}

const char *check_size(unsigned long long bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    static char texts[4][32];
    static unsigned next;
    char *text = texts[next++ % 4];
    double value = (double)bytes;
    unsigned unit = 0;

    for (; value >= 1024 && unit < 6; unit++)
        value /= 1024;
    snprintf(text, sizeof texts[0], "%.*f %s", unit && value < 100 ? 1 : 0, value, units[unit]);
    return text;
}
