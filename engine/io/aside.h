/* Work that blocks or opens files, on a thread with a descriptor table of its own.
 *
 * A program may close any descriptor at any moment; one that getaddrinfo or a file read has just
 * opened would be closed under it (glibc aborts). So such work runs where the program's close
 * cannot reach: descriptors 0 to 2 are there, no others (not the engine's either: it cannot write
 * to an eventfd), and what it opens the program never sees. Memory is shared as between any
 * threads. In a fork child unfinished work is gone without a word: who starts some remembers the
 * gate_generation it belongs to.
 */
#ifndef S3DLIO_IO_ASIDE_H
#define S3DLIO_IO_ASIDE_H

/* Runs work(arg) on a new detached thread, outside the gate. 0 or -errno. */
int aside_start(const char *name, void (*work)(void *arg), void *arg);

/* The same, and sleeps until it is done. Called inside the gate or outside, with no lock held.
 * -EINTR when the process forked meanwhile and this is the child: the work is lost. The sleep
 * cannot be cancelled, and signals stay blocked until its end: keep it short or bounded. */
int aside_run(const char *name, void (*work)(void *arg), void *arg);

#endif
