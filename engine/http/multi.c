/* A multi handle made where it cannot open descriptors.
 *
 * Every multi handle has a pair of descriptors for curl_multi_wakeup, which nothing here calls: low
 * numbers without close-on-exec, two for each connection, and closed by number at its end — by then
 * perhaps the program's, which may have closed them and opened its own. There is no option against
 * it, but libcurl carries on when they cannot be made. So handles are made on a thread of a moment,
 * under a seccomp filter that binds that thread alone and needs no privilege. Where the kernel does
 * not allow it, the handle has its pair and works as well.
 */
#include "http/multi.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "io/thread.h"

#if defined __x86_64__
#    define MULTI_ARCH AUDIT_ARCH_X86_64
#elif defined __aarch64__
#    define MULTI_ARCH AUDIT_ARCH_AARCH64
#endif

#ifdef MULTI_ARCH
/* From here on socketpair, pipe2 and eventfd2 fail on this thread. */
static int multi_confine(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MULTI_ARCH, 0, 4),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socketpair, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_pipe2, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_eventfd2, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EMFILE),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        return -errno;
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
#else
static int multi_confine(void)
{
    return -ENOSYS;
}
#endif

static void *multi_main(void *arg)
{
    CURLM **ret_multi = arg;
    int rc = multi_confine();

    if (rc < 0)
        log_debug("libcurl keeps two descriptors more for each connection: error %d", -rc);
    *ret_multi = curl_multi_init();
    return NULL;
}

CURLM *multi_new(void)
{
    CURLM *multi = NULL;
    pthread_t thread;

    /* A sleep inside the gate, but of microseconds, and that thread is inside by our count. */
    if (thread_start("s3dlio-multi", THREAD_STACK_BYTES, multi_main, &multi, &thread) < 0)
        return curl_multi_init();
    pthread_join(thread, NULL);
    return multi;
}
