"""Writes scikit-learn's handwritten digits as PNG files: write_digits.py DIR

1,797 grey images of 8x8 pixels become DIR/<label>/<number>.png, and DIR/labels.csv lists them.
Nothing here knows what kind of storage DIR is on: directories are made with os.makedirs, files are
written with open().
"""
import io
import os
import sys

from PIL import Image
from sklearn.datasets import load_digits


def png_bytes(pixels):
    """The image as a PNG file. Values are 0 to 16 in the data set, 0 to 255 in the file."""
    buffer = io.BytesIO()
    Image.fromarray((pixels * 255 / 16).astype("uint8")).save(buffer, format="PNG")
    return buffer.getvalue()


def main():
    folder = sys.argv[1]
    digits = load_digits()
    for label in range(10):
        os.makedirs(f"{folder}/{label}", exist_ok=True)
    rows = ["file,label"]
    for number, (pixels, label) in enumerate(zip(digits.images, digits.target)):
        name = f"{label}/{number:04}.png"
        with open(f"{folder}/{name}", "wb") as image:
            image.write(png_bytes(pixels))
        rows.append(f"{name},{label}")
    with open(f"{folder}/labels.csv", "w", encoding="utf-8") as table:
        table.write("\n".join(rows) + "\n")
    print(f"wrote {len(rows) - 1} images")


if __name__ == "__main__":
    main()
