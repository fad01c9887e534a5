"""multiprocessing and concurrent.futures, with each way to start a process: pool.py FOLDER"""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat

from work import FILES, folder, put, total

if __name__ == "__main__":
    path = folder()
    for method in ("fork", "spawn", "forkserver"):
        context = multiprocessing.get_context(method)
        with context.Pool(2) as pool:
            pool.starmap(put, [(path, number) for number in range(FILES)])
        with ProcessPoolExecutor(2, mp_context=context) as executor:
            print(method, sum(executor.map(total, repeat(path), range(FILES))))
