/* Descriptors in messages between processes: the receiver has the same open file description, whoever
 * it is. This program executes itself: its arguments are then steps of a process that came by exec
 * and has no file yet. */
#include "tests/preload/message.h"

#include <pthread.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>

#define SELF  "/proc/self/exe"
#define TIMES 3000

/* ---- between processes ---- */

static void child_receives(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM), talk = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        int fd = take_one(pair.there);
        bool good = fd >= 0 && says(fd, "child ") && says(talk.there, "!");
        char byte;
        good = good && read(talk.there, &byte, 1) == 1 && lseek(fd, 0, SEEK_CUR) == 18;
        _exit(!good || !says(fd, "end") || close(fd));
    }
    int fd = text_begin("m-child", O_RDWR, "begin ");
    char byte;
    send_one(pair.here, fd);
    assert_int_equal(read(talk.here, &byte, 1), 1);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 12);
    text_add(fd, "again ");
    assert_int_equal(close(fd), 0);
    text_is("m-child", "begin child again ");
    assert_true(says(talk.here, "!"));
    assert_ends(pid);
    text_is("m-child", "begin child again end");
    pair_end(pair);
    pair_end(talk);
}

static void child_sends_and_is_gone(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path("m-gone"), O_RDWR | O_CREAT | O_TRUNC, 0644);
        bool good = fd >= 0 && says(fd, "from the child, ") && send_fds(pair.there, &fd, 1) == 1;
        _exit(!good);
    }
    assert_ends(pid);
    text_is("m-gone", "from the child, ");
    int fd = receive_one(pair.here);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 16);
    text_add(fd, "then the parent");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_true(reads(fd, "from the child, then the parent"));
    assert_int_equal(close(fd), 0);
    text_is("m-gone", "from the child, then the parent");
    pair_end(pair);
}

static void sender_is_killed(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM), talk = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        int fd = open(preload_path("m-killed"), O_RDWR | O_CREAT | O_TRUNC, 0644);
        if (fd >= 0 && says(fd, "last words") && send_fds(pair.there, &fd, 1) == 1)
            says(talk.there, "!");
        pause();
    }
    char byte;
    assert_int_equal(read(talk.here, &byte, 1), 1);
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    int fd = receive_one(pair.here);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_true(reads(fd, "last words"));
    assert_int_equal(close(fd), 0);
    text_is("m-killed", "last words");
    pair_end(pair);
    pair_end(talk);
}

static void locks_are_the_descriptions(void **state)
{
    text_put("m-lock", "lock");
    struct pair pair = pair_new(SOCK_STREAM), talk = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        int fd = take_one(pair.there);
        char byte;
        _exit(fd < 0 || !says(talk.there, "!") || read(talk.there, &byte, 1) != 1 || close(fd));
    }
    int fd = text_open("m-lock", O_RDWR), other = text_open("m-lock", O_RDWR);
    char byte;
    assert_int_equal(flock(fd, LOCK_EX), 0);
    send_one(pair.here, fd);
    assert_int_equal(read(talk.here, &byte, 1), 1);
    assert_int_equal(close(fd), 0);
    assert_errno(flock(other, LOCK_EX | LOCK_NB), EWOULDBLOCK);
    assert_true(says(talk.here, "!"));
    assert_ends(pid);
    assert_int_equal(flock(other, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(close(other), 0);
    pair_end(pair);
    pair_end(talk);
}

/* The message has no reader that would keep the version. */
static void replaced_in_flight(void **state)
{
    text_put("m-replaced", "old");
    struct pair pair = pair_new(SOCK_STREAM);
    int fd = text_open("m-replaced", O_RDONLY);
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    text_put("m-replacing", "new");
    assert_int_equal(text_move("m-replacing", "m-replaced"), 0);
    fd = receive_one(pair.there);
    if (preload_is_virtual())
        assert_errno(read(fd, &(char){0}, 1), ESTALE);
    else
        assert_true(reads(fd, "old"));
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

/* ---- who is the last one ---- */

/* A process that did not open it is its last one: a message that nobody will read is no holder. */
static void the_last_one_publishes(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM), talk = pair_new(SOCK_STREAM);
    int fd = text_begin("m-last", O_WRONLY, "parent ");
    pid_t pid = fork();
    if (!pid) {
        char byte;
        bool good = read(talk.there, &byte, 1) == 1 && send_fds(pair.here, &fd, 1) == 1;
        good = good && !close(pair.here) && !close(pair.there) && says(fd, "child");
        _exit(!good || close(fd));
    }
    assert_int_equal(close(fd), 0);
    pair_end(pair);
    assert_true(says(talk.here, "!"));
    assert_ends(pid);
    text_is("m-last", "parent child");
    pair_end(talk);
}

/* What it has written is not lost with the message. */
static void sent_on_and_never_received(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM), talk = pair_new(SOCK_STREAM);
    int fd = text_begin("m-sent-on", O_WRONLY, "parent ");
    pid_t pid = fork();
    if (!pid) {
        bool good = reads(talk.there, "!") && says(fd, "child");
        _exit(!good || send_fds(pair.here, &fd, 1) != 1 || close(fd));
    }
    assert_int_equal(close(fd), 0);
    assert_true(says(talk.here, "!"));
    assert_ends(pid);
    pair_end(pair);
    pair_end(talk);
    text_is("m-sent-on", "parent child");
}

