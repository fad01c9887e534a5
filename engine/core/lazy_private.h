/* What the files of lazy maps share: lazy.c (the table), lazy_remap.c, lazy_source.c (where bytes come from),
 * lazy_fill.c (getting them there), lazy_serve.c (threads). Locks and all else: lazy.h. */
#ifndef S3DLIO_CORE_LAZY_PRIVATE_H
#define S3DLIO_CORE_LAZY_PRIVATE_H

#include "core/engine.h"
#include "core/lazy.h"

#define LAZY_THREADS_MAX 16u
#define LAZY_BLOCK_BYTES ((size_t)64 << 10)
#define LAZY_CHUNK_BYTES ((size_t)1 << 20) /* fetched at once, at most; also what a stream takes */
#define LAZY_STREAMS     4u

/* A place in the object where faults follow each other. Under the lock; `reader` is used by the one
 * thread that has set `busy`. */
struct lazy_stream {
    uint64_t next_offset; /* behind what was fetched last; 0: unused */
    size_t chunk_bytes;   /* what was fetched last */
    uint64_t used;        /* when, by count */
    struct reader *reader; /* NULL: not yet worth one */
    bool busy;
};

/* The version behind a map. References; the last one is given back inside the gate, without the
 * lock. */
struct lazy_source {
    atomic_uint references;
    atomic_bool told; /* that it could not be read */
    const struct reader *origin; /* what the map was made of; to be compared only */
    uint64_t size_bytes;
    struct reader *random; /* for exact reads of any thread */
    struct lazy_stream streams[LAZY_STREAMS];
    uint64_t uses;
};

struct lazy_range {
    struct lazy_range *next;
    uintptr_t start, end; /* whole pages that the object reaches into */
    uint64_t offset;      /* of `start` in the object */
    struct lazy_source *source; /* one reference */
    bool is_shared;
    bool not_inherited;
    enum reader_advice advice;
};

/* Bytes on their way to [start, end); on the fetching thread's stack. Listed for a thread of the engine. */
struct lazy_flight {
    struct lazy_flight *next;
    uintptr_t start, end;
    uint64_t offset;
    struct lazy_source *source; /* one reference */
    struct lazy_stream *stream; /* NULL: exact */
    bool reads_ahead;           /* by the stream's reader */
};

/* Work for a serving thread besides faults. */
struct lazy_job {
    struct lazy_job *next;
    uintptr_t start, end;
};

struct lazy {
    enum uffd_mode mode;
    int uffd, event; /* -1: none; `event` wakes the thread that waits for faults */
    int empty;       /* the empty file behind pages that are none */
    struct lazy_range *ranges, *spares;
    struct lazy_flight *flights;
    struct lazy_job *jobs;
    unsigned threads, idle, filling; /* of them: without work, at jobs */
    bool has_leader;                 /* one waits for faults */
    _Atomic uint32_t wakes;          /* idle threads sleep on it */
    _Atomic uint32_t holders;
};
extern struct lazy lazy;

/* False: this thread has it already. */
bool lazy_lock(void);
void lazy_unlock(void);

/* The lowest range that meets [start, end); NULL. Under the lock. */
struct lazy_range *lazy_find(uintptr_t start, uintptr_t end);
/* Takes [start, end) out of the table; one that is cut in two takes a spare one. Returns what is to
 * be freed by lazy_ranges_free, inside the gate without the lock. Under the lock. */
struct lazy_range *lazy_cut(uintptr_t start, uintptr_t end);
void lazy_ranges_free(struct lazy_range *gone);
void lazy_add(struct lazy_range *range);
/* Registers the memory of a range. */
int lazy_register(const struct lazy_range *range);
/* SIGBUS from now on. 0 or -errno. Under the lock. */
int lazy_map_nothing(uintptr_t start, uintptr_t end);
uintptr_t lazy_page_up(uintptr_t address);

/* lazy_source.c */
struct lazy_source *lazy_source_new(struct engine *engine, struct reader *reader, struct error *err);
void lazy_source_unref(struct lazy_source *source); /* NULL is fine */
/* What to fetch for a touch of the page at `address`. Under the lock; lazy_flight_end gives back
 * what it takes. */
void lazy_plan(const struct lazy_range *range, uintptr_t address, struct lazy_flight *ret_flight);
/* The bytes of a flight, with zeros behind the object's end; no lock. 0 or -errno. */
int lazy_read(struct engine *engine, const struct lazy_flight *flight, char *buffer,
              struct limits *limits, struct error *err);

/* lazy_fill.c */
/* Others wait for it from now on, so it has to end: not on a thread of the program, which may leave by
 * longjmp. Under the lock. */
void lazy_flight_list(struct lazy_flight *flight);
/* Puts the bytes where they belong if that is still theirs, and wakes whoever waits there. `result`:
 * of lazy_read; the page at `failed` (0: none) is nothing from now on if it is an error. Without
 * the lock. */
void lazy_flight_end(struct lazy_flight *flight, const char *buffer, int result, uintptr_t failed);
/* Is the page on its way already? Under the lock. */
bool lazy_is_coming(uintptr_t address);
/* The first run of pages of [start, end) that are not there, at most a chunk; false: all are. Under
 * the lock. */
bool lazy_missing(uintptr_t start, uintptr_t end, uintptr_t *ret_start, uintptr_t *ret_end);

/* lazy_serve.c: without the lock, inside the gate */

/* A thread is there that waits for faults. 0 or -errno. */
int lazy_serve(void);
void lazy_serve_job(struct lazy_job *job); /* takes it over */
/* The one that waits looks whether there still are maps. Anywhere. */
void lazy_serve_look(void);
/* In a fork child: the parent's threads are not here. */
void lazy_serve_reset_child(void);

#endif
