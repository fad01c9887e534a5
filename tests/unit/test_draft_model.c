/* core/draft.h against an array of bytes: random sequences of everything a draft can do.
 *
 * Each seed is one sequence; a failure names it, and DRAFT_SEED=n runs that one alone. Some seeds
 * take capabilities from the store, so that every way of publishing is met. */
#include "core_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define URI       "fault://model/object"
#define SMALL_MAX (300 * KIB)
#define LARGE_MAX (40 * MIB)
#define STEPS     40

struct model {
    unsigned seed;
    uint64_t random;
    size_t size_max, length;
    unsigned char *bytes; /* zeros behind the length */
    struct s3dlio_draft *draft;
    unsigned char *mapping; /* of [map_start, map_end); NULL: none */
    size_t map_start, map_end;
};

static uint64_t draw(struct model *model, uint64_t below)
{
    uint64_t x = model->random += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return (x ^ x >> 31) % below;
}

static void expect(const struct model *model, long got, long wanted, const char *what)
{
    if (got != wanted)
        fail_msg("seed %u: %s: %ld instead of %ld", model->seed, what, got, wanted);
}

static void compare(const struct model *model, const unsigned char *found, size_t offset,
                    size_t length, const char *what)
{
    for (size_t i = 0; i < length; i++)
        if (found[i] != model->bytes[offset + i])
            fail_msg("seed %u: %s: byte %zu is %u instead of %u", model->seed, what, offset + i,
                     found[i], model->bytes[offset + i]);
}

/* Short pieces mostly, now and then a large one. */
static size_t draw_length(struct model *model)
{
    return 1 + draw(model, draw(model, 8) == 0 ? model->size_max / 3 : 5000);
}

static size_t draw_offset(struct model *model)
{
    return draw(model, model->length + 1 < model->size_max ? model->length + 1 : model->size_max);
}

/* ---- steps ----------------------------------------------------------------------------------- */

static void step_write(struct model *model)
{
    size_t offset = draw(model, 6) == 0 ? draw(model, model->size_max) : draw_offset(model);
    size_t length = draw_length(model);

    if (offset + length > model->size_max)
        length = model->size_max - offset;
    for (size_t i = 0; i < length; i++)
        model->bytes[offset + i] = (unsigned char)(model->random >> 7 ^ i * 31 ^ i >> 9);
    expect(model, s3dlio_draft_pwrite(model->draft, model->bytes + offset, length, offset, NULL),
           (long)length, "pwrite");
    if (offset + length > model->length)
        model->length = offset + length;
}

static void step_read(struct model *model)
{
    size_t offset = draw_offset(model), length = draw_length(model);
    size_t left = offset < model->length ? model->length - offset : 0;
    unsigned char *buffer = malloc(length);

    assert_non_null(buffer);
    expect(model, s3dlio_draft_pread(model->draft, buffer, length, offset, NULL),
           (long)(length < left ? length : left), "pread");
    compare(model, buffer, offset, length < left ? length : left, "pread");
    free(buffer);
}

static void step_truncate(struct model *model)
{
    size_t length = draw(model, 2) ? draw(model, model->size_max) : draw_offset(model);

    if (length < model->length)
        memset(model->bytes + length, 0, model->length - length);
    expect(model, s3dlio_draft_truncate(model->draft, length, NULL), 0, "truncate");
    model->length = length;
}

static void step_zero(struct model *model)
{
    size_t offset = draw_offset(model), length = draw_length(model);
    size_t left = offset < model->length ? model->length - offset : 0;

    expect(model, s3dlio_draft_zero(model->draft, offset, length, NULL), 0, "zero");
    memset(model->bytes + offset, 0, length < left ? length : left);
}

static void step_map(struct model *model)
{
    int fd = -1;

    if (model->mapping || model->length < 2)
        return;
    model->map_start = draw(model, model->length) / 4096 * 4096;
    model->map_end = model->map_start + 1 + draw(model, model->length - model->map_start);
    expect(model,
           s3dlio_draft_map_fd(model->draft, model->map_start, model->map_end - model->map_start,
                               &fd, NULL),
           0, "map");
    model->mapping = mmap(NULL, model->map_end - model->map_start, PROT_READ | PROT_WRITE,
                          MAP_SHARED, fd, (off_t)model->map_start);
    assert_ptr_not_equal(model->mapping, MAP_FAILED);
    close(fd);
}

static void step_store(struct model *model)
{
    size_t end = model->map_end < model->length ? model->map_end : model->length;
    size_t offset;

    if (!model->mapping || end <= model->map_start)
        return;
    compare(model, model->mapping, model->map_start, end - model->map_start, "mapping");
    offset = model->map_start + draw(model, end - model->map_start);
    model->bytes[offset] ^= 0x5a;
    model->mapping[offset - model->map_start] ^= 0x5a;
}

