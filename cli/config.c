/* s3dlio config: every option, its effective value and where that came from. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "config/options.h"

static void count_problem(void *arg, const char *message)
{
    unsigned *problems = arg;

    ++*problems;
    cli_say("%s", message);
}

/* What each option does, below its value. */
static void print_all(const struct options *options)
{
    char value[256];

    for (unsigned id = 0; id < OPTION_COUNT; id++) {
        const struct option_info *info = options_info((enum option_id)id);
        const struct option_value *option = &options->values[id];

        options_format(options, (enum option_id)id, value, sizeof value);
        printf("%s = %s  (%s%s)\n", info->name, value,
               option->origin == ORIGIN_ENVIRONMENT ? "environment " : "", option->source);
        printf("    %s\n", options_help((enum option_id)id));
        if (*info->aliases)
            printf("    Also read from: %s\n", info->aliases);
        if (info->type == OPTION_ENUM)
            printf("    One of: %s\n", info->words);
        if (*info->default_text && option->origin != ORIGIN_DEFAULT)
            printf("    Default: %s\n", info->default_text);
    }
}

int config_command(int argc, char **argv)
{
    struct options options;
    unsigned problems = 0;
    bool all = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--all") != 0)
            return cli_usage("config: '%s' is not understood", argv[i]);
        all = true;
    }
    if (options_load(environ, count_problem, &problems, &options) < 0) {
        cli_say("out of memory");
        return CLI_FAILED;
    }
    if (all)
        print_all(&options);
    else
        options_print(&options, stdout);
    options_fini(&options);
    return problems || fflush(stdout) != 0 ? CLI_FAILED : CLI_OK;
}
