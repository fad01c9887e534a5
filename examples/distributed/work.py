"""What the examples share: a folder of numbered files, each of its number's bytes, made and added up.

The folder is the first argument: /s3/bucket/prefix under the library, any local folder without it."""
import os
import sys

FILES = 24


def folder():
    os.makedirs(sys.argv[1], exist_ok=True)
    return sys.argv[1]


def put(path, number):
    with open(os.path.join(path, f"{number}.bin"), "wb") as file:
        file.write(bytes([number]) * 100_000)


def total(path, number):
    with open(os.path.join(path, f"{number}.bin"), "rb") as file:
        return sum(file.read())
