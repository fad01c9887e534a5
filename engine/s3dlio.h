/* s3dlio.h - objects in S3 and its kin, as byte ranges, streams and names.
 *
 * The public interface of libs3dlio.so.0. What only the shim needs, changing objects in place among
 * it, is in s3dlio_shim.h.
 *
 * Conventions, valid for every function unless it says otherwise
 *   - Names are URIs, NUL-terminated: s3://bucket/key, file:///path, mem://bucket/key. The key is
 *     literal: no percent-decoding. "s3://" alone lists buckets.
 *   - Returns 0 or a count, or a negative errno value. On failure the object behind `ret_error`
 *     (may be NULL) says more, and out-parameters named ret_… are untouched.
 *   - Sizes and offsets are bytes, durations milliseconds, times seconds and nanoseconds of
 *     the epoch.
 *   - Thread-safe: any thread may call any function. One writer or list handle belongs to one call
 *     at a time (calls on it are serialised inside); readers may be used concurrently.
 *   - Blocking calls sleep without locks. Signals are deferred while a call works and delivered
 *     while it sleeps; a handler may call any of these functions. Threads are not cancelled inside.
 *   - After fork() call s3dlio_fork_child() in the child (the shim does); readers go on working
 *     there with connections of their own, drafts are shared with the parent, writers belong to
 *     the parent.
 *   - Nothing here changes errno deliberately, and nothing prints but warnings on stderr.
 */
#ifndef S3DLIO_H
#define S3DLIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define S3DLIO_API __attribute__((visibility("default")))

/* ---- errors ---------------------------------------------------------------------------------- */

struct s3dlio_error {
    int errnum;            /* positive errno; 0 when nothing failed */
    int http_status;       /* 0 when no answer came */
    bool retryable;        /* the same call may succeed later */
    char class_name[24];   /* "not-found", "access", "throttled", … see docs/ERRORS.md */
    char code[64];         /* the store's own code, e.g. "SlowDown" */
    char request_id[80];
    char operation[32];    /* e.g. "GetObject" */
    char message[512];     /* one line: what failed, why, what to set */
};

/* Prints the error's message on stderr the first time an error of its kind is met for its bucket.
 * For callers whose own callers see only an errno. Thread-safe. */
S3DLIO_API void s3dlio_report(const struct s3dlio_error *error);

/* ---- the runtime ----------------------------------------------------------------------------- */

S3DLIO_API const char *s3dlio_version(void);

/* Reads the configuration from `environment` (NULL: the process's own) and sets the engine up; no
 * thread is started and no socket opened. Implied by the first other call. Idempotent. */
S3DLIO_API int s3dlio_init(char *const *environment, struct s3dlio_error *ret_error);

/* Around fork(): prepare waits until no thread is inside the engine's locks and keeps others out,
 * the other two let them in again. The child's engine has no threads and no connections; both are
 * made again on first use. */
S3DLIO_API void s3dlio_fork_prepare(void);
S3DLIO_API void s3dlio_fork_parent(void);
S3DLIO_API void s3dlio_fork_child(void);

struct s3dlio_stats {
    uint64_t requests, retries, errors;
    uint64_t requests_get, requests_head, requests_put, requests_list, requests_delete;
    uint64_t requests_other;
    uint64_t bytes_received, bytes_sent;      /* bodies */
    uint64_t connections_opened;
    uint64_t memory_bytes, memory_peak_bytes; /* buffers under the budget */
    uint64_t memory_budget_bytes;
};
S3DLIO_API void s3dlio_get_stats(struct s3dlio_stats *ret_stats);

/* These and all else that is counted, as docs/STATISTICS.md describes: lines for people, one
 * line of JSON, or Prometheus' text format. Free it with s3dlio_free. 0, -ENOMEM, or -ENODATA
 * when no request was made. */
enum s3dlio_stats_format { S3DLIO_STATS_TEXT, S3DLIO_STATS_JSON, S3DLIO_STATS_PROMETHEUS };
S3DLIO_API int s3dlio_format_stats(enum s3dlio_stats_format format, char **ret_text,
                                   size_t *ret_length_bytes);
