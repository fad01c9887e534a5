/* Writing where one likes: in place, holes, both sizes of truncate, allocation, appending, several
 * descriptors on one path, and what the process itself sees meanwhile. */
#include "tests/preload/preload.h"

#include <sys/uio.h>
#include <sys/wait.h>

static off_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void make_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void assert_content(const char *path, const char *bytes, size_t length)
{
    char buffer[4096] = "";
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, buffer, sizeof buffer), length);
    assert_memory_equal(buffer, bytes, length);
    close(fd);
}

#define assert_text(path, text) assert_content(path, text, sizeof(text) - 1)

static void in_place(void **state)
{
    const char *path = preload_path("inplace");
    make_text(path, "hello world");
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    char buffer[32] = "";
    assert_int_equal(read(fd, buffer, 5), 5);
    assert_string_equal(buffer, "hello");
    assert_int_equal(pwrite(fd, "J", 1, 0), 1);
    assert_int_equal(write(fd, "_", 1), 1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 6);
    struct iovec iov[] = {{"WO", 2}, {"RL", 2}};
    assert_int_equal(pwritev(fd, iov, 2, 6), 4);
    assert_int_equal(pread(fd, buffer, sizeof buffer, 0), 11);
    assert_memory_equal(buffer, "Jello_WORLd", 11);
    assert_int_equal(lseek(fd, 0, SEEK_END), 11);
    assert_int_equal(write(fd, "!", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_text(path, "Jello_WORLd!");

    fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, "C", 1), 1);
    assert_errno(read(fd, buffer, 1), EBADF);
    assert_int_equal(close(fd), 0);
    assert_text(path, "Cello_WORLd!");
}

static void new_files(void **state)
{
    const char *path = preload_path("fresh");
    unlink(path);
    assert_errno(open(path, O_RDWR), ENOENT);
    assert_errno(open(preload_path("no/parent"), O_RDWR | O_CREAT, 0644), ENOENT);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0);
    assert_errno(open(path, O_RDWR | O_CREAT | O_EXCL, 0640), EEXIST);
    struct stat by_fd, by_path;
    assert_int_equal(fstat(fd, &by_fd), 0);
    assert_int_equal(stat(path, &by_path), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
    assert_int_equal(close(fd), 0);
    assert_int_equal(stat(path, &by_path), 0);
    assert_int_equal(by_fd.st_ino, by_path.st_ino);
    assert_int_equal(by_path.st_size, 0);
    assert_int_equal(by_path.st_mode & 07777, 0640);

    fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0666);
    assert_int_equal(write(fd, "abc", 3), 3);
    char buffer[8];
    assert_int_equal(pread(fd, buffer, 8, 1), 2);
    assert_int_equal(close(fd), 0);
    assert_text(path, "abc");
    assert_int_equal(stat(path, &by_path), 0);
    assert_int_equal(by_path.st_mode & 07777, 0640);
    assert_errno(open(preload_root(), O_RDWR), EISDIR);
}

static void read_only_creates(void **state)
{
    const char *path = preload_path("rocreat");
    unlink(path);
    int fd = open(path, O_RDONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    char byte;
    assert_int_equal(read(fd, &byte, 1), 0);
    assert_errno(write(fd, "x", 1), EBADF);
    assert_errno(ftruncate(fd, 1), EINVAL);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 0);
    make_text(path, "content");
    fd = open(path, O_RDONLY | O_CREAT, 0600);
    assert_int_equal(read(fd, &byte, 1), 1);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 7);
    fd = open(path, O_RDONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), 0);
}

static void truncating(void **state)
{
    const char *path = preload_path("truncated");
    make_text(path, "0123456789");
    int fd = open(path, O_RDWR);
    assert_int_equal(ftruncate(fd, 4), 0);
    assert_int_equal(ftruncate(fd, 6), 0);
    assert_errno(ftruncate(fd, -1), EINVAL);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_size, 6);
    assert_int_equal(size_of(path), 6);
    assert_int_equal(close(fd), 0);
    assert_content(path, "0123\0\0", 6);
    assert_int_equal(truncate(path, 2), 0);
    assert_text(path, "01");
    assert_int_equal(truncate(path, 5), 0);
    assert_content(path, "01\0\0\0", 5);
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(size_of(path), 0);
    assert_int_equal(truncate(path, 3), 0);
    assert_content(path, "\0\0\0", 3);
    assert_errno(truncate(path, -1), EINVAL);
    assert_errno(truncate(preload_path("absent"), 1), ENOENT);
    assert_errno(truncate(preload_root(), 1), EISDIR);
    fd = open(path, O_RDONLY);
    assert_errno(ftruncate(fd, 1), EINVAL);
    close(fd);
}

