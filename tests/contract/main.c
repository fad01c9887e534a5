/* One suite for every store: `contract SCHEME`, see README.md.
 *
 * Makes a bucket of its own, runs all groups in it, and removes it. The exit status is the
 * number of groups with a failed test. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/random.h"
#include "cases.h"
#include "run.h"

static int (*const groups[])(void) = {
    cases_object, cases_range,     cases_condition, cases_metadata, cases_list,
    cases_keys,   cases_multipart, cases_body,      cases_identity, cases_core,
    cases_fault,
};

static void on_problem(void *arg, const char *message)
{
    (void)arg;
    fprintf(stderr, "contract: %s\n", message);
}

static int complain(const char *what, const struct error *err)
{
    char line[1024] = "";

    if (err)
        error_format(err, line, sizeof line);
    fprintf(stderr, "contract: %s%s%s\n", what, line[0] ? ": " : "", line);
    return 1;
}

/* The file store serves a new directory. */
static int make_root(void)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(run.root, sizeof run.root, "%.40s/contract-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(run.root))
        return -1;
    return setenv("S3DLIO_FILE_ROOT", run.root, 1);
}

static enum error_class bucket_request(enum store_operation operation, struct error *ret_error)
{
    enum error_class class;
    struct store_call call;

    run_call_init(&call, operation, NULL);
    class = store_call_do(&call);
    *ret_error = call.request.error;
    store_call_fini(&call);
    return class;
}

int main(int argc, char **argv)
{
    struct error err = {0};
    char id[17];
    int failed = 0;

    store_call_patience_ns = 60 * NS_PER_S; /* a server on a busy machine */
    if (argc != 2 || !(run.traits = traits_find(argv[1], getenv("S3DLIO_TEST_SERVER"))))
        return complain("usage: contract mem|fault|file, or contract s3 with S3DLIO_TEST_SERVER="
                        "bundled|versitygw|minio and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, "
                        "AWS_SECRET_ACCESS_KEY",
                        NULL);
    if (strcmp(argv[1], "file") == 0 && make_root() < 0)
        return complain("no directory for the file store", NULL);
    if (options_load(environ, on_problem, NULL, &run.options) < 0 || shard_new(0, &run.shard) < 0)
        return complain("out of memory", NULL);
    if (store_find(argv[1])->open(&run.options, &run.store, &err) < 0)
        return complain("the store does not open", &err);
    random_hex(id, 16);
    snprintf(run.bucket, sizeof run.bucket, "contract-%s", id);
    if (bucket_request(STORE_CREATE_BUCKET, &err) != ERROR_NONE)
        return complain("no bucket for the tests", &err);
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++)
        failed += groups[i]() != 0;
    if (!failed && bucket_request(STORE_DELETE_BUCKET, &err) != ERROR_NONE)
        failed = complain("the bucket cannot be removed", &err);
    run.store->ops->close(run.store);
    shard_free(run.shard);
    options_fini(&run.options);
    if (run.root[0] && !failed && rmdir(run.root) < 0)
        failed = complain("the file store's root is not empty", NULL);
    return failed;
}
