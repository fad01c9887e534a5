/* The environment of a program that is executed: the caller's, with what this library adds.
 *
 * Where programs are to be followed (S3DLIO_FOLLOW) LD_PRELOAD and the S3DLIO_ variables come back
 * into environments that lack them: `env -i`, subprocess.run(env={}). Allocates nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "config/options.h"
#include "shim/calls/process.h"
#include "shim/start.h"

#define PRELOAD "LD_PRELOAD="
#define PREFIX  "S3DLIO_"
#define LIBRARY "libs3dlio_shim.so"

static size_t count_of(char *const *environment)
{
    size_t count = 0;
    while (environment && environment[count])
        count++;
    return count;
}

static bool is_preload(const char *entry)
{
    return !strncmp(entry, PRELOAD, sizeof PRELOAD - 1);
}

bool process_preloads(char *const *environment)
{
    for (; environment && *environment; environment++)
        if (is_preload(*environment))
            return strstr(*environment, LIBRARY) != NULL;
    return false;
}

bool process_follows(void)
{
    const struct options *options = start_options();
    return options && start_is_active() && option_int(options, FOLLOW);
}

size_t process_environ_room(char *const *environment)
{
    return count_of(environment) + count_of(start_environment()) + 2;
}

/* A list of libraries of the program's own stays behind ours only if it does not name it: then it
 * is what the program wants. */
static size_t add_ours(char *const *environment, const char **to)
{
    size_t count = 0;
    for (char *const *own = start_environment(); own && *own; own++) {
        bool is_ours = is_preload(*own) || !strncmp(*own, PREFIX, sizeof PREFIX - 1);
        if (is_ours && !start_names(environment, *own))
            to[count++] = *own;
    }
    return count;
}

char *const *process_environ(char *const *environment, const char *variable, const char **room)
{
    size_t count = 0;
    for (char *const *entry = environment; entry && *entry; entry++)
        room[count++] = *entry;
    if (process_follows() && !process_preloads(environment))
        count += add_ours(environment, room + count);
    if (variable)
        room[count++] = variable;
    room[count] = NULL;
    return (char *const *)room;
}
