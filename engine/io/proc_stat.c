/* Fields by their numbers in proc(5). See proc_stat.h. */
#include "io/proc_stat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* The name of the program, field 2, may have any character in it; what follows has no bracket. */
int proc_stat_read(int fd, struct proc_stat *ret_stat)
{
    char text[1024];
    const char *behind_name;
    unsigned long long ticks;
    ssize_t length = pread(fd, text, sizeof text - 1, 0);

    if (length < 0)
        return -errno;
    text[length] = '\0';
    behind_name = strrchr(text, ')');
    if (!behind_name || sscanf(behind_name + 1, /* 3; 4 to 19; 20; 21; 22 */
                               " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s"
                               " %d %*s %llu",
                               &ret_stat->state, &ret_stat->threads, &ticks) != 3)
        return -ESRCH;
    ret_stat->begun_ns = (int64_t)(ticks * (uint64_t)(NS_PER_S / sysconf(_SC_CLK_TCK)));
    return 0;
}
