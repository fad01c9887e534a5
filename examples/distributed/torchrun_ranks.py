"""PyTorch: each rank loads its share by a DataLoader and rank 0 saves a checkpoint that all load:
torchrun --nproc_per_node 2 torchrun_ranks.py FOLDER"""
import os

import torch
from torch import distributed
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from work import FILES, folder, put, total


class Totals(Dataset):
    def __init__(self, path):
        self.path = path

    def __len__(self):
        return FILES

    def __getitem__(self, number):
        return total(self.path, number)


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed.init_process_group("gloo")
    rank, path = distributed.get_rank(), folder()
    if rank == 0:
        for number in range(FILES):
            put(path, number)
    distributed.barrier()
    data = Totals(path)
    loader = DataLoader(data, batch_size=4, num_workers=2, persistent_workers=True, pin_memory=False,
                        sampler=DistributedSampler(data, shuffle=False))
    mine = torch.tensor(sum(int(batch.sum()) for epoch in range(2) for batch in loader))
    distributed.all_reduce(mine)
    checkpoint = os.path.join(path, "checkpoint.pt")
    if rank == 0:
        torch.save({"sum": mine}, checkpoint)
    distributed.barrier()
    print(int(torch.load(checkpoint)["sum"]))
    distributed.destroy_process_group()