static void check_object(struct model *model, const char *what)
{
    struct s3dlio_error error;
    size_t length = 0;
    void *data;

    if (s3dlio_get(URI, NULL, &data, &length, &error) < 0)
        fail_msg("seed %u: %s: %s", model->seed, what, error.message);
    expect(model, (long)length, (long)model->length, what);
    compare(model, data, 0, length, what);
    s3dlio_free(data);
}

static void step_publish(struct model *model)
{
    struct s3dlio_error error;
    struct s3dlio_attr attr;

    if (s3dlio_draft_publish(model->draft, &attr, &error) < 0)
        fail_msg("seed %u: publish: %s", model->seed, error.message);
    expect(model, (long)attr.size_bytes, (long)model->length, "size after publish");
    check_object(model, "publish");
}

static void open_draft(struct model *model, enum s3dlio_draft_base base)
{
    struct s3dlio_error error;

    if (s3dlio_draft_open(URI, NULL, base, NULL, &model->draft, &error) < 0)
        fail_msg("seed %u: open: %s", model->seed, error.message);
}

static void close_draft(struct model *model)
{
    struct s3dlio_error error;

    if (s3dlio_draft_close(model->draft, NULL, &error) < 0)
        fail_msg("seed %u: close: %s", model->seed, error.message);
    if (model->mapping)
        munmap(model->mapping, model->map_end - model->map_start);
    model->mapping = NULL;
    check_object(model, "close");
}

static void step_reopen(struct model *model)
{
    close_draft(model);
    open_draft(model, S3DLIO_DRAFT_KEEP);
    expect(model, (long)s3dlio_draft_length(model->draft), (long)model->length, "length");
}

/* ---- sequences ------------------------------------------------------------------------------- */

static void step(struct model *model)
{
    static void (*const steps[])(struct model *) = {
        step_write, step_write, step_write, step_write,    step_read,    step_read, step_read,
        step_zero,  step_store, step_store, step_truncate, step_publish, step_map,  step_reopen,
    };

    steps[draw(model, sizeof steps / sizeof *steps)](model);
    expect(model, (long)s3dlio_draft_length(model->draft), (long)model->length, "length");
}

/* What the store can do is what the seed says. */
static void set_capabilities(unsigned seed)
{
    struct core_run_scope scope;
    struct store *store = NULL;
    struct error error;
    unsigned all = STORE_CAP_PART_COPY | STORE_CAP_IF_MATCH_PUT;

    core_run_enter(&scope);
    assert_int_equal(engine_store(core_run_engine(), "fault", &store, &error), 0);
    core_run_leave(&scope);
    store->capabilities |= all;
    store->capabilities &= ~(unsigned)STORE_CAP_EQUAL_PARTS;
    if (seed % 5 == 0)
        store->capabilities &= ~(unsigned)STORE_CAP_PART_COPY;
    if (seed % 7 == 0)
        store->capabilities &= ~(unsigned)STORE_CAP_IF_MATCH_PUT;
    if (seed % 6 == 0)
        store->capabilities |= STORE_CAP_EQUAL_PARTS;
}

static void run_seed(unsigned seed, size_t size_max)
{
    struct model model = {.seed = seed, .random = seed, .size_max = size_max};

    set_capabilities(seed);
    model.bytes = calloc(1, size_max);
    assert_non_null(model.bytes);
    open_draft(&model, S3DLIO_DRAFT_EMPTY);
    for (unsigned i = 0; i < STEPS; i++)
        step(&model);
    close_draft(&model);
    free(model.bytes);
}

static unsigned count_of(unsigned otherwise)
{
    const char *text = getenv("DRAFT_SEEDS");

    return text ? (unsigned)strtoul(text, NULL, 10) : otherwise;
}

static void run_seeds(unsigned count, size_t size_max)
{
    const char *only = getenv("DRAFT_SEED");

    if (only) {
        run_seed((unsigned)strtoul(only, NULL, 10), size_max);
        return;
    }
    for (unsigned seed = 1; seed <= count; seed++)
        run_seed(seed, size_max);
    core_run_check_released();
}

static void test_small_files(void **state)
{
    run_seeds(count_of(300), SMALL_MAX);
}

static void test_large_files(void **state)
{
    run_seeds(count_of(300) / 25, LARGE_MAX);
}

static int set_up(void **state)
{
    core_run_set_option("S3DLIO_BLOCK_SIZE=4K");
    core_run_set_option("S3DLIO_META_TTL_MS=0");
    core_run_make_bucket("model");
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small_files),
        cmocka_unit_test(test_large_files),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
