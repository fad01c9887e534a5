/* The board of counters. See stats_board.h.
 *
 * Invariants: a seat whose `pid` in the head is 0 is free; whoever makes it its own id by compare
 * and swap has it, alone. The file never becomes shorter, and a seat's memory is there before it is
 * mapped, so that counting never fails. A seat without `begun_ns` is being laid out.
 */
#include "core/stats_board.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "core/place.h"
#include "io/fd.h"
#include "io/proc_stat.h"

#define DEAD_MAX 64u /* of others to be asked for, for a seat: each is a system call */

struct head {
    _Atomic uint32_t pids[BOARD_SEATS];
};

struct seat {
    _Atomic int64_t begun_ns; /* of CLOCK_BOOTTIME; 0: not ready */
    uint64_t bytes;           /* of this struct: another version's is another */
    uint64_t program_device, program_inode;
    char command[BOARD_COMMAND_BYTES];
    struct stats stats;
};

#define PAGE_BYTES UINT64_C(4096)
#define HEAD_BYTES PAGE_BYTES
#define SEAT_BYTES ((sizeof(struct seat) + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES)
_Static_assert(sizeof(struct head) <= HEAD_BYTES, "the head is a page");

static off_t seat_offset(unsigned index)
{
    return (off_t)(HEAD_BYTES + index * SEAT_BYTES);
}

/* The file of this namespace of process ids; a descriptor or -errno. */
static int open_board(void)
{
    struct stat st;
    char name[64];
    int fd;

    if (stat("/proc/self/ns/pid", &st) < 0)
        st.st_ino = 0;
    snprintf(name, sizeof name, "counters-1.%llu", (unsigned long long)st.st_ino);
    fd_room_begin(FD_FOR_FILES);
    fd = place_open(name);
    fd_room_end();
    if (fd >= 0 && (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid())) {
        close(fd);
        fd = -EPERM;
    }
    return fd;
}

static void *map(int fd, off_t offset, size_t bytes)
{
    void *memory;

    if (posix_fallocate(fd, offset, (off_t)bytes) != 0)
        return NULL;
    memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, offset);
    return memory == MAP_FAILED ? NULL : memory;
}

static bool is_dead(uint32_t pid)
{
    return pid > INT_MAX || (kill((pid_t)pid, 0) < 0 && errno == ESRCH);
}

/* ---- one's own ------------------------------------------------------------------------------- */

/* What bears our own id is from before an exec, or from one that died. BOARD_SEATS: none. */
static unsigned claim(struct head *head)
{
    uint32_t self = (uint32_t)getpid();
    unsigned asked = 0;

    for (unsigned i = 0; i < BOARD_SEATS; i++)
        if (atomic_load(&head->pids[i]) == self)
            return i;
    for (unsigned i = 0; i < BOARD_SEATS; i++) {
        uint32_t owner = atomic_load(&head->pids[i]);

        if (owner && (asked++ >= DEAD_MAX || !is_dead(owner)))
            continue;
        if (atomic_compare_exchange_strong(&head->pids[i], &owner, self))
            return i;
    }
    return BOARD_SEATS;
}

static void lay_out(struct seat *seat)
{
    struct timespec now;
    struct stat st;

    atomic_store(&seat->begun_ns, 0);
    memset(seat, 0, sizeof *seat);
    seat->bytes = sizeof *seat;
    if (stat("/proc/self/exe", &st) == 0) {
        seat->program_device = st.st_dev;
        seat->program_inode = st.st_ino;
    }
    strncpy(seat->command, program_invocation_short_name, sizeof seat->command - 1);
    clock_gettime(CLOCK_BOOTTIME, &now);
    atomic_store(&seat->begun_ns, now.tv_sec * NS_PER_S + now.tv_nsec);
}

