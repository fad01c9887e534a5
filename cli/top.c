/* s3dlio top: what the running processes of this user ask of their stores, looked at again and again.
 *
 * Rates are differences between two looks. On a terminal the table is drawn anew each time, q ends;
 * anywhere else, and with --once, it is printed once. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/top_table.h"
#include "engine/s3dlio.h"

#define INTERVAL_MAX_S 86400.0

struct top_options {
    bool once, json;
    double interval_s;
};

static volatile sig_atomic_t interrupted;

static void on_interrupt(int number)
{
    (void)number;
    interrupted = 1;
}

/* It has interrupted the wait, and that is all it is for. */
static void on_resize(int number)
{
    (void)number;
}

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int look(struct top_look *ret_look)
{
    struct top_look next = {.at_s = now_s()};
    int r = s3dlio_processes(&next.processes, &next.count);

    if (r < 0) {
        cli_say("top: processes have no directory to meet in: %s", strerror(-r));
        return r;
    }
    *ret_look = next;
    return 0;
}

/* Until the interval is over; true: a key that ends. A change of the window's size ends the wait. */
static bool wait_for_key(double seconds)
{
    struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
    char key;

    if (poll(&input, 1, (int)(seconds * 1000)) <= 0)
        return interrupted;
    return read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q' || interrupted;
}

static void pause_for(double seconds)
{
    struct timespec left = {.tv_sec = (time_t)seconds,
                            .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};

    nanosleep(&left, NULL);
}

static void show(const struct top_options *options, const struct top_look *before,
                 const struct top_look *now)
{
    struct winsize size;
    bool screen = !options->once && !options->json;
    unsigned columns = 0, rows = 0;

    if (screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) {
        columns = size.ws_col;
        rows = size.ws_row;
    }
    if (screen)
        fputs("\033[H", stdout);
    if (options->json)
        top_print_json(before, now);
    else
        top_print_table(before, now, columns, rows);
    if (screen)
        fputs("\033[J", stdout);
    fflush(stdout);
}

/* Until a key or a signal; or, with --once, after one interval. */
static int follow(const struct top_options *options, bool terminal)
{
    struct top_look before = {.processes = NULL}, now = {.processes = NULL};
    bool ends = false;

    while (!ends) {
        if (look(&now) < 0)
            return CLI_FAILED;
        if (before.at_s > 0 || options->interval_s == 0 || !options->once)
            show(options, before.at_s > 0 ? &before : NULL, &now);
        ends = options->once && (before.at_s > 0 || options->interval_s == 0);
        s3dlio_free(before.processes);
        before = now;
        if (ends)
            break;
        if (terminal)
            ends = wait_for_key(options->interval_s);
        else
            pause_for(options->interval_s);
        ends = ends || interrupted || ferror(stdout);
    }
    s3dlio_free(before.processes);
    return CLI_OK;
}

/* The terminal gives keys as they come, and is as it was afterwards. */
static int follow_on_terminal(const struct top_options *options)
{
    const struct sigaction interrupt = {.sa_handler = on_interrupt};
    const struct sigaction resize = {.sa_handler = on_resize};
    struct termios before, raw;
    bool keys = tcgetattr(STDIN_FILENO, &before) == 0;
    int status;

    sigaction(SIGINT, &interrupt, NULL);
    sigaction(SIGTERM, &interrupt, NULL);
    sigaction(SIGWINCH, &resize, NULL);
    if (keys) {
        raw = before;
        raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &raw);
    }
    fputs("\033[?25l\033[H\033[2J", stdout);
    status = follow(options, keys);
    fputs("\033[?25h", stdout);
    fflush(stdout);
    if (keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &before);
    return status;
}

int top_command(int argc, char **argv)
{
    struct top_options options = {.interval_s = 1};
    const char *value;
    char *end;

    for (int at = 1; at < argc; at++) {
        if (cli_option(argv, &at, "--interval", &value)) {
            options.interval_s = value ? strtod(value, &end) : -1;
            if (!value || end == value || *end || !(options.interval_s >= 0) ||
                options.interval_s > INTERVAL_MAX_S)
                return cli_usage("top: --interval takes seconds, as 0.5");
        } else if (strcmp(argv[at], "--once") == 0) {
            options.once = true;
        } else if (strcmp(argv[at], "--json") == 0) {
            options.json = true;
        } else {
            return cli_usage("top: '%s' is no option", argv[at]);
        }
    }
    if (!options.json && !isatty(STDOUT_FILENO))
        options.once = true;
    if (!options.once && options.interval_s < 0.1)
        return cli_usage("top: an interval of less than 0.1 goes with --once only");
    return options.once || options.json ? follow(&options, false) : follow_on_terminal(&options);
}
