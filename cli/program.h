/* Will the preloaded library reach this program? Found as execvp finds it, scripts followed to
 * their interpreters. Used by `run`, which refuses, and by `doctor`, which tells. */
#ifndef S3DLIO_CLI_PROGRAM_H
#define S3DLIO_CLI_PROGRAM_H

#include <limits.h>

enum program_verdict {
    PROGRAM_OK,
    PROGRAM_NOT_FOUND,
    PROGRAM_NOT_EXECUTABLE,
    PROGRAM_STATIC,
    PROGRAM_FOREIGN,
    PROGRAM_OTHER_LOADER,
    PROGRAM_SET_ID,
    PROGRAM_CAPABILITIES,
    PROGRAM_BROKEN,
    PROGRAM_TOO_DEEP,
    PROGRAM_VERDICTS,
};

struct program {
    enum program_verdict verdict;
    char path[PATH_MAX];   /* what the verdict is about: the program, or an interpreter of it */
    char script[PATH_MAX]; /* the script that led there; empty when it was the program itself */
    char loader[256];      /* its dynamic loader, where the verdict is about that */
    unsigned bits;         /* of a foreign program */
};

/* `name` is looked for in PATH unless it holds a slash. */
void program_inspect(const char *name, struct program *ret_program);

/* "/x/y is statically linked, …": one sentence without a full stop, and what to do about it. */
void program_explain(const struct program *program, char *buffer, unsigned long size);
const char *program_advice(const struct program *program); /* "" when there is none */

#endif
