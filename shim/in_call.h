/* The references (file.h, staged.h) that this thread has for the length of its calls. A fork child
 * lacks the parent's other threads and gives up what those had; what its own thread has it cannot
 * tell from that, so it gives up nothing while there is any (fork in a signal handler that has
 * interrupted a call, or in a callback).
 *
 * Who gets a reference counts it, who gives one back takes it off. One that is put where it lasts, in
 * a table that the child goes through, is no thread's meanwhile.
 */
#ifndef S3DLIO_SHIM_IN_CALL_H
#define S3DLIO_SHIM_IN_CALL_H

extern __thread unsigned in_call_refs __attribute__((tls_model("initial-exec")));

static inline void in_call_begin(void)
{
    in_call_refs++;
}

static inline void in_call_end(void)
{
    in_call_refs--;
}

#endif
