/* Random sequences of file operations, run on a tmpfs and on the directory under test, compared
 * after each step: what is returned, errno, bytes, sizes, names; and the whole tree at the end.
 *
 * S3DLIO_TEST_SEED and S3DLIO_TEST_COUNT choose where to begin and how many to run. A sequence that
 * differs is made as short as it can be and printed with its seed.
 *
 * One difference is part of the contract and kept out of the sequences: a descriptor opened for
 * reading shows the version that was there then (docs/SEMANTICS.md). Such descriptors are closed,
 * in both worlds, before their file is changed; those opened while the file was being written share
 * it.
 */
#include "tests/preload/preload.h"

#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define SLOTS          5
#define STEPS          24
#define SEQUENCES      600
#define SIZE_MAX_BYTES 20000

enum world_kind { ORACLE, TESTED, WORLDS };

enum op {
    OPEN,
    CLOSE,
    READ,
    WRITE,
    PREAD,
    PWRITE,
    SEEK,
    FTRUNCATE,
    TRUNCATE,
    FSYNC,
    DUP,
    UNLINK,
    RENAME,
    MKDIR,
    RMDIR,
    LIST,
    MAP_WRITE,
    PUNCH,
    CHILD_WRITE,
    CHILD_READ,
    CHILD_EXIT_FIRST,
    FCHMOD,
    OPS
};

static const char *const op_names[] = {
    "open",        "close",      "read",         "write",  "pread",     "pwrite",
    "lseek",       "ftruncate",  "truncate",     "fsync",  "dup",       "unlink",
    "rename",      "mkdir",      "rmdir",        "list",   "map-write", "punch",
    "child-write", "child-read", "child-closes", "fchmod",
};

/* How often each is chosen. */
static const unsigned char op_weights[] = {
    22, 9, 10, 14, 6, 8, 6, 5, 3, 3, 3, 4, 6, 2, 2, 4, 3, 2, 3, 2, 2, 2,
};

static const char *const names[] = {"a", "b", "d/a", "d/b", "d", "d/e"};
#define NAMES 6

static const int open_flags[] = {
    O_RDONLY,
    O_RDONLY,
    O_RDWR,
    O_RDWR | O_CREAT,
    O_WRONLY | O_CREAT | O_TRUNC,
    O_WRONLY | O_CREAT | O_APPEND,
    O_WRONLY,
    O_RDWR | O_CREAT | O_TRUNC,
    O_WRONLY | O_CREAT | O_EXCL,
    O_RDWR | O_APPEND | O_CREAT,
};

struct step {
    enum op op;
    unsigned slot, other, name, target, flags;
    unsigned offset, length, fill;
};

struct world {
    char root[PATH_MAX / 2];
    int fds[SLOTS];
};

struct outcome {
    long result;
    int error;
    long size; /* of the slot's file afterwards; -1: none */
    unsigned char bytes[SIZE_MAX_BYTES];
};

static struct world worlds[WORLDS];
static bool is_quiet; /* while a sequence is made shorter */
static struct {
    bool reads_a_version; /* opened for reading when nobody wrote */
} slots[SLOTS];

/* ---- chance ---- */

static uint64_t random_state;

static unsigned chance(unsigned below)
{
    random_state += UINT64_C(0x9e3779b97f4a7c15); /* SplitMix64 */
    uint64_t z = random_state;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (unsigned)((z ^ z >> 31) % below);
}

static enum op choose(void)
{
    unsigned sum = 0, at;
    for (unsigned i = 0; i < OPS; i++)
        sum += op_weights[i];
    at = chance(sum);
    for (unsigned i = 0; i < OPS; i++) {
        if (at < op_weights[i])
            return (enum op)i;
        at -= op_weights[i];
    }
    return OPEN;
}

static void generate(uint64_t seed, struct step steps[STEPS])
{
    random_state = seed;
    for (unsigned i = 0; i < STEPS; i++)
        steps[i] = (struct step){
            .op = choose(),
            .slot = chance(SLOTS),
            .other = chance(SLOTS),
            .name = chance(NAMES),
            .target = chance(NAMES),
            .flags = chance(sizeof open_flags / sizeof *open_flags),
            .offset = chance(chance(4) ? 3000 : SIZE_MAX_BYTES / 2),
            .length = chance(chance(4) ? 700 : SIZE_MAX_BYTES / 2),
            .fill = chance(256),
        };
}

