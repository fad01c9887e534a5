/* S3DLIO_STATS: what this process asked of the stores, told at its end; see stats.c. */
#ifndef S3DLIO_SHIM_STATS_H
#define S3DLIO_SHIM_STATS_H

/* When the engine is loaded. */
void stats_prepare(void);

/* After the last upload. Once a process; nothing when the option is unset or nothing was asked. */
void stats_tell(void);

#endif
