/* Before the bytes of an object go: what an open reader lacks of them is fetched, so that it goes
 * on with what it opened. */
#ifndef S3DLIO_CORE_READER_KEEP_H
#define S3DLIO_CORE_READER_KEEP_H

#include "core/limits.h"

struct reader;

/* The caller holds a reference. Fetches, in concurrent ranges, what the reader has not in memory;
 * nothing when it has all, or when its version is gone already. With 0 the reader and every other
 * one of the same version at its name read from the copy and are out of the registry. Otherwise
 * -errno, with *err saying what to do, and readers are as they were. Sleeps, no lock held. */
int reader_keep(struct reader *reader, const struct limits *limits, struct error *err);

#endif
