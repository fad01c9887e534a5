/* The faults that every operation meets, and what a program may be told about each. */
#ifndef S3DLIO_TESTS_PRELOAD_FAULT_TABLE_H
#define S3DLIO_TESTS_PRELOAD_FAULT_TABLE_H

#include "tests/preload/fault_cases.h"

/* A connection that breaks says so by its own errno; what is not understood is EIO. EBUSY: what was done
 * without an answer that can be understood looks like somebody else's change, again and again. EINVAL: HEAD
 * has no body to say why, and no other request is refused. */
#define BROKEN                                                                                     \
    {                                                                                              \
        EIO, ECONNRESET, EPIPE, ETIMEDOUT, EBUSY                                                   \
    }
#define GARBLED                                                                                    \
    {                                                                                              \
        EIO, ESTALE, ECONNRESET, EPIPE, EBUSY                                                      \
    }
#define OCCUPIED                                                                                   \
    {                                                                                              \
        EIO, EBUSY                                                                                 \
    }

static const struct fault all_faults[] = {
    {"500", "status:500:InternalError", "*", PASSES, OCCUPIED},
    {"503", "status:503:SlowDown", "*", PASSES, OCCUPIED},
    {"503 for an hour", "status:503:SlowDown:retry-after=3600", "*", ALIKE, OCCUPIED},
    {"429", "status:429:TooManyRequests", "*", PASSES | ALIKE, OCCUPIED},
    {"409", "status:409:OperationAborted", "*", PASSES | ALIKE, OCCUPIED},
    {"403", "status:403:AccessDenied", "*", 0, {EACCES}},
    {"507", "status:507:QuotaExceeded", "*", ALIKE, {ENOSPC, EDQUOT}},
    {"507 without a word", "status:507", "*", ALIKE, {ENOSPC, EDQUOT}},
    {"501", "status:501:NotImplemented", "*", ALIKE, {EOPNOTSUPP, EXDEV}},
    {"400", "status:400:InvalidRequest", "*", ALIKE, {EINVAL}},
    {"expired", "expire-token", "*", ALIKE, {EACCES, EINVAL}},
    {"reset", "reset", "*", PASSES, BROKEN},
    {"reset in a body", "reset@random", "*", PASSES | HIDES, BROKEN},
    {"cut short", "truncate@random", "*", PASSES | HIDES, BROKEN},
    {"wrong length", "wrong-length", "GetObject", PASSES, BROKEN},
    {"short listing", "wrong-length", "ListObjectsV2", PASSES, BROKEN},
    {"short answer", "wrong-length", "*Upload*", PASSES | HIDES, BROKEN},
    {"short answer to a copy", "wrong-length", "CopyObject", PASSES | HIDES, BROKEN},
    {"no ETag", "no-etag", "*", HIDES, GARBLED},
    {"bad XML", "bad-xml", "*", PASSES | HIDES, GARBLED},
    {"lost answer", "lose-answer", "*", PASSES | HIDES, BROKEN},
    {"damaged upload", "corrupt@random", "PutObject", PASSES, {EIO}},
    {"damaged part", "corrupt@random", "UploadPart", PASSES, {EIO}},
    {"copy of nothing", "empty-copy", "*Copy*", LIES, {EIO}},
    {"copy that is none", "pretend-copy", "*Copy*", LIES, {EIO}},
    {"error in a complete", "error200", "CompleteMultipartUpload", PASSES, {EIO}},
    {"error in a copy", "error200", "CopyObject", PASSES, {EIO}},
    {"error in a part copy", "error200", "UploadPartCopy", PASSES, {EIO}},
    {"no answer", "hang", "*", PASSES | STALLS, BROKEN},
    {"no answer to what is done", "hang-done", "*", ALIKE | HIDES | STALLS, BROKEN},
    {"stall in a body", "stall@random", "*", ALIKE | HIDES | STALLS, BROKEN},
    {"wrong range", "wrong-range", "GetObject", PASSES, GARBLED},
    {NULL, NULL, NULL, 0, {0}},
};

static void one_operation(void **state)
{
    fault_cases(*state, all_faults);
}

/* A test for each operation, named after it. */
static inline int fault_tests(const char *group, const struct operation *operations, size_t count)
{
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    size_t used = 0;
    const char *only = getenv("S3DLIO_TEST_OPERATION");
    for (size_t i = 0; i < count; i++)
        if (!only || !strcmp(only, operations[i].name))
            tests[used++] = (struct CMUnitTest){.name = operations[i].name,
                                                .test_func = one_operation,
                                                .initial_state = (void *)&operations[i]};
    int r = _cmocka_run_group_tests(group, tests, used, NULL, NULL);
    free(tests);
    return r;
}

#endif
