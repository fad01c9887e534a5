/* S3DLIO_INLINE_SYSCALLS=auto: a library as Rust makes them (libraries/rustlike.c) saves a file,
 * from threads that it starts, from those that were there before it was loaded, and before anything
 * virtual was used. Other code is left alone. */
#include "tests/preload/preload.h"

#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include "tests/preload/inline.h"

#ifdef INLINE_CALLS

static int (*rustlike_rename)(const char *from, const char *to);
static int (*rustlike_save)(const char *from, const char *to);
static int (*rustlike_thread)(pthread_t *thread, void *(*function)(void *), void *argument);
static pthread_t early, early_rustlike;
static sem_t used;

/* The arguments are in static buffers (preload_path). */
static int save(const char *name)
{
    char from[PATH_MAX], to[PATH_MAX + 10];
    struct stat st;
    snprintf(from, sizeof from, "%s", preload_path(name));
    snprintf(to, sizeof to, "%s-saved", from);
    int result = rustlike_save(from, to);
    if (result)
        return result;
    return stat(to, &st) || st.st_size != 5 || !stat(from, &st) ? 1 : 0;
}

static void *save_in_thread(void *name)
{
    return (void *)(long)save(name);
}

static void *wait_and_save(void *name)
{
    sem_wait(&used);
    return save_in_thread(name);
}

/* It has nothing to do with files before. */
static void *wait_and_rename(void *unused)
{
    sem_wait(&used);
    char to[PATH_MAX];
    snprintf(to, sizeof to, "%s", preload_path("renamed-early"));
    return (void *)(long)rustlike_rename(preload_path("to-rename-early"), to);
}

static volatile int told;

static void on_sigsys(int number)
{
    told++;
}

static int load(void **state)
{
    signal(SIGSYS, on_sigsys);
    char path[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 20);
    assert_true(length > 0);
    path[length] = '\0';
    strcpy(strrchr(path, '/') + 1, "librustlike.so");
    assert_int_equal(sem_init(&used, 0, 0), 0);
    assert_int_equal(pthread_create(&early, NULL, wait_and_save, "early"), 0);
    void *library = dlopen(path, RTLD_NOW);
    if (!library)
        fail_msg("%s", dlerror());
    *(void **)&rustlike_rename = dlsym(library, "rustlike_rename");
    *(void **)&rustlike_save = dlsym(library, "rustlike_save");
    *(void **)&rustlike_thread = dlsym(library, "rustlike_thread");
    assert_int_equal(rustlike_thread(&early_rustlike, wait_and_rename, NULL), 0);
    preload_make(preload_path("to-rename"), 10);
    assert_int_equal(rustlike_rename(preload_path("to-rename"), preload_path("to-rename-early")),
                     0);
    raise(SIGSYS); /* is still the program's */
    assert_int_equal(told, 1);
    return 0;
}

static void result_is_0(pthread_t thread)
{
    void *result;
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((long)result, 0);
}

static void saved_by_the_first_thread(void **state)
{
    assert_int_equal(save("first"), 0);
    assert_int_equal(save("again"), 0);
}

static void saved_by_threads_from_before(void **state)
{
    sem_post(&used);
    sem_post(&used);
    result_is_0(early);
    result_is_0(early_rustlike);
}

static void saved_by_its_threads(void **state)
{
    pthread_t thread;
    assert_int_equal(rustlike_thread(&thread, save_in_thread, "late"), 0);
    result_is_0(thread);
}

static void *open_inline(void *path)
{
    long fd = inline_openat(path, O_RDONLY, 0);
    if (fd >= 0)
        close((int)fd);
    return (void *)(fd < 0 ? fd : 0);
}

/* A thread that runs no such code pays nothing. */
static void other_threads_are_left_alone(void **state)
{
    pthread_t thread;
    void *result;
    assert_int_equal(
        pthread_create(&thread, NULL, open_inline, (void *)preload_path("renamed-early")), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((long)result, preload_is_virtual() ? -ENOENT : 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_by_the_first_thread),
        cmocka_unit_test(saved_by_threads_from_before),
        cmocka_unit_test(saved_by_its_threads),
        cmocka_unit_test(other_threads_are_left_alone),
    };
    return cmocka_run_group_tests_name("inline_call_auto", tests, load, NULL);
}

#else

static void nothing(void **state)
{
    print_message("skip: only on x86-64, and not under sanitizers\n");
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing)};
    return cmocka_run_group_tests_name("inline_call_auto", tests, NULL, NULL);
}

#endif
