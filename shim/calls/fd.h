/* Canonical operations on descriptors as such. All return -errno. */
#ifndef S3DLIO_SHIM_CALLS_FD_H
#define S3DLIO_SHIM_CALLS_FD_H

/* dup3(2) where `from` or `to` is virtual, and they differ. */
int fd_dup_to(int from, int to, int flags);

#endif
