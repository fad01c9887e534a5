/* System calls that programs make by instructions of their own, past every library: those of Rust's
 * rustix crate (`tempfile`'s rename), of assembly.
 *
 * Linux can hand such calls to a signal handler (Syscall User Dispatch, 5.11; prctl(2)): each that a
 * thread makes outside libc's code is a SIGSYS, and is answered here as syscall(2) would be. A thread
 * has to ask for that, and pays for it: some 20 ns for every system call that libc makes, 2 us for
 * every one of its own. So S3DLIO_INLINE_SYSCALLS=auto asks for threads that run Rust code, in
 * processes that have used a virtual path; `on` for all, from the start.
 *
 * Not under sanitizers and valgrind, which make such calls themselves with signals blocked, and only
 * on x86-64: elsewhere all of this does nothing.
 */
#ifndef S3DLIO_SHIM_INLINE_CALL_H
#define S3DLIO_SHIM_INLINE_CALL_H

#include <signal.h>
#include <stdbool.h>

/* From the constructor: `on` begins. */
void inline_call_start(void);

/* The first virtual path is being used, on this thread. */
void inline_call_use(void);

/* The code at `caller`, a return address, works on a virtual path: if it may make such calls, this
 * thread's are seen from now on. */
void inline_call_meet(const void *caller);

/* Is a thread that the code at `caller` starts to be watched from its beginning? */
bool inline_call_wants_thread(const void *caller);
/* From now on this thread's calls are seen, as soon as the process has used a virtual path. */
void inline_call_watch(void);

/* Is this thread watched? Then no instruction of ours may make a system call. */
bool inline_call_is_watched(void);

/* Takes SIGSYS out of a set of signals that are about to be blocked: one that comes while it is
 * blocked ends the process. */
void inline_call_keep_open(sigset_t *signals);

/* Is the handler of SIGSYS ours? Then sigaction(2) of the program is answered by the second: its
 * handler is called for what is not about such calls. */
bool inline_call_owns_signal(void);
void inline_call_handler(const struct sigaction *action, struct sigaction *ret_before);

#endif
