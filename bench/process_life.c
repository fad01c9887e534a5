/* What processes cost that have virtual files open: their execs, their forks. Prints one JSON line.
 *
 * process_life spawn ROUNDS VIRTUAL LOCAL: CPU microseconds from posix_spawn of /bin/true to its end, with ten
 *     descriptors of the one file inherited, and with ten of the other by a child without the shim.
 *     The two alternate.
 * process_life fork ROUNDS FILE: CPU microseconds of a fork, its child's end included, of a process with
 *     MEMORY_BYTES in use that reads FILE between one fork and the next; and the page faults of the child,
 *     of which there are as many each time.
 * process_life chain COUNT FILE: CPU microseconds of one exec in a row of COUNT, each of which inherits
 *     FILE's descriptor. */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "measure.h"

#define FILES        10
#define MEMORY_BYTES ((size_t)64 << 20)

/* CPU of this process and of the children it has waited for: they take turns, so on an idle machine that
 * is the time which passes, and on a busy one it still says what was done. */
static double used_us(void)
{
    struct rusage children;
    getrusage(RUSAGE_CHILDREN, &children);
    return measure_now(CLOCK_PROCESS_CPUTIME_ID) * 1e6 +
           (double)(children.ru_utime.tv_sec + children.ru_stime.tv_sec) * 1e6 +
           (double)(children.ru_utime.tv_usec + children.ru_stime.tv_usec);
}

static double *row(long count)
{
    double *values = calloc((size_t)count, sizeof *values);
    if (!values)
        exit(1);
    return values;
}

static int file_open(const char *path)
{
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        perror(path);
        exit(1);
    }
    return fd;
}

static double spawn_us(const char *path, char **environment)
{
    char *argv[] = {"/bin/true", NULL};
    int files[FILES], status;
    for (int i = 0; i < FILES; i++)
        files[i] = file_open(path);
    pid_t pid;
    double start = used_us();
    if (posix_spawn(&pid, argv[0], NULL, NULL, argv, environment) || waitpid(pid, &status, 0) < 0 ||
        status)
        exit(1);
    double end = used_us();
    for (int i = 0; i < FILES; i++)
        close(files[i]);
    return end - start;
}

static int spawns(long rounds, const char *virtual, const char *local)
{
    char *plain[] = {"PATH=/usr/bin:/bin", NULL};
    double *with = row(rounds), *without = row(rounds), *added = row(rounds);
    for (long i = 0; i < rounds; i++) {
        without[i] = spawn_us(local, plain);
        with[i] = spawn_us(virtual, environ);
        added[i] = with[i] - without[i];
    }
    double added_us = measure_median(added, rounds);
    printf("{\"without_us\": %.1f, \"with_us\": %.1f, \"added_us\": %.1f}\n",
           measure_median(without, rounds), measure_median(with, rounds), added_us);
    return 0;
}

static int forks(long rounds, const char *path)
{
    char *memory = malloc(MEMORY_BYTES);
    if (!memory)
        exit(1);
    memset(memory, 1, MEMORY_BYTES);
    int fd = file_open(path);
    double *took = row(rounds), *faults = row(rounds);
    for (long i = 0; i < rounds; i++) {
        char byte;
        if (pread(fd, &byte, 1, 0) != 1)
            exit(1);
        double start = used_us();
        pid_t pid = fork();
        if (!pid)
            _exit(0);
        int status;
        struct rusage child;
        if (pid < 0 || wait4(pid, &status, 0, &child) < 0 || status)
            exit(1);
        took[i] = used_us() - start;
        faults[i] = (double)child.ru_minflt;
    }
    printf("{\"fork_us\": %.1f, \"child_faults\": %.0f}\n", measure_median(took, rounds),
           measure_median(faults, rounds));
    free(memory);
    return 0;
}

/* The first link opens the file, the last one reports; between them the count that is left, the time
 * when the first began and the whole count travel as arguments. */
static int chain(char **argv, long left, double began_us, long count)
{
    if (!left) {
        printf("{\"exec_us\": %.1f}\n", (used_us() - began_us) / (double)count);
        return 0;
    }
    char next[32], began[64], all[32];
    snprintf(next, sizeof next, "%ld", left - 1);
    snprintf(began, sizeof began, "%.3f", began_us);
    snprintf(all, sizeof all, "%ld", count);
    char *arguments[] = {argv[0], argv[1], next, argv[3], began, all, NULL};
    execv("/proc/self/exe", arguments);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        return 2;
    long count = atol(argv[2]);
    if (!strcmp(argv[1], "spawn") && argc == 5)
        return spawns(count, argv[3], argv[4]);
    if (!strcmp(argv[1], "fork"))
        return forks(count, argv[3]);
    if (strcmp(argv[1], "chain"))
        return 2;
    if (argc == 6)
        return chain(argv, count, strtod(argv[4], NULL), atol(argv[5]));
    file_open(argv[3]);
    return chain(argv, count, used_us(), count);
}