/* What the other processes of this user on this machine have counted, those that have made a
 * request and live. One piece of memory: free it with s3dlio_free. 0 or -errno: -EPERM, -ENOENT
 * where there is no directory for processes to meet in. No engine is set up for it. */
#define S3DLIO_TIME_BUCKETS 120
struct s3dlio_process {
    pid_t pid;
    char command[32];
    struct s3dlio_stats stats;       /* connections_opened is not known; memory as of its last request */
    uint64_t in_flight;
    uint64_t cache_hits, cache_misses; /* attributes and blocks */
    int64_t elapsed_ns;                /* since its first request */
    uint64_t first_byte[S3DLIO_TIME_BUCKETS]; /* how many requests took how long to it */
};
S3DLIO_API int s3dlio_processes(struct s3dlio_process **ret_processes, size_t *ret_count);
/* The time in ns that so many of a thousand requests did not exceed, within a fourth; also of the
 * differences between two calls. 0: there were none. */
S3DLIO_API uint64_t s3dlio_percentile_ns(const uint64_t buckets[S3DLIO_TIME_BUCKETS],
                                         unsigned permille);

/* One check of the endpoint behind `uri` (may be just "s3://"): reaches it, signs a request.
 * 0 when an answer came that is not a refusal of the credentials. */
struct s3dlio_probe {
    char endpoint[256];
    char region[64];
    char credential_source[128];  /* "environment", "profile NAME in FILE", "anonymous" */
    char tls[64];                 /* "TLSv1.3 …" or "none" */
    bool reachable, authorized;
    int64_t clock_offset_ms;      /* server's Date minus ours; 0 when unknown */
    int64_t round_trip_us;
};
S3DLIO_API int s3dlio_probe(const char *uri, struct s3dlio_probe *ret_probe,
                            struct s3dlio_error *ret_error);

/* ---- limits of a call ------------------------------------------------------------------------ */

/* May be NULL everywhere: then S3DLIO_OPERATION_TIMEOUT_SECS and no cancel. */
struct s3dlio_call {
    uint32_t timeout_ms;            /* 0: the configured operation timeout */
    struct s3dlio_cancel *cancel;   /* NULL: none */
};
S3DLIO_API struct s3dlio_cancel *s3dlio_cancel_new(void); /* NULL without memory */
/* Calls under it, now and later, return -ECANCELED. Safe from any thread. */
S3DLIO_API void s3dlio_cancel_trigger(struct s3dlio_cancel *cancel);
S3DLIO_API void s3dlio_cancel_free(struct s3dlio_cancel *cancel); /* no call may be using it */

/* ---- attributes ------------------------------------------------------------------------------ */

enum s3dlio_type { S3DLIO_FILE = 1, S3DLIO_DIRECTORY, S3DLIO_SYMLINK };

enum { S3DLIO_HAS_MODE = 1, S3DLIO_HAS_UID = 2, S3DLIO_HAS_GID = 4, S3DLIO_HAS_MTIME = 8,
       S3DLIO_HAS_ATIME = 16 };

struct s3dlio_attr {
    enum s3dlio_type type;
    unsigned has;            /* S3DLIO_HAS_…: which of these are stored with the object */
    uint32_t mode, uid, gid; /* permission bits only */
    bool has_xattr;          /* extended attributes are stored with it */
    uint64_t size_bytes;     /* of a symbolic link: the length of its target */
    struct timespec mtime;
    struct timespec atime;   /* without S3DLIO_HAS_ATIME: mtime. Reading changes none */
    uint64_t inode;          /* from the URI: the same in every process */
    char etag[136];          /* with its quotes; empty where the store has none */
};

/* What a path means: the object of that key, else the directory of that prefix. Follows POSIX in
 * ENOENT and ENOTDIR; "…/" at the end demands a directory. Answers from the attribute cache within
 * S3DLIO_META_TTL_MS. No function here follows symbolic links: of one that ends a path this tells
 * S3DLIO_SYMLINK, one in the middle gives -ENOTDIR; s3dlio_find_link says where it leads. */
S3DLIO_API int s3dlio_stat(const char *uri, const struct s3dlio_call *call,
                           struct s3dlio_attr *ret_attr, struct s3dlio_error *ret_error);