/* A child that comes to be while a thread sends has nothing of what that thread is about to send,
 * which it would hold for as long as it lives. */
struct sending {
    int sock, fd;
};

static void *send_all_the_time(void *arg)
{
    const struct sending *sending = arg;
    long good = 1;
    for (int i = 0; i < TIMES && good; i++)
        good = send_fds(sending->sock, &sending->fd, 1) == -1 && errno == EPIPE;
    return (void *)good;
}

/* There are none but this library's. */
static bool has_packet_sockets(void)
{
    for (int fd = 0; fd < 4096; fd++) {
        int type = 0;
        socklen_t size = sizeof type;
        if (!getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) && type == SOCK_SEQPACKET)
            return true;
    }
    return false;
}

static void forks_meanwhile(void **state)
{
    text_put("m-forks", "forks");
    struct pair pair = pair_new(SOCK_STREAM);
    struct sending sending = {pair.here, text_open("m-forks", O_RDONLY)};
    pthread_t thread;
    void *good = NULL;
    close(pair.there);
    assert_int_equal(pthread_create(&thread, NULL, send_all_the_time, &sending), 0);
    for (int i = 0; i < 50; i++) {
        pid_t pid = fork();
        if (!pid)
            _exit(has_packet_sockets());
        assert_ends(pid);
    }
    assert_int_equal(pthread_join(thread, &good), 0);
    assert_non_null(good);
    assert_int_equal(close(sending.fd) | close(pair.here), 0);
}

/* ---- a program that was executed, and has nothing virtual yet ---- */

/* "r<socket>:<text>" receives and reads; "w…" receives and writes; "s…" opens a new file and sends
 * it with the text in it; "n…" receives what is no file to this program; "b…" sends on what it
 * received; "a…" has a file of its own that it reads when what came is none. */
static bool step(const char *argument)
{
    int sock = atoi(argument + 1), fd = -1, own = -1;
    const char *text = strchr(argument, ':') + 1;
    if (*argument == 'a')
        own = open(preload_path("m-apart"), O_RDONLY);
    if (*argument == 's')
        fd = open(preload_path("m-executed"), O_RDWR | O_CREAT | O_TRUNC, 0644);
    else
        fd = take_one(sock);
    switch (*argument) {
    case 'r': return reads(fd, text) && !close(fd);
    case 'w': return says(fd, text) && !close(fd);
    case 's': return says(fd, text) && send_fds(sock, &fd, 1) == 1 && !close(fd);
    case 'a': return fd >= 0 && read(fd, &(char){0}, 1) == -1 && errno == EBADF && reads(own, text);
    case 'b': return fd >= 0 && send_fds(sock, &fd, 1) == 1;
    case 'n': return fd >= 0 && read(fd, &(char){0}, 1) == -1 && write(fd, "x", 1) == -1;
    }
    return false;
}

static pid_t execute(int sock, char letter, const char *text, bool preloads)
{
    char argument[64];
    snprintf(argument, sizeof argument, "%c%d:%s", letter, sock, text);
    pid_t pid = fork();
    if (pid)
        return pid;
    fcntl(sock, F_SETFD, 0);
    if (!preloads)
        unsetenv("LD_PRELOAD");
    execl(SELF, "helper", argument, (char *)NULL);
    _exit(99);
}

static void executed_receives(void **state)
{
    text_put("m-exec-read", "for another program");
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = execute(pair.there, 'r', "another program", true);
    int fd = text_open("m-exec-read", O_RDONLY);
    assert_true(reads(fd, "for "));
    send_one(pair.here, fd);
    assert_ends(pid);
    assert_int_equal(lseek(fd, 0, SEEK_CUR), 19);
    assert_int_equal(close(fd), 0);
    FOR_EACH_ACCESS (kind) {
        pid = execute(pair.there, 'w', "there", true);
        fd = text_begin("m-exec-write", text_access(kind), "here ");
        send_one(pair.here, fd);
        assert_int_equal(close(fd), 0);
        assert_ends(pid);
        text_is("m-exec-write", "here there");
    }
    pair_end(pair);
}

static void executed_sends(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    int holds = text_open("", O_RDONLY | O_DIRECTORY); /* so that it is of this tree */
    assert_ends(execute(pair.there, 's', "first ", true));
    int fd = receive_one(pair.here);
    text_add(fd, "second");
    assert_int_equal(close(fd), 0);
    text_is("m-executed", "first second");
    assert_int_equal(close(holds), 0);
    pair_end(pair);
}

