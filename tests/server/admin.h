/*
 * The admin path /-/, for test programs on the same machine: unsigned, never delayed, not counted.
 */
#ifndef TESTS_SERVER_ADMIN_H
#define TESTS_SERVER_ADMIN_H

#include <stdbool.h>

struct request;

bool admin_is_target(const char *uri);
/* Fills the answer; to be called once the body is there. */
void admin_run(struct request *request);
/* state.c: the answer's text becomes a line for each object and upload. The status to answer
 * with. */
unsigned admin_state(struct request *request);

#endif
