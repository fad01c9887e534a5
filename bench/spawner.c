/* What the shim adds to the start of a program: spawns PROGRAM many times, with and without it.
 *
 * spawner ROUNDS SHIM PROGRAM
 *
 * The two alternate, so that drift of the machine hits both. Prints one JSON line: median
 * microseconds of each and of the paired differences. */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

static double spawn_us(const char *program, char **environment)
{
    char *argv[] = {(char *)(size_t)program, NULL};
    double start = measure_now(CLOCK_MONOTONIC);
    pid_t pid;
    int status;
    if (posix_spawn(&pid, program, NULL, NULL, argv, environment) || waitpid(pid, &status, 0) < 0 ||
        status)
        exit(1);
    return (measure_now(CLOCK_MONOTONIC) - start) * 1e6;
}

static double *without, *with, *added; /* us, a row for each round */

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    long rounds = atol(argv[1]);
    char preload[4096];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", argv[2]);
    char *plain[] = {"PATH=/usr/bin:/bin", NULL},
         *shimmed[] = {"PATH=/usr/bin:/bin", preload, NULL};
    without = calloc((size_t)rounds, sizeof *without);
    with = calloc((size_t)rounds, sizeof *with);
    added = calloc((size_t)rounds, sizeof *added);
    if (rounds < 1 || !without || !with || !added)
        return 2;
    for (long i = 0; i < rounds; i++) {
        without[i] = spawn_us(argv[3], plain);
        with[i] = spawn_us(argv[3], shimmed);
        added[i] = with[i] - without[i];
    }
    double added_us = measure_median(added, rounds);
    printf("{\"without_us\": %.1f, \"with_us\": %.1f, \"added_us\": %.1f}\n",
           measure_median(without, rounds), measure_median(with, rounds), added_us);
    return 0;
}
