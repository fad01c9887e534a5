/* s3dlio run: starts a program with the library preloaded.
 *
 * Nothing of this process stays: the environment is prepared, the program checked, then execvp. A
 * program that the library cannot reach would find no /s3 and say only "no such file", so it is
 * refused with the reason. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/program.h"
#include "config/options.h"

#define SHIM_NAME         "libs3dlio_shim.so"
#define EXPLANATION_BYTES (2 * PATH_MAX + 512)

struct run_arguments {
    const char *profile;
    bool force;
    char **program; /* and its arguments */
};

/* ---- the environment ------------------------------------------------------------------------- */

static void refuse_problem(void *arg, const char *message)
{
    unsigned *problems = arg;

    ++*problems;
    cli_say("run: %s", message);
}

/* Would the library accept this assignment? Tried on an environment that holds little else. */
static bool is_accepted(const char *name, const char *value)
{
    static const char *const kept[] = {"HOME", "XDG_CONFIG_HOME"};
    static char no_file[] = "S3DLIO_CONFIG=/dev/null";
    char assignment[PATH_MAX + 128], folders[2][PATH_MAX + 32];
    char *environment[5] = {assignment};
    unsigned problems = 0, n = 1;
    struct options options;

    snprintf(assignment, sizeof assignment, "%s=%s", name, value);
    if (strcmp(name, options_info(OPTION_ID_CONFIG)->name) != 0)
        environment[n++] = no_file;
    for (unsigned i = 0; i < 2; i++)
        if (getenv(kept[i])) {
            snprintf(folders[i], sizeof folders[i], "%s=%s", kept[i], getenv(kept[i]));
            environment[n++] = folders[i];
        }
    if (options_load(environment, refuse_problem, &problems, &options) == 0)
        options_fini(&options);
    return problems == 0;
}

/* --set NAME=VALUE: any name that a configuration file may use. */
static int set_option(const char *assignment)
{
    const char *value = assignment ? strchr(assignment, '=') : NULL;
    const char *canonical;
    enum option_id id;
    char name[128], nearest[OPTION_NAME_MAX + 1];

    if (!value || value == assignment)
        return cli_usage("run: --set wants NAME=VALUE");
    snprintf(name, sizeof name, "%.*s", (int)(value - assignment), assignment);
    id = options_find(name);
    if (id == OPTION_COUNT) {
        options_nearest(name, nearest);
        return cli_usage("run: --set: '%s' is no option%s%s%s", name,
                         *nearest ? ": did you mean " : "", nearest, *nearest ? "?" : "");
    }
    canonical = options_info(id)->name;
    if (!is_accepted(canonical, value + 1))
        return CLI_USAGE;
    return setenv(canonical, value + 1, 1) == 0 ? CLI_OK : CLI_FAILED;
}

static int set_profile(const char *profile)
{
    if (!profile || !*profile)
        return cli_usage("run: --profile wants a name");
    if (!is_accepted("S3DLIO_PROFILE", profile))
        return CLI_USAGE;
    return setenv("S3DLIO_PROFILE", profile, 1) == 0 ? CLI_OK : CLI_FAILED;
}

/* ---- the library ----------------------------------------------------------------------------- */

/* The library beside this program, or in the lib folder beside this program's folder. */
static int find_shim(char ret_path[PATH_MAX])
{
    static const char *const places[] = {"", "../lib/"};
    char folder[PATH_MAX], candidate[2 * PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);

    if (length < 0)
        return -errno;
    folder[length] = '\0';
    *(strrchr(folder, '/') + 1) = '\0';
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        snprintf(candidate, sizeof candidate, "%s%s" SHIM_NAME, folder, places[i]);
        if (access(candidate, R_OK) == 0 && realpath(candidate, ret_path))
            return 0;
    }
    cli_say("run: " SHIM_NAME " is neither in %s nor in %s../lib: install it again", folder,
            folder);
    return -ENOENT;
}

/* Is this path one of those in a list separated by colons or blanks? */
static bool list_has(const char *list, const char *path)
{
    size_t length = strlen(path);

    while (*list) {
        size_t n = strcspn(list, ": ");

        if (n == length && strncmp(list, path, n) == 0)
            return true;
        list += n + (list[n] != '\0');
    }
    return false;
}

/* The length of the sanitizer runtimes that a list begins with, separators included: these insist
 * on being first. */
