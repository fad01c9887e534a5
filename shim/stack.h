/* Calls of the engine from threads with little stack; see stack.c. */
#ifndef S3DLIO_SHIM_STACK_H
#define S3DLIO_SHIM_STACK_H

#include <stddef.h>

#define STACK_CALLS_MAX 128u
#define STACK_LINK      (STACK_CALLS_MAX - 1) /* the engine's begin at 0 */

/* A function that does what `target` does (at most ten arguments in registers and words, no
 * structures by value) and, on a thread whose stack is small, does it on a larger one. `target`
 * itself where stacks are never small. Each index, below STACK_CALLS_MAX, is given out once, before
 * it is called. */
void *stack_wrap(unsigned index, void *target);

#endif
