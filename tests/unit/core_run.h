/* What the tests of core and api share: an engine over the fault store (which wraps mem and answers
 * asynchronously where a rule delays it), inside a gate and a call. */
#ifndef S3DLIO_TESTS_UNIT_CORE_RUN_H
#define S3DLIO_TESTS_UNIT_CORE_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <cmocka.h>

#include "core/engine.h"
#include "core/limits.h"
#include "io/gate.h"
#include "s3dlio_shim.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* Options for the engine, "NAME=value" each; before the first other call. */
void core_run_set_option(const char *assignment);
/* S3DLIO_FILE_ROOT: a new directory, whose name this gives. A group's teardown deletes it. */
const char *core_run_make_file_root(void);
int core_run_remove_file_root(void **state);
struct engine *core_run_engine(void);
/* The gate and a call of ten seconds around core functions. */
struct core_run_scope {
    struct gate_scope gate;
    struct limits limits;
};
void core_run_enter(struct core_run_scope *scope);
void core_run_leave(struct core_run_scope *scope);

/* The fault store: what it can do is for a test to take away. */
struct store *core_run_store(void);
/* Rules of the fault store (fault.h); NULL drops them all. */
void core_run_faults(const char *rules);
/* How often the operation reached the store since core_run_reset_counts. */
uint64_t core_run_count(enum store_operation operation);
/* The same for all operations, and for those that change what is stored. */
uint64_t core_run_requests(void);
uint64_t core_run_changes(void);
void core_run_reset_counts(void);
/* Requests of the engine to read something that have no end yet. */
unsigned core_run_reads_under_way(void);
/* Until nothing is remembered of names and attributes: S3DLIO_META_TTL_MS. */
void core_run_let_ttl_pass(void);

/* Setups of a test: no rules, a store that can do all it could at first, counts at zero; the second
 * remembers no names of the test before either; the third is for setups of one's own: these two
 * objects are gone. */
int core_run_clear(void **state);
int core_run_clear_names(void **state);
int core_run_clear_objects(const char *first, const char *second);

/* What a function of s3dlio.h returned is no error; if it is, the test fails with what it says. */
void core_run_must(ssize_t r, const struct s3dlio_error *error);
struct s3dlio_reader *core_run_open_reader(const char *uri);
struct s3dlio_draft *core_run_open_draft(const char *uri, enum s3dlio_draft_base base,
                                         const struct s3dlio_write_options *options);

/* fork, with the engine told. Gives 0 in the child, which ends by _exit. */
pid_t core_run_fork(void);
/* Until the child has ended, with status 0. */
void core_run_wait_for(pid_t pid);

/* A bucket of its own for each test: "fault://NAME". */
void core_run_make_bucket(const char *name);
/* Byte `offset` of every test object. */
unsigned char core_run_byte(uint64_t offset);
void core_run_fill(unsigned char *buffer, size_t length, uint64_t offset);
/* Is it the pattern? Names the first byte that is not. */
void core_run_check(const unsigned char *buffer, size_t length, uint64_t offset);
void core_run_put(const char *uri, size_t length);
void core_run_put_text(const char *uri, const char *text);
/* Is that the whole object? NULL: is there none? */
bool core_run_holds(const char *uri, const char *text);
/* The object is the pattern, but for these texts, up to the first NULL; the second: for that
 * one. */
#define CORE_RUN_TEXTS 32
struct core_run_texts {
    size_t length; /* of the object */
    const char *texts[CORE_RUN_TEXTS];
    size_t offsets[CORE_RUN_TEXTS];
};
void core_run_check_texts(const char *uri, const struct core_run_texts *expected);
void core_run_check_object(const char *uri, size_t length, const char *text, size_t offset);
/* What stat says it is (enum s3dlio_type), or -errno. */
int core_run_type(const char *uri);
/* What another process would do to the object, unknown to this one's engine: puts the pattern from
 * `offset` on there, or deletes it. */
void core_run_put_elsewhere(const char *uri, size_t length, uint64_t offset);
void core_run_delete_elsewhere(const char *uri);
/* One byte, as another process would put it; `metadata` may be NULL. */
void core_run_plant(const char *uri, const struct store_metadata *metadata);

void core_run_write_at(struct s3dlio_draft *draft, const char *text, uint64_t offset);
/* Streams the pattern from `from` to `to`, `step` bytes a call. */
void core_run_stream(struct s3dlio_writer *writer, size_t from, size_t to, size_t step);
/* Neither memory nor room of the spool is in use. */
void core_run_check_released(void);
/* Multipart uploads of the bucket ("fault") that were neither completed nor aborted. */
uint64_t core_run_uploads_left(const char *bucket);

#endif
