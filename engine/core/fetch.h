/* One byte range being fetched: a GET that resumes where it stopped.
 *
 * The owner says where bytes go (space, commit) and learns of the object and the end. After a
 * failure in the middle the rest is asked for with If-Match on the version that the first bytes
 * came from; a version that differs ends the fetch with ERROR_CHANGED. The range may reach beyond
 * the end of the object: then it is shortened when the object is known. Under the shard's lock, as
 * core/call.h.
 */
#ifndef S3DLIO_CORE_FETCH_H
#define S3DLIO_CORE_FETCH_H

#include "core/call.h"

/* A connection is worth this many bytes: of what nobody wants any more fewer are received and
 * dropped rather than cut off. */
#define FETCH_DRAIN_BYTES (UINT64_C(256) << 10)

struct fetch;

struct fetch_ops {
    /* As store_sink: room for the bytes from offset + received on; 0 pauses until fetch_resume. */
    size_t (*space)(struct fetch *fetch, void **ret_where);
    void (*commit)(struct fetch *fetch, size_t length);
    void (*on_object)(struct fetch *fetch); /* once; may be NULL */
    void (*on_done)(struct fetch *fetch);   /* call.request.error says how; may be NULL */
};

enum fetch_need {
    FETCH_GUESS,
    FETCH_SOON, /* somebody will wait for it, unless it comes in time */
    FETCH_NOW,  /* somebody waits */
};

struct fetch {
    struct call call;
    struct store_sink sink;
    const struct fetch_ops *ops;
    uint64_t offset, length, received; /* bytes; length shrinks to what exists */
    uint64_t object_size_bytes;        /* valid when size_known: the owner may know it before */
    char etag[STORE_ETAG_MAX];         /* "": take what comes */
    bool object_known, size_known, progressed, paused;
    enum fetch_need need;  /* the most it ever was */
    bool answered;         /* the request that is under way */
    bool was_late;         /* it was asked for twice, if it could be */
    int64_t sent_ns;       /* when it was handed to the store */
    int64_t first_sent_ns; /* hedged: when the first of the two was sent */
    int64_t moved_ns;      /* when it last got a byte, or could not have */
    unsigned given_up;     /* requests in a row that stood still */
    struct shard_timer late_timer;
};

/* etag: the version wanted, or "" for whatever is there. */
void fetch_init(struct fetch *fetch, struct engine *engine, const struct uri *uri,
                struct store *store, const struct limits *limits);
void fetch_start(struct fetch *fetch, uint64_t offset, uint64_t length, const char *etag);
/* Its bytes are needed: an answer that is late is hedged (core/latency.h), that is the same is asked
 * for once more, and whichever answer begins first is taken; one that stands still later on is left,
 * and the rest asked for again. What is needed only soon may take twice as long. */
void fetch_want(struct fetch *fetch, enum fetch_need need);
void fetch_resume(struct fetch *fetch);  /* space() has room again */
bool fetch_advance(struct fetch *fetch); /* receive now, on this thread */
void fetch_fini(struct fetch *fetch);

#endif
