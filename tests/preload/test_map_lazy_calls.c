/* System calls whose buffers lie in maps whose pages come when they are touched, and signal handlers
 * that touch them. */
#include "tests/preload/map_lazy.h"

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>

#define LENGTH ((size_t)100000)

/* ---- system calls ---- */

static unsigned char got[LENGTH];

/* Reads what a call has put into the other end of a pipe or socket. */
static void expect(int fd, size_t offset, ssize_t sent)
{
    assert_int_equal(sent, LENGTH);
    memset(got, 0, sizeof got);
    for (size_t done = 0; done < LENGTH;) {
        ssize_t part = read(fd, got + done, LENGTH - done);
        assert_true(part > 0);
        done += (size_t)part;
    }
    assert_true(preload_matches(got, LENGTH, offset));
}

/* Where nothing was touched yet: somewhere else each time. */
static size_t fresh(void)
{
    static size_t last;
    last += 2 * APART;
    if (last + LENGTH > SIZE)
        last = 2 * APART + 5;
    return last;
}

static void sent_to_sockets(void **state)
{
    int ends[2], room = 1 << 20;
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    size_t at = fresh();
    expect(ends[1], at, send(ends[0], memory + at, LENGTH, 0));
    at = fresh();
    expect(ends[1], at, sendto(ends[0], memory + at, LENGTH, 0, NULL, 0));
    at = fresh();
    struct iovec iov[2] = {{memory + at, 1000}, {memory + at + 1000, LENGTH - 1000}};
    struct mmsghdr message = {.msg_hdr = {.msg_iov = iov, .msg_iovlen = 2}};
    expect(ends[1], at, sendmsg(ends[0], &message.msg_hdr, 0));
    at = fresh();
    iov[0].iov_base = memory + at;
    iov[1].iov_base = memory + at + 1000;
    assert_int_equal(sendmmsg(ends[0], &message, 1, 0), 1);
    expect(ends[1], at, message.msg_len);
    close(ends[0]);
    close(ends[1]);
    munmap(memory, SIZE);
}

static void written(int out, int in)
{
    unsigned char *memory = map_all(PROT_READ, MAP_SHARED);
    size_t at = fresh();
    expect(in, at, write(out, memory + at, LENGTH));
    at = fresh();
    struct iovec iov[2] = {{memory + at, 1000}, {memory + at + 1000, LENGTH - 1000}};
    expect(in, at, writev(out, iov, 2));
    at = fresh();
    expect(in, at, syscall(SYS_write, out, memory + at, LENGTH));
    munmap(memory, SIZE);
}

static void written_to_pipes(void **state)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1 << 20) >= (int)LENGTH);
    written(ends[1], ends[0]);
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    size_t at = fresh() / page * page;
    expect(ends[0], at, vmsplice(ends[1], &(struct iovec){memory + at, LENGTH}, 1, 0));
    munmap(memory, SIZE);
    close(ends[0]);
    close(ends[1]);
}

static void check_file(int fd, size_t offset, ssize_t sent)
{
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    expect(fd, offset, sent);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
}

static void written_to_files(void **state)
{
    FILE *temporary = tmpfile();
    int fds[2] = {memfd_create("real", 0),
                  open(preload_path("lazy.copy"), O_RDWR | O_CREAT | O_TRUNC, 0644)};
    unsigned char *memory = map_all(PROT_READ, MAP_PRIVATE);
    for (int i = 0; i < 2; i++) {
        assert_true(fds[i] >= 0);
        size_t at = fresh();
        check_file(fds[i], at, write(fds[i], memory + at, LENGTH));
        at = fresh();
        check_file(fds[i], at, pwrite(fds[i], memory + at, LENGTH, 0));
        at = fresh();
        check_file(fds[i], at, pwritev(fds[i], &(struct iovec){memory + at, LENGTH}, 1, 0));
        assert_int_equal(close(fds[i]), 0);
    }
    size_t at = fresh();
    assert_int_equal(fwrite(memory + at, 1, LENGTH, temporary), LENGTH);
    assert_int_equal(fflush(temporary), 0);
    check_file(fileno(temporary), at, LENGTH);
    fclose(temporary);
    munmap(memory, SIZE);
}

