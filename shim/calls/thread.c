/* Threads and the signals that they block, as far as inline_call.h has to know of them. */
#include <pthread.h>
#include <stdlib.h>

#include "shim/entry.h"
#include "shim/inline_call.h"
#include "shim/real.h"

struct beginning {
    void *(*function)(void *);
    void *argument;
};

static void *begin_watched(void *context)
{
    struct beginning beginning = *(struct beginning *)context;
    free(context);
    inline_call_watch();
    return beginning.function(beginning.argument);
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*function)(void *),
                   void *argument)
{
    struct beginning *beginning = NULL;
    if (unlikely(inline_call_wants_thread(__builtin_return_address(0))))
        beginning = malloc(sizeof *beginning);
    if (likely(!beginning))
        return REAL(pthread_create)(thread, attributes, function, argument);
    *beginning = (struct beginning){function, argument};
    int error = REAL(pthread_create)(thread, attributes, begin_watched, beginning);
    if (error)
        free(beginning);
    return error;
}

/* The set to use instead of `set`, in `room` if need be. */
static const sigset_t *without_ours(int how, const sigset_t *set, sigset_t *room)
{
    if (!set || how == SIG_UNBLOCK || !inline_call_owns_signal())
        return set;
    *room = *set;
    inline_call_keep_open(room);
    return room;
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    sigset_t room;
    return REAL(pthread_sigmask)(how, without_ours(how, set, &room), before);
}

int sigprocmask(int how, const sigset_t *set, sigset_t *before)
{
    sigset_t room;
    return REAL(sigprocmask)(how, without_ours(how, set, &room), before);
}

int sigaction(int number, const struct sigaction *action, struct sigaction *before)
{
    if (likely(!inline_call_owns_signal()))
        return REAL(sigaction)(number, action, before);
    if (number == SIGSYS) {
        inline_call_handler(action, before);
        return 0;
    }
    if (!action)
        return REAL(sigaction)(number, NULL, before);
    struct sigaction room = *action;
    inline_call_keep_open(&room.sa_mask);
    return REAL(sigaction)(number, &room, before);
}

static sighandler_t signal_common(sighandler_t (*real)(int, sighandler_t), int number,
                                  sighandler_t handler)
{
    if (likely(number != SIGSYS || !inline_call_owns_signal()))
        return real(number, handler);
    struct sigaction before;
    inline_call_handler(&(struct sigaction){.sa_handler = handler}, &before);
    return before.sa_handler;
}

sighandler_t signal(int number, sighandler_t handler)
{
    return signal_common(REAL(signal), number, handler);
}

sighandler_t sysv_signal(int number, sighandler_t handler)
{
    return signal_common(REAL(sysv_signal), number, handler);
}

#include "alias_thread.h"
