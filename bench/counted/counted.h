/* What the programs of bench/instructions have in common: a table of workloads, one of which is run.
 *
 * counted_… NAME prepares a workload, runs it once so that caches, arenas and tables are there, and
 * runs it again inside counted_run, whose instructions, and those of all that it calls, are what is
 * counted. Without a name the workloads are listed. A workload is the same work each time: fixed sizes,
 * no network, no thread whose turn would matter. */
#ifndef S3DLIO_BENCH_COUNTED_H
#define S3DLIO_BENCH_COUNTED_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct counted {
    const char *name;
    void (*prepare)(void); /* may be NULL */
    void (*run)(void);
};

/* The work went wrong, so its instructions mean nothing. */
#define COUNTED_REQUIRE(condition)                                                                 \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

/* bench/instructions names this function to callgrind. */
__attribute__((noinline)) static void counted_run(const struct counted *counted)
{
    counted->run();
    __asm__ volatile("" ::: "memory");
}

static int counted_main(int argc, char **argv, const struct counted *table)
{
    for (; table->name; table++) {
        if (argc < 2) {
            puts(table->name);
        } else if (!strcmp(table->name, argv[1])) {
            if (table->prepare)
                table->prepare();
            table->run();
            counted_run(table);
            return 0;
        }
    }
    return argc < 2 ? 0 : 2;
}

#endif