/* As statfs(2), of the file system that the name is in, whether it exists or not. Sends nothing.
 * -EOPNOTSUPP where the store is none: a bucket has no size. */
struct statfs;
S3DLIO_API int s3dlio_statfs(const char *uri, struct statfs *ret_statfs,
                             struct s3dlio_error *ret_error);

/* ---- reading --------------------------------------------------------------------------------- */

struct s3dlio_reader;

/* Opens the object and pins the version seen: one request, which also brings the first bytes. What
 * this process renames, removes or replaces meanwhile the reader keeps: what it lacks is fetched
 * into a spool file before, and without room for that the call that would take it away gives
 * -ENOSPC. -ENOENT, -EISDIR (a directory is there), -ENOTDIR, -EACCES, -EIO … */
S3DLIO_API int s3dlio_reader_open(const char *uri, const struct s3dlio_call *call,
                                  struct s3dlio_reader **ret_reader,
                                  struct s3dlio_error *ret_error);
/* Of a file that s3dlio_writer_close_soon has put off: 1 with a reader whose first read waits for it.
 * 0: it is stored, or it cannot be opened so. */
S3DLIO_API int s3dlio_reader_open_soon(const char *uri, struct s3dlio_reader **ret_reader);
/* The version of which s3dlio_reader_attr said this, perhaps in another process: no request. Where
 * it is no longer there the reads give -ESTALE. -ENOMEM … */
S3DLIO_API int s3dlio_reader_reopen(const char *uri, const struct s3dlio_attr *version,
                                    struct s3dlio_reader **ret_reader,
                                    struct s3dlio_error *ret_error);
S3DLIO_API void s3dlio_reader_attr(const struct s3dlio_reader *reader,
                                   struct s3dlio_attr *ret_attr);
/* As pread(2): short only at the end of the object. -ESTALE when another process has put
 * another version there.
 * `buffer` may be any memory; a range that is not writable gives -EFAULT. */
S3DLIO_API ssize_t s3dlio_reader_pread(struct s3dlio_reader *reader, void *buffer,
                                       size_t length_bytes, uint64_t offset_bytes,
                                       const struct s3dlio_call *call,
                                       struct s3dlio_error *ret_error);
/* For whoever has got a lock on the object: 1 with a reader of what another has put in the place of
 * the version that is open, *ret_newer; 0 when it is the same, or when nothing is there any more.
 * One request. */
S3DLIO_API int s3dlio_reader_newer(const struct s3dlio_reader *reader,
                                   struct s3dlio_reader **ret_newer,
                                   struct s3dlio_error *ret_error);
enum s3dlio_advice {
    S3DLIO_ADVICE_NORMAL,
    S3DLIO_ADVICE_SEQUENTIAL,
    S3DLIO_ADVICE_RANDOM,
    S3DLIO_ADVICE_WILLNEED,
    S3DLIO_ADVICE_DONTNEED,
};
/* As posix_fadvise(2); length 0 means to the end. Never blocks, never fails. What WILLNEED names is
 * fetched beside the stream and held until it is read, as far as half the memory budget goes; then
 * what was not used for longest goes. */
S3DLIO_API void s3dlio_reader_advise(struct s3dlio_reader *reader, uint64_t offset_bytes,
                                     uint64_t length_bytes, enum s3dlio_advice advice);
/* The program is likely to open these for reading, in this order: what it was given on its
 * command line, say. Those that come next are fetched ahead once it begins (S3DLIO_PREFETCH).
 * What was told before counts no more; names that are none are left out. Never blocks, never
 * fails. */
S3DLIO_API void s3dlio_expect(const char *const *uris, size_t count);
/* Can s3dlio_draft_clone make bytes of this version bytes of a new draft of `to_uri`? 0; -EXDEV:
 * another store, one that cannot copy (said once on stderr), a version that the store does not have
 * any more. */
S3DLIO_API int s3dlio_reader_can_clone(const struct s3dlio_reader *reader, const char *to_uri);
S3DLIO_API void s3dlio_reader_close(struct s3dlio_reader *reader); /* NULL is fine */

/* ---- writing --------------------------------------------------------------------------------- */

struct s3dlio_writer;

