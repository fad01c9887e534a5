/* A thread that calls a function of the program when a signal handler asks for it: handlers must not
 * do what telling takes (memory, locks, files). */
#ifndef S3DLIO_CORE_TELLER_H
#define S3DLIO_CORE_TELLER_H

/* Before the first teller_start. NULL: none. */
void teller_set(void (*tell)(void));
/* Async-signal-safe. Wakes that come before the function is called count as one. */
void teller_wake(void);
/* Starts the thread, once a process, if there is a function. It sleeps for the rest of the process:
 * idle it costs its stack. Inside the gate. */
void teller_start(void);

#endif
