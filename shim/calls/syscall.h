/* System calls past every library; see syscall.c. */
#ifndef S3DLIO_SHIM_CALLS_SYSCALL_H
#define S3DLIO_SHIM_CALLS_SYSCALL_H

/* The kernel's answer: -errno for an error; errno stays. */
__attribute__((visibility("hidden"))) long syscall_kernel(long number, long a0, long a1, long a2,
                                                          long a3, long a4, long a5);
/* The same as the function's answer: -1 and errno. */
__attribute__((visibility("hidden"))) long syscall_answer(long result);

#endif
