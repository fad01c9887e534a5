/* Random operations on one file, compared with a copy of it in memory after each.
 *
 * S3DLIO_TEST_SEED and S3DLIO_TEST_COUNT choose which and how many. A difference is reported with
 * the number of the operation and the ones before it.
 */
#include "tests/preload/preload.h"

#include <sys/mman.h>

#define LENGTH_MAX (256 << 10)
#define PIECE_MAX  (32 << 10)
#define OPERATIONS 100000
#define REMEMBERED 12

struct model {
    unsigned char bytes[LENGTH_MAX];
    size_t length;
};

enum op { READ, WRITE, APPEND, TRUNCATE, MAP_READ, MAP_WRITE, PUNCH, ALLOCATE, SYNC, REOPEN };
#define OPS (REOPEN + 1u)

static const char *const op_names[] = {"read",      "write", "append",   "truncate", "map-read",
                                       "map-write", "punch", "allocate", "fsync",    "reopen"};
/* Those that publish are few: each moves the file. */
static const unsigned char op_weights[] = {70, 60, 15, 15, 6, 4, 10, 6, 1, 2};

static struct model model;
static unsigned char piece[LENGTH_MAX];
static char history[REMEMBERED][96];
static uint64_t random_state;
static const char *path;
static int fd;

static unsigned chance(unsigned below)
{
    random_state ^= random_state << 13; /* xorshift64 */
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)((random_state >> 11) % below);
}

static void model_resize(size_t length)
{
    if (length > model.length)
        memset(model.bytes + model.length, 0, length - model.length);
    model.length = length;
}

static void model_write(size_t offset, size_t length)
{
    if (offset + length > model.length)
        model_resize(offset + length);
    memcpy(model.bytes + offset, piece, length);
}

static void fill_piece(size_t length)
{
    uint64_t word = random_state;
    for (size_t i = 0; i < length; i++)
        piece[i] = (unsigned char)(word >> (i % 8 * 8) ^ i);
}

static void differ(unsigned long number, const char *what)
{
    for (unsigned i = 0; i < REMEMBERED; i++)
        fprintf(stderr, "  %s\n", history[(number + 1 + i) % REMEMBERED]);
    fail_msg("operation %lu: %s: %s", number, what, strerror(errno));
}

static bool read_agrees(size_t offset, size_t length)
{
    size_t there = offset < model.length ? model.length - offset : 0;
    there = there < length ? there : length;
    return pread(fd, piece, length, (off_t)offset) == (ssize_t)there &&
           !memcmp(piece, model.bytes + offset, there);
}

static bool map_agrees(size_t offset, size_t length, bool writes)
{
    offset &= ~(size_t)4095;
    if (offset >= model.length)
        return true;
    length = model.length - offset < length + 1 ? model.length - offset : length + 1;
    unsigned char *map =
        mmap(NULL, length, PROT_READ | (writes ? PROT_WRITE : 0), MAP_SHARED, fd, (off_t)offset);
    if (map == MAP_FAILED)
        return false;
    bool good = !memcmp(map, model.bytes + offset, length);
    if (writes) {
        memcpy(map, piece, length);
        memcpy(model.bytes + offset, piece, length);
        good = good && !msync(map, length, MS_SYNC);
    }
    return !munmap(map, length) && good;
}

static bool reopen_agrees(void)
{
    if (close(fd) < 0)
        return false;
    fd = open(path, O_RDWR);
    return fd >= 0 && read_agrees(0, LENGTH_MAX);
}

static bool perform(enum op op, size_t offset, size_t length)
{
    struct stat st;
    bool good = false;
    fill_piece(length + 1);
    switch (op) {
    case READ: return read_agrees(offset, length);
    case APPEND: offset = model.length; /* fall through */
    case WRITE:
        if (offset + length > LENGTH_MAX)
            return true;
        good = pwrite(fd, piece, length, (off_t)offset) == (ssize_t)length;
        if (length)
            model_write(offset, length);
        break;
    case TRUNCATE:
        good = !ftruncate(fd, (off_t)offset);
        model_resize(offset);
        break;
    case MAP_READ:
    case MAP_WRITE: return map_agrees(offset, length, op == MAP_WRITE);
    case PUNCH:
        good = !fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                          (off_t)length + 1);
        for (size_t i = offset; i < offset + length + 1 && i < model.length; i++)
            model.bytes[i] = 0;
        break;
    case ALLOCATE:
        if (offset + length + 1 > LENGTH_MAX)
            return true;
        good = !fallocate(fd, 0, (off_t)offset, (off_t)length + 1);
        if (offset + length + 1 > model.length)
            model_resize(offset + length + 1);
        break;
    case SYNC: good = !fsync(fd); break;
    case REOPEN: good = reopen_agrees(); break;
    }
    return good && !fstat(fd, &st) && (size_t)st.st_size == model.length;
}

static enum op choose(void)
{
    unsigned sum = 0, i = 0;
    for (unsigned k = 0; k < OPS; k++)
        sum += op_weights[k];
    for (unsigned at = chance(sum); at >= op_weights[i]; i++)
        at -= op_weights[i];
    return (enum op)i;
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static void operations_agree(void **state)
{
    unsigned long count = number_from("S3DLIO_TEST_COUNT", OPERATIONS);
    random_state = number_from("S3DLIO_TEST_SEED", 20201) * UINT64_C(0x9e3779b97f4a7c15);
    path = preload_path("fsx.dat");
    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    for (unsigned long i = 0; i < count; i++) {
        enum op op = choose();
        size_t offset = chance(chance(3) ? LENGTH_MAX : 5000), length = chance(PIECE_MAX);
        snprintf(history[i % REMEMBERED], sizeof *history, "%lu: %s offset %zu length %zu of %zu",
                 i, op_names[op], offset, length, model.length);
        errno = 0;
        if (!perform(op, offset, length))
            differ(i, op_names[op]);
    }
    if (!reopen_agrees())
        differ(count, "at the end");
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(operations_agree)};
    return cmocka_run_group_tests_name("fsx", tests, NULL, NULL);
}