static void holes(void **state)
{
    const char *path = preload_path("holes");
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    assert_int_equal(pwrite(fd, "end", 3, 3 << 20), 3);
    char *buffer = malloc(1 << 20);
    assert_int_equal(pread(fd, buffer, 1 << 20, 1 << 20), 1 << 20);
    for (size_t i = 0; i < 1 << 20; i++)
        assert_int_equal(buffer[i], 0);
    assert_errno(lseek(fd, (3 << 20) + 3, SEEK_DATA), ENXIO);
    assert_errno(lseek(fd, (3 << 20) + 3, SEEK_HOLE), ENXIO);
    assert_int_equal(lseek(fd, 3 << 20, SEEK_DATA), 3 << 20);
    assert_int_equal(lseek(fd, 3 << 20, SEEK_HOLE), (3 << 20) + 3);
    assert_int_equal(lseek(fd, 0, SEEK_HOLE), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(path), (3 << 20) + 3);
    free(buffer);
}

static void allocation(void **state)
{
    const char *path = preload_path("allocated");
    make_text(path, "0123456789");
    int fd = open(path, O_RDWR);
    assert_int_equal(posix_fallocate(fd, 0, 20), 0);
    assert_int_equal(size_of(path), 20);
    assert_int_equal(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 40), 0);
    assert_int_equal(size_of(path), 20);
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 2, 3), 0);
    assert_errno(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 2, 3), EOPNOTSUPP);
    assert_errno(fallocate(fd, 0, -1, 3), EINVAL);
    assert_errno(fallocate(fd, 0, 0, 0), EINVAL);
    assert_int_equal(close(fd), 0);
    assert_content(path, "01\0\0\0""56789\0\0\0\0\0\0\0\0\0\0", 20);
    fd = open(path, O_RDONLY);
    assert_int_equal(posix_fallocate(fd, 0, 20), EBADF);
    close(fd);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(posix_fallocate(fd, 0, 7), 0);
    assert_int_equal(pwrite(fd, "x", 1, 3), 1);
    assert_int_equal(close(fd), 0);
    assert_content(path, "\0\0\0x\0\0\0", 7);
}

static void appending(void **state)
{
    const char *path = preload_path("append");
    make_text(path, "one");
    int fd = open(path, O_WRONLY | O_APPEND);
    int other = open(path, O_RDWR | O_APPEND | O_CREAT, 0644);
    assert_true(fd >= 0 && other >= 0);
    assert_int_equal(write(fd, "two", 3), 3);
    assert_int_equal(write(other, "three", 5), 5);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(write(fd, "four", 4), 4);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 15);
    assert_int_equal(pwrite(fd, "five", 4, 0), 4);
    char buffer[32];
    assert_int_equal(pread(other, buffer, 32, 0), 19);
    assert_int_equal(close(other), 0);
    assert_int_equal(close(fd), 0);
    assert_text(path, "onetwothreefourfive");
}

static void own_view(void **state)
{
    const char *path = preload_path("view");
    make_text(path, "before");
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "B", 1, 0), 1);
    int reader = open(path, O_RDONLY);
    char buffer[16];
    assert_int_equal(read(reader, buffer, 16), 6);
    assert_memory_equal(buffer, "Before", 6);
    assert_int_equal(pwrite(fd, "!!", 2, 6), 2);
    assert_int_equal(read(reader, buffer, 16), 2);
    assert_int_equal(size_of(path), 8);
    assert_int_equal(access(path, F_OK), 0);
    int second = open(path, O_WRONLY | O_TRUNC);
    assert_int_equal(write(second, "new", 3), 3);
    assert_int_equal(pread(fd, buffer, 16, 0), 3);
    assert_int_equal(close(fd), 0);
    assert_int_equal(write(second, "er", 2), 2);
    assert_int_equal(close(second), 0);
    assert_int_equal(pread(reader, buffer, 16, 0), 5);
    assert_int_equal(close(reader), 0);
    assert_text(path, "newer");
}

