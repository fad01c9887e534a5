/* What the tests of shared drafts share: children of fork that work on a draft of their parent. The
 * store is a directory, so that both find in it what the other has published. */
#ifndef S3DLIO_TESTS_UNIT_DRAFT_CHILD_H
#define S3DLIO_TESTS_UNIT_DRAFT_CHILD_H

#include "core_run.h"

#include <stdio.h>
#include <sys/types.h>
#include <unistd.h>

#define URI        "file://shared/object"
#define OTHER_URI  "file://shared/other"
#define BASE_BYTES (2 * MIB)

/* In a child an assertion is an exit status. */
#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "child, line %d: %s\n", __LINE__, #condition);                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/* A group's setup: the bucket, and blocks of 4 KiB in a spool of 64 MiB. The teardown is
 * core_run_remove_file_root. */
int draft_child_set_up(void **state);

/* What a child does; it ends well when this returns. */
typedef void draft_child_fn(struct s3dlio_draft *draft, void *arg);
pid_t draft_child_start(draft_child_fn *function, struct s3dlio_draft *draft, void *arg);
/* The same, and until it has ended well. */
void draft_child_run(draft_child_fn *function, struct s3dlio_draft *draft, void *arg);

/* Memory that children have, too. */
void *draft_child_memory(size_t size);
/* Is the text there? For both sides. */
bool draft_child_has_at(struct s3dlio_draft *draft, const char *text, uint64_t offset);

#endif
