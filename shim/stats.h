/* S3DLIO_STATS, S3DLIO_STATS_SIGNAL: what this process asked of the stores, told at its end and on a
 * signal; see stats.c. */
#ifndef S3DLIO_SHIM_STATS_H
#define S3DLIO_SHIM_STATS_H

/* When the process starts, in its first working directory. */
void stats_start(void);

/* When the engine's functions are known, before it is set up. */
void stats_prepare(void);

/* After the last upload. Once a process; nothing when the option is unset or nothing was asked. */
void stats_tell(void);

#endif
