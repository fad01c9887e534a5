/* What is left in the arena of a process tree: arena /proc/PID/fd/N
 *
 * Prints `held SLOTS NODES`: what living processes hold; `left SLOTS NODES`: what only dead ones do, which
 * the library takes back when it looks for room or for other holders. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/arena_private.h"

static bool is_held(const struct arena *arena, uint32_t index)
{
    for (uint32_t i = 0; i < arena->process_end; i++) {
        const struct arena_process *process = &arena->processes[i];
        if (process->pid > 0 && !kill(process->pid, 0) &&
            process->holds[index / 64] >> index % 64 & 1)
            return true;
    }
    return false;
}

int main(int argc, char **argv)
{
    int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
    const struct arena *arena =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *arena, PROT_READ, MAP_SHARED, fd, 0);
    if (arena == MAP_FAILED || arena->magic != ARENA_MAGIC) {
        perror("arena");
        return 1;
    }
    unsigned slots[2] = {0}, nodes[2] = {0}; /* those of dead processes, those of living ones */
    for (uint32_t i = 0; i < arena->slot_end; i++)
        if (arena->slots[i].used)
            slots[is_held(arena, i)]++;
    for (uint32_t i = 0; i < arena->node_end; i++)
        if (arena->nodes[i].used)
            nodes[is_held(arena, ARENA_SLOTS + i)]++;
    printf("held %u %u\nleft %u %u\n", slots[1], nodes[1], slots[0], nodes[0]);
    return 0;
}
