/* What a store has to do: one asynchronous request interface, one row in a static table.
 *
 * The core above knows nothing of vendors: it sees a capability mask and submits requests. A
 * store turns each into its protocol (s3: HTTP on the shard's connections; file and mem: done at
 * once) and ends it in request->on_done with typed results. Retries, splitting, scheduling,
 * caching belong to the core; a store repeats by itself only what needs vendor knowledge, once
 * each: another region, a refreshed token, a corrected clock.
 *
 * Threads: submit and abandon are called inside the gate with request->shard's lock held; callbacks
 * come with it held, on whichever thread drives, possibly before submit returns. A request belongs
 * to the store from submit to on_done; its strings and memory must stay valid that long.
 *
 * To add a store: one file with a const struct store_ops, one row in store.c.
 */
#ifndef S3DLIO_STORE_STORE_H
#define S3DLIO_STORE_STORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <time.h>

#include "base/error.h"
#include "io/shard.h"

struct options;
struct statfs;
struct store;

/* ---- capabilities --------------------------------------------------------------------------- */

enum store_capability {
    STORE_CAP_IF_NONE_MATCH = 1 << 0, /* conditional create by put and complete */
    STORE_CAP_IF_MATCH_PUT = 1 << 1,
    STORE_CAP_PART_COPY = 1 << 2,
    STORE_CAP_COPY = 1 << 3,
    STORE_CAP_DELETE_MANY = 1 << 4,  /* at most 1,000 keys a request */
    STORE_CAP_LIST_ORDERED = 1 << 5, /* bytewise, start_after works */
    STORE_CAP_METADATA = 1 << 6,
    STORE_CAP_INLINE = 1 << 7,      /* requests end within submit, on the calling thread: reading
                                        * ahead gains nothing, every read goes straight */
    STORE_CAP_EQUAL_PARTS = 1 << 8, /* all parts but the last must have one size */
    STORE_CAP_REAL_DIRECTORIES = 1 << 9, /* directories exist by themselves (file) */
    STORE_CAP_RENAME = 1 << 10,          /* renames files and directories itself, atomically */
    /* Modes, owners and times are attributes of what is stored, and answers tell them. Of metadata
     * only what sets these is kept: mode, uid, gid, mtime, xattr. Answered on the spot, so that
     * nobody need remember them: others change them at any time. */
    STORE_CAP_ATTRIBUTES = 1 << 11,
};

/* ---- objects -------------------------------------------------------------------------------- */

#define STORE_ETAG_MAX        136
#define STORE_UPLOAD_ID_MAX   1024
#define STORE_METADATA_MAX    8192 /* bytes of names and values together */
#define STORE_PART_MIN        (UINT64_C(5) << 20)
#define STORE_PART_MAX        (UINT64_C(5) << 30)
#define STORE_PARTS_MAX       10000
#define STORE_DELETE_MANY_MAX 1000

/* Object metadata (x-amz-meta-*): pairs "name\0value\0" in a row, names in lower case. A name that
 * begins with ':' is one of the object's own headers (":cache-control"), kept here so that whoever
 * writes an object anew under its old metadata keeps those, too. */
#define STORE_TAGS      ":x-amz-tagging"       /* k=v&…: put, create; answer to STORE_GET_TAGS */
#define STORE_TAG_COUNT ":x-amz-tagging-count" /* get, head: there are tags; not stored */
struct store_metadata {
    char *data; /* owned; NULL when empty */
    size_t length;
};
/* The value or NULL. */
const char *store_metadata_get(const struct store_metadata *metadata, const char *name);
int store_metadata_add(struct store_metadata *metadata, const char *name, const char *value);
/* Adds, replaces or (value NULL) removes. 0, -ENOMEM, -E2BIG. */
int store_metadata_set(struct store_metadata *metadata, const char *name, const char *value);
/* *ret_copy, empty before, becomes the same. 0 or -ENOMEM. */
int store_metadata_copy(const struct store_metadata *metadata, struct store_metadata *ret_copy);
void store_metadata_fini(struct store_metadata *metadata);

/* With STORE_CAP_ATTRIBUTES: of the thing itself, as stat(2) says. */
struct store_attributes {
    bool known;
    uint32_t mode, uid, gid; /* permission bits only */
    struct timespec atime;
};

struct store_object {
    uint64_t size_bytes;
    struct timespec mtime;     /* Last-Modified; metadata may say better */
    char etag[STORE_ETAG_MAX]; /* as sent, with quotes; "" when the store gave none */
    char content_type[128];
    struct store_attributes attributes;
    struct store_metadata metadata; /* by get and head only */
};