static void streams_are_seen(void **state)
{
    const char *path = preload_path("seen");
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_int_equal(write(fd, "12345", 5), 5);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, 5);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_errno(open(path, O_WRONLY | O_CREAT | O_EXCL, 0600), EEXIST);
    int again =
        open(path, O_RDWR | O_EXCL); /* for devices: without O_CREAT it means nothing here */
    assert_true(again >= 0);
    assert_int_equal(close(again), 0);
    assert_int_equal(unlink(path), 0);
    assert_errno(stat(path, &st), ENOENT);
    assert_int_equal(close(fd), 0);
    assert_errno(stat(path, &st), ENOENT);
}

static void unlinked_while_open(void **state)
{
    const char *path = preload_path("unlinked");
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "12345", 5), 5);
    assert_int_equal(unlink(path), 0);
    assert_errno(unlink(path), ENOENT);
    char buffer[8];
    assert_int_equal(pread(fd, buffer, 8, 0), 5);
    assert_int_equal(fsync(fd), 0);
    make_text(path, "other");
    assert_int_equal(close(fd), 0);
    assert_text(path, "other");
}

static void syncing(void **state)
{
    const char *path = preload_path("synced");
    make_text(path, "0123456789");
    int fd = open(path, O_RDWR);
    assert_int_equal(pwrite(fd, "x", 1, 9), 1);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(pwrite(fd, "y", 1, 8), 1);
    assert_int_equal(fdatasync(fd), 0);
    pid_t child = fork();
    if (!child) { /* another process sees what was synced */
        char buffer[16];
        int other = open(path, O_RDONLY);
        bool same = read(other, buffer, 16) == 10 && !memcmp(buffer, "01234567yx", 10);
        _exit(same ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(close(fd), 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "a", 1), 1);
    assert_int_equal(fsync(fd), 0);
    assert_int_equal(write(fd, "b", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_text(path, "ab");
}

static void child_leaves_it_alone(void **state)
{
    const char *path = preload_path("parents");
    make_text(path, "0123456789");
    int fd = open(path, O_RDWR);
    assert_int_equal(write(fd, "ab", 2), 2);
    pid_t child = fork();
    if (!child) {
        close(fd);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(write(fd, "cd", 2), 2);
    assert_int_equal(close(fd), 0);
    assert_text(path, "abcd456789");
}

static void bad_input(void **state)
{
    const char *path = preload_path("bad");
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT, 0644);
    assert_errno(pwrite(fd, "x", 1, -1), EINVAL);
    assert_errno(pread(fd, preload_bad(1), 1, -1), EINVAL);
    assert_errno(write(fd, preload_bad(1), 10), EFAULT);
    assert_int_equal(write(fd, "good", 4), 4);
    assert_errno(pread(fd, preload_bad(1), 4, 0), EFAULT);
    assert_errno(lseek(fd, -1, SEEK_SET), EINVAL);
    if (preload_is_virtual()) /* what a local one takes depends on the file system */
        assert_errno(ftruncate(fd, INT64_C(6) << 40), EFBIG);
    assert_int_equal(close(fd), 0);
    assert_text(path, "good");
}

static void temporary_names(void **state)
{
    char *name = (char *)(uintptr_t)preload_path("tmp.XXXXXX");
    int fd = mkstemp(name);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "temporary", 9), 9);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    char buffer[16];
    assert_int_equal(read(fd, buffer, 16), 9);
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode, S_IFREG | 0600);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(name), 9);
    assert_int_equal(unlink(name), 0);
    name = (char *)(uintptr_t)preload_path("tmp.XXXXXX.txt");
    fd = mkostemps(name, 4, O_CLOEXEC | O_APPEND);
    assert_true(fd >= 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(size_of(name), 0);
    assert_int_equal(unlink(name), 0);
}

