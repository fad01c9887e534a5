/* What the engine reads to reach a store (keys, certificates, settings) is not in one. With HOME in a
 * bucket those files lead back to the engine, on the thread that is waiting for them: there, between
 * begin and end, every public call answers ENOENT (api/api.c). Any thread; nests. */
#ifndef S3DLIO_BASE_OWN_FILES_H
#define S3DLIO_BASE_OWN_FILES_H

void own_files_begin(void);
void own_files_end(void);
int own_files(void); /* are we in between? */

#endif
