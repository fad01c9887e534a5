/* s3dlio: the command beside the library. A table of subcommands; each has a file of its own.
 *
 * Exit statuses: those of cli.h, or the program's own after `s3dlio run`. */
#include "cli/cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/words.h"
#include "engine/s3dlio.h"

static const struct command {
    const char *name;
    cli_command_fn *function;
    const char *arguments;
    const char *help;
} commands[] = {
    {"run", run_command, "[--profile NAME] [--set NAME=VALUE]... [--force] [--] PROGRAM [ARGS]",
     "run a program that may use /s3/bucket/key as file names"},
    {"doctor", doctor_command, "[--uri URI] [PROGRAM]",
     "check endpoint, credentials, clock, this machine, and whether PROGRAM can be served"},
    {"uploads", uploads_command, "list|abort [--older-than AGE] URI",
     "show or end multipart uploads that were never completed"},
    {"top", top_command, "[--once] [--json] [--interval SECONDS]",
     "follow what running processes ask of their stores"},
    {"config", config_command, "[--all]", "show every option, its value and where it came from"},
};

#define COMMANDS (sizeof commands / sizeof commands[0])

void cli_say(const char *format, ...)
{
    va_list args;

    fputs("s3dlio: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}

int cli_usage(const char *format, ...)
{
    va_list args;

    fputs("s3dlio: ", stderr);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputs("; see s3dlio --help\n", stderr);
    return CLI_USAGE;
}

bool cli_option(char **argv, int *at, const char *name, const char **ret_value)
{
    const char *word = argv[*at];
    size_t length = strlen(name);

    if (strncmp(word, name, length) != 0 || (word[length] != '\0' && word[length] != '='))
        return false;
    if (word[length] == '=')
        *ret_value = word + length + 1;
    else
        *ret_value = argv[*at + 1] ? argv[++*at] : NULL;
    return true;
}

static int help(void)
{
    puts("Usage:");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  s3dlio %s %s\n      %s\n", commands[i].name, commands[i].arguments,
               commands[i].help);
    puts("  s3dlio --version\n  s3dlio --help\n\nThe manual page s3dlio(1) says more.");
    return CLI_OK;
}

static int unknown(const char *word)
{
    unsigned best = WORDS_NEAR + 1;
    const char *nearest = NULL;

    for (size_t i = 0; i < COMMANDS; i++) {
        unsigned distance =
            words_distance(word, strlen(word), commands[i].name, strlen(commands[i].name));

        if (distance < best) {
            best = distance;
            nearest = commands[i].name;
        }
    }
    if (nearest)
        return cli_usage("'%s' is no command: did you mean %s?", word, nearest);
    return cli_usage("'%s' is no command", word);
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return cli_usage("a command is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0) {
        printf("s3dlio %s\n", s3dlio_version());
        return CLI_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            return commands[i].function(argc - 1, argv + 1);
    return unknown(argv[1]);
}
