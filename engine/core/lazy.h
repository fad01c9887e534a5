/* Memory whose pages are fetched from an object when they are touched.
 *
 * What it is to the kernel: private anonymous memory, registered with a userfaultfd (io/uffd.h) and
 * marked not to be copied by fork. So the pages are the process's own (each mapping has its own, and
 * fork shares those that are there until somebody writes), DONTNEED gives them back and the next
 * touch fetches them again, and mincore tells which are there. Whole pages behind the object's end,
 * and a page whose bytes could not be had, are a map of an empty file: the kernel raises SIGBUS for
 * them, and EFAULT where a system call meets them. A fork that goes around s3dlio_fork_prepare
 * finds no memory there (SIGSEGV), never zeros.
 *
 *                touch                  fault                        read
 *   program ───────────────▶ kernel ─────────────▶ serving thread ─────────▶ readers of the version
 *           ◀───────────────        ◀───────────── (lazy_serve.c)  ◀─────────  (lazy_source.c)
 *                goes on                 copy
 *
 * How much comes for one fault: the 64 KiB around it; where faults follow each other, twice as much
 * each time up to a MiB, and from then on by a reader with a window ahead. Up to four such streams
 * in one map, for threads. READER_RANDOM keeps to the 64 KiB, READER_SEQUENTIAL begins with a MiB.
 *
 * Threads: some serve faults, the first is started with the first map, each further one while all
 * others are at work, up to LAZY_THREADS_MAX; one waits as long as there are maps, the others end
 * when idle (io/thread.h). They take the gate as everybody, so whoever is inside the engine must
 * not touch such memory: buffers of calls are filled before (lazy_fill), and what is filled is not
 * given back while such a call goes on (lazy_hold).
 *
 * Fork: between lazy_fork_prepare and the two others the maps are copied. The child opens a
 * userfaultfd of its own, registers every map with it and starts a thread, before fork returns.
 *
 * Locking: the gate first, then the lock here, which is taken with all signals blocked: a handler
 * that touches such memory must not wait for its own thread. It guards all state, and is held over
 * every change of the address range of a map and over putting bytes there, so that bytes never reach
 * memory that has become something else. Nothing is allocated, freed, fetched or touched under it.
 * A thread that has it passes through lazy_begin of calls that it makes itself.
 *
 * Where userfaultfd is not to be had, nothing here is: lazy_map answers -EOPNOTSUPP.
 */
#ifndef S3DLIO_CORE_LAZY_H
#define S3DLIO_CORE_LAZY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/reader.h"
#include "io/uffd.h"

/* What mmap(2) is asked for; MAP_SHARED is for reading only. */
struct lazy_request {
    void *address;
    size_t length_bytes;
    int protection, flags;
    uint64_t offset_bytes; /* whole pages */
};

/* What the first map was given; UFFD_NONE before. */
enum uffd_mode lazy_mode(void);

/* A map of the version that the reader has open, which may be closed afterwards. 0; -EOPNOTSUPP:
 * not of this (too small, not to be followed, no userfaultfd), nothing has changed (but with
 * MAP_FIXED what was mapped there may be gone): to be mapped in another way; -ENOMEM and what else
 * mmap says. Inside the gate. */
int lazy_map(struct engine *engine, struct reader *reader, const struct lazy_request *request,
             void **ret_memory, struct error *err);

/* Is one there? Not for the thread that has the lock: what it does is the map's own. */
bool lazy_has(const void *address, size_t length_bytes);

/* Was one made of that reader, and is there still? */
bool lazy_shows(const struct reader *reader);

/* Around a call that takes [address, address + length) away, or its pages: true if a map is
 * there, and the lock is held. `gone`: the range is no map any more. Outside the gate. */
bool lazy_begin(const void *address, size_t length_bytes);
void lazy_end(const void *address, size_t length_bytes, bool gone);

/* mremap(2) of a range that begins in a map. -ENOENT: it does not. Inside the gate. */
struct lazy_remap {
    void *old, *target;
    size_t old_bytes, new_bytes;
    int flags;
};
int lazy_remap(const struct lazy_remap *remap, void **ret_memory);

/* Is a page there that may never be written to, as of a shared map of a file open for reading? */
bool lazy_is_read_only(const void *address, size_t length_bytes);

/* Fetches what is missing of the range, where it lies in maps. `is_engines`: the thread is, which
 * does not leave in the middle. 0 or the first -errno. */
int lazy_fill(struct engine *engine, const void *address, size_t length_bytes, bool is_engines,
              struct limits *limits, struct error *err);
/* The same on a thread of its own, in the background. Inside the gate. */
void lazy_fill_soon(const void *address, size_t length_bytes);
void lazy_advise(const void *address, size_t length_bytes, enum reader_advice advice);
/* Whether fork copies the map: as madvise(2)'s MADV_DONTFORK says. */
void lazy_set_inherited(const void *address, size_t length_bytes, bool inherited);

/* While there are holders, pages that are there stay (lazy_is_held): somebody inside the engine
 * uses them. */
void lazy_hold(void);
void lazy_release(void);
bool lazy_is_held(void);

void lazy_fork_prepare(void); /* when the gate is closed */
void lazy_fork_parent(void);  /* before it is opened */
void lazy_fork_child_begin(void); /* before it is opened */
void lazy_fork_child(void); /* inside the gate, after descriptors and threads */

#endif
