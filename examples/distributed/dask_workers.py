"""Dask: two worker processes of a local cluster: dask_workers.py FOLDER"""
from distributed import Client, LocalCluster

from work import FILES, folder, put, total

if __name__ == "__main__":
    path = folder()
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        with Client(cluster) as client:
            client.gather([client.submit(put, path, number) for number in range(FILES)])
            print(sum(client.gather(
                [client.submit(total, path, number) for number in range(FILES)])))