enum {
    S3DLIO_WRITE_EXCLUSIVE = 1, /* fails with -EEXIST when the object exists, at open or close */
    S3DLIO_WRITE_APPEND = 2,    /* behind what is there, if something is. When somebody else has put
                                 * another version there by the time of publishing, or has removed
                                 * it, what was appended goes behind what is there then; -ESTALE
                                 * when it cannot (bytes that were sent are not kept:
                                 * S3DLIO_KEEP_PARTS). Of drafts only while nothing but
                                 * s3dlio_draft_append changes them */
    S3DLIO_WRITE_UNNAMED = 4,   /* drafts from nothing: as O_TMPFILE. The URI stands for no name
                                 * (its bucket does count): nothing is looked up or stored, publish
                                 * and close give 0 and send nothing, until s3dlio_draft_rename */
    S3DLIO_WRITE_SOUGHT = 8,    /* the caller has just found nothing of the name: with EXCLUSIVE,
                                 * and for writers with APPEND, it is not looked for at open, only
                                 * at close */
    S3DLIO_WRITE_EMPTIES = 16,  /* what is there is emptied, not replaced: from nothing, but with
                                 * its content type, headers and extended attributes (a look at
                                 * it), as O_TRUNC has it */
};

struct s3dlio_write_options {
    unsigned flags;
    uint64_t size_hint_bytes;  /* 0: unknown */
    unsigned has;              /* S3DLIO_HAS_… */
    uint32_t mode, uid, gid;   /* stored as metadata where `has` says so; the file store gives a
                                * new file its mode also without, 0: by the umask */
    const char *content_type;  /* NULL: application/octet-stream */
};

enum {
    S3DLIO_RENAME_NOREPLACE = 1, /* -EEXIST when something has the new name */
    S3DLIO_RENAME_FOLLOW = 2,    /* of what is being written: its directory was renamed, and with
                                  * it what stood there under the old name. Nothing else is looked
                                  * at. */
};

/* Nothing is visible before close succeeds; the old object stays until then. */
S3DLIO_API int s3dlio_writer_open(const char *uri, const struct s3dlio_write_options *options,
                                  const struct s3dlio_call *call,
                                  struct s3dlio_writer **ret_writer,
                                  struct s3dlio_error *ret_error);
/* Appends; copies the data. Returns length_bytes, or the error of an earlier part's upload (then
 * and from then on). Blocks while the memory budget is spent. */
S3DLIO_API ssize_t s3dlio_writer_write(struct s3dlio_writer *writer, const void *buffer,
                                       size_t length_bytes, struct s3dlio_error *ret_error);
/* Changes bytes that were written before, where they are still in memory: a header, mostly. The
 * parts that hold them are sent once more. -EOPNOTSUPP when they are not, or reach behind the end:
 * then s3dlio_draft_from_writer may help. Returns length_bytes. */
S3DLIO_API ssize_t s3dlio_writer_patch(struct s3dlio_writer *writer, const void *buffer,
                                       size_t length_bytes, uint64_t offset_bytes,
                                       struct s3dlio_error *ret_error);
/* What attr->has says (mode, uid, gid, mtime) is stored with the object: at no cost while nothing
 * has been sent, by one copy in place after the upload otherwise. A later write takes the time
 * back. */
S3DLIO_API int s3dlio_writer_set_attr(struct s3dlio_writer *writer, const struct s3dlio_attr *attr,
                                      struct s3dlio_error *ret_error);
/* As fgetxattr(2) and its kin: s3dlio_getxattr says which names. They travel with the upload. Of
 * setxattr a `value` of NULL removes the attribute. */
S3DLIO_API ssize_t s3dlio_writer_getxattr(struct s3dlio_writer *writer, const char *name,
                                          void *value, size_t size_bytes,
                                          struct s3dlio_error *ret_error);
S3DLIO_API ssize_t s3dlio_writer_listxattr(struct s3dlio_writer *writer, char *names,
                                           size_t size_bytes, struct s3dlio_error *ret_error);
S3DLIO_API int s3dlio_writer_setxattr(struct s3dlio_writer *writer, const char *name,
                                      const void *value, size_t size_bytes, int flags,
                                      struct s3dlio_error *ret_error);
