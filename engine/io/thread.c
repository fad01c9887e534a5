/* Starting an engine thread. The mask is set before the thread exists, so that no signal of the
 * program is ever delivered to it. Holds no state. */
#include "io/thread.h"

#include <limits.h>
#include <signal.h>
#include <unistd.h>

int thread_start(const char *name, size_t stack_bytes, void *(*main)(void *), void *arg,
                 pthread_t *ret_thread)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    rc = pthread_attr_init(&attr);
    if (rc)
        return -rc;
    /* The thread-local storage of the program and its libraries lies in the same mapping. */
    stack_bytes += (size_t)PTHREAD_STACK_MIN + ((size_t)128 << 10);
    pthread_attr_setstacksize(&attr, stack_bytes);
    if (!ret_thread)
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread, &attr, main, arg);
    if (rc == 0) {
        pthread_setname_np(thread, name);
        if (ret_thread)
            *ret_thread = thread;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -rc;
}
