"""MPI: each rank writes its share, then reads another's; rank 0 prints what each of them knows, since mpirun
may mix the lines of several: mpirun -n 2 python3 mpi_ranks.py FOLDER"""
from mpi4py import MPI

from work import FILES, folder, put, total

if __name__ == "__main__":
    world = MPI.COMM_WORLD
    rank, size, path = world.Get_rank(), world.Get_size(), folder()
    for number in range(rank, FILES, size):
        put(path, number)
    world.Barrier()
    mine = sum(total(path, number) for number in range((rank + 1) % size, FILES, size))
    known = world.gather(world.allreduce(mine))
    if rank == 0:
        print(*known, sep="\n")