/* One page of a listing, built by the store, freed by the caller with store_page_free. */
struct store_entry {
    const char *key; /* whole key; owned by the page. A prefix ends in '/' */
    uint64_t size_bytes;
    struct timespec mtime;
    char etag[STORE_ETAG_MAX];
    char storage_class[24]; /* "" where the store tells none */
    bool is_prefix;         /* a common prefix; only `key` is set, and what is known by itself: */
    struct store_attributes attributes; /* known: of a prefix mtime is set, too */
};
struct store_page {
    struct store_entry *entries; /* in bytewise order of the key, prefixes merged in */
    size_t count;
    char *next_token; /* NULL on the last page */
    void *arena;      /* owns the strings */
};
void store_page_free(struct store_page *page);

/* The upload that an entry of a STORE_UPLOAD_LIST page means: its id lies behind the key's NUL. */
const char *store_entry_upload_id(const struct store_entry *entry);

/* A page under construction. add copies the strings: 0 or -ENOMEM. finish sorts, hands the page
 * over and frees the builder, also when it returns NULL (no memory). */
struct store_page_builder;
struct store_page_builder *store_page_builder_new(void);
int store_page_builder_add(struct store_page_builder *builder, const struct store_entry *entry);
int store_page_builder_add_upload(struct store_page_builder *builder,
                                  const struct store_entry *entry, const char *upload_id);
size_t store_page_builder_count(const struct store_page_builder *builder);
struct store_page *store_page_builder_finish(struct store_page_builder *builder,
                                             const char *next_token);
void store_page_builder_free(struct store_page_builder *builder);

struct store_part {
    unsigned number; /* from 1 */
    uint64_t size_bytes;
    char etag[STORE_ETAG_MAX];
    uint32_t crc32c;
    bool has_crc32c;
};

/* ---- requests ------------------------------------------------------------------------------- */

enum store_operation {
    STORE_GET, /* range [offset, offset+length); length 0: from offset to the end */
    STORE_HEAD,
    STORE_PUT,          /* body */
    STORE_DELETE,       /* success also when it did not exist */
    STORE_DELETE_MANY,  /* keys */
    STORE_COPY,         /* source_* → key */
    STORE_RENAME,       /* source_* → key; with STORE_CAP_RENAME only */
    STORE_LIST,         /* prefix, delimiter, start_after, token, max_keys → page */
    STORE_LIST_BUCKETS, /* → page, entries are prefixes "name/" */
    STORE_CREATE_BUCKET,
    STORE_DELETE_BUCKET,
    STORE_UPLOAD_CREATE,    /* → upload_id */
    STORE_UPLOAD_PART,      /* body, upload_id, part_number → part */
    STORE_UPLOAD_PART_COPY, /* source_*, offset, length → part */
    STORE_UPLOAD_COMPLETE,  /* parts */
    STORE_UPLOAD_ABORT,
    STORE_GET_TAGS,    /* → object.metadata has STORE_TAGS, if there are any */
    STORE_UPLOAD_LIST, /* uploads in flight below prefix, token → page; mtime is the beginning */
    STORE_OPERATION_COUNT,
};

/* Where the body of STORE_GET goes. */
struct store_sink {
    /* Room for the next bytes; 0 pauses until store_request_resume. */
    size_t (*space)(struct store_sink *sink, void **ret_where);
    /* `length` bytes arrived there. */
    void (*commit)(struct store_sink *sink, size_t length);
};

struct store_request {
    /* what: set by the owner, untouched by the store */
    enum store_operation operation;
    struct store *store;
    struct shard *shard;
    void (*on_done)(struct store_request *request);
    /* STORE_GET, optional: status and object are known and fit what was asked; bytes follow. */
    void (*on_object)(struct store_request *request);
    int64_t deadline_ns; /* CLOCK_NEVER: none */

    const char *bucket, *key;
    uint64_t offset, length;
    struct store_sink *sink;
    const char *if_match; /* ETag or NULL; get, put, delete, copy source, complete */
    bool if_none_match;   /* put, complete, rename: must not exist */
    const struct iovec *body;
    unsigned body_count;
    uint32_t body_crc32c;
    bool has_body_crc32c;
    const struct store_metadata *metadata; /* put, upload create, copy (then it replaces) */
    const char *content_type;
    const char *source_bucket, *source_key; /* copy, part copy; if_match is the source's */
    bool drop_tags;                         /* STORE_COPY: the source's tags do not go with it */
    const char *storage_class;              /* copy without metadata; NULL: the store's own */
    const char *upload_id;
    unsigned part_number;
    bool upload_crc32c;    /* create: declare CRC32C FULL_OBJECT; complete: parts carry it */
    uint32_t total_crc32c; /* complete, with upload_crc32c */
    const struct store_part *parts;
    unsigned part_count;
    const char *const *keys;
    unsigned key_count;
    const char *prefix, *start_after, *token;
    const char *delimiter; /* NULL or "/" */
    unsigned max_keys;     /* 0: the store's own, 1,000 */

