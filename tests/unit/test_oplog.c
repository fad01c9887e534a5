/* core/oplog.h: rows as text, what is dropped, files and their names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/clock.h"
#include "core/oplog_private.h"
#include "io/gate.h"

#define CONTENT_MAX ((size_t)32 << 20)

static char folder[] = "/tmp/s3dlio-oplog-XXXXXX";

static struct store_ops ops = {.scheme = "mem"};
static struct store store = {.ops = &ops};

static const char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "%s/%.80s", folder, name);
    return path;
}

/* Its thread may be there until the end, and so it is. */
static struct oplog *start_log(const char *name)
{
    static struct oplog *logs[8];
    static unsigned count;

    assert_true(count < 8);
    return logs[count++] = oplog_new(path_of(name));
}

/* All frames of the file; the caller's to free. */
static char *content_of(const char *name)
{
    FILE *file = fopen(path_of(name), "re");
    char *packed = malloc(CONTENT_MAX), *text = malloc(CONTENT_MAX);
    size_t length, size, at = 0, filled = 0;

    assert_non_null(file);
    length = fread(packed, 1, CONTENT_MAX, file);
    fclose(file);
    while (at < length) { /* frame by frame, as each says how long its content is */
        size_t frame = ZSTD_findFrameCompressedSize(packed + at, length - at);

        assert_false(ZSTD_isError(frame));
        size = ZSTD_decompress(text + filled, CONTENT_MAX - filled - 1, packed + at, frame);
        assert_false(ZSTD_isError(size));
        filled += size;
        at += frame;
    }
    text[filled] = '\0';
    free(packed);
    return text;
}

static void add(struct oplog *log, const struct oplog_row *row)
{
    struct gate_scope scope;

    gate_enter(&scope);
    oplog_add(log, row);
    gate_leave(&scope);
}

/* The field of the line, copied. */
static const char *field(const char *line, unsigned number)
{
    static char text[512];

    while (number-- > 0) {
        line = strchr(line, '\t');
        assert_non_null(line);
        line++;
    }
    snprintf(text, sizeof text, "%.*s", (int)strcspn(line, "\t\n"), line);
    return text;
}

static const char *next_line(const char *line)
{
    line = strchr(line, '\n');
    assert_non_null(line);
    return line + 1;
}

/* ---- rows ------------------------------------------------------------------------------------ */

/* A range that broke off and was resumed: two rows, whose bytes add up. */
static void test_a_resumed_range(void **state)
{
    struct oplog *log = start_log("resumed.tsv.zst");
    struct error error = {0};
    struct oplog_row row = {
        .operation = STORE_GET,
        .store = &store,
        .bucket = "b",
        .name = "k",
        .thread = 3,
        .objects = 1,
        .bytes = 3 << 20,
        .submitted_ns = clock_now_ns() - 9000,
        .first_byte_ns = clock_now_ns() - 5000,
    };
    char *text;
    const char *line;

    error_set(&error, ERROR_NETWORK, "the body\tended \"early\"");
    row.error = &error;
    row.ended_ns = row.submitted_ns + 7000;
    add(log, &row);
    row.error = NULL;
    row.bytes = 5 << 20;
    row.first_byte_ns = 0;
    add(log, &row);
    oplog_flush(log);
    text = content_of("resumed.tsv.zst");
    assert_int_equal(strncmp(text, oplog_header, strlen(oplog_header)), 0);
    line = next_line(text);
    assert_string_equal(field(line, 0), "0");
    assert_string_equal(field(line, 1), "3");
    assert_string_equal(field(line, 2), "GET");
    assert_string_equal(field(line, 4), "1");
    assert_string_equal(field(line, 5), "3145728");
    assert_string_equal(field(line, 6), "mem://");
    assert_string_equal(field(line, 7), "/b/k");
    assert_string_equal(field(line, 8), "network: the body ended  early ");
    assert_int_equal(strlen(field(line, 9)), strlen("2026-11-23T02:10:11.123456789Z"));
    assert_true(field(line, 10)[0] == '2');
    assert_string_equal(field(line, 12), "7000");
    line = next_line(line);
    assert_string_equal(field(line, 0), "1");
    assert_string_equal(field(line, 5), "5242880");
    assert_string_equal(field(line, 8), "");
    assert_string_equal(field(line, 10), "");
    assert_string_equal(next_line(line), "");
    free(text);
}

