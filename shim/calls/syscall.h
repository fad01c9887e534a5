/* System calls past every library; see syscall.c. */
#ifndef S3DLIO_SHIM_CALLS_SYSCALL_H
#define S3DLIO_SHIM_CALLS_SYSCALL_H

/* The kernel's answer: -errno for an error; errno stays. Never an instruction of ours on a watched
 * thread (inline_call.h). */
__attribute__((visibility("hidden"))) long syscall_kernel(long number, long a0, long a1, long a2,
                                                          long a3, long a4, long a5);
/* The same as the function's answer: -1 and errno. */
__attribute__((visibility("hidden"))) long syscall_answer(long result);

/* The answer to a call that was made past libc, with six arguments: as the function of its name for
 * what is ours, the kernel's else; -errno for an error. errno may change. */
__attribute__((visibility("hidden"))) long syscall_inline(long number, const long *arguments);

/* From now on the function syscall leaves what is not ours to `next`, libc's: no instruction of ours
 * makes a system call there. */
__attribute__((visibility("hidden"))) void syscall_leave_to(long (*next)(long number, ...));

#endif