/* What it gets is no file: nothing can be read from it, and nothing written is lost. */
static void a_stranger_gets_nothing(void **state)
{
    if (!preload_is_virtual())
        return;
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = execute(pair.there, 'n', "", false);
    int fd = text_begin("m-stranger", O_RDWR, "secret");
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    send_one(pair.here, fd);
    assert_ends(pid);
    assert_int_equal(close(fd), 0);
    text_is("m-stranger", "secret");
    pair_end(pair);
}

/* It need not know what it passes on. */
static void a_stranger_sends_on(void **state)
{
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = execute(pair.there, 'b', "", false);
    int fd = text_begin("m-broker", O_RDWR, "sent ");
    send_one(pair.here, fd);
    assert_int_equal(close(fd), 0);
    assert_ends(pid);
    fd = receive_one(pair.here);
    text_add(fd, "on");
    assert_int_equal(close(fd), 0);
    text_is("m-broker", "sent on");
    pair_end(pair);
}

/* Its own files are in an arena of its own: it has used them before it knew of ours. */
static void apart_is_refused(void **state)
{
    if (!preload_is_virtual())
        return;
    text_put("m-apart", "apart");
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = execute(pair.there, 'a', "apart", true);
    int fd = text_open("m-apart", O_RDONLY);
    send_one(pair.here, fd);
    assert_ends(pid);
    assert_true(reads(fd, "apart"));
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

/* On a disk it is the opener's right that counts; here requests would be another user's. */
static void another_user_gets_nothing(void **state)
{
    if (geteuid() != 0) {
        print_message("skip: that takes root\n");
        skip();
    }
    text_put("m-user", "root's");
    struct pair pair = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        if (setresuid(65534, 65534, 65534) < 0)
            _exit(98);
        int fd = take_one(pair.there);
        if (preload_is_virtual())
            _exit(fd < 0 || read(fd, &(char){0}, 1) != -1 || errno != EBADF);
        _exit(!reads(fd, "root's"));
    }
    int fd = text_open("m-user", O_RDONLY);
    send_one(pair.here, fd);
    assert_ends(pid);
    assert_int_equal(close(fd), 0);
    pair_end(pair);
}

/* ---- pidfd_getfd ---- */

static int get_fd(int pidfd, int fd)
{
    return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

static void from_ones_own_process(void **state)
{
    text_put("m-pidfd", "my own");
    int pidfd = (int)syscall(SYS_pidfd_open, getpid(), 0), fd = text_open("m-pidfd", O_RDONLY);
    int copy = get_fd(pidfd, fd);
    assert_true(copy >= 0);
    assert_int_equal(fcntl(copy, F_GETFD), FD_CLOEXEC);
    assert_true(reads(copy, "my "));
    assert_true(reads(fd, "own"));
    assert_errno(get_fd(pidfd, 9999), EBADF);
    assert_int_equal(close(copy) | close(fd) | close(pidfd), 0);
}

/* EPERM is what whoever may not look into that process gets, too. */
static void from_another_process(void **state)
{
    text_put("m-other", "another's");
    struct pair talk = pair_new(SOCK_STREAM);
    pid_t pid = fork();
    if (!pid) {
        char byte;
        int fd = open(preload_path("m-other"), O_RDONLY);
        _exit(dup2(fd, 500) != 500 || !says(talk.there, "!") || read(talk.there, &byte, 1) != 1);
    }
    char byte;
    assert_int_equal(read(talk.here, &byte, 1), 1);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd = get_fd(pidfd, 500);
    if (preload_is_virtual())
        assert_errno(get_fd(pidfd, 500), EPERM);
    if (preload_is_virtual() || fd < 0)
        assert_int_equal(fd, -1);
    else
        assert_true(reads(fd, "another's") && !close(fd));
    assert_true(says(talk.here, "!"));
    assert_ends(pid);
    close(pidfd);
    pair_end(talk);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return !step(argv[1]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(child_receives),
        cmocka_unit_test(child_sends_and_is_gone),
        cmocka_unit_test(sender_is_killed),
        cmocka_unit_test(locks_are_the_descriptions),
        cmocka_unit_test(replaced_in_flight),
        cmocka_unit_test(the_last_one_publishes),
        cmocka_unit_test(sent_on_and_never_received),
        cmocka_unit_test(forks_meanwhile),
        cmocka_unit_test(executed_receives),
        cmocka_unit_test(executed_sends),
        cmocka_unit_test(a_stranger_gets_nothing),
        cmocka_unit_test(a_stranger_sends_on),
        cmocka_unit_test(apart_is_refused),
        cmocka_unit_test(another_user_gets_nothing),
        cmocka_unit_test(from_ones_own_process),
        cmocka_unit_test(from_another_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
