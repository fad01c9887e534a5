/* A process as /proc/PID/stat shows it: see proc(5). No lock, no memory; any thread. */
#ifndef S3DLIO_IO_PROC_STAT_H
#define S3DLIO_IO_PROC_STAT_H

#include <stdint.h>

struct proc_stat {
    char state; /* 'Z', 'X': it has ended, or only its main thread has */
    int threads;
    int64_t begun_ns; /* of CLOCK_BOOTTIME */
};

/* Of what that open file says now. 0, or -errno: -ESRCH when the process is gone. */
int proc_stat_read(int fd, struct proc_stat *ret_stat);

#endif
