/* The op-log: every request of this process as a row of a zstd-compressed table (docs/OPLOG.md).
 *
 * Rows go into memory that does not grow; a thread of the engine, there while there are rows,
 * compresses and writes them within a second, each time as a frame of its own, so that whatever
 * happens to the process the file can be read up to there. Where it cannot keep up rows are
 * dropped: requests never wait for it. How many were is told in the file and on stderr.
 *
 * The file is opened with the first rows, and added to. It is held by a lock: a process that finds it
 * taken, and each fork child, takes one with its process id in the name. A failure is told once, and
 * ends the log of the process.
 */
#ifndef S3DLIO_CORE_OPLOG_H
#define S3DLIO_CORE_OPLOG_H

#include "base/error.h"
#include "store/store.h"

struct oplog;

struct oplog_row {
    enum store_operation operation;
    struct store *store;
    const char *bucket, *name; /* key or prefix; NULL: none */
    const struct error *error; /* NULL: none */
    bool abandoned;
    uint16_t thread;
    uint64_t objects, bytes;
    int64_t submitted_ns, first_byte_ns, ended_ns; /* of CLOCK_MONOTONIC; first_byte_ns 0: none */
};

/* name: as S3DLIO_OPLOG has it. NULL without memory. */
struct oplog *oplog_new(const char *name);
/* Only while nothing was added. NULL is fine. */
void oplog_free(struct oplog *log);
/* Inside the gate; its lock is a leaf. Strings are copied. */
void oplog_add(struct oplog *log, const struct oplog_row *row);
/* Writes what was added, on the calling thread, and what was dropped. Outside the gate. */
void oplog_flush(struct oplog *log);
/* In a fork child: what was added is the parent's, and so is its file. */
void oplog_reset_child(struct oplog *log);

#endif