static void test_names_are_one_field(void **state)
{
    struct oplog *log = start_log("names.tsv.zst");
    struct oplog_row row = {.operation = STORE_LIST,
                            .store = &store,
                            .bucket = "b",
                            .name = "a\tb\"c%d\ne\x7f\xc3\xbc/",
                            .abandoned = true,
                            .ended_ns = 5};
    char *text;

    add(log, &row);
    row.bucket = row.name = NULL;
    add(log, &row);
    oplog_flush(log);
    text = content_of("names.tsv.zst");
    assert_string_equal(field(next_line(text), 7), "/b/a%09b%22c%25d%0Ae%7F\xc3\xbc/");
    assert_string_equal(field(next_line(text), 8), "abandoned");
    assert_string_equal(field(next_line(next_line(text)), 7), "/");
    free(text);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void test_what_is_dropped_is_told(void **state)
{
    enum { ROWS = 20000 };
    struct oplog *log = start_log("dropped.tsv.zst");
    struct oplog_row row = {
        .operation = STORE_HEAD, .store = &store, .bucket = "b", .name = "k", .ended_ns = 5};
    unsigned rows = 0, dropped = 0;
    char *text;

    gate_fork_prepare(); /* whoever writes stands still */
    for (unsigned i = 0; i < ROWS; i++)
        oplog_add(log, &row);
    gate_fork_parent();
    oplog_flush(log);
    text = content_of("dropped.tsv.zst");
    for (const char *line = next_line(text); *line; line = next_line(line)) {
        if (*line == '#')
            assert_int_equal(sscanf(line, "# %u rows were dropped here", &dropped), 1);
        else
            rows++;
    }
    assert_true(dropped > 0);
    assert_true(rows > 3000);
    assert_int_equal(rows + dropped, ROWS);
    free(text);
}

/* ---- files ----------------------------------------------------------------------------------- */

static void test_a_file_that_is_taken(void **state)
{
    struct oplog_file first = {.name = strdup(path_of("taken.tsv.zst")), .fd = -1};
    struct oplog_file second = {.name = first.name, .fd = -1};
    char expected[64];
    struct gate_scope scope;
    char *text;

    gate_enter(&scope);
    assert_int_equal(oplog_file_open(&first), 0);
    assert_int_equal(oplog_file_open(&second), 0);
    assert_string_equal(first.path, first.name);
    snprintf(expected, sizeof expected, "taken.%d.tsv.zst", (int)getpid());
    assert_string_equal(second.path, path_of(expected));
    assert_int_equal(oplog_file_append(&first, "one\n", 4), 0);
    oplog_file_close(&first);
    assert_int_equal(oplog_file_open(&first), 0); /* again: no second header */
    assert_string_equal(first.path, first.name);
    assert_int_equal(oplog_file_append(&first, "two\n", 4), 0);
    oplog_file_close(&first);
    oplog_file_close(&second);
    gate_leave(&scope);
    text = content_of("taken.tsv.zst");
    assert_string_equal(next_line(text), "one\ntwo\n");
    free(text);
    free((char *)first.name);
}

static void test_names_with_the_process(void **state)
{
    static const char *const names[] = {"a.tsv.zst", "a.b.zst", "plain"};
    char wanted[3][64], path[160];
    struct gate_scope scope;

    snprintf(wanted[0], sizeof wanted[0], "a.%d.tsv.zst", (int)getpid());
    snprintf(wanted[1], sizeof wanted[1], "a.b.%d.zst", (int)getpid());
    snprintf(wanted[2], sizeof wanted[2], "plain.%d", (int)getpid());
    gate_enter(&scope);
    for (unsigned i = 0; i < 3; i++) {
        struct oplog_file file = {.own_name = true, .fd = -1};

        snprintf(path, sizeof path, "%s", path_of(names[i]));
        file.name = path;
        assert_int_equal(oplog_file_open(&file), 0);
        assert_string_equal(file.path, path_of(wanted[i]));
        oplog_file_close(&file);
    }
    gate_leave(&scope);
}

/* What of a frame was written before the disk was full is taken back. */
static void test_a_full_disk(void **state)
{
    struct oplog_file file = {.name = "/dev/full", .fd = -1};
    struct gate_scope scope;

    gate_enter(&scope);
    assert_int_equal(oplog_file_open(&file), 0);
    assert_int_equal(oplog_file_append(&file, "row\n", 4), -ENOSPC);
    oplog_file_close(&file);
    gate_leave(&scope);
}

static int make_folder(void **state)
{
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[64];

    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_resumed_range),     cmocka_unit_test(test_names_are_one_field),
        cmocka_unit_test(test_what_is_dropped_is_told), cmocka_unit_test(test_a_file_that_is_taken),
        cmocka_unit_test(test_names_with_the_process), cmocka_unit_test(test_a_full_disk),
    };

    return cmocka_run_group_tests_name("oplog", tests, make_folder, remove_folder);
}
