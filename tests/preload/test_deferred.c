/* Files whose close does not wait (S3DLIO_CLOSE=deferred): whatever comes next, in this process, in
 * its children and in the programs that these become, finds them as if it had. Under the shim every
 * put takes a while, so that close is over long before. */
#include "tests/preload/faults.h"
#include "tests/preload/text.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>

#define STATUS_FAILED 74
#define MANY          100u

static int slow_puts(void **state)
{
    if (preload_is_virtual()) {
        faults_end();
        faults_add("op=PutObject action=delay:200");
    }
    return 0;
}

static int end_of_faults(void **state)
{
    if (preload_is_virtual())
        faults_end();
    return 0;
}

static int status_of(pid_t pid)
{
    int status = -1;
    assert_true(pid > 0);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* What `cat NAME` prints, started by `start`. */
static void cat_says(const char *name, const char *text, pid_t (*start)(char *const argv[], int out))
{
    char *argv[] = {"cat", (char *)preload_path(name), NULL}, buffer[64] = "";
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = start(argv, ends[1]);
    close(ends[1]);
    ssize_t length = read(ends[0], buffer, sizeof buffer - 1);
    close(ends[0]);
    assert_int_equal(status_of(pid), 0);
    assert_int_equal(length, strlen(text));
    assert_string_equal(buffer, text);
}

/* ---- this process ---- */

static void seen_at_once(void **state)
{
    text_put("df-new", "some text");
    assert_int_equal(text_size("df-new"), 9);
    assert_int_equal(access(preload_path("df-new"), R_OK), 0);
    assert_errno(open(preload_path("df-new"), O_WRONLY | O_CREAT | O_EXCL, 0644), EEXIST);
    text_is("df-new", "some text");
    text_put("df-empty", "");
    assert_int_equal(text_size("df-empty"), 0);
    text_is("df-empty", "");
}

static void written_again(void **state)
{
    text_put("df-again", "one");
    text_put("df-again", "two");
    assert_int_equal(text_size("df-again"), 3);
    text_is("df-again", "two");
    text_put("df-again", "three");
    int fd = text_open("df-again", O_WRONLY | O_APPEND);
    text_add(fd, ", four");
    assert_int_equal(close(fd), 0);
    text_put("df-changed", "three");
    fd = text_open("df-changed", O_RDWR);
    assert_int_equal(pwrite(fd, "T", 1, 0), 1);
    assert_int_equal(close(fd), 0);
    text_is("df-again", "three, four");
    text_is("df-changed", "Three");
    text_put("df-cut", "12345");
    assert_int_equal(truncate(preload_path("df-cut"), 3), 0);
    text_is("df-cut", "123");
}

static void names_and_attributes(void **state)
{
    struct stat st;
    text_put("df-from", "moved");
    assert_int_equal(text_move("df-from", "df-to"), 0);
    assert_false(text_exists("df-from"));
    text_is("df-to", "moved");
    text_put("df-gone", "x");
    assert_int_equal(text_remove("df-gone"), 0);
    assert_false(text_exists("df-gone"));
    text_put("df-mode", "x");
    assert_int_equal(chmod(preload_path("df-mode"), 0600), 0);
    assert_int_equal(stat(preload_path("df-mode"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    text_put("df-old", "old");
    text_put("df-other", "new");
    assert_int_equal(text_move("df-other", "df-old"), 0);
    text_is("df-old", "new");
}

static void has(const char *name, mode_t mode, time_t mtime)
{
    struct stat st;
    assert_int_equal(lstat(preload_path(name), &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
    assert_int_equal(st.st_mtim.tv_sec, mtime);
}

static void has_mode(const char *name, mode_t mode)
{
    struct stat st;
    assert_int_equal(lstat(preload_path(name), &st), 0);
    assert_int_equal(st.st_mode & 07777, mode);
}

static void set_time(const char *name, time_t mtime)
{
    struct timespec times[2] = {{mtime - 1, 0}, {mtime, 0}};
    assert_int_equal(utimensat(AT_FDCWD, preload_path(name), times, AT_SYMLINK_NOFOLLOW), 0);
}

/* As unpacking and copying programs do it: rsync, unzip, git. */
static void changed_after_close(void **state)
{
    char name[32], to[32];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, ".df-part-%u", i);
        snprintf(to, sizeof to, "df-part-%u", i);
        text_put(name, to);
        set_time(name, 1000000 + i);
        int fd = text_open(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
        assert_int_equal(fchmod(fd, 0640), 0);
        close(fd);
        has(name, 0640, 1000000 + i);
        assert_int_equal(text_move(name, to), 0);
        assert_false(text_exists(name));
        has(to, 0640, 1000000 + i);
        assert_int_equal(chmod(preload_path(to), 0604), 0);
    }
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(to, sizeof to, "df-part-%u", i);
        has(to, 0604, 1000000 + i);
        text_is(to, to);
    }
}

/* Each step is one that the next must not overtake. */
static void in_order(void **state)
{
    text_put("df-a", "one");
    assert_int_equal(text_move("df-a", "df-b"), 0);
    text_put("df-a", "two");
    assert_int_equal(text_move("df-a", "df-b"), 0);
    text_is("df-b", "two");
    assert_int_equal(text_remove("df-b"), 0);
    assert_false(text_exists("df-b"));
    text_put("df-b", "three");
    set_time("df-b", 1234567);
    text_put("df-a", "four");
    assert_int_equal(text_move("df-b", "df-c"), 0);
    assert_int_equal(text_move("df-a", "df-b"), 0);
    assert_errno(open(preload_path("df-a"), O_RDONLY), ENOENT);
    text_is("df-b", "four");
    text_is("df-c", "three");
    has("df-c", 0644, 1234567);
    text_directory("df-there");
    text_put("df-d", "five");
    assert_errno(text_move("df-d", "df-there"), EISDIR);
    assert_errno(text_move("df-d", "df-c/below"), ENOTDIR);
    assert_errno(text_move("df-d", "df-nowhere/below"), ENOENT);
    assert_int_equal(text_move("df-d", "df-there/d"), 0);
    text_is("df-there/d", "five");
    assert_int_equal(text_remove("df-there/d"), 0);
    assert_int_equal(rmdir(preload_path("df-there")), 0);
}

/* ---- files that may be read, too ---- */

static int open_both(const char *name)
{
    return text_open(name, O_RDWR | O_CREAT | O_TRUNC);
}

static void read_back(int fd, off_t offset, const char *text)
{
    char buffer[64] = "";
    assert_int_equal(pread(fd, buffer, sizeof buffer - 1, offset), strlen(text));
    assert_string_equal(buffer, text);
}

static void read_and_written(void **state)
{
    int fd = open_both("df-both");
    text_add(fd, "one two");
    assert_int_equal(close(fd), 0);
    text_is("df-both", "one two");
    fd = open_both("df-both");
    text_add(fd, "three");
    read_back(fd, 2, "ree");
    assert_int_equal(pwrite(fd, "T", 1, 0), 1);
    text_add(fd, " four");
    assert_int_equal(close(fd), 0);
    text_is("df-both", "Three four");
    fd = open_both("df-both");
    text_add(fd, "five six");
    assert_int_equal(pwrite(fd, "F", 1, 0), 1); /* in memory still */
    assert_int_equal(ftruncate(fd, 4), 0);
    int other = text_open("df-both", O_RDONLY);
    read_back(other, 0, "Five");
    close(other);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), 4);
    text_add(fd, "!");
    read_back(fd, 0, "Five!");
    assert_int_equal(close(fd), 0);
    text_is("df-both", "Five!");
}

static void mapped_and_shared(void **state)
{
    int fd = open_both("df-mapped");
    text_add(fd, "mapped");
    char *map = mmap(NULL, 6, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(map, MAP_FAILED);
    assert_memory_equal(map, "mapped", 6);
    map[0] = 'M';
    assert_int_equal(munmap(map, 6), 0);
    assert_int_equal(close(fd), 0);
    text_is("df-mapped", "Mapped");
    fd = open_both("df-shared");
    text_add(fd, "parent ");
    pid_t pid = fork();
    if (!pid) {
        read_back(fd, 0, "parent ");
        text_add(fd, "child");
        _exit(0);
    }
    assert_int_equal(status_of(pid), 0);
    read_back(fd, 0, "parent child");
    assert_int_equal(close(fd), 0);
    text_is("df-shared", "parent child");
    fd = open_both("df-locked");
    text_add(fd, "seen");
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_int_equal(flock(fd, LOCK_UN), 0);
    read_back(fd, 0, "seen");
    assert_int_equal(close(fd), 0);
    text_is("df-locked", "seen");
}

/* More than is kept in memory for such a file, in several writes and in one. */
static void large_and_read(void **state)
{
    size_t size = (size_t)5 << 20;
    char *bytes = malloc(size), *again = malloc(size);
    memset(bytes, 'x', size);
    for (size_t step = size / 5; step <= size; step += size - size / 5) {
        int fd = open_both("df-large");
        for (size_t at = 0; at < size; at += step)
            assert_int_equal(write(fd, bytes + at, step), step);
        assert_int_equal(pread(fd, again, size, 0), size);
        assert_memory_equal(bytes, again, size);
        assert_int_equal(close(fd), 0);
        assert_int_equal(text_size("df-large"), size);
    }
    free(bytes);
    free(again);
}

static void temporary(void **state)
{
    char path[PATH_MAX];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(path, sizeof path, "%s", preload_path("df-XXXXXX"));
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        text_add(fd, "loose");
        assert_int_equal(fchmod(fd, 0444), 0);
        assert_int_equal(close(fd), 0);
        assert_int_equal(rename(path, preload_path("df-loose")), 0);
        has_mode("df-loose", 0444);
        if (i % 2)
            text_is("df-loose", "loose");
        assert_int_equal(text_remove("df-loose"), 0);
    }
}

static void directories(void **state)
{
    text_directory("df-dir");
    text_put("df-dir/a", "a");
    text_put("df-dir/b", "b");
    assert_int_equal(text_entries("df-dir"), 2);
    text_put("df-dir/c", "c");
    assert_errno(rmdir(preload_path("df-dir")), ENOTEMPTY);
    text_put("df-dir/d", "d");
    assert_int_equal(text_move("df-dir", "df-moved"), 0);
    assert_int_equal(text_entries("df-moved"), 4);
    text_is("df-moved/d", "d");
    for (const char *at = "abcd"; *at; at++) {
        char name[16];
        snprintf(name, sizeof name, "df-moved/%c", *at);
        assert_int_equal(text_remove(name), 0);
    }
    assert_int_equal(rmdir(preload_path("df-moved")), 0);
}

static void put_many(const char *prefix)
{
    char name[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%s%u", prefix, i);
        text_put(name, name);
    }
}

static void are_there(const char *prefix)
{
    char name[64];
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%s%u", prefix, i);
        text_is(name, name);
    }
}

static void many(void **state)
{
    put_many("df-many-");
    are_there("df-many-");
}

static void *put_more(void *prefix)
{
    put_many(prefix);
    return NULL;
}

static void many_by_threads(void **state)
{
    static char *prefixes[] = {"df-first-", "df-second-", "df-third-"};
    pthread_t threads[3];
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, put_more, prefixes[i]), 0);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    for (unsigned i = 0; i < 3; i++)
        are_there(prefixes[i]);
}

