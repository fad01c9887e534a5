"""joblib: its three backends, an array shared by a memory map, results kept on the store:
joblib_jobs.py FOLDER"""
import os

import numpy
from joblib import Memory, Parallel, delayed, dump, load

from work import FILES, folder, put, total

if __name__ == "__main__":
    path = folder()
    for backend in ("loky", "multiprocessing", "threading"):
        Parallel(n_jobs=2, backend=backend)(delayed(put)(path, number) for number in range(FILES))
        print(backend, sum(Parallel(n_jobs=2, backend=backend)(
            delayed(total)(path, number) for number in range(FILES))))
    array = os.path.join(path, "array.joblib")
    dump(numpy.arange(200_000.0), array)
    mapped = load(array, mmap_mode="r")
    print(sum(Parallel(n_jobs=2)(delayed(numpy.sum)(mapped[part::4]) for part in range(4))))
    cached = Memory(os.path.join(path, "results"), verbose=0).cache(total)
    print(cached(path, 3), cached(path, 3))