static void print_step(const struct step *step)
{
    fprintf(stderr, "  %-12s slot %u other %u name %s target %s flags %#o offset %u length %u\n",
            op_names[step->op], step->slot, step->other, names[step->name], names[step->target],
            (unsigned)open_flags[step->flags], step->offset, step->length);
}

/* ---- one step in one world ---- */

static const char *path_of(const struct world *world, unsigned name)
{
    static char paths[4][PATH_MAX + 64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof *paths, "%s/%s", world->root, names[name]);
    return path;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names in a directory, sorted, as text. */
static long list(const char *path, unsigned char bytes[SIZE_MAX_BYTES])
{
    char *found[64];
    unsigned count = 0;
    DIR *directory = opendir(path);
    if (!directory)
        return -1;
    for (struct dirent *entry; count < 64 && (entry = readdir(directory));)
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            found[count++] = strdup(entry->d_name);
    closedir(directory);
    qsort(found, count, sizeof *found, compare_names);
    size_t length = 0;
    for (unsigned i = 0; i < count; i++) {
        length +=
            (size_t)snprintf((char *)bytes + length, SIZE_MAX_BYTES - length, "%s ", found[i]);
        free(found[i]);
    }
    return (long)length;
}

static long map_write(int fd, const struct step *step, const unsigned char *data)
{
    struct stat st;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || step->offset >= (unsigned)st.st_size)
        return 0;
    size_t length = (size_t)st.st_size - step->offset;
    length = length < step->length ? length : step->length;
    void *map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED)
        return -1;
    memcpy((char *)map + step->offset, data, length);
    return msync(map, (size_t)st.st_size, MS_SYNC) || munmap(map, (size_t)st.st_size) ? -1 : 1;
}

/* What a child does with the inherited descriptor; errors come back as its status. */
static long child(int fd, const struct step *step, const unsigned char *data,
                  unsigned char bytes[SIZE_MAX_BYTES])
{
    int status, pipes[2];
    if (pipe(pipes) < 0)
        return -1;
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        long result = step->op == CHILD_WRITE  ? write(fd, data, step->length)
                      : step->op == CHILD_READ ? read(fd, bytes, step->length)
                                               : close(fd);
        int error = result < 0 ? errno : 0;
        size_t length = step->op == CHILD_READ && result > 0 ? (size_t)result : 0;
        _exit(error ? error : write(pipes[1], bytes, length) == (ssize_t)length ? 0 : 255);
    }
    close(pipes[1]);
    size_t got = 0;
    for (ssize_t part; (part = read(pipes[0], bytes + got, SIZE_MAX_BYTES - got)) > 0;)
        got += (size_t)part;
    close(pipes[0]);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return -2;
    errno = WEXITSTATUS(status);
    return errno ? -1 : (long)got;
}

static long perform(struct world *world, const struct step *step, unsigned char *bytes)
{
    static unsigned char data[SIZE_MAX_BYTES];
    int fd = world->fds[step->slot];
    const char *path = path_of(world, step->name);
    memset(data, (int)step->fill, sizeof data);
    for (unsigned i = 0; i < step->length; i += 97)
        data[i] = (unsigned char)(i ^ step->offset);
    switch (step->op) {
    case OPEN:
        if (fd >= 0)
            return 0;
        world->fds[step->slot] = open(path, open_flags[step->flags], 0644);
        return world->fds[step->slot] < 0 ? -1 : 0;
    case CLOSE: world->fds[step->slot] = -1; return close(fd);
    case READ: return read(fd, bytes, step->length);
    case PREAD: return pread(fd, bytes, step->length, step->offset);
    case WRITE: return write(fd, data, step->length);
    case PWRITE: return pwrite(fd, data, step->length, step->offset);
    case SEEK: {
        int whence = (int)(step->fill % 3);
        return lseek(fd, whence == SEEK_END ? -(off_t)(step->offset % 100) : (off_t)step->offset,
                     whence);
    }
    case FTRUNCATE: return ftruncate(fd, step->offset);
    case TRUNCATE: return truncate(path, step->offset);
    case FSYNC: return fsync(fd);
    case DUP:
        if (world->fds[step->other] >= 0 || fd < 0)
            return 0;
        world->fds[step->other] = dup(fd);
        return world->fds[step->other] < 0 ? -1 : 0;
    case UNLINK: return unlink(path);
    case RENAME: return rename(path, path_of(world, step->target));
    case MKDIR: return mkdir(path, 0755);
    case RMDIR: return rmdir(path);
    case LIST: return list(path, bytes);
    case MAP_WRITE: return map_write(fd, step, data);
    case PUNCH:
        return fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, step->offset,
                         step->length + 1);
    case CHILD_WRITE:
    case CHILD_READ:
    case CHILD_EXIT_FIRST: return fd < 0 ? 0 : child(fd, step, data, bytes);
    case FCHMOD: return fchmod(fd, step->fill & 1 ? 0600 : 0644);
    case OPS: break;
    }
    return 0;
}

