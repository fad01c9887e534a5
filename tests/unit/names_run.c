/* Counted requests of names; see names_run.h. */
#include "names_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int names_run_set_up(void **state)
{
    (void)state;
    core_run_set_option("S3DLIO_META_TTL_MS=2000");
    core_run_make_bucket("counted");
    core_run_let_ttl_pass(); /* a bucket made here is known completely until then */
    return 0;
}

void names_run_plant_with(const char *uri, const char *metadata, const char *value)
{
    struct store_metadata attributes = {0};

    assert_int_equal(store_metadata_add(&attributes, metadata, value), 0);
    core_run_plant(uri, &attributes);
    store_metadata_fini(&attributes);
}

void names_run_plant(const char *uri)
{
    core_run_plant(uri, NULL);
}

void names_run_plant_many(const char *format, unsigned count)
{
    char text[200];

    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, format, i);
        names_run_plant(text);
    }
}

unsigned names_run_requests(void)
{
    unsigned total = 0;

    for (unsigned i = 0; i < STORE_OPERATION_COUNT; i++)
        total += (unsigned)core_run_count((enum store_operation)i);
    core_run_reset_counts();
    return total;
}

unsigned names_run_mode(const char *uri)
{
    struct s3dlio_attr attr;

    assert_int_equal(s3dlio_stat(uri, NULL, &attr, NULL), 0);
    return attr.has & S3DLIO_HAS_MODE ? attr.mode : 0;
}

unsigned names_run_list(const char *uri, bool with_attributes)
{
    char before[300] = "", key[300], name[600];
    int length = (int)strlen(uri);
    struct s3dlio_list *listing;
    struct s3dlio_entry entry;
    unsigned count = 0;

    assert_int_equal(s3dlio_list_open(uri, 0, NULL, &listing, NULL), 0);
    while (s3dlio_list_next(listing, &entry, NULL) > 0) {
        count++;
        snprintf(key, sizeof key, "%s%s", entry.name,
                 entry.attr.type == S3DLIO_DIRECTORY ? "/" : "");
        assert_true(strcmp(before, key) < 0);
        strcpy(before, key);
        if (with_attributes) {
            snprintf(name, sizeof name, "%.*s/%s", length - (uri[length - 1] == '/'), uri,
                     entry.name);
            assert_int_equal(core_run_type(name), entry.attr.type);
        }
    }
    s3dlio_list_close(listing);
    return count;
}

unsigned names_run_ls(const char *uri)
{
    assert_int_equal(core_run_type(uri), S3DLIO_DIRECTORY);
    return names_run_list(uri, true);
}

void names_run_create(const char *directory, unsigned from, unsigned count)
{
    struct s3dlio_write_options options = {.flags = S3DLIO_WRITE_EXCLUSIVE};
    struct s3dlio_writer *writer;
    char uri[200];

    for (unsigned i = from; i < from + count; i++) {
        snprintf(uri, sizeof uri, "%s/%04u.bin", directory, i);
        assert_int_equal(core_run_type(uri), -ENOENT);
        assert_int_equal(core_run_type(directory), S3DLIO_DIRECTORY);
        assert_int_equal(s3dlio_writer_open(uri, &options, NULL, &writer, NULL), 0);
        assert_int_equal(s3dlio_writer_write(writer, "x", 1, NULL), 1);
        assert_int_equal(s3dlio_writer_close(writer, NULL, NULL), 0);
    }
}
