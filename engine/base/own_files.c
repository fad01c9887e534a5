/* A count for each thread. See own_files.h. */
#include "base/own_files.h"

static _Thread_local int depth;

void own_files_begin(void)
{
    depth++;
}

void own_files_end(void)
{
    depth--;
}

int own_files(void)
{
    return depth > 0;
}