/* Bytes that a call puts into the middle of pages that were not there. */
static void check_read(unsigned char *memory, size_t at, ssize_t result)
{
    assert_int_equal(result, 5000);
    for (size_t i = 0; i < 5000; i++)
        assert_int_equal(memory[at + i], 'x');
    assert_true(preload_matches(memory + at - 3 * page, 3 * page, at - 3 * page));
    assert_true(preload_matches(memory + at + 5000, 3 * page, at + 5000));
}

static void read_into(void **state)
{
    char bytes[5000];
    FILE *temporary = tmpfile();
    int fds[2] = {memfd_create("real", 0),
                  open(preload_path("lazy.copy"), O_RDWR | O_CREAT | O_TRUNC, 0644)};
    unsigned char *memory = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    memset(bytes, 'x', sizeof bytes);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(write(fds[i], bytes, sizeof bytes), sizeof bytes);
        assert_int_equal(lseek(fds[i], 0, SEEK_SET), 0);
        size_t at = fresh() + 77;
        check_read(memory, at, read(fds[i], memory + at, 5000));
        at = fresh() + 77;
        check_read(memory, at, pread(fds[i], memory + at, 5000, 0));
        at = fresh() + 77;
        check_read(memory, at, preadv(fds[i], &(struct iovec){memory + at, 5000}, 1, 0));
        close(fds[i]);
        munmap(memory, SIZE);
        memory = map_all(PROT_READ | PROT_WRITE, MAP_PRIVATE);
    }
    fwrite(bytes, 1, sizeof bytes, temporary);
    rewind(temporary);
    size_t at = fresh() + 77;
    check_read(memory, at, (ssize_t)fread(memory + at, 1, 5000, temporary));
    fclose(temporary);
    munmap(memory, SIZE);
}

static void behind_the_end(void **state)
{
    int ends[2];
    size_t end = (SIZE + page - 1) / page * page;
    unsigned char *memory = map_part(SIZE + 8 * page, PROT_READ, MAP_PRIVATE, 0);
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(in_child(touch, memory + end + page), -SIGBUS);
    assert_errno(write(ends[1], memory + end + page, 10), EFAULT);
    assert_int_equal(in_child(touch, memory + end - 1), 0);
    assert_int_equal(write(ends[1], memory + end - 10, 10), 10);
    close(ends[0]);
    close(ends[1]);
    munmap(memory, SIZE + 8 * page);
}

/* ---- signals ---- */

static volatile struct {
    const unsigned char *memory;
    unsigned seed, wrong;
    int left;
} handled;

static void on_signal(int number)
{
    size_t at = (handled.seed = handled.seed * 1103515245u + 12345u) % SIZE;
    handled.wrong += !is_byte(handled.memory, at);
    handled.left--;
}

/* Handlers that touch a map while maps are made and taken away. */
static void touched_in_handlers(void **state)
{
    handled.memory = map_all(PROT_READ, MAP_PRIVATE);
    handled.left = 50;
    signal(SIGALRM, on_signal);
    struct itimerval often = {{0, 2000}, {0, 2000}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    while (handled.left > 0) {
        int fd = open(data, O_RDONLY);
        unsigned char *memory = mmap(NULL, 3 * APART, PROT_READ, MAP_PRIVATE, fd, 0);
        assert_ptr_not_equal(memory, MAP_FAILED);
        assert_true(is_byte(memory, 2 * APART));
        munmap(memory + APART, APART);
        munmap(memory, APART);
        munmap(memory + 2 * APART, APART);
        close(fd);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    signal(SIGALRM, SIG_DFL);
    assert_int_equal(handled.wrong, 0);
    munmap((void *)(uintptr_t)handled.memory, SIZE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sent_to_sockets),
        cmocka_unit_test(written_to_pipes),
        cmocka_unit_test(written_to_files),
        cmocka_unit_test(read_into),
        cmocka_unit_test(behind_the_end),
        cmocka_unit_test(touched_in_handlers),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