S3DLIO_API uint64_t s3dlio_writer_length(const struct s3dlio_writer *writer);
/* Gives what is being written another name: as s3dlio_draft_rename. Parts that were sent already
 * move with it, as far as they are in memory by being sent once more, else by copies of the
 * store. */
S3DLIO_API int s3dlio_writer_rename(struct s3dlio_writer *writer, const char *to_uri,
                                    unsigned flags, const struct s3dlio_call *call,
                                    struct s3dlio_error *ret_error);
/* fsync: makes what is written so far the object; nothing is sent when nothing was written. Writing
 * may go on behind it. After a failure every call but abort, close and forget returns it again. */
S3DLIO_API int s3dlio_writer_publish(struct s3dlio_writer *writer, struct s3dlio_attr *ret_attr,
                                     struct s3dlio_error *ret_error);
/* Uploads the rest, completes, frees the writer whatever happens. ret_attr may be NULL. On failure
 * the old object is unchanged and the upload aborted. */
S3DLIO_API int s3dlio_writer_close(struct s3dlio_writer *writer, struct s3dlio_attr *ret_attr,
                                   struct s3dlio_error *ret_error);
/* The same, but with S3DLIO_CLOSE=deferred 1 may come back while a new object of one request is on
 * its way; the old one is unchanged until then. s3dlio_stat answers from what was written, other
 * calls about the name wait (also those of other processes of this user that defer), and so do
 * s3dlio_list_open, s3dlio_rename, s3dlio_rmdir, s3dlio_fork_prepare, s3dlio_sync and s3dlio_settle.
 * A failure is printed, and returned by the next call about the name and by s3dlio_settle. A process
 * that is killed may not have stored it. */
S3DLIO_API int s3dlio_writer_close_soon(struct s3dlio_writer *writer,
                                        struct s3dlio_error *ret_error);
S3DLIO_API void s3dlio_writer_abort(struct s3dlio_writer *writer); /* frees; NULL is fine */
/* In a fork child: drops the child's copy without touching the parent's upload. */
S3DLIO_API void s3dlio_writer_forget(struct s3dlio_writer *writer);

/* ---- names ----------------------------------------------------------------------------------- */

struct s3dlio_list;

struct s3dlio_entry {
    const char *name;        /* relative to the listed directory; owned by the list, valid until
                              * its next call. For recursive lists it holds slashes. */
    struct s3dlio_attr attr; /* what s3dlio_stat would say. Listings show size, time and ETag; the
                              * rest is asked for where something is stored: docs/SEMANTICS.md */
    uint8_t next_is_ready;   /* 1: the next call for an entry, or the end, will not wait */
};

enum { S3DLIO_LIST_RECURSIVE = 1 };

/* Lists what is below a directory, in the store's order (bytewise), without "." and "..". Pages are
 * fetched ahead, those of a large directory several at a time. -ENOENT when neither marker nor
 * entries exist, -ENOTDIR for an object. */
S3DLIO_API int s3dlio_list_open(const char *uri, unsigned flags, const struct s3dlio_call *call,
                                struct s3dlio_list **ret_list, struct s3dlio_error *ret_error);
/* 1 with an entry, 0 at the end, or -errno. */
S3DLIO_API int s3dlio_list_next(struct s3dlio_list *list, struct s3dlio_entry *ret_entry,
                                struct s3dlio_error *ret_error);
/* Back to the beginning; what is listed then is fresh. */
S3DLIO_API int s3dlio_list_rewind(struct s3dlio_list *list, struct s3dlio_error *ret_error);
S3DLIO_API void s3dlio_list_close(struct s3dlio_list *list); /* NULL is fine */

