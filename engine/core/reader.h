/* An object open for reading: sequential streams with read-ahead, random reads without.
 *
 * Opening is one ranged GET, which also brings the first bytes. Every later range carries If-Match:
 * a reader never mixes two versions, and once another was seen every read says ESTALE. Changes that
 * this process makes to the object do not disturb it (core/reader_registry.h).
 *
 * Any number of threads may read at once. The reader's shard's lock guards the window of ranges and
 * the blocks; reads that fetch exactly what was asked run on other shards. In a fork child the
 * first call drops what was in flight and keeps what had arrived.
 *
 * Nothing here knows POSIX offsets or flags; a read is (offset, length) and short only at the end.
 */
#ifndef S3DLIO_CORE_READER_H
#define S3DLIO_CORE_READER_H

#include <sys/types.h>

#include "core/attr.h"
#include "core/limits.h"

struct engine;
struct reader;

struct reader_target {
    void *buffer;
    size_t length_bytes;
    uint64_t offset_bytes;
};

enum reader_advice {
    READER_NORMAL,
    READER_SEQUENTIAL,
    READER_RANDOM,
    READER_WILLNEED,
    READER_DONTNEED,
};

int reader_open(struct engine *engine, const struct uri *uri, const struct limits *limits,
                struct reader **ret_reader, struct error *err);
/* The same for the version that `attr` tells of (ETag and size), without a request. `owner` (may be
 * NULL) is who reads it in order to replace it: that replacement does not mind this reader. */
int reader_open_version(struct engine *engine, const struct uri *uri, const struct attr *attr,
                        const void *owner, struct reader **ret_reader, struct error *err);
/* The same for what is on its way there with these bytes, as the put of that serial (core/deferred.h),
 * which the first read waits for. The bytes are copied; of few only. */
struct reader_put {
    const void *data;
    uint64_t size_bytes, serial;
};
int reader_open_put(struct engine *engine, const struct uri *uri, const struct attr *attr,
                    const struct reader_put *put, struct reader **ret_reader, struct error *err);
/* Of what stands now where the reader's version is, or was: 1 with a reader of that if it is another
 * version, or this one gave ESTALE; 0: it is the same, or nothing is there. One request. */
int reader_open_newer(const struct reader *reader, const struct limits *limits,
                      struct reader **ret_reader, struct error *err);
/* Opens, reads once and closes, in as few requests: what exists of the target's bytes. */
ssize_t reader_get(struct engine *engine, const struct uri *uri, const struct reader_target *target,
                   struct limits *limits, struct error *err);
const struct attr *reader_attr(const struct reader *reader);
/* Under which name and ETag the store has the version that is open. False: it has it no more, or
 * as a part of another one only, for this process has removed, replaced or added to it. */
bool reader_locate(const struct reader *reader, struct uri *ret_uri, struct attr *ret_attr);
/* Of the version that is open: "" when unknown, and whether tags belong to it. */
const char *reader_content_type(const struct reader *reader);
bool reader_is_tagged(const struct reader *reader);
ssize_t reader_pread(struct reader *reader, const struct reader_target *target,
                     struct limits *limits, struct error *err);
void reader_advise(struct reader *reader, uint64_t offset_bytes, uint64_t length_bytes,
                   enum reader_advice advice);
void reader_close(struct reader *reader); /* NULL is fine */
/* The process ends: what has come for open readers and was not read is dropped, and so counted. */
void reader_drop_all_unread(struct engine *engine);

#endif