/* ---- the worlds side by side ---- */

/* The file that a descriptor of the oracle has open; 0: none. */
static ino_t inode_of(int fd)
{
    struct stat st;
    return fd >= 0 && !fstat(fd, &st) ? st.st_ino : 0;
}

static bool is_written(ino_t inode)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        int fd = worlds[ORACLE].fds[i];
        if (inode_of(fd) == inode && (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY)
            return true;
    }
    return false;
}

/* Closes what shows an old version of a file that the step is about to change. */
static void close_versions(const struct step *step)
{
    ino_t inode = 0;
    struct stat st;
    bool changes_slot = step->op == WRITE || step->op == PWRITE || step->op == FTRUNCATE ||
                        step->op == MAP_WRITE || step->op == PUNCH || step->op == CHILD_WRITE;
    bool opens = step->op == OPEN && (open_flags[step->flags] & O_ACCMODE) != O_RDONLY;
    if (changes_slot)
        inode = inode_of(worlds[ORACLE].fds[step->slot]);
    else if ((step->op == TRUNCATE || opens) && !stat(path_of(&worlds[ORACLE], step->name), &st))
        inode = st.st_ino;
    for (unsigned i = 0; inode && i < SLOTS; i++) {
        if (!slots[i].reads_a_version || inode_of(worlds[ORACLE].fds[i]) != inode)
            continue;
        for (unsigned w = 0; w < WORLDS; w++) {
            close(worlds[w].fds[i]);
            worlds[w].fds[i] = -1;
        }
        slots[i].reads_a_version = false;
    }
}

static void note_opened(const struct step *step)
{
    int fd = worlds[ORACLE].fds[step->slot];
    if (step->op == OPEN && fd >= 0 && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY)
        slots[step->slot].reads_a_version = !is_written(inode_of(fd));
    if (step->op == DUP)
        slots[step->other].reads_a_version = slots[step->slot].reads_a_version;
}

static long size_of(const struct world *world, const struct step *step)
{
    struct stat st;
    int fd = world->fds[step->slot];
    return fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode) ? (long)st.st_size : -1;
}

static void outcome_of(struct world *world, const struct step *step, struct outcome *ret)
{
    memset(ret, 0, sizeof *ret);
    errno = 0;
    ret->result = perform(world, step, ret->bytes);
    ret->error = ret->result < 0 ? errno : 0;
    ret->size = size_of(world, step);
}