    /* the answer: set by the store before on_done */
    struct error error;         /* class ERROR_NONE: it worked */
    struct store_object object; /* get, head; etag after put, complete, copy */
    bool object_is_range;       /* get: object.size_bytes is the whole, not this range */
    struct store_page *page;    /* owner frees */
    struct store_part part;
    char returned_upload_id[STORE_UPLOAD_ID_MAX];
    uint64_t bytes_received; /* of the body into the sink */
    bool sent_twice;         /* an earlier sending got no answer and may have worked */
    int64_t sent_ns;         /* when its first byte was sent; 0: the store does not tell */
    int64_t first_byte_ns;   /* when the answer began; 0: the store does not tell */

    /* the store's own */
    void *private;
};

/* Zeroes and sets the defaults. */
void store_request_init(struct store_request *request, enum store_operation operation,
                        struct store *store, struct shard *shard,
                        void (*on_done)(struct store_request *));
/* Frees what the answer holds (page, metadata); the request may be used again. */
void store_request_fini(struct store_request *request);

/* ---- the vtable ----------------------------------------------------------------------------- */

struct store_description {
    char endpoint[256], region[64], credential_source[128], tls[64];
    int64_t clock_offset_ms;
};

struct store_stats {
    uint64_t connections_opened, connections_reused;
};

struct store_ops {
    const char *scheme; /* "s3" */
    unsigned capabilities;
    /* A store instance for the configuration; called once for each scheme in use. */
    int (*open)(const struct options *options, struct store **ret_store, struct error *err);
    void (*close)(struct store *store);
    /* In a fork child, before its first use there; may be NULL. */
    void (*reset_child)(struct store *store);
    void (*submit)(struct store_request *request);
    void (*resume)(struct store_request *request); /* may be NULL: never pauses */
    /* Receive now on the calling thread; true when something moved. May be NULL. */
    bool (*advance)(struct store_request *request);
    /* Forget it: on_done is not called, its memory is free on return (store_request_fini frees what
     * of the answer had come). Also from inside the request's own callbacks. */
    void (*abandon)(struct store_request *request);
    /* Which of `count` shards serves this object range; NULL: the core spreads by itself. */
    unsigned (*choose_shard)(struct store *store, const char *bucket, const char *key,
                             uint64_t offset, unsigned count);
    /* May be NULL. For doctor: endpoint, region, credential source as text. */
    void (*describe)(struct store *store, struct store_description *ret_description);
    void (*get_stats)(struct store *store, struct store_stats *stats); /* adds; may be NULL */
    /* May be NULL: there is no file system. Of the one that the key is in, or would be. On the
     * spot. 0, or -errno with *err. */
    int (*statfs)(struct store *store, const char *bucket, const char *key,
                  struct statfs *ret_statfs, struct error *err);
};

/* First member of every store's own struct. */
struct store {
    const struct store_ops *ops;
    atomic_uint capabilities; /* of this instance: may be less than the table's, and become less */
    uint64_t copy_max_bytes; /* what STORE_COPY copies at most; 0: STORE_PART_MAX */
};
static inline uint64_t store_copy_max(const struct store *store)
{
    return store->copy_max_bytes ? store->copy_max_bytes : STORE_PART_MAX;
}

/* It has turned out that this instance does not have them: whoever asks from now on goes the other
 * way. Says what that costs, once a process. Any thread. */
void store_lose(struct store *store, unsigned capabilities);
/* Only the latter; nothing for those of which there is nothing to say. */
void store_tell_lack(unsigned capabilities);

/* The row for a scheme, or NULL. */
const struct store_ops *store_find(const char *scheme);
const struct store_ops *store_at(unsigned index); /* NULL behind the last */

static inline void store_submit(struct store_request *request)
{
    request->store->ops->submit(request);
}
static inline void store_request_resume(struct store_request *request)
{
    if (request->store->ops->resume)
        request->store->ops->resume(request);
}
static inline bool store_advance(struct store_request *request)
{
    return request->store->ops->advance && request->store->ops->advance(request);
}
static inline void store_abandon(struct store_request *request)
{
    request->store->ops->abandon(request);
}

/* May the key be in a STORE_DELETE_MANY? XML has no form for most control characters. */
bool store_key_batches(const char *key);

/* What the operation is called in messages and logs: "GetObject", … */
const char *store_operation_name(enum store_operation operation);

#endif
