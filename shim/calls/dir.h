/* Directories that a program reads; see dir.c. */
#ifndef S3DLIO_SHIM_CALLS_DIR_H
#define S3DLIO_SHIM_CALLS_DIR_H

struct directory;

void directory_free(struct directory *directory); /* NULL is fine */

#endif
