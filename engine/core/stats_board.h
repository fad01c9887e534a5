/* Where the processes of a user on this machine have their counters, for all of them to see: a file in
 * the directory where they meet (core/place.h), one seat a process.
 *
 * The counters live there: showing them costs their process nothing but taking the seat, and no
 * thread. A seat belongs to the process whose id it bears; that of one which died is free for the
 * next, and readers give its memory back. Process ids mean something in one namespace only, and so each
 * has a file of its own.
 *
 * Readers copy what is there and believe nothing: a seat counts when its process lives, began before
 * the seat was taken, and runs the same program; every number may be any number, every text is
 * made harmless. Without the directory, or without a free seat, counters are where nobody sees
 * them.
 */
#ifndef S3DLIO_CORE_STATS_BOARD_H
#define S3DLIO_CORE_STATS_BOARD_H

#include <sys/types.h>

#include "core/stats.h"

#define BOARD_SEATS         512u
#define BOARD_COMMAND_BYTES 32

/* A seat with all counters at 0; NULL: none can be had. Inside the gate. */
struct stats *board_take(void);
/* In a fork child: the parent's seat is not seen from here any more. */
void board_forget(struct stats *stats);

struct board_entry {
    pid_t pid;
    char command[BOARD_COMMAND_BYTES]; /* printable ASCII */
    struct stats_copy stats;
};
/* Calls `found` for each process that has a seat; the entry is valid during the call. Frees the seats of
 * those that are gone. How many, or -errno. Inside the gate. */
int board_read(void (*found)(void *arg, const struct board_entry *entry), void *arg);

#endif
