/* The end of a process; see exit.c. */
#ifndef S3DLIO_SHIM_EXIT_H
#define S3DLIO_SHIM_EXIT_H

/* In the constructor, before anybody else registers a handler: ours then runs after all others. */
void exit_init(void);

/* In a fork child: the calling thread is its main one. */
void exit_fork_child(void);

/* This atexit handler, if it gets registered or has been, does not run once the engine is in use:
 * the clean-up of the libcrypto that the engine signs with. NULL is fine. */
void exit_leave_out(void *handler);

#endif
