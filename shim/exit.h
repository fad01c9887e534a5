/* The end of a process; see exit.c. */
#ifndef S3DLIO_SHIM_EXIT_H
#define S3DLIO_SHIM_EXIT_H

/* In the constructor: the sentinel stream that is flushed last. */
void exit_init(void);

#endif
