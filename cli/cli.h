/* What the subcommands of s3dlio share: exit statuses, saying what is wrong, arguments.
 *
 * A subcommand is a function in a file of its own and a row of the table in main.c. The program is
 * single-threaded; nothing here is thread-safe. */
#ifndef S3DLIO_CLI_CLI_H
#define S3DLIO_CLI_CLI_H

#include <stdbool.h>

enum cli_status {
    CLI_OK = 0,
    CLI_FAILED = 1,       /* a check failed, a value is wrong */
    CLI_USAGE = 2,        /* the command line makes no sense */
    CLI_CANNOT_RUN = 126, /* as shells answer */
    CLI_NOT_FOUND = 127,
};

/* argv[0] is the subcommand's name; NULL-terminated. */
typedef int cli_command_fn(int argc, char **argv);
int run_command(int argc, char **argv);
int doctor_command(int argc, char **argv);
int config_command(int argc, char **argv);
int uploads_command(int argc, char **argv);
int top_command(int argc, char **argv);

/* One line on stderr, behind "s3dlio: ". */
void cli_say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* The same, and how to get help; returns CLI_USAGE. */
int cli_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Is argv[*at] the option `name`, as "--name VALUE" or "--name=VALUE"? Then *at is at its last word
 * and *ret_value its value, NULL when that is missing. */
bool cli_option(char **argv, int *at, const char *name, const char **ret_value);

#endif
