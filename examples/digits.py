"""A folder of labelled images as a torch Dataset: one file is opened for each item."""
import os

import torch
from PIL import Image
from torch.utils.data import Dataset


class ImageFolder(Dataset):
    """Images in <folder>/<label>/*.png, in the order of their names."""

    def __init__(self, folder):
        self.items = []
        for label in sorted(os.listdir(folder)):
            class_folder = os.path.join(folder, label)
            if os.path.isdir(class_folder):
                self.items += [(os.path.join(class_folder, name), int(label))
                               for name in sorted(os.listdir(class_folder))]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        path, label = self.items[index]
        with Image.open(path) as image:
            width, height = image.size
            pixels = torch.tensor(list(image.convert("L").getdata()), dtype=torch.float32)
        return pixels.view(1, height, width) / 255, label
