/* s3dlio_shim.h - what a library that stands in for the system's calls needs beyond s3dlio.h.
 *
 * Exported by libs3dlio.so.0 for libs3dlio_shim.so of the same build; not installed. The conventions
 * are those of s3dlio.h.
 */
#ifndef S3DLIO_SHIM_H
#define S3DLIO_SHIM_H

#include "s3dlio.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the life of the process ----------------------------------------------------------------- */

/* A child that was not made by fork executes another program, which opens again
 * (s3dlio_reader_reopen) what this process has open for reading: other processes keep it for that
 * one, too. */
S3DLIO_API void s3dlio_give_readers(int pid);

/* The process ends: other processes keep nothing for the readers that it has open, which need not
 * be closed. */
S3DLIO_API void s3dlio_end(void);

/* The calling thread is the main one and about to end by pthread_exit; to be called from a
 * destructor of its thread-specific data (pthread_key_create). From then on the process ends when
 * the program's other threads have, by exit(0), whatever the engine's do; without it engine threads
 * delay that until they have been idle for a second, and exit handlers run on one of them. */
S3DLIO_API void s3dlio_main_thread_left(void);

/* Is this descriptor number the engine's own (socket, epoll set)? For close-everything loops. */
S3DLIO_API bool s3dlio_owns_fd(int fd);

/* The process ends: what was fetched ahead and nobody has read is counted as wasted. Before the last
 * s3dlio_format_stats. Reading goes on, from the store. */
S3DLIO_API void s3dlio_drop_unused(void);

/* Writes the rows of the op-log (S3DLIO_OPLOG) that are not in its file yet: to be called before
 * the process ends by _exit or exec; exit does so by itself. Otherwise they are written within a
 * second. */
S3DLIO_API void s3dlio_flush_log(void);

/* `tell` is called on a thread of the engine after each s3dlio_wake_teller, which signal handlers
 * may call (it is async-signal-safe); calls that come together count as one. The thread exists from
 * the first request on, in fork children, too. To be set before that, once. */
S3DLIO_API void s3dlio_set_teller(void (*tell)(void));
S3DLIO_API void s3dlio_wake_teller(void);

/* ---- changing in place ----------------------------------------------------------------------- */

/* A draft is a new version of an object that is being made with random access. Nobody else sees it
 * before it is published; then all of it is the object, or an error is returned and the object is
 * what it was. Changed bytes lie in an unlinked file in S3DLIO_SPOOL_DIR, at most
 * S3DLIO_SPOOL_LIMIT of them; the others are fetched when they are read, and copied by the store
 * when it is published.
 *
 * After fork() parent and child both have the draft, as processes have a local file: what one
 * writes the other sees at once, and what one publishes is what the other goes on from. A process
 * that is killed in the middle of a call leaves whole what was there before it.
 *
 * Offsets and lengths are bytes. Calls on one draft are serialised inside. When somebody else has
 * put another version in the place of the one it starts from, reading what was not fetched and
 * publishing give -ESTALE, and nothing is overwritten; but see S3DLIO_WRITE_APPEND: after that has
 * gone behind another version, the draft is what is at the store, and so is its length. */
struct s3dlio_draft;

enum s3dlio_draft_base {
    S3DLIO_DRAFT_EMPTY, /* from nothing; what is there is replaced at the first publish */
    S3DLIO_DRAFT_KEEP,  /* from the version that is there now, and its metadata; nothing is fetched */
};

/* -ENOENT (to keep what is not there), -EEXIST (S3DLIO_WRITE_EXCLUSIVE), -EISDIR, -ENOTDIR, … */
S3DLIO_API int s3dlio_draft_open(const char *uri, const struct s3dlio_write_options *options,
                                 enum s3dlio_draft_base base, const struct s3dlio_call *call,
                                 struct s3dlio_draft **ret_draft, struct s3dlio_error *ret_error);
/* A stream that turns random: the draft has everything that was written, and the writer is gone. On
 * failure the writer is as it was: -ENOSPC; -EOPNOTSUPP when it appends to an object and bytes that
 * it has sent are not kept (S3DLIO_KEEP_PARTS=spool keeps them all). Bytes of a new object that are
 * not kept are in the upload, which goes on: to read or change them is -EOPNOTSUPP before the next
 * publish. */