/* Marker objects. -EEXIST, -ENOENT (no parent), -ENOTDIR. At bucket level creates the bucket. */
S3DLIO_API int s3dlio_mkdir(const char *uri, const struct s3dlio_write_options *options,
                            const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* -ENOTEMPTY, -ENOENT, -ENOTDIR. */
S3DLIO_API int s3dlio_rmdir(const char *uri, const struct s3dlio_call *call,
                            struct s3dlio_error *ret_error);
/* -ENOENT, -EISDIR. */
S3DLIO_API int s3dlio_unlink(const char *uri, const struct s3dlio_call *call,
                             struct s3dlio_error *ret_error);
/* The same for whoever removes a whole tree: a file that is known to be there, in a directory of
 * which this function has deleted one before, may be deleted after the return, together with up
 * to 999 others, and no later than the next round trip to the store. Calls of this process that
 * name objects, publish, or list anew wait for that, and so do s3dlio_list_close,
 * s3dlio_fork_prepare and s3dlio_settle. A deletion that fails then is printed, and is what the
 * next s3dlio_rmdir of a directory above it, or else s3dlio_settle, returns. A process that is
 * killed may leave the files that were not yet deleted. */
S3DLIO_API int s3dlio_unlink_soon(const char *uri, const struct s3dlio_call *call,
                                  struct s3dlio_error *ret_error);
/* Is nothing left that s3dlio_unlink_soon or s3dlio_writer_close_soon has put off? Takes no lock. */
S3DLIO_API bool s3dlio_is_settled(void);
/* Waits until all is stored that s3dlio_writer_close_soon has put off. 0, or the first failure of
 * those whose name nothing was stored under since, each time. */
S3DLIO_API int s3dlio_sync(const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* The same, and what other processes of this user have put off by now; of their failures it knows
 * nothing. */
S3DLIO_API int s3dlio_sync_everywhere(const struct s3dlio_call *call,
                                      struct s3dlio_error *ret_error);
/* Waits until s3dlio_is_settled. 0, or the first failure of a deletion that no call has returned yet,
 * else what s3dlio_sync returns. */
S3DLIO_API int s3dlio_settle(const struct s3dlio_call *call, struct s3dlio_error *ret_error);

/* As renameat2(2). Errors before anything is changed: -ENOENT, -ENOTDIR, -EISDIR, -ENOTEMPTY,
 * -EEXIST, -EINVAL (into itself), -EBUSY (a bucket), -EXDEV (another store). A file is copied by
 * the store, the copy is looked at, then the source is deleted if it is still the same version; a
 * directory is copied whole, checked whole, then deleted. Whenever this stops, each file is whole
 * under the old name or the new one, and the same call again goes on. */
S3DLIO_API int s3dlio_rename(const char *from_uri, const char *to_uri, unsigned flags,
                             const struct s3dlio_call *call, struct s3dlio_error *ret_error);

/* Stores mode, uid, gid, mtime, as attr->has says, with an object that exists: one copy in place
 * that keeps all else, none when nothing changes. For a directory with its marker, made when
 * missing. ret_attr (may be NULL) is what is there then. S3DLIO_METADATA=ignore: 0 without effect;
 * refuse: -EPERM. -EOPNOTSUPP where the store keeps no metadata, -EBUSY. */
S3DLIO_API int s3dlio_set_attr(const char *uri, const struct s3dlio_attr *attr,
                               const struct s3dlio_call *call, struct s3dlio_attr *ret_attr,
                               struct s3dlio_error *ret_error);

/* A symbolic link: an object whose body is the target and whose mode says what it is. -EEXIST,
 * -ENOENT, -ENOTDIR, -ENAMETOOLONG, -EPERM where the store keeps no metadata. */
S3DLIO_API int s3dlio_symlink(const char *target, const char *uri, const struct s3dlio_call *call,
                              struct s3dlio_error *ret_error);
/* As readlink(2): the number of bytes put into `buffer`, no NUL. -EINVAL: not a link. */
S3DLIO_API ssize_t s3dlio_readlink(const char *uri, char *buffer, size_t size_bytes,
                                   const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* After -ENOTDIR: the first symbolic link on the way to `uri`; with S3DLIO_LINK_LAST `uri` itself
 * counts. Returns how many bytes of `uri` name it, with its target and a NUL in ret_target; 0:
 * there is none. -ENAMETOOLONG, -EACCES, -EIO … */
enum { S3DLIO_LINK_LAST = 1 };
#define S3DLIO_TARGET_BYTES 4096
S3DLIO_API ssize_t s3dlio_find_link(const char *uri, unsigned flags,
                                    const struct s3dlio_call *call,
                                    char ret_target[S3DLIO_TARGET_BYTES],
                                    struct s3dlio_error *ret_error);

/* As getxattr(2) and its kin, for names that begin with "user."; others give -EOPNOTSUPP. An object
 * holds 2 KiB of metadata: -ENOSPC. user.s3.etag, user.s3.content-type, user.s3.storage-class and
 * user.s3.uri can be read, not listed or changed (-EPERM). flags: XATTR_CREATE, XATTR_REPLACE. */
S3DLIO_API ssize_t s3dlio_getxattr(const char *uri, const char *name, void *value,
                                   size_t size_bytes, const struct s3dlio_call *call,
                                   struct s3dlio_error *ret_error);
S3DLIO_API ssize_t s3dlio_listxattr(const char *uri, char *names, size_t size_bytes,
                                    const struct s3dlio_call *call,
                                    struct s3dlio_error *ret_error);
S3DLIO_API int s3dlio_setxattr(const char *uri, const char *name, const void *value,
                               size_t size_bytes, int flags, const struct s3dlio_call *call,
                               struct s3dlio_error *ret_error);
S3DLIO_API int s3dlio_removexattr(const char *uri, const char *name,
                                  const struct s3dlio_call *call, struct s3dlio_error *ret_error);

/* ---- abandoned uploads ----------------------------------------------------------------------- */

struct s3dlio_upload {
    const char *uri;         /* of the object that it would have become */
    const char *upload_id;
    struct timespec begun;
};
/* Multipart uploads to `uri` or to keys below it that were neither completed nor aborted; also
 * those that somebody is at work on. One piece of memory: free it with s3dlio_free. */
S3DLIO_API int s3dlio_uploads_list(const char *uri, const struct s3dlio_call *call,
                                   struct s3dlio_upload **ret_uploads, size_t *ret_count,
                                   struct s3dlio_error *ret_error);
/* Ends one: its parts are deleted, and whoever was at work on it fails. -ENOENT. */
S3DLIO_API int s3dlio_uploads_abort(const char *uri, const char *upload_id,
                                    const struct s3dlio_call *call,
                                    struct s3dlio_error *ret_error);

/* ---- whole objects --------------------------------------------------------------------------- */

/* Fetches [offset, offset+length) of an object into the caller's memory with concurrent ranges;
 * returns the bytes that exist there. */
S3DLIO_API ssize_t s3dlio_get_range(const char *uri, uint64_t offset_bytes, void *buffer,
                                    size_t length_bytes, const struct s3dlio_call *call,
                                    struct s3dlio_error *ret_error);
/* Fetches a whole object into memory of the engine: free it with s3dlio_free. */
S3DLIO_API int s3dlio_get(const char *uri, const struct s3dlio_call *call, void **ret_data,
                          size_t *ret_length_bytes, struct s3dlio_error *ret_error);
S3DLIO_API void s3dlio_free(void *data);

struct s3dlio_get_item {
    const char *uri;           /* in */
    void *data;                /* out: free with s3dlio_free; NULL when it failed */
    size_t length_bytes;       /* out */
    int result;                /* out: 0 or -errno */
};
/* Fetches many objects concurrently; order kept. Returns the number that failed, or -errno. */
S3DLIO_API int s3dlio_get_many(struct s3dlio_get_item *items, size_t count,
                               const struct s3dlio_call *call, struct s3dlio_error *ret_error);

S3DLIO_API int s3dlio_put(const char *uri, const void *data, size_t length_bytes,
                          const struct s3dlio_write_options *options,
                          const struct s3dlio_call *call, struct s3dlio_attr *ret_attr,
                          struct s3dlio_error *ret_error);
struct s3dlio_put_item {
    const char *uri;
    const void *data;
    size_t length_bytes;
    int result;                /* out: 0 or -errno */
};
S3DLIO_API int s3dlio_put_many(struct s3dlio_put_item *items, size_t count,
                               const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* Within one store: server-side, conditional on the source's version. Across: -EXDEV. */
S3DLIO_API int s3dlio_copy(const char *from_uri, const char *to_uri,
                           const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* The object of exactly this key; deleting what does not exist succeeds. */
S3DLIO_API int s3dlio_delete(const char *uri, const struct s3dlio_call *call,
                             struct s3dlio_error *ret_error);

#ifdef __cplusplus
}
#endif

#endif
