#!/bin/sh
# Two ranks with the environment that torchrun gives them, where that does not run (Debian 12's does
# not with its Python): ranks.sh PROGRAM FOLDER
set -e
MASTER_ADDR=127.0.0.1 WORLD_SIZE=2
MASTER_PORT=$(/usr/bin/python3 -c 'import socket
with socket.socket() as free: free.bind(("127.0.0.1", 0)); print(free.getsockname()[1])')
export MASTER_ADDR MASTER_PORT WORLD_SIZE
RANK=1 /usr/bin/python3 "$@" >/dev/null &
RANK=0 /usr/bin/python3 "$@"
wait $!