S3DLIO_API int s3dlio_draft_from_writer(struct s3dlio_writer *writer,
                                        struct s3dlio_draft **ret_draft,
                                        struct s3dlio_error *ret_error);
/* The way back, while nothing was written: the stream that does the same, and the draft is gone.
 * For a draft that no other process has. -EOPNOTSUPP when it is not like that, and it stays as it
 * was. */
S3DLIO_API int s3dlio_draft_to_writer(struct s3dlio_draft *draft, struct s3dlio_writer **ret_writer,
                                      struct s3dlio_error *ret_error);
/* exec(): the draft in the new program. Its two descriptors, which stay the engine's, are made to
 * stay open through exec, and handed to adopt there, which takes them over; on failure they are the
 * caller's. Both programs, where one is a child of fork, have the draft then, as after fork.
 * -EOPNOTSUPP where it has no such descriptors; -EINVAL for others, for those of another user or
 * another version. */
S3DLIO_API int s3dlio_draft_handles(struct s3dlio_draft *draft, int ret_fds[2]);
S3DLIO_API int s3dlio_draft_adopt(const int fds[2], struct s3dlio_draft **ret_draft,
                                  struct s3dlio_error *ret_error);
/* As pread(2). */
S3DLIO_API ssize_t s3dlio_draft_pread(struct s3dlio_draft *draft, void *buffer,
                                      size_t length_bytes, uint64_t offset_bytes,
                                      struct s3dlio_error *ret_error);
/* As pwrite(2). -ENOSPC when the spool has no room, -EFBIG; what was written before is safe. */
S3DLIO_API ssize_t s3dlio_draft_pwrite(struct s3dlio_draft *draft, const void *buffer,
                                       size_t length_bytes, uint64_t offset_bytes,
                                       struct s3dlio_error *ret_error);
/* As write(2) with O_APPEND: behind what is there by then, whoever else appends. *ret_offset_bytes
 * (may be NULL) is where it went. */
S3DLIO_API ssize_t s3dlio_draft_append(struct s3dlio_draft *draft, const void *buffer,
                                       size_t length_bytes, uint64_t *ret_offset_bytes,
                                       struct s3dlio_error *ret_error);
/* As ftruncate(2), in both directions. */
S3DLIO_API int s3dlio_draft_truncate(struct s3dlio_draft *draft, uint64_t length_bytes,
                                     struct s3dlio_error *ret_error);
/* Zeros in the place of what is there, as fallocate(2) punches a hole; the length stays. */
S3DLIO_API int s3dlio_draft_zero(struct s3dlio_draft *draft, uint64_t offset_bytes,
                                 uint64_t length_bytes, struct s3dlio_error *ret_error);
/* Room in the spool for what is written there later, where the range is a hole or behind the end;
 * as posix_fallocate(3), but the length stays. -ENOSPC: then nothing has changed. */
S3DLIO_API int s3dlio_draft_allocate(struct s3dlio_draft *draft, uint64_t offset_bytes,
                                     uint64_t length_bytes, struct s3dlio_error *ret_error);
S3DLIO_API uint64_t s3dlio_draft_length(const struct s3dlio_draft *draft);
/* As lseek(2) with SEEK_DATA, or SEEK_HOLE when `hole`: -ENXIO. */
S3DLIO_API int s3dlio_draft_seek(struct s3dlio_draft *draft, uint64_t offset_bytes, bool hole,
                                 uint64_t *ret_offset_bytes, struct s3dlio_error *ret_error);
/* Makes the range present and returns a descriptor, the caller's to close, of a file that has it at
 * the same offsets: for mmap(2) with MAP_SHARED of this range only. What is written through the
 * mapping is seen by pread, and is part of every later publish. */
S3DLIO_API int s3dlio_draft_map_fd(struct s3dlio_draft *draft, uint64_t offset_bytes,
                                   uint64_t length_bytes, int *ret_fd,
                                   struct s3dlio_error *ret_error);
/* What attr->has says (mode, uid, gid, mtime) travels with the next publish. A later write takes
 * the time back. */
