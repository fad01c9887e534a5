/* What the tests of parts that go up ahead share: streams that have become drafts, of parts of 5 MiB,
 * at a store that is a directory. */
#ifndef S3DLIO_TESTS_UNIT_AHEAD_RUN_H
#define S3DLIO_TESTS_UNIT_AHEAD_RUN_H

#include "draft_child.h"

#undef URI
#define URI   "fault://ahead/object"
#define OTHER "fault://ahead/other"
#define PART  (5 * MIB)

/* A group's setup, for objects up to so many bytes; the teardown is core_run_remove_file_root. */
int ahead_run_set_up(size_t bytes);
const unsigned char *ahead_run_bytes(void);
/* A writer of the pattern up to `length`; counts begin anew. */
struct s3dlio_writer *ahead_run_open_writer(unsigned flags, size_t length);
/* One of 100 bytes, as a draft. */
struct s3dlio_draft *ahead_run_open(unsigned flags);
/* The pattern goes on up to there. In a child, too. */
void ahead_run_write(struct s3dlio_draft *draft, size_t to);
/* In a child that kills itself. */
void ahead_run_let_die(struct s3dlio_draft *draft, draft_child_fn *dies);
/* Another name, then the rest, up to `length`: published under that one. */
void ahead_run_rename(struct s3dlio_draft *draft, size_t length);
/* Published; nothing is left behind. */
void ahead_run_end(struct s3dlio_draft *draft);
void ahead_run_end_whole(struct s3dlio_draft *draft, size_t length);

#endif
