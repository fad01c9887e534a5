/* Maps whose pages come when they are touched: whatever becomes of the map, of the process and of the
 * name before, the bytes are the file's. */
#include "tests/preload/map_lazy.h"

#include <pthread.h>
#include <spawn.h>

#define THREADS 12

/* ---- touching ---- */

static void scattered(void **state)
{
    static const int types[] = {MAP_SHARED, MAP_PRIVATE};
    for (int i = 0; i < 2; i++) {
        unsigned char *memory = map_all(PROT_READ, types[i]);
        assert_true(touches_match(memory, 0, SIZE));
        for (size_t at = SIZE; at % page; at++)
            assert_int_equal(memory[at], 0);
        assert_true(preload_matches(memory, SIZE, 0));
        assert_int_equal(munmap(memory, SIZE), 0);
    }
}

static void forwards_and_backwards(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_true(preload_matches(memory + page, 3 * APART, page));
    for (size_t at = SIZE - 1; at > SIZE - 3 * APART; at -= 1000)
        assert_true(is_byte(memory, at));
    assert_true(preload_matches(memory, SIZE, 0));
    munmap(memory, SIZE);
}

static void from_an_offset(void **state)
{
    size_t offset = 77 * page;
    unsigned char *memory = map_part(SIZE - offset, PROT_READ, MAP_SHARED, offset);
    assert_true(preload_matches(memory, SIZE - offset, offset));
    munmap(memory, SIZE - offset);
}

static void second_map(void **state)
{
    unsigned char *first = map_all(PROT_READ, MAP_SHARED);
    assert_true(is_byte(first, 3 * APART));
    unsigned char *second = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    assert_true(touches_match(second, 0, SIZE));
    memset(second, 0, SIZE);
    assert_true(preload_matches(first, SIZE, 0));
    munmap(first, SIZE);
    assert_int_equal(second[SIZE - 1], 0);
    munmap(second, SIZE);
}

static void private_writing(void **state)
{
    unsigned char *memory = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memory[APART + 5] = 1; /* the page comes, then the byte goes into it */
    memory[APART + 5] ^= 1;
    assert_int_equal(memory[APART + 5], 0);
    assert_true(preload_matches(memory + APART, 5, APART));
    assert_true(preload_matches(memory + APART + 6, page, APART + 6));
    munmap(memory, SIZE);
}

struct toucher {
    pthread_t thread;
    const unsigned char *memory;
    unsigned seed;
    bool match;
};

static void *touch_around(void *arg)
{
    struct toucher *self = arg;
    self->match = true;
    for (int i = 0; i < 60; i++) {
        size_t at = (size_t)rand_r(&self->seed) % (SIZE - 3 * page);
        self->match = self->match && preload_matches(self->memory + at, i % 3 * page + 1, at);
    }
    return NULL;
}