/* ---- children and programs ---- */

static void a_child_made_before(void **state)
{
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (!pid) {
        preload_wait_for(go[0]);
        off_t size = text_size("df-before");
        text_is("df-before", "the parent's");
        assert_int_equal(text_move("df-renamed", "df-by-child"), 0);
        _exit(size != 12);
    }
    text_put("df-renamed", "renamed");
    text_put("df-before", "the parent's");
    preload_tell(go[1]);
    assert_int_equal(status_of(pid), 0);
    text_is("df-by-child", "renamed");
}

static void a_child_that_writes(void **state)
{
    int go[2];
    assert_int_equal(pipe(go), 0);
    pid_t pid = fork();
    if (!pid) {
        text_put("df-child", "the child's");
        preload_tell(go[1]);
        pause();
        _exit(1);
    }
    preload_wait_for(go[0]);
    assert_int_equal(text_size("df-child"), 11);
    text_is("df-child", "the child's");
    kill(pid, SIGKILL);
    assert_int_equal(status_of(pid), -SIGKILL);
}

static void a_child_made_after(void **state)
{
    text_put("df-after", "the parent's");
    pid_t pid = fork();
    if (!pid) {
        text_is("df-after", "the parent's");
        text_put("df-after", "the child's");
        _exit(0);
    }
    assert_int_equal(status_of(pid), 0);
    text_is("df-after", "the child's");
}

