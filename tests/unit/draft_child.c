/* Children that work on a draft of their parent; see draft_child.h. */
#include "draft_child.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

int draft_child_set_up(void **state)
{
    char path[64];

    (void)state;
    snprintf(path, sizeof path, "%s/shared", core_run_make_file_root());
    assert_int_equal(mkdir(path, 0700), 0);
    core_run_set_option("S3DLIO_SPOOL_LIMIT=64M");
    core_run_set_option("S3DLIO_BLOCK_SIZE=4K");
    core_run_make_bucket("shared");
    return 0;
}

pid_t draft_child_start(draft_child_fn *function, struct s3dlio_draft *draft, void *arg)
{
    pid_t pid = core_run_fork();

    if (pid == 0) {
        function(draft, arg);
        _exit(0);
    }
    return pid;
}

void draft_child_run(draft_child_fn *function, struct s3dlio_draft *draft, void *arg)
{
    core_run_wait_for(draft_child_start(function, draft, arg));
}

void *draft_child_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    return memory;
}

bool draft_child_has_at(struct s3dlio_draft *draft, const char *text, uint64_t offset)
{
    size_t length = strlen(text);
    char found[64];

    return s3dlio_draft_pread(draft, found, length, offset, NULL) == (ssize_t)length &&
           memcmp(found, text, length) == 0;
}
