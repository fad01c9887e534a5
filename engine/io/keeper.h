/* The keeper: a thread that stands in for the program's main thread after its pthread_exit.
 *
 * A process whose threads all end by pthread_exit or return ends with the last of them: glibc calls
 * exit(0) there. While engine threads live, that would be one of those, with all signals blocked
 * and a small stack; until then no signal would end the process; and while exit handlers run on a
 * thread that glibc no longer counts, the end of any engine thread that they need would be the
 * end of the process. So from the moment when the main thread has left and an engine thread lives,
 * the keeper does, too: a thread with the stack and the signal mask of the program. It calls
 * exit(0) when no thread of the program is left, without waiting for idle engine threads.
 *
 * Where /proc cannot be read, it ends with the last engine thread.
 */
#ifndef S3DLIO_IO_KEEPER_H
#define S3DLIO_IO_KEEPER_H

/* The calling thread is the main one and about to end. Outside the gate. */
void keeper_main_left(void);

/* An engine thread is about to be started, or was, by the calling thread. Inside the gate or
 * outside. */
void keeper_on_thread(void);

/* In a fork child: its main thread is there. */
void keeper_reset_child(void);

#endif
