/*
 * Reading a directory store back; the other half of directory.c, which describes the files.
 */
#ifndef TESTS_SERVER_DIRECTORY_LOAD_H
#define TESTS_SERVER_DIRECTORY_LOAD_H

#include "store.h"

/* Smaller blocks are held in memory, since a process may have only so many mappings. */
#define DIRECTORY_MAPPED_BYTES (128u << 10)

/* Fills store->buckets and sets *next_block behind the highest id; removes blocks nothing uses. */
int directory_load(struct store *store, const char *path, atomic_ullong *next_block);

#endif