static int sanitizer_length(const char *list)
{
    static const char *const runtimes[] = {"libasan.", "libtsan.", "libubsan.", "libclang_rt."};
    const char *end = list;

    for (;;) {
        size_t length = strcspn(end, ": "), known = 0;
        const char *slash = memrchr(end, '/', length);
        const char *name = slash ? slash + 1 : end;

        for (size_t i = 0; i < sizeof runtimes / sizeof runtimes[0]; i++)
            known += strncmp(name, runtimes[i], strlen(runtimes[i])) == 0;
        if (!known || end[length] == '\0')
            return (int)(known ? end + length - list : end - list);
        end += length + 1;
    }
}

/* Puts the library in front of what LD_PRELOAD holds, and keeps that. */
static int preload(void)
{
    const char *before = getenv("LD_PRELOAD");
    char shim[PATH_MAX], *list;
    int rc, first;

    if (find_shim(shim) < 0)
        return CLI_CANNOT_RUN;
    if (strpbrk(shim, ": ")) {
        cli_say("run: %s cannot be preloaded, since its path holds a blank or a colon: install it "
                "elsewhere",
                shim);
        return CLI_CANNOT_RUN;
    }
    before = before ? before : "";
    if (list_has(before, shim))
        return CLI_OK;
    first = sanitizer_length(before);
    if (asprintf(&list, "%.*s%s%s%s%s", first, before, first && !before[first] ? ":" : "", shim,
                 before[first] ? ":" : "", before + first) < 0)
        return CLI_CANNOT_RUN;
    rc = setenv("LD_PRELOAD", list, 1) == 0 ? CLI_OK : CLI_CANNOT_RUN;
    free(list);
    return rc;
}

/* ---- the program ----------------------------------------------------------------------------- */

static int check_program(const char *name, bool force)
{
    char explanation[EXPLANATION_BYTES];
    struct program program;
    bool can_start;

    program_inspect(name, &program);
    if (program.verdict == PROGRAM_OK)
        return CLI_OK;
    can_start = program.verdict != PROGRAM_NOT_FOUND && program.verdict != PROGRAM_NOT_EXECUTABLE;
    program_explain(&program, explanation, sizeof explanation);
    if (force && can_start) {
        cli_say("run: warning: %s; it will not see /s3", explanation);
        return CLI_OK;
    }
    cli_say("run: %s: %s%s", explanation, program_advice(&program),
            can_start ? "; --force runs it as it is" : "");
    return program.verdict == PROGRAM_NOT_FOUND && !*program.script ? CLI_NOT_FOUND
                                                                    : CLI_CANNOT_RUN;
}

static int parse_arguments(char **argv, struct run_arguments *ret_arguments)
{
    struct run_arguments arguments = {0};
    const char *value;
    int i, rc = CLI_OK;

    for (i = 1; argv[i] && argv[i][0] == '-' && rc == CLI_OK; i++) {
        if (strcmp(argv[i], "--") == 0) {
            i++;
            break;
        }
        if (strcmp(argv[i], "--force") == 0)
            arguments.force = true;
        else if (cli_option(argv, &i, "--profile", &value))
            rc = set_profile(value);
        else if (cli_option(argv, &i, "--set", &value))
            rc = set_option(value);
        else
            rc = cli_usage("run: '%s' is not understood", argv[i]);
    }
    arguments.program = argv + i;
    *ret_arguments = arguments;
    if (rc == CLI_OK && !argv[i])
        return cli_usage("run: a program is missing");
    return rc;
}

/* A program started for virtual files gets no ring from its first call on, and the programs that it
 * starts see them, too, unless somebody says otherwise. */
static int set_defaults(void)
{
    const char *rings = options_info(OPTION_ID_IO_URING)->name;
    const char *follow = options_info(OPTION_ID_FOLLOW)->name;

    return setenv(rings, "refuse", 0) == 0 && setenv(follow, "1", 0) == 0 ? CLI_OK
                                                                          : CLI_CANNOT_RUN;
}

int run_command(int argc, char **argv)
{
    struct run_arguments arguments = {0};
    int rc = parse_arguments(argv, &arguments);

    (void)argc;
    if (rc == CLI_OK)
        rc = check_program(arguments.program[0], arguments.force);
    if (rc == CLI_OK)
        rc = preload();
    if (rc == CLI_OK)
        rc = set_defaults();
    if (rc != CLI_OK)
        return rc;
    execvp(arguments.program[0], arguments.program);
    rc = errno == ENOENT ? CLI_NOT_FOUND : CLI_CANNOT_RUN;
    cli_say("run: %s cannot be run: %s", arguments.program[0], strerror(errno));
    return rc;
}