static pid_t by_fork(char *const argv[], int out)
{
    pid_t pid = fork();
    if (!pid) {
        dup2(out, 1);
        execvp(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static pid_t by_spawn(char *const argv[], int out)
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, out, 1);
    assert_int_equal(posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    return pid;
}

/* The child writes it and becomes the program. */
static pid_t by_writer(char *const argv[], int out)
{
    pid_t pid = fork();
    if (!pid) {
        text_put("df-exec", "written before");
        dup2(out, 1);
        execvp(argv[0], argv);
        _exit(127);
    }
    return pid;
}

static void programs(void **state)
{
    text_put("df-fork", "forked");
    cat_says("df-fork", "forked", by_fork);
    text_put("df-spawn", "spawned");
    cat_says("df-spawn", "spawned", by_spawn);
    cat_says("df-exec", "written before", by_writer);
    char command[PATH_MAX + 64];
    text_put("df-system", "by system");
    snprintf(command, sizeof command, "test \"$(cat '%s')\" = 'by system'",
             preload_path("df-system"));
    assert_int_equal(system(command), 0);
}

static void end_at_once(void)
{
    _exit(0);
}

static void end_quickly(void)
{
    quick_exit(0);
}

static void end_orderly(void)
{
    exit(0);
}

static void end_by_signal(void)
{
    int fd = open(preload_root(), O_RDONLY | O_DIRECTORY);
    if (fd < 0 || fsync(fd) || close(fd))
        _exit(1);
    kill(getpid(), SIGKILL);
}

/* sync(2) and syncfs(2) say nothing before all is stored, under its last name. */
static void end_after(void (*wait)(void))
{
    text_put("df-synced-new", "in the end");
    if (text_move("df-synced-new", "df-synced") || chmod(preload_path("df-synced"), 0640))
        _exit(1);
    wait();
    kill(getpid(), SIGKILL);
}

static void sync_name(void)
{
    int fd = text_open("df-synced", O_RDONLY | O_NONBLOCK);
    if (fsync(fd))
        _exit(1);
}

static void sync_where_it_is(void)
{
    int fd = open(preload_root(), O_RDONLY | O_DIRECTORY);
    if (fd < 0 || syncfs(fd))
        _exit(1);
}

static void synced(void **state)
{
    void (*const ways[])(void) = {sync, sync_name, sync_where_it_is};
    for (unsigned i = 0; i < sizeof ways / sizeof *ways; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (!pid)
            end_after(ways[i]);
        assert_int_equal(status_of(pid), -SIGKILL);
        text_is("df-synced", "in the end");
        has_mode("df-synced", 0640);
        assert_int_equal(text_remove("df-synced"), 0);
    }
}

/* Killed right after the close: there or not, but whole, and under one name. */
static void killed(void **state)
{
    for (unsigned i = 0; i < 4; i++) {
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            text_put("df-killed-new", "whole");
            if (i % 2)
                text_move("df-killed-new", "df-killed");
            if (i / 2)
                usleep(100000);
            kill(getpid(), SIGKILL);
        }
        assert_int_equal(status_of(pid), -SIGKILL);
        text_put("df-killed-then", "x"); /* nothing hangs */
        const char *name = i % 2 ? "df-killed" : "df-killed-new";
        if (text_exists(name))
            text_is(name, "whole");
        assert_false(text_exists(i % 2 ? "df-killed-new" : "df-killed"));
        unlink(preload_path(name));
    }
}

static void ends(void **state)
{
    static const struct {
        void (*end)(void);
        int status;
    } rows[] = {{end_at_once, 0}, {end_quickly, 0}, {end_orderly, 0}, {end_by_signal, -SIGKILL}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        char name[32];
        snprintf(name, sizeof name, "df-end-%u", i);
        fflush(NULL);
        pid_t pid = fork();
        if (!pid) {
            text_put(name, "in the end");
            rows[i].end();
        }
        assert_int_equal(status_of(pid), rows[i].status);
        text_is(name, "in the end");
    }
}

/* ---- what goes wrong, virtually only ---- */

static int refused_puts(void **state)
{
    end_of_faults(state);
    if (preload_is_virtual())
        faults_add("op=PutObject key=df-refused* action=status:403:AccessDenied");
    return 0;
}

static void told_by_the_next_call(void **state)
{
    if (!preload_is_virtual())
        return;
    pid_t pid = fork();
    if (!pid) {
        text_put("df-unrefused", "x");
        assert_int_equal(text_move("df-unrefused", "df-refused"), 0);
        assert_errno(open(preload_path("df-refused"), O_RDONLY), EACCES);
        assert_errno(open(preload_path("df-refused"), O_RDONLY), ENOENT);
        int fd = open(preload_root(), O_RDONLY | O_DIRECTORY);
        assert_errno(fsync(fd), EACCES);
        assert_errno(syncfs(fd), EACCES);
        close(fd);
        end_of_faults(NULL);
        text_put("df-refused", "y");
        _exit(0);
    }
    assert_int_equal(status_of(pid), 0);
    text_is("df-refused", "y");
}

static int status_after(void (*end)(void))
{
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        text_put("df-moved-too", "x");
        if (text_move("df-moved-too", "df-refused-too"))
            _exit(1);
        chmod(preload_path("df-refused-too"), 0600);
        end();
        _exit(1);
    }
    return status_of(pid);
}