static void threads(void **state)
{
    struct toucher touchers[THREADS];
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    for (unsigned i = 0; i < THREADS; i++) {
        touchers[i] = (struct toucher){.memory = memory, .seed = i / 2};
        assert_int_equal(pthread_create(&touchers[i].thread, NULL, touch_around, &touchers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(touchers[i].thread, NULL);
        assert_true(touchers[i].match);
    }
    munmap(memory, SIZE);
}

/* ---- what changes the map; what it has left others may have taken: threads of other libraries
 * map memory, too ---- */

static void parts_unmapped(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    size_t first = 10 * page, second = 400 * page, third = 500 * page;
    size_t last = (SIZE + page - 1) / page * page - 7 * page;
    assert_int_equal(munmap(memory, first), 0);
    assert_int_equal(munmap(memory + second, third - second), 0);
    assert_int_equal(munmap(memory + last, 7 * page), 0);
    assert_true(preload_matches(memory + first, second - first, first));
    assert_true(touches_match(memory, third, last));
    assert_int_equal(munmap(memory + first, second - first), 0);
    assert_true(preload_matches(memory + third, last - third, third));
    assert_int_equal(munmap(memory + third, last - third), 0);
}

static void others_over_parts(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    unsigned char *other = mmap(memory + 64 * page, 64 * page, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    assert_ptr_equal(other, memory + 64 * page);
    for (size_t at = 0; at < 64 * page; at += 100)
        assert_int_equal(other[at], 0);
    other[0] = 7;
    assert_true(preload_matches(memory, 64 * page, 0));
    assert_true(touches_match(memory, 128 * page, SIZE));
    int fd = open(data, O_RDONLY);
    assert_ptr_equal(mmap(other, 64 * page, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0), other);
    close(fd);
    assert_true(preload_matches(other, 64 * page, 0));
    munmap(memory, SIZE);
}

static void moved(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    unsigned char *room = mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(is_byte(memory, 2 * APART));
    unsigned char *target = mremap(memory, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, room + page);
    assert_ptr_equal(target, room + page);
    assert_true(touches_match(target, 0, SIZE));
    assert_true(preload_matches(target, SIZE, 0));
    munmap(room, 2 * SIZE);
}

static void grown_and_shrunk(void **state)
{
    size_t length = 100 * page;
    unsigned char *memory = map_part(length, PROT_READ, MAP_PRIVATE, page);
    assert_true(is_byte(memory - page, page + 3));
    memory = mremap(memory, length, SIZE - page, MREMAP_MAYMOVE);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_true(touches_match(memory - page, page, SIZE));
    assert_ptr_equal(mremap(memory, SIZE - page, 20 * page, 0), memory);
    assert_true(preload_matches(memory, 20 * page, page));
    memory = mremap(memory, 20 * page, 4 * APART, MREMAP_MAYMOVE);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_true(preload_matches(memory, 4 * APART, page));
    munmap(memory, 4 * APART);
}

static void grown_past_the_end(void **state)
{
    size_t end = (SIZE + page - 1) / page * page;
    unsigned char *memory = map_part(APART, PROT_READ, MAP_PRIVATE, 0);
    memory = mremap(memory, APART, end + 5 * page, MREMAP_MAYMOVE);
    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(in_child(touch, memory + end), -SIGBUS);
    assert_int_equal(in_child(touch, memory + end - 1), 0);
    unsigned char *moved_on = mremap(memory, end + 5 * page, end + 9 * page, MREMAP_MAYMOVE);
    assert_ptr_not_equal(moved_on, MAP_FAILED);
    assert_int_equal(in_child(touch, moved_on + end + 8 * page), -SIGBUS);
    assert_true(preload_matches(moved_on, SIZE, 0));
    munmap(moved_on, end + 9 * page);
}

static void part_moved(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    unsigned char *part = mremap(memory + 5 * APART, APART, 2 * APART, MREMAP_MAYMOVE);
    assert_ptr_not_equal(part, MAP_FAILED);
    assert_true(preload_matches(part, 2 * APART, 5 * APART));
    assert_true(preload_matches(memory, 5 * APART, 0));
    assert_true(touches_match(memory, 6 * APART, SIZE));
    munmap(part, 2 * APART);
    munmap(memory, 5 * APART);
    munmap(memory + 6 * APART, SIZE - 6 * APART);
}

/* The kernel makes one area of neighbours that are alike. */
static void moved_beside_the_rest(void **state)
{
    unsigned char *room = mmap(NULL, 2 * SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int fd = open(data, O_RDONLY);
    unsigned char *memory =
        mmap(room + 2 * APART, SIZE, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd, 0);
    assert_ptr_equal(memory, room + 2 * APART);
    close(fd);
    unsigned char *part = mremap(memory + 5 * APART, APART, APART, MREMAP_MAYMOVE | MREMAP_FIXED,
                                 memory - APART);
    assert_ptr_equal(part, memory - APART);
    assert_true(preload_matches(memory, 5 * APART, 0));
    assert_true(preload_matches(part, APART, 5 * APART));
    assert_true(touches_match(memory, 6 * APART, SIZE));
    munmap(part, 6 * APART);
    munmap(memory + 6 * APART, SIZE - 6 * APART);
}

static void mapped_again_by_mremap(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    unsigned char *second = mremap(memory, 0, SIZE, MREMAP_MAYMOVE);
    assert_ptr_not_equal(second, MAP_FAILED);
    assert_true(touches_match(second, 0, SIZE));
    assert_true(touches_match(memory, 0, SIZE));
    munmap(second, SIZE);
    munmap(memory, SIZE);
}

static void protected(void **state)
{
    unsigned char *shared = map_all(PROT_READ, MAP_SHARED);
    assert_errno(mprotect(shared, page, PROT_READ | PROT_WRITE), EACCES);
    assert_int_equal(mprotect(shared + APART, page, PROT_NONE), 0);
    assert_int_equal(in_child(touch, shared + APART), -SIGSEGV);
    assert_int_equal(mprotect(shared + APART, page, PROT_READ), 0);
    assert_true(preload_matches(shared + APART, page, APART));
    munmap(shared, SIZE);

    unsigned char *private = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(mprotect(private + APART, APART, PROT_READ | PROT_WRITE), 0);
    private[APART] ^= 1;
    private[APART] ^= 1;
    assert_true(preload_matches(private, 3 * APART, 0));
    munmap(private, SIZE);
}

/* ---- advice ---- */

static void advised(void **state)
{
    static const int advice[] = {MADV_SEQUENTIAL, MADV_RANDOM, MADV_WILLNEED, MADV_NORMAL};
    for (int i = 0; i < 4; i++) {
        unsigned char *memory = map_all(PROT_READ, i % 2 ? MAP_SHARED : MAP_PRIVATE);
        assert_int_equal(madvise(memory, SIZE, advice[i]), 0);
        assert_int_equal(posix_madvise(memory, SIZE, POSIX_MADV_WILLNEED), 0);
        assert_true(preload_matches(memory, SIZE, 0));
        assert_errno(madvise(memory + 1, page, advice[i]), EINVAL);
        munmap(memory, SIZE);
    }
}

static void given_back(void **state)
{
    unsigned char *memory = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(memory, 7, 3 * page);
    memory[SIZE - 1] = 7;
    assert_int_equal(madvise(memory, SIZE, MADV_DONTNEED), 0);
    assert_true(preload_matches(memory, SIZE, 0));
    assert_errno(madvise(memory, page, MADV_FREE), EINVAL);
    assert_true(is_byte(memory, 5));
    munmap(memory, SIZE);
}

static void resident(void **state)
{
    unsigned char there[8] = {0};
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(mincore(memory + 2 * APART, sizeof there * page, there), 0);
    if (preload_is_virtual())
        for (size_t i = 0; i < sizeof there; i++)
            assert_int_equal(there[i] & 1, 0);
    assert_true(is_byte(memory, 2 * APART));
    assert_int_equal(mincore(memory + 2 * APART, sizeof there * page, there), 0);
    assert_int_equal(there[0] & 1, 1);
    assert_int_equal(madvise(memory + 3 * APART, 8 * page, 22 /* MADV_POPULATE_READ */), 0);
    assert_int_equal(mincore(memory + 3 * APART, sizeof there * page, there), 0);
    for (size_t i = 0; i < sizeof there; i++)
        assert_int_equal(there[i] & 1, 1);
    munmap(memory, SIZE);
}

static void locked(void **state)
{
    unsigned char there[8] = {0};
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(mlock(memory + APART, 8 * page), 0);
    assert_int_equal(mincore(memory + APART, sizeof there * page, there), 0);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ /* their mlock does nothing */
    for (size_t i = 0; i < sizeof there; i++)
        assert_int_equal(there[i] & 1, 1);
#endif
    assert_true(preload_matches(memory + APART, 8 * page, APART));
    munmap(memory, SIZE);
    memory = map_all(PROT_READ, MAP_PRIVATE | MAP_POPULATE);
    assert_true(preload_matches(memory, SIZE, 0));
    munmap(memory, SIZE);
}

/* ---- processes ---- */

static int child_reads(void *memory)
{
    return touches_match(memory, 0, SIZE) && preload_matches(memory, SIZE, 0) ? 0 : 1;
}

static void forked(void **state)
{
    unsigned char *memory = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    assert_true(is_byte(memory, APART));
    memory[APART] ^= 0xff;
    memory[APART] ^= 0xff;
    assert_int_equal(in_child(child_reads, memory), 0);
    assert_true(touches_match(memory, 0, SIZE));
    munmap(memory, SIZE);
}

static int child_forks(void *memory)
{
    return is_byte(memory, 2 * APART) ? in_child(child_reads, memory) : 9;
}

static void forked_twice(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    assert_int_equal(in_child(child_forks, memory), 0);
    munmap(memory, SIZE);
}

/* The process that made the map is gone when its child touches it. */
static void outlived(void **state)
{
    int ends[2], go[2], status;
    char result = 1;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(pipe(go), 0);
    pid_t parent = fork();
    if (!parent) {
        unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
        if (!is_byte(memory, APART))
            _exit(1);
        if (fork())
            _exit(0);
        preload_wait_for(go[0]);
        result = touches_match(memory, 0, SIZE) ? 0 : 2;
        if (write(ends[1], &result, 1) != 1)
            _exit(1);
        _exit(0);
    }
    assert_int_equal(waitpid(parent, &status, 0), parent);
    assert_int_equal(status, 0);
    preload_tell(go[1]);
    assert_int_equal(read(ends[0], &result, 1), 1);
    assert_int_equal(result, 0);
    for (int i = 0; i < 2; i++) {
        close(ends[i]);
        close(go[i]);
    }
}

static void forked_while_touching(void **state)
{
    struct toucher toucher = {.memory = map_all(PROT_READ, MAP_SHARED), .seed = 5};
    assert_int_equal(pthread_create(&toucher.thread, NULL, touch_around, &toucher), 0);
    for (int i = 0; i < 5; i++)
        assert_int_equal(in_child(child_reads, (void *)(uintptr_t)toucher.memory), 0);
    pthread_join(toucher.thread, NULL);
    assert_true(toucher.match);
    munmap((void *)(uintptr_t)toucher.memory, SIZE);
}

static void not_inherited(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(madvise(memory, SIZE, MADV_DONTFORK), 0);
    assert_int_equal(in_child(touch, memory), -SIGSEGV);
    assert_int_equal(madvise(memory, SIZE, MADV_DOFORK), 0);
    assert_int_equal(in_child(child_reads, memory), 0);
    munmap(memory, SIZE);
}

static void others_started(void **state)
{
    char *const arguments[] = {"true", NULL};
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    pid_t pid;
    int status;
    assert_int_equal(system("true"), 0);
    assert_int_equal(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ), 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    pid = vfork();
    if (!pid) {
        execvp("true", arguments);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_true(touches_match(memory, 0, SIZE));
    munmap(memory, SIZE);
}

static int leaves_main_thread(void *memory)
{
    if (is_byte(memory, APART))
        pthread_exit(NULL);
    return 1;
}

static void main_thread_left(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(in_child(leaves_main_thread, memory), 0);
    munmap(memory, SIZE);
}

/* ---- names ---- */

static void removed_and_replaced(void **state)
{
    char *first = strdup(preload_path("lazy.first"));
    const char *second = preload_path("lazy.second");
    preload_make(first, SIZE);
    preload_make(second, 100);
    int fd = open(first, O_RDONLY);
    unsigned char *memory = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(memory, MAP_FAILED);
    close(fd);
    assert_true(is_byte(memory, 3 * APART));
    assert_int_equal(rename(second, first), 0);
    assert_true(touches_match(memory, 0, SIZE));
    assert_int_equal(unlink(first), 0);
    assert_true(preload_matches(memory, SIZE, 0));
    munmap(memory, SIZE);
    free(first);
}

/* Whoever closes all descriptors takes nothing from the maps. */
static void descriptors_closed(void **state)
{
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    closefrom(3);
    assert_true(touches_match(memory, 0, SIZE));
    munmap(memory, SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scattered),
        cmocka_unit_test(forwards_and_backwards),
        cmocka_unit_test(from_an_offset),
        cmocka_unit_test(second_map),
        cmocka_unit_test(private_writing),
        cmocka_unit_test(threads),
        cmocka_unit_test(parts_unmapped),
        cmocka_unit_test(others_over_parts),
        cmocka_unit_test(moved),
        cmocka_unit_test(grown_and_shrunk),
        cmocka_unit_test(grown_past_the_end),
        cmocka_unit_test(part_moved),
        cmocka_unit_test(moved_beside_the_rest),
        cmocka_unit_test(mapped_again_by_mremap),
        cmocka_unit_test(protected),
        cmocka_unit_test(advised),
        cmocka_unit_test(given_back),
        cmocka_unit_test(resident),
        cmocka_unit_test(locked),
        cmocka_unit_test(forked),
        cmocka_unit_test(forked_twice),
        cmocka_unit_test(outlived),
        cmocka_unit_test(forked_while_touching),
        cmocka_unit_test(not_inherited),
        cmocka_unit_test(others_started),
        cmocka_unit_test(main_thread_left),
        cmocka_unit_test(removed_and_replaced),
        cmocka_unit_test(descriptors_closed),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
