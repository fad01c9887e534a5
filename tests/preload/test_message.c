/* Descriptors in messages within one process: what comes is the same open file description, as often
 * as it is received; what is thrown away unread is held by nobody. */
#include "tests/preload/message.h"

#include <pthread.h>
#include <sys/syscall.h>

#define TIMES 3000

/* ---- within one process ---- */

static void it_is_a_dup(void **state)
{
    text_put("m-dup", "one two three");
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_open("m-dup", O_RDONLY);
    send_one(pair.here, fd);
    int copy = receive_one(pair.there);
    assert_int_not_equal(copy, fd);
    assert_true(reads(fd, "one "));
    assert_int_equal(lseek(copy, 0, SEEK_CUR), 4);
    assert_true(reads(copy, "two "));
    assert_true(reads(fd, "three"));
    assert_int_equal(fcntl(copy, F_SETFL, O_NONBLOCK), 0);
    assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
    assert_int_equal(close(fd), 0);
    assert_int_equal(lseek(copy, 4, SEEK_SET), 4);
    assert_true(reads(copy, "two"));
    struct stat st;
    assert_int_equal(fstat(copy, &st), 0);
    assert_int_equal(st.st_size, 13);
    assert_int_equal(close(copy), 0);
    pair_end(pair);
}

static void only_the_message_has_it(void **state)
{
    text_put("m-flight", "in flight");
    struct pair pair = pair_new(SOCK_DGRAM);
    int fd = text_open("m-flight", O_RDONLY);
    assert_int_equal(lseek(fd, 3, SEEK_SET), 3);
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    fd = receive_one(pair.there);
    assert_true(reads(fd, "flight"));
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

static void writing_goes_on(void **state)
{
    FOR_EACH_ACCESS (kind) {
        struct pair pair = pair_new(SOCK_SEQPACKET);
        int fd = text_begin("m-write", text_access(kind), "before ");
        send_one(pair.here, fd);
        text_add(fd, "flight ");
        assert_int_equal(close(fd), 0);
        text_is("m-write", "before flight ");
        fd = receive_one(pair.there);
        text_add(fd, "after");
        assert_int_equal(lseek(fd, 0, SEEK_CUR), 19);
        assert_int_equal(close(fd), 0);
        text_is("m-write", "before flight after");
        pair_end(pair);
    }
}

static void close_on_exec_is_the_receivers(void **state)
{
    text_put("m-cloexec", "text");
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_open("m-cloexec", O_RDONLY | O_CLOEXEC), copy = -1, flags = MSG_CMSG_CLOEXEC;
    send_one(pair.here, fd);
    send_one(pair.here, fd);
    assert_int_equal(receive_fds(pair.there, &copy, 1, &flags), 1);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    assert_int_equal(close(copy), 0);
    copy = receive_one(pair.there);
    assert_int_equal(fcntl(copy, F_GETFD), 0);
    assert_int_equal(close(copy), 0);
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

static void peeking_gives_one_each_time(void **state)
{
    text_put("m-peek", "0123456789");
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_open("m-peek", O_RDONLY), copies[3] = {-1, -1, -1};
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    for (int i = 0; i < 3; i++) {
        int flags = i < 2 ? MSG_PEEK : 0;
        assert_int_equal(receive_fds(pair.there, &copies[i], 1, &flags), 1);
    }
    assert_true(reads(copies[0], "012"));
    assert_int_equal(close(copies[0]), 0);
    assert_true(reads(copies[1], "345"));
    assert_int_equal(close(copies[1]), 0);
    assert_true(reads(copies[2], "6789"));
    assert_int_equal(close(copies[2]), 0);
    pair_end(pair);
}

/* Peeked, closed, and only then received: it was held all the time. */
static void peeking_ends_nothing(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_begin("m-peeked", O_WRONLY, "one "), copy = -1, flags = MSG_PEEK;
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    assert_int_equal(receive_fds(pair.there, &copy, 1, &flags), 1);
    text_add(copy, "two ");
    assert_int_equal(close(copy), 0);
    copy = receive_one(pair.there);
    text_add(copy, "three");
    assert_int_equal(close(copy), 0);
    text_is("m-peeked", "one two three");
    pair_end(pair);
}

static void no_room_for_all(void **state)
{
    text_put("m-room", "room");
    struct pair pair = pair_new(SOCK_STREAM);
    int fds[3], came[3] = {-1, -1, -1}, flags = 0;
    for (int i = 0; i < 3; i++)
        fds[i] = text_open("m-room", O_RDONLY);
    assert_int_equal(send_fds(pair.here, fds, 3), 1);
    assert_int_equal(receive_fds(pair.there, came, 2, &flags), 2);
    assert_int_equal(flags & MSG_CTRUNC, MSG_CTRUNC);
    for (int i = 0; i < 2; i++) {
        assert_true(reads(came[i], "room"));
        assert_int_equal(close(came[i]), 0);
    }
    assert_int_equal(send_fds(pair.here, fds, 3), 1);
    flags = 0;
    assert_int_equal(receive_fds(pair.there, came, 0, &flags), 0);
    assert_int_equal(flags & MSG_CTRUNC, MSG_CTRUNC);
    for (int i = 0; i < 3; i++)
        assert_int_equal(close(fds[i]), 0);
    pair_end(pair);
}

static void many_and_mixed(void **state)
{
    text_put("m-many", "many");
    struct pair pair = pair_new(SOCK_STREAM);
    int fds[MANY], came[MANY] = {-1}, flags = 0, wave[2];
    assert_int_equal(pipe(wave), 0);
    int fd = text_open("m-many", O_RDONLY), directory = text_open("", O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < MANY; i++)
        fds[i] = i % 3 == 0 ? fd : i % 3 == 1 ? wave[0] : directory;
    assert_int_equal(send_fds(pair.here, fds, MANY), 1);
    assert_int_equal(receive_fds(pair.there, came, MANY, &flags), MANY);
    assert_true(says(wave[1], "!"));
    assert_true(reads(came[1], "!"));
    assert_true(reads(came[0], "ma"));
    assert_true(reads(came[MANY - 1], "ny"));
    struct stat st;
    assert_int_equal(fstatat(came[2], "m-many", &st, 0), 0);
    assert_int_equal(st.st_size, 4);
    for (int i = 0; i < MANY; i++)
        assert_int_equal(close(came[i]), 0);
    assert_int_equal(close(fd) | close(directory) | close(wave[0]) | close(wave[1]), 0);
    pair_end(pair);
}

static void several_messages(void **state)
{
    text_put("m-mmsg", "abcdef");
    struct pair pair = pair_new(SOCK_DGRAM);
    int fd = text_open("m-mmsg", O_RDONLY), copy = -1;
    struct letter letters[3];
    struct mmsghdr out[3] = {{{0}, 0}}, in[3] = {{{0}, 0}};
    for (int i = 0; i < 3; i++)
        out[i].msg_hdr = *letter_with(&letters[i], &fd, i == 1 ? 0 : 1);
    assert_int_equal(sendmmsg(pair.here, out, 3, MSG_NOSIGNAL), 3);
    assert_int_equal(out[2].msg_len, 1);
    assert_int_equal(close(fd), 0);
    for (int i = 0; i < 3; i++)
        in[i].msg_hdr = *letter_with(&letters[i], NULL, 1);
    assert_int_equal(recvmmsg(pair.there, in, 3, 0, NULL), 3);
    for (int i = 0; i < 3; i++) {
        letters[i].header = in[i].msg_hdr;
        assert_int_equal(fds_of(&letters[i], &copy), i == 1 ? 0 : 1);
        if (i != 1) {
            assert_true(reads(copy, i ? "def" : "abc"));
            assert_int_equal(close(copy), 0);
        }
    }
    pair_end(pair);
}

static void by_number(void **state)
{
    text_put("m-number", "number");
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_open("m-number", O_RDONLY), copy = -1;
    struct letter letter;
    assert_int_equal(syscall(SYS_sendmsg, pair.here, letter_with(&letter, &fd, 1), 0), 1);
    letter_with(&letter, NULL, 1);
    assert_int_equal(syscall(SYS_recvmsg, pair.there, &letter.header, 0), 1);
    assert_int_equal(fds_of(&letter, &copy), 1);
    assert_true(reads(copy, "number"));
    assert_int_equal(close(copy) | close(fd), 0);
    pair_end(pair);
}

static void not_sent(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_begin("m-unsent", O_WRONLY, "one ");
    close(pair.there);
    assert_errno(send_fds(pair.here, &fd, 1), EPIPE);
    assert_errno(send_fds(fd, &fd, 1), ENOTSOCK);
    text_add(fd, "two");
    assert_int_equal(close(fd), 0);
    text_is("m-unsent", "one two");
    close(pair.here);
}

/* ---- thrown away ---- */

static void unread_is_gone(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_begin("m-unread", O_WRONLY, "all of it");
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    pair_end(pair);
    text_is("m-unread", "all of it");
    assert_int_equal(text_remove("m-unread"), 0);
    assert_false(text_exists("m-unread"));
}

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

static void nothing_piles_up(void **state)
{
    text_put("m-times", "again");
    int fd = text_open("m-times", O_RDONLY), before = open_descriptors();
    for (int i = 0; i < TIMES; i++) {
        struct pair pair = pair_new(SOCK_STREAM);
        send_one(pair.here, fd);
        if (i % 2)
            assert_int_equal(close(receive_one(pair.there)), 0);
        pair_end(pair);
    }
    assert_in_range(open_descriptors(), 1, before);
    assert_int_equal(close(fd), 0);
}

/* Threads that send, receive and close one description: each has it, or none of them. */
static void *exchange(void *arg)
{
    struct pair pair = pair_new(SOCK_STREAM);
    int first = *(int *)arg, fd = first;
    long good = 1;
    for (int i = 0; i < TIMES / 10 && good; i++) {
        char byte;
        good = send_fds(pair.here, &fd, 1) == 1 && (fd == first || !close(fd));
        fd = take_one(pair.there);
        good = good && fd >= 0 && pread(fd, &byte, 1, 2) == 1 && byte == 'c';
    }
    pair_end(pair);
    good = good && !close(fd);
    return (void *)good;
}

static void threads_exchange(void **state)
{
    text_put("m-threads", "abcdef");
    pthread_t threads[4];
    int fds[4], shared = text_open("m-threads", O_RDONLY);
    for (int i = 0; i < 4; i++) {
        fds[i] = i % 2 ? shared : text_open("m-threads", O_RDONLY);
        assert_int_equal(pthread_create(&threads[i], NULL, exchange, &fds[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        void *good = NULL;
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_non_null(good);
        assert_true(i % 2 || !close(fds[i]));
    }
    assert_int_equal(close(shared), 0);
}

/* Nobody but the message has it: each of them may be the one that ends it, or has it anew. */
static void *take_and_close(void *arg)
{
    int sock = *(int *)arg, fd;
    long good = 1;
    for (int i = 0; i < TIMES / 10 && good; i++) {
        fd = take_one(sock);
        good = fd >= 0 && send_fds(sock, &fd, 1) == 1 && !close(fd);
    }
    return (void *)good;
}

static void threads_hand_on(void **state)
{
    text_put("m-hand-on", "still there");
    struct pair pair = pair_new(SOCK_DGRAM);
    pthread_t threads[4];
    int fd = text_open("m-hand-on", O_RDONLY);
    for (int i = 0; i < 4; i++) {
        send_one(i % 2 ? pair.here : pair.there, fd);
        assert_int_equal(
            pthread_create(&threads[i], NULL, take_and_close, i % 2 ? &pair.here : &pair.there), 0);
    }
    assert_int_equal(close(fd), 0);
    for (int i = 0; i < 4; i++) {
        void *good = NULL;
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_non_null(good);
    }
    fd = receive_one(pair.here);
    assert_true(reads(fd, "still there"));
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_a_dup),
        cmocka_unit_test(only_the_message_has_it),
        cmocka_unit_test(writing_goes_on),
        cmocka_unit_test(close_on_exec_is_the_receivers),
        cmocka_unit_test(peeking_gives_one_each_time),
        cmocka_unit_test(peeking_ends_nothing),
        cmocka_unit_test(no_room_for_all),
        cmocka_unit_test(many_and_mixed),
        cmocka_unit_test(several_messages),
        cmocka_unit_test(by_number),
        cmocka_unit_test(not_sent),
        cmocka_unit_test(unread_is_gone),
        cmocka_unit_test(nothing_piles_up),
        cmocka_unit_test(threads_exchange),
        cmocka_unit_test(threads_hand_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