static void end_badly(void)
{
    _exit(3);
}

static void become_true(void)
{
    execlp("true", "true", NULL);
    _exit(errno == EIO ? 5 : 4);
}

static void statuses(void **state)
{
    if (!preload_is_virtual())
        return;
    assert_int_equal(status_after(end_at_once), STATUS_FAILED);
    assert_int_equal(status_after(end_quickly), STATUS_FAILED);
    assert_int_equal(status_after(end_orderly), STATUS_FAILED);
    assert_int_equal(status_after(end_badly), 3);
    assert_int_equal(status_after(become_true), 5);
    assert_false(text_exists("df-refused-too"));
    assert_false(text_exists("df-moved-too"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(seen_at_once, slow_puts),
        cmocka_unit_test_setup(written_again, slow_puts),
        cmocka_unit_test_setup(names_and_attributes, slow_puts),
        cmocka_unit_test_setup(changed_after_close, slow_puts),
        cmocka_unit_test_setup(in_order, slow_puts),
        cmocka_unit_test_setup(read_and_written, slow_puts),
        cmocka_unit_test_setup(mapped_and_shared, slow_puts),
        cmocka_unit_test_setup(large_and_read, slow_puts),
        cmocka_unit_test_setup(temporary, slow_puts),
        cmocka_unit_test_setup(directories, slow_puts),
        cmocka_unit_test_setup(many, slow_puts),
        cmocka_unit_test_setup(many_by_threads, slow_puts),
        cmocka_unit_test_setup(a_child_made_before, slow_puts),
        cmocka_unit_test_setup(a_child_that_writes, slow_puts),
        cmocka_unit_test_setup(a_child_made_after, slow_puts),
        cmocka_unit_test_setup(programs, slow_puts),
        cmocka_unit_test_setup(synced, slow_puts),
        cmocka_unit_test_setup(killed, slow_puts),
        cmocka_unit_test_setup(ends, slow_puts),
        cmocka_unit_test_setup(told_by_the_next_call, refused_puts),
        cmocka_unit_test_setup(statuses, refused_puts),
    };
    return cmocka_run_group_tests_name("deferred", tests, NULL, end_of_faults);
}
