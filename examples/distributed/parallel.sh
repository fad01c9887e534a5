#!/bin/sh
# GNU parallel: jobs that write by redirection, results kept on the store: parallel.sh FOLDER
set -e
mkdir -p "$1"
seq 24 | parallel -j 4 "seq {} >'$1/{}.txt'"
cat "$1"/*.txt | sort -n | uniq -c | md5sum
parallel -j 2 --results "$1/results" wc -c ::: "$1/1.txt" "$1/24.txt" >/dev/null
find "$1/results" -name stdout -exec cat {} + | sed 's|/.*/||' | sort
find "$1" -maxdepth 1 -name '*.txt' | parallel -j 4 gzip
ls "$1"
