#!/usr/bin/env bats
# PyTorch: data loaders under fork and spawn, checkpoints.

load lib/shim
load lib/data

setup_file() { serve_data make_images; }

setup() { /usr/bin/python3 -c 'import torch, PIL' || skip "no torch and PIL for /usr/bin/python3"; }

loader_script() {
    cat <<'PY'
import hashlib, os, sys
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

class Images(Dataset):
    def __init__(self, root):
        self.paths = sorted(os.path.join(folder, name)
                            for folder, _, names in os.walk(root) for name in names)
        with open(self.paths[0], "rb") as first:      # the parent has used the bucket before it forks
            self.first = first.read()
    def __len__(self):
        return len(self.paths)
    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            return torch.tensor(image.getpixel((0, 0))), index

if __name__ == "__main__":
    torch.set_num_threads(1)
    loader = DataLoader(Images(sys.argv[1] + "/images"), batch_size=8, num_workers=2,
                        multiprocessing_context=os.environ["START_METHOD"],
                        persistent_workers=True)
    for epoch in range(2):
        for pixels, indices in loader:
            print(epoch, pixels.tolist(), indices.tolist())
PY
}

@test "DataLoader with forked workers" {
    loader_script | START_METHOD=fork same_script /usr/bin/python3
}

@test "DataLoader with spawned workers" {
    loader_script >"$BATS_TEST_TMPDIR/images.py"
    START_METHOD=spawn same "/usr/bin/python3 $BATS_TEST_TMPDIR/images.py {}"
}

@test "torch.save and torch.load" {
    same_script /usr/bin/python3 <<'PY'
import hashlib, sys, torch
path = sys.argv[1] + "/weights.pt"
generator = torch.Generator().manual_seed(1)
torch.save({"w": torch.randn(300, 400, generator=generator), "step": 7}, path)
loaded = torch.load(path)
print(loaded["step"], loaded["w"].shape, loaded["w"].double().sum().item())
print(hashlib.sha256(open(path, "rb").read()).hexdigest())
PY
}

@test "numpy.save, numpy.load, numpy.load with mmap" {
    same_script /usr/bin/python3 <<'PY'
import sys, numpy
path = sys.argv[1] + "/array.npy"
numpy.save(path, numpy.arange(100000).reshape(100, 1000))
print(numpy.load(path).sum(), numpy.load(path, mmap_mode="r")[37, 500:503])
print(numpy.fromfile(path, dtype="int64", count=3, offset=128))
PY
}
