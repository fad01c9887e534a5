/* The line "Umask:" of /proc/thread-self/status, one of the first two; see creation_mask.h. */
#include "shim/creation_mask.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/real.h"
#include "shim/start.h"

#define LABEL      "\nUmask:"
#define USUAL_MASK 022

mode_t creation_mask(void)
{
    char text[512] = "";
    int saved = errno, fd = REAL(open)("/proc/thread-self/status", O_RDONLY | O_CLOEXEC);
    const char *line = NULL;

    if (fd >= 0) {
        if (REAL(read)(fd, text, sizeof text - 1) > 0)
            line = strstr(text, LABEL);
        REAL(close)(fd);
    }
    errno = saved;
    return line ? (mode_t)strtoul(line + strlen(LABEL), NULL, 8) & 0777 : start_umask();
}

bool creation_mode(mode_t asked, mode_t all, mode_t *ret_mode)
{
    mode_t assumed = all & ~start_umask();

    *ret_mode = start_ignores_metadata() ? assumed : asked & ~creation_mask();
    return *ret_mode != assumed ||
           (start_umask() & ~(mode_t)USUAL_MASK && !start_ignores_metadata());
}
