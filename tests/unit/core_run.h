/* What the tests of core and api share: an engine over the fault store (which wraps mem and answers
 * asynchronously where a rule delays it), inside a gate and a call. */
#ifndef S3DLIO_TESTS_UNIT_CORE_RUN_H
#define S3DLIO_TESTS_UNIT_CORE_RUN_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/engine.h"
#include "core/limits.h"
#include "io/gate.h"
#include "s3dlio.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* Options for the engine, "NAME=value" each; before the first other call, else without effect. */
void core_run_set_option(const char *assignment);
struct engine *core_run_engine(void);
/* The gate and a call of ten seconds around core functions. */
struct core_run_scope {
    struct gate_scope gate;
    struct limits limits;
};
void core_run_enter(struct core_run_scope *scope);
void core_run_leave(struct core_run_scope *scope);

/* Rules of the fault store (fault.h); NULL drops them all. */
void core_run_faults(const char *rules);
/* How often the operation reached the store since core_run_reset_counts. */
uint64_t core_run_count(enum store_operation operation);
void core_run_reset_counts(void);

/* A bucket of its own for each test: "fault://NAME". */
void core_run_make_bucket(const char *name);
/* Byte `offset` of every test object. */
unsigned char core_run_byte(uint64_t offset);
void core_run_fill(unsigned char *buffer, size_t length, uint64_t offset);
/* Is it the pattern? Names the first byte that is not. */
void core_run_check(const unsigned char *buffer, size_t length, uint64_t offset);
void core_run_put(const char *uri, size_t length);
/* What another process would do to the object, unknown to this one's engine: puts the pattern from
 * `offset` on there, or deletes it. */
void core_run_put_elsewhere(const char *uri, size_t length, uint64_t offset);
void core_run_delete_elsewhere(const char *uri);

#endif
