/* Memory maps of virtual files; see map.c. */
#ifndef S3DLIO_SHIM_CALLS_MAP_H
#define S3DLIO_SHIM_CALLS_MAP_H

struct backing;

/* Drops what a file's maps share; the maps themselves live on. NULL is fine. */
void map_backing_free(struct backing *backing);

#endif