S3DLIO_API int s3dlio_draft_set_attr(struct s3dlio_draft *draft, const struct s3dlio_attr *attr,
                                     struct s3dlio_error *ret_error);
/* As rename(2) of a file that is open: from then on the old name does not exist, and whatever is
 * published goes to the new one. What stands at the store under the old name (an earlier version,
 * something published) is renamed now, as s3dlio_rename does, and the draft goes on from it. When
 * nothing does, nothing is sent but questions about the new name; the first publish replaces what
 * is there then, or with S3DLIO_RENAME_NOREPLACE gives -EEXIST. Its own name: 0. -EEXIST, -EISDIR,
 * -ENOTDIR, -ENOENT (no directory of the new name; or the file was removed), -EBUSY, -EXDEV
 * (another store): the draft has its old name, and so has the object, or it is whole under both.
 * flags: S3DLIO_RENAME_… */
S3DLIO_API int s3dlio_draft_rename(struct s3dlio_draft *draft, const char *to_uri, unsigned flags,
                                   const struct s3dlio_call *call, struct s3dlio_error *ret_error);
/* As copy_file_range(2) and FICLONERANGE: bytes of the version that `from` has open become bytes of
 * the draft, and do not move through this machine: the store copies them when the draft is
 * published, a whole object of up to 5 GiB in one request. Until then reads of the draft fetch
 * them. The draft keeps its own mode, owner and time, and takes the content type unless it was
 * opened with one. Returns the number of bytes, less than length_bytes at the end of the source (0:
 * behind it); the reader may be closed then. -EXDEV where this is not possible, and the caller
 * copies bytes: another store, one that cannot copy, another offset there than here, a draft that
 * has bytes of its own or of a second source. -ESTALE from reads and publishing when the source has
 * changed. */
S3DLIO_API ssize_t s3dlio_draft_clone(struct s3dlio_draft *draft, struct s3dlio_reader *from,
                                      uint64_t from_offset_bytes, uint64_t length_bytes,
                                      uint64_t to_offset_bytes, const struct s3dlio_call *call,
                                      struct s3dlio_error *ret_error);
/* As fgetxattr(2) and its kin: s3dlio_getxattr says which names. They travel with the next publish.
 * Of setxattr a `value` of NULL removes the attribute. */
S3DLIO_API ssize_t s3dlio_draft_getxattr(struct s3dlio_draft *draft, const char *name, void *value,
                                          size_t size_bytes, struct s3dlio_error *ret_error);
S3DLIO_API ssize_t s3dlio_draft_listxattr(struct s3dlio_draft *draft, char *names,
                                           size_t size_bytes, struct s3dlio_error *ret_error);
S3DLIO_API int s3dlio_draft_setxattr(struct s3dlio_draft *draft, const char *name,
                                      const void *value, size_t size_bytes, int flags,
                                      struct s3dlio_error *ret_error);
/* fsync: makes what is written so far the object; nothing is sent when nothing has changed. Writing
 * may go on, from this version. On failure nothing has changed and it may be tried again. ret_attr
 * may be NULL. */
S3DLIO_API int s3dlio_draft_publish(struct s3dlio_draft *draft, struct s3dlio_attr *ret_attr,
                                    struct s3dlio_error *ret_error);
/* For whoever has just got a lock: unless something was changed in the draft, or is mapped, it
 * becomes the version that is there now, in all processes that have it. One request. 1 when that
 * is another version, 0, or -errno; what was removed meanwhile goes on as it is. */
S3DLIO_API int s3dlio_draft_refresh(struct s3dlio_draft *draft, struct s3dlio_error *ret_error);
/* Publishes and frees; after a failure as s3dlio_draft_abort. */
S3DLIO_API int s3dlio_draft_close(struct s3dlio_draft *draft, struct s3dlio_attr *ret_attr,
                                  struct s3dlio_error *ret_error);
/* Frees without publishing; NULL is fine. What was published stays. Other processes that have the
 * draft keep it: forget says that there are some, abort that there are none, and what was not
 * published is gone. */
S3DLIO_API void s3dlio_draft_abort(struct s3dlio_draft *draft);
S3DLIO_API void s3dlio_draft_forget(struct s3dlio_draft *draft);