struct stats *board_take(void)
{
    int fd = open_board();
    struct head *head = fd < 0 ? NULL : map(fd, 0, HEAD_BYTES);
    unsigned index = head ? claim(head) : BOARD_SEATS;
    struct seat *seat = index < BOARD_SEATS ? map(fd, seat_offset(index), SEAT_BYTES) : NULL;

    if (seat)
        lay_out(seat);
    else if (index < BOARD_SEATS)
        atomic_store(&head->pids[index], 0);
    if (head)
        munmap(head, HEAD_BYTES);
    if (fd >= 0)
        close(fd);
    return seat ? &seat->stats : NULL;
}

void board_forget(struct stats *stats)
{
    munmap((char *)stats - offsetof(struct seat, stats), SEAT_BYTES);
}

/* ---- all ------------------------------------------------------------------------------------- */

/* When the process began, in CLOCK_BOOTTIME; -1: it is not there, or has ended. */
static int64_t process_begun_ns(pid_t pid)
{
    struct proc_stat process;
    char path[64];
    int fd, r;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    r = proc_stat_read(fd, &process);
    close(fd);
    return r < 0 || process.state == 'Z' || process.state == 'X' ? -1 : process.begun_ns;
}

/* Does the seat speak of the process that has that id now, and of the program that runs in it? */
static bool is_of(const struct seat *seat, pid_t pid)
{
    int64_t begun_ns = process_begun_ns(pid);
    struct stat st;
    char path[64];

    if (begun_ns < 0 || begun_ns > seat->begun_ns || seat->bytes != sizeof *seat)
        return false;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    return stat(path, &st) < 0 ||
           (st.st_dev == seat->program_device && st.st_ino == seat->program_inode);
}

static void make_printable(char text[BOARD_COMMAND_BYTES])
{
    text[BOARD_COMMAND_BYTES - 1] = '\0';
    for (char *at = text; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at >= 0x7f)
            *at = '?';
}

/* As ours first, so that nobody sits down while its memory is given back. */
static void free_seat(int fd, struct head *head, unsigned index, uint32_t owner)
{
    if (!atomic_compare_exchange_strong(&head->pids[index], &owner, (uint32_t)getpid()))
        return;
    (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, seat_offset(index),
                     (off_t)SEAT_BYTES);
    atomic_store(&head->pids[index], 0);
}

/* Copied by reading the file: nothing that others do to it can take memory away under us. */
static bool read_seat(int fd, unsigned index, struct seat *ret_seat)
{
    return pread(fd, ret_seat, sizeof *ret_seat, seat_offset(index)) == sizeof *ret_seat &&
           ret_seat->begun_ns > 0;
}

static int read_all(int fd, struct head *head,
                    void (*found)(void *arg, const struct board_entry *entry), void *arg)
{
    struct board_entry *entry = malloc(sizeof *entry);
    struct seat *seat = malloc(sizeof *seat);
    int count = entry && seat ? 0 : -ENOMEM;

    for (unsigned i = 0; i < BOARD_SEATS && entry && seat; i++) {
        uint32_t owner = atomic_load(&head->pids[i]);

        if (owner == 0 || owner == (uint32_t)getpid())
            continue;
        if (is_dead(owner)) {
            free_seat(fd, head, i, owner);
            continue;
        }
        if (!read_seat(fd, i, seat) || !is_of(seat, (pid_t)owner))
            continue;
        entry->pid = (pid_t)owner;
        memcpy(entry->command, seat->command, sizeof entry->command);
        make_printable(entry->command);
        stats_copy(&seat->stats, clock_now_ns(), &entry->stats);
        found(arg, entry);
        count++;
    }
    free(entry);
    free(seat);
    return count;
}

int board_read(void (*found)(void *arg, const struct board_entry *entry), void *arg)
{
    int fd = open_board(), r;
    struct head *head;

    if (fd < 0)
        return fd;
    head = map(fd, 0, HEAD_BYTES);
    r = head ? read_all(fd, head, found, arg) : -ENOMEM;
    if (head)
        munmap(head, HEAD_BYTES);
    close(fd);
    return r;
}
