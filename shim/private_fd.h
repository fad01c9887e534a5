/* Descriptors of this library's own: out of the way of a program that counts on low numbers. */
#ifndef S3DLIO_SHIM_PRIVATE_FD_H
#define S3DLIO_SHIM_PRIVATE_FD_H

/* The same file at or above `minimum`, close-on-exec, and `fd` is closed. Returns `fd` where there
 * is no such number, or where it is none itself. */
int private_fd_raise(int fd, int minimum);

#endif