/* ---- locks between processes ----------------------------------------------------------------- */

/* A file that stands for an object in the locks of flock(2) and fcntl(2): the same one for all
 * processes of this user on this machine that use its endpoint; nothing is sent to the store. The
 * descriptor is the engine's: lock it, hand it to fork, and close it by s3dlio_lock_close only.
 * Byte 0 is used to know who has it open, so a lock of an object's byte N is put on byte N + 1.
 * -ENOLCK where processes have no directory to meet in. `keeps_locks`: this process has fcntl locks
 * there already, which go when any of its descriptors of the file is closed; then the number is the
 * lowest free one, else out of the way. */
S3DLIO_API int s3dlio_lock_open(const char *uri, bool keeps_locks, int *ret_fd,
                                struct s3dlio_error *ret_error);
/* The descriptor comes from the program that this process executed before. */
S3DLIO_API void s3dlio_lock_adopt(int fd);
/* `uri` as given to open when no other process has this descriptor from a fork: then the file goes
 * with its last user. NULL otherwise. */
S3DLIO_API void s3dlio_lock_close(int fd, const char *uri);

/* ---- maps ------------------------------------------------------------------------------------ */

/* Memory whose pages are fetched when they are touched, by userfaultfd(2). In a child of fork it
 * is what it is here, if s3dlio_fork_prepare was called, and not there otherwise. A page that
 * cannot be had is SIGBUS, and a line on stderr says why; so are pages behind the object's end. */
enum s3dlio_lazy_mode {
    S3DLIO_LAZY_NONE, /* there is none so far */
    S3DLIO_LAZY_USER, /* a system call that meets a page which is not there gives EFAULT */
    S3DLIO_LAZY_ALL,  /* it waits as the program does */
};
S3DLIO_API enum s3dlio_lazy_mode s3dlio_lazy_mode(void);
/* As mmap(2) of a file that is open for reading. -EOPNOTSUPP: this is to be mapped in another way
 * (too small by S3DLIO_MMAP_THRESHOLD, executable, populated, no userfaultfd, …); with MAP_FIXED what
 * was there before may be gone. The reader may be closed afterwards. */
S3DLIO_API int s3dlio_lazy_map(struct s3dlio_reader *reader, void *address, size_t length_bytes,
                               int protection, int flags, uint64_t offset_bytes,
                               void **ret_memory);
/* Is such memory there? False for calls that the engine makes on the memory itself. */
S3DLIO_API bool s3dlio_lazy_has(const void *address, size_t length_bytes);
/* Is there any that was made of this reader? */
S3DLIO_API bool s3dlio_lazy_shows(const struct s3dlio_reader *reader);
/* Around munmap(2) and whatever else puts something in the place of pages: true where there is
 * such memory, and then no page comes before s3dlio_lazy_end, and all signals are blocked. With
 * `gone` the range is not fetched any more. */
S3DLIO_API bool s3dlio_lazy_begin(const void *address, size_t length_bytes);
S3DLIO_API void s3dlio_lazy_end(const void *address, size_t length_bytes, bool gone);
/* As mremap(2). -ENOENT: no such memory is at `old`. */
S3DLIO_API int s3dlio_lazy_remap(void *old, size_t old_bytes, size_t new_bytes, int flags,
                                 void *target, void **ret_memory);
/* Is it a shared map of a file that is open for reading only? */
S3DLIO_API bool s3dlio_lazy_is_read_only(const void *address, size_t length_bytes);
/* Fetches what is not there yet: before a system call, or one of these functions, is given the
 * memory. Memory of other kinds is passed over. */
S3DLIO_API int s3dlio_lazy_fill(const void *address, size_t length_bytes);
/* What madvise(2), with its numbers, means for such memory: 1 when the kernel is to be asked, too; 0
 * when all is done; -errno. */
S3DLIO_API int s3dlio_lazy_advise(void *address, size_t length_bytes, int advice);
/* While a function here has such memory as a buffer (`held`), until it has returned, MADV_DONTNEED
 * takes no page away. */
S3DLIO_API void s3dlio_lazy_hold(bool held);

#ifdef __cplusplus
}
#endif

#endif
