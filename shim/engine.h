/* The engine, loaded when the first virtual path is touched: dlopen(RTLD_NOW | RTLD_LOCAL) of
 * libs3dlio.so.0 beside the shim, or of S3DLIO_ENGINE. A process that touches no virtual path never
 * maps it. */
#ifndef S3DLIO_SHIM_ENGINE_H
#define S3DLIO_SHIM_ENGINE_H

#include <stdbool.h>

#include "s3dlio_shim.h"

#define ENGINE_FUNCTIONS(F)                                                                        \
    F(init) F(fork_prepare) F(fork_parent) F(fork_child) F(give_readers) F(end)                    \
    F(main_thread_left) F(owns_fd) F(get_stats) F(flush_log) F(format_stats) F(set_teller)         \
    F(drop_unused) F(wake_teller) F(report) F(expect) F(stat) F(statfs)                            \
    F(reader_open) F(reader_open_soon) F(reader_reopen) F(reader_attr) F(reader_pread) F(reader_newer)                 \
    F(reader_advise) F(reader_can_clone) F(reader_close)                                           \
    F(writer_open) F(writer_write) F(writer_patch) F(writer_length) F(writer_set_attr)             \
    F(writer_rename) F(writer_publish) F(writer_close_soon) F(writer_abort) F(writer_forget)       \
    F(draft_open) F(draft_from_writer) F(draft_to_writer) F(draft_handles) F(draft_adopt)          \
    F(draft_pread) F(draft_pwrite) F(draft_append) F(draft_truncate) F(draft_zero)                 \
    F(draft_allocate) F(draft_length) F(draft_seek) F(draft_refresh) F(draft_map_fd) F(draft_set_attr)              \
    F(draft_publish) F(draft_rename) F(draft_clone) F(draft_abort) F(draft_forget)                 \
    F(list_open) F(list_next) F(list_rewind) F(list_close)                                         \
    F(mkdir) F(rmdir) F(unlink) F(unlink_soon) F(is_settled) F(settle) F(sync) F(rename)           \
    F(set_attr) F(sync_everywhere)                                                                 \
    F(lazy_map) F(lazy_mode) F(lazy_shows) F(lazy_has) F(lazy_begin) F(lazy_end) F(lazy_remap)      \
    F(lazy_is_read_only) F(lazy_fill) F(lazy_advise) F(lazy_hold)                                  \
    F(lock_open) F(lock_adopt) F(lock_close) F(symlink) F(readlink) F(find_link)                   \
    F(getxattr) F(listxattr) F(setxattr) F(removexattr)                                            \
    F(writer_getxattr) F(writer_listxattr) F(writer_setxattr) F(draft_getxattr)                    \
    F(draft_listxattr) F(draft_setxattr)

struct engine_calls {
#define F(name) __typeof(s3dlio_##name) *name;
    ENGINE_FUNCTIONS(F)
#undef F
};
extern struct engine_calls engine_calls;

/* Loads it if need be: 0, or -ELIBACC with one line on stderr. Before the first engine_call that is
 * not on an open file. Any thread. */
int engine_require(void);
bool engine_is_loaded(void);

/* What the program was told of and the store not yet (s3dlio_unlink_soon, s3dlio_writer_close_soon):
 * is there nothing? */
bool engine_is_settled(void);
/* Waits for it, and returns the first failure that counts: 0 or -errno, printed already. */
int engine_settle(void);
/* The same for files that were closed, and for no deletions. */
int engine_sync(void);
/* The same for those that other processes of this user have closed as well. */
int engine_sync_everywhere(void);

/* The op-log's rows go to its file. */
void engine_flush_log(void);

/* The main thread is about to end by pthread_exit (s3dlio_main_thread_left). On that thread. */
void engine_main_left(void);

/* Around fork: no thread is loading the engine or inside its locks. */
void engine_fork_prepare(void);
void engine_fork_parent(void);
void engine_fork_child(void);

#define engine_call(name) engine_calls.name

#endif