static bool is_same(const struct outcome *a, const struct outcome *b)
{
    return a->result == b->result && a->error == b->error && a->size == b->size &&
           memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

/* After everything is closed: names, sizes, bytes. */
static bool trees_agree(void)
{
    static struct outcome content[WORLDS];
    for (unsigned name = 0; name < NAMES; name++) {
        for (unsigned w = 0; w < WORLDS; w++) {
            struct outcome *at = &content[w];
            memset(at, 0, sizeof *at);
            errno = 0;
            int fd = open(path_of(&worlds[w], name), O_RDONLY);
            at->result = fd < 0 ? -1 : read(fd, at->bytes, sizeof at->bytes);
            at->error = at->result < 0 ? errno : 0;
            close(fd);
        }
        if (!is_same(&content[ORACLE], &content[TESTED])) {
            if (!is_quiet)
                fprintf(stderr, "  at the end %s: %ld (%s) expected %ld (%s)\n", names[name],
                        content[TESTED].result, strerror(content[TESTED].error),
                        content[ORACLE].result, strerror(content[ORACLE].error));
            return false;
        }
    }
    return true;
}

/* Runs the steps in fresh directories; does everything agree? */
static bool agrees(const struct step *steps, unsigned count)
{
    static struct outcome outcomes[WORLDS];
    for (unsigned w = 0; w < WORLDS; w++)
        for (unsigned i = 0; i < SLOTS; i++)
            worlds[w].fds[i] = -1;
    memset(slots, 0, sizeof slots);
    bool good = true;
    for (unsigned i = 0; good && i < count; i++) {
        close_versions(&steps[i]);
        for (unsigned w = 0; w < WORLDS; w++)
            outcome_of(&worlds[w], &steps[i], &outcomes[w]);
        note_opened(&steps[i]);
        const struct outcome *real = &outcomes[ORACLE], *ours = &outcomes[TESTED];
        good = is_same(real, ours);
        if (!good && !is_quiet)
            fprintf(stderr, "  step %u %s: %ld (%s) size %ld, expected %ld (%s) size %ld%s\n", i,
                    op_names[steps[i].op], ours->result, strerror(ours->error), ours->size,
                    real->result, strerror(real->error), real->size,
                    ours->result == real->result && ours->size == real->size ? ", other bytes"
                                                                             : "");
    }
    for (unsigned w = 0; w < WORLDS; w++)
        for (unsigned i = 0; i < SLOTS; i++)
            if (worlds[w].fds[i] >= 0)
                close(worlds[w].fds[i]);
    return good && trees_agree();
}

static void worlds_clear(void)
{
    for (unsigned w = 0; w < WORLDS; w++) {
        for (unsigned round = 0; round < 2; round++) /* what is inside, then directories */
            for (unsigned name = 0; name < NAMES; name++)
                remove(path_of(&worlds[w], name));
        rmdir(worlds[w].root);
    }
}

static bool run_fresh(const struct step *steps, unsigned count)
{
    static unsigned serial;
    snprintf(worlds[ORACLE].root, sizeof worlds->root, "/dev/shm/s3dlio-model-%d-%u", (int)getpid(),
             serial);
    snprintf(worlds[TESTED].root, sizeof worlds->root, "%s/model-%u", preload_root(), serial++);
    for (unsigned w = 0; w < WORLDS; w++)
        if (mkdir(worlds[w].root, 0755) < 0)
            fail_msg("%s: %s", worlds[w].root, strerror(errno));
    bool good = agrees(steps, count);
    worlds_clear();
    return good;
}

/* Leaves out what the difference does not need. Returns how many steps are left. */
static unsigned shrink(struct step *steps, unsigned count)
{
    is_quiet = true;
    for (unsigned i = count; i-- > 0;) {
        struct step fewer[STEPS];
        memcpy(fewer, steps, i * sizeof *steps);
        memcpy(fewer + i, steps + i + 1, (count - i - 1) * sizeof *steps);
        if (!run_fresh(fewer, count - 1)) {
            memcpy(steps, fewer, --count * sizeof *steps);
            i = i < count ? i : count;
        }
    }
    is_quiet = false;
    return count;
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
    const char *text = getenv(name);
    return text && *text ? strtoul(text, NULL, 10) : otherwise;
}

static void sequences_agree(void **state)
{
    unsigned long first = number_from("S3DLIO_TEST_SEED", 1);
    unsigned long count = number_from("S3DLIO_TEST_COUNT", SEQUENCES);
    for (unsigned long seed = first; seed < first + count; seed++) {
        struct step steps[STEPS];
        generate(seed, steps);
        if (run_fresh(steps, STEPS))
            continue;
        fprintf(stderr, "S3DLIO_TEST_SEED=%lu differs; making it shorter\n", seed);
        unsigned left = shrink(steps, STEPS);
        fprintf(stderr, "%u steps are enough:\n", left);
        for (unsigned i = 0; i < left; i++)
            print_step(&steps[i]);
        run_fresh(steps, left);
        fail_msg("S3DLIO_TEST_SEED=%lu S3DLIO_TEST_COUNT=1 shows it", seed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sequences_agree)};
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
