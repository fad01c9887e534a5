"""Trains a small convolutional network on a folder of images: train.py --data DIR --ckpt FILE

An ordinary PyTorch program. It lists a directory, opens image files in forked DataLoader workers,
saves a checkpoint and loads it again. Seeds and thread counts are fixed, so that two runs print the
same figures; only the line that begins with "speed:" depends on the machine.
"""
import argparse
import time

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from digits import ImageFolder


def make_model():
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10))


def split(dataset):
    """Every fifth image is kept for testing."""
    numbers = range(len(dataset))
    return (Subset(dataset, [n for n in numbers if n % 5]),
            Subset(dataset, [n for n in numbers if n % 5 == 0]))


def train_epoch(model, optimizer, loader):
    """Returns the mean loss and how many images were seen."""
    model.train()
    total, count = 0.0, 0
    for images, labels in loader:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
        count += len(labels)
    return total / count, count


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    right = count = 0
    for images, labels in loader:
        right += (model(images).argmax(1) == labels).sum().item()
        count += len(labels)
    return right / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="folder with one folder of images a label")
    parser.add_argument("--ckpt", required=True, help="file for the trained weights")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)

    training, testing = split(ImageFolder(options.data))
    train_loader = DataLoader(training, batch_size=64, shuffle=True, num_workers=options.workers)
    test_loader = DataLoader(testing, batch_size=64, num_workers=options.workers)
    print(f"{len(training)} images to train on, {len(testing)} to test with")

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    seen, start = 0, time.perf_counter()
    for epoch in range(options.epochs):
        loss, count = train_epoch(model, optimizer, train_loader)
        seen += count
        print(f"epoch {epoch + 1}: loss {loss:.6f}")
    print(f"speed: {seen / (time.perf_counter() - start):.0f} images/s")
    torch.save({"model": model.state_dict(), "epochs": options.epochs}, options.ckpt)

    restored = make_model()
    checkpoint = torch.load(options.ckpt)
    restored.load_state_dict(checkpoint["model"])
    print(f"accuracy: {accuracy(model, test_loader):.4f}")
    print(f"accuracy of the checkpoint, loaded again: {accuracy(restored, test_loader):.4f}")


if __name__ == "__main__":
    main()