static void stdio_modes(void **state)
{
    const char *path = preload_path("stdio");
    unlink(path);
    char buffer[32] = "";
    FILE *file = fopen(path, "w+");
    assert_non_null(file);
    assert_true(fputs("hello world\n", file) >= 0);
    rewind(file);
    assert_non_null(fgets(buffer, sizeof buffer, file));
    assert_string_equal(buffer, "hello world\n");
    assert_int_equal(fseek(file, 6, SEEK_SET), 0);
    assert_int_equal(fputc('W', file), 'W');
    assert_int_equal(fclose(file), 0);
    file = fopen(path, "r+");
    assert_int_equal(fgetc(file), 'h');
    assert_int_equal(fseek(file, 0, SEEK_SET), 0);
    assert_int_equal(fputc('H', file), 'H');
    assert_int_equal(fclose(file), 0);
    file = fopen(path, "a");
    assert_int_equal(ftell(file), 12);
    assert_true(fputs("more\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    file = fopen(path, "a+");
    assert_int_equal(fgetc(file), 'H');
    assert_int_equal(fseek(file, 0, SEEK_CUR), 0);
    assert_true(fputs("last\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_text(path, "Hello World\nmore\nlast\n");
    assert_null(fopen(path, "wx"));
    assert_int_equal(errno, EEXIST);
    assert_null(fopen(preload_path("absent"), "r+"));
    assert_int_equal(errno, ENOENT);
}

/* A stream that turns random: bytes behind it, in it, a size. */
static void stream_turns(void **state)
{
    const char *path = preload_path("turns");
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, "0123456789", 10), 10);
    assert_int_equal(pwrite(fd, "ab", 2, 1), 2);
    assert_int_equal(pwrite(fd, "end", 3, 8), 3);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 10);
    assert_int_equal(pwrite(fd, "far", 3, 14), 3);
    assert_int_equal(size_of(path), 17);
    assert_int_equal(ftruncate(fd, 16), 0);
    assert_int_equal(write(fd, "X", 1), 1);
    assert_int_equal(close(fd), 0);
    assert_content(path, "0ab34567enX\0\0\0fa", 16);

    unsigned char *buffer = malloc(20 << 20);
    preload_fill(buffer, 20 << 20, 0);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(write(fd, buffer, 20 << 20), 20 << 20);
    assert_int_equal(lseek(fd, 4, SEEK_SET), 4);
    assert_int_equal(write(fd, "size", 4), 4);
    assert_int_equal(close(fd), 0);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, buffer, 20 << 20, 0), 20 << 20);
    assert_memory_equal(buffer + 4, "size", 4);
    assert_true(preload_matches(buffer + 8, (20 << 20) - 8, 8));
    close(fd);
    free(buffer);
    unlink(path);
}

static void large_file_small_change(void **state)
{
    const char *path = preload_path("large");
    preload_make(path, 20 << 20);
    int fd = open(path, O_RDWR);
    unsigned char byte = (unsigned char)~preload_byte(12345678);
    assert_int_equal(pwrite(fd, &byte, 1, 12345678), 1);
    assert_int_equal(close(fd), 0);
    unsigned char *buffer = malloc(20 << 20);
    fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, buffer, 20 << 20, 0), 20 << 20);
    assert_int_equal(buffer[12345678], byte);
    buffer[12345678] = preload_byte(12345678);
    assert_true(preload_matches(buffer, 20 << 20, 0));
    close(fd);
    free(buffer);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_place),
        cmocka_unit_test(new_files),
        cmocka_unit_test(read_only_creates),
        cmocka_unit_test(truncating),
        cmocka_unit_test(holes),
        cmocka_unit_test(allocation),
        cmocka_unit_test(appending),
        cmocka_unit_test(own_view),
        cmocka_unit_test(streams_are_seen),
        cmocka_unit_test(unlinked_while_open),
        cmocka_unit_test(syncing),
        cmocka_unit_test(child_leaves_it_alone),
        cmocka_unit_test(bad_input),
        cmocka_unit_test(temporary_names),
        cmocka_unit_test(stdio_modes),
        cmocka_unit_test(stream_turns),
        cmocka_unit_test(large_file_small_change),
    };
    return cmocka_run_group_tests_name("random_write", tests, NULL, NULL);
}
