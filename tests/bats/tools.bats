#!/usr/bin/env bats
# Everyday tools read a bucket as they read a folder.

load lib/shim
load lib/data

setup_file() { serve_data; }

@test "cat: text, binary, empty, no newline at the end" {
    same 'cat {}/text/long.txt'
    same 'cat {}/big.bin | sha256sum'
    same 'cat {}/text/empty.txt; echo $?'
    same 'cat {}/text/open-ended.txt'
    same 'cat {}/many/*.txt'
}

@test "cat: a file that is not there, a directory" {
    same 'cat {}/text/absent.txt'
    same 'cat {}/text'
    same 'cat {}/absent/absent.txt'
    same 'cat {}/text/long.txt/below'
}

@test "cp from the bucket: a file, a tree" {
    same 'd=$(mktemp -d) && cp {}/big.bin $d/ && sha256sum <$d/big.bin; rm -r $d'
    same 'd=$(mktemp -d) && cp -r {}/. $d/ && cd $d && find . -type f | sort | xargs -d "\n" sha256sum; rm -r $d'
    same 'd=$(mktemp -d) && cp {}/text $d/; echo $?; rm -r $d'
}

@test "grep: matches, recursion, no match, missing file" {
    same 'grep -n needle {}/text/short.txt {}/text/unsorted.txt'
    same 'grep -r needle {} | sort'
    same 'grep -rl "file 0[0-9]" {}/many | sort'
    same 'grep -c words {}/text/long.txt'
    same 'grep nothing-like-it {}/text/long.txt; echo $?'
    same 'grep needle {}/text/absent.txt'
    same 'grep -rc line {}/text | sort'
}

@test "find: names, types, sizes, depth, pruning" {
    same 'find {} | sort'
    same 'find {} -type d | sort'
    same 'find {} -type f -size +1k -printf "%P %s %m %u %g %y\n" | sort'
    same 'find {} -maxdepth 1 -name "*.bin" | sort'
    same 'find {} -path "*/many" -prune -o -type f -print | sort'
    same 'find {} -type f -empty'
    same 'find {}/deep/a/b/c -depth'
    same 'find {} -newermt 2100-01-01 | wc -l'
    same 'find {}/text -type f -exec wc -c {} \; | wc -l'
    same 'find {}/absent'
}

@test "ls: plain, long, recursive, missing" {
    same 'ls {}'
    same 'ls -a {}'
    same 'ls {}/many | head -n 7'
    same 'ls -1p {}'
    same 'ls -d {}/text {}/big.bin'
    same 'ls "{}/with space"'
    same 'ls {}/absent'
    # Link counts, block counts and the sizes of directories are a file system's own affair.
    same 'ls -lR --time-style=+ {} | awk "/^total/ { next } /^d/ { print \$1, \$3, \$4, \$NF; next } { \$2 = \"\"; print }"'
}

@test "ls: times are recent" {
    run -0 shim bash -c "find $VIRTUAL/text -type f -mmin -10 | wc -l"
    [[ $output -eq 5 ]]
}

@test "stat: size, type, mode, owner" {
    same 'stat -c "%n %s %F %a %u %g %A" {}/text/long.txt {}/text/empty.txt {}/big.bin'
    same 'stat -c "%n %F %a %u %g" {} {}/deep {}/deep/a/b'
    same 'stat -L -c "%s" {}/block.bin'
    same 'stat -c %s {}/absent'
    same 'stat -c %F {}/text/ {}/text/.'
}

@test "stat: inode numbers differ between files and stay the same" {
    local first second
    first=$(shim stat -c %i "$VIRTUAL/text/long.txt" "$VIRTUAL/text/short.txt")
    second=$(shim stat -c %i "$VIRTUAL/text/long.txt" "$VIRTUAL/text/short.txt")
    [[ $first == "$second" ]]
    [[ $(sort -u <<<"$first" | wc -l) -eq 2 ]]
}

@test "du --apparent-size" {
    same 'du -b {}/big.bin {}/block.bin {}/text/empty.txt'
    same 'du -bc {}/many/*.txt | tail -n 1'
    same 'du -ab {}/text | grep txt | sort'
}

@test "head and tail" {
    same 'head -n 5 {}/text/long.txt'
    same 'head -c 100 {}/big.bin | sha256sum'
    same 'head -n -2995 {}/text/long.txt'
    same 'tail -n 5 {}/text/long.txt'
    same 'tail -c 1000 {}/big.bin | sha256sum'
    same 'tail -c +11999000 {}/big.bin | sha256sum'
    same 'tail -n +2995 {}/text/long.txt'
    same 'tail -n 3 {}/text/open-ended.txt'
    same 'head -n 1 {}/text/short.txt {}/text/unsorted.txt'
}

@test "wc, sort, uniq, cut, tr, nl, tac, rev, fold, join" {
    same 'wc {}/text/*.txt'
    same 'wc -c {}/big.bin'
    same 'sort {}/text/unsorted.txt'
    same 'sort -u {}/text/unsorted.txt {}/text/short.txt'
    same 'sort {}/text/unsorted.txt | uniq -c'
    same 'uniq {}/text/unsorted.txt'
    same 'cut -d, -f2 {}/table.csv'
    same 'nl {}/text/short.txt'
    same 'tac {}/text/long.txt | head -n 3'
    same 'fold -w 5 {}/text/open-ended.txt'
    same 'paste {}/text/short.txt {}/text/unsorted.txt'
    same 'comm <(sort {}/text/short.txt) <(sort {}/text/unsorted.txt)'
}

@test "rev and column, which read wide characters" {
    need rev column
    same 'rev {}/text/short.txt'
    same 'column -s , -t {}/table.csv'
}

@test "diff and cmp" {
    same 'diff {}/text/short.txt {}/text/unsorted.txt'
    same 'diff -r {}/text {}/deep'
    same 'diff -rq {}/text {}/text; echo $?'
    same 'cmp {}/text/short.txt {}/text/unsorted.txt'
    same 'cmp {}/big.bin {}/big.bin; echo $?'
    same 'cmp -n 1000 -i 5000:6000 {}/big.bin {}/big.bin'
}

@test "the bucket against the local folder: diff -r finds nothing" {
    run -0 shim diff -r "$NATIVE" "$VIRTUAL"
    [[ -z $output ]]
    run -1 shim diff -r "$NATIVE/text" "$VIRTUAL/many"
}

@test "checksums" {
    same 'sed "s|  |  {}/|" {}/SHA256SUMS | sha256sum -c'
    same 'md5sum {}/text/*.txt'
    same 'sha256sum {}/absent {}/big.bin'
    same 'b2sum {}/block.bin'
    same 'cksum {}/block.bin'
}

@test "od, xxd, hexdump, strings" {
    same 'od -A d -t x1 -j 65000 {}/block.bin | head -n 5'
    same 'od -c {}/text/short.txt'
    same 'xxd -s 11999990 {}/big.bin'
    same 'xxd -l 64 {}/big.bin'
}

@test "dd: blocks, skips, counts" {
    same 'dd if={}/big.bin bs=64k status=none | sha256sum'
    same 'dd if={}/big.bin bs=4096 skip=1000 count=3 status=none | sha256sum'
    same_odd 'dd if={}/big.bin bs=1 skip=11999999 status=none | xxd'
    same 'dd if={}/big.bin bs=1M iflag=fullblock status=none | wc -c'
    same 'dd if={}/big.bin bs=1M skip=100 status=none | wc -c'
    same 'dd if={}/absent status=none'
}

@test "awk, sed, perl one-liners" {
    same 'awk -F, "NR > 1 { sum += \$3 } END { print sum }" {}/table.csv'
    same 'awk "END { print NR, FILENAME }" {}/text/short.txt {}/text/long.txt'
    same 'sed -n 10,12p {}/text/long.txt'
    same 'sed s/needle/pin/ {}/text/short.txt'
    same 'sed -n "\$=" {}/text/long.txt'
    same 'perl -ne "print if /needle/" {}/text/short.txt'
}

@test "tar reads a tree: names and contents" {
    same 'tar -C {} -c --sort=name --owner=0 --group=0 --mtime=@0 . | tar -tvf - | awk "{ print \$1, \$2, \$3, \$6, \$7, \$8 }"'
    same 'tar -C {} -c --sort=name --format=ustar --mtime=@0 text many deep | sha256sum'
}

@test "file, jq, split, csplit, tee of what is read" {
    same 'file {}/text/long.txt {}/big.bin {}/data.json {}/text'
    same 'jq -c ".rows[] | .id" {}/data.json'
    same 'jq . {}/text/short.txt'
    same_odd 'd=$(mktemp -d); cd $d; split -b 5M {}/big.bin; sha256sum x*; rm -r $d'
}

@test "df, stat -f: a bucket has room, a mount its name; what is below /file is the disk's" {
    local bucket='Mounted on 1K-blocks Used Avail Use% /s3 1099511627776 0 1099511627776 0%'
    local place
    for place in "$VIRTUAL" "$VIRTUAL/text/short.txt" "$VIRTUAL/deep/a/b"; do
        equal "$(shim df --output=target,size,used,avail,pcent "$place" | tr -s ' \n' ' ' | sed 's/ $//')" "$bucket"
    done
    equal "$(cd / && shim sh -c "cd $VIRTUAL/deep && df --output=target ." | tail -n 1)" /s3
    equal "$(shim df --output=itotal,iused "$VIRTUAL" | tail -n 1 | xargs)" '274877906944 0'
    equal "$(shim stat -f -c '%s %S %b %f %l' "$VIRTUAL")" '4096 4096 274877906944 274877906944 255'
    run -1 shim df "$VIRTUAL/absent"
    equal "$(shim stat -f -c '%T %s %b %l %i' "/file$BATS_TEST_TMPDIR")" "$(stat -f -c '%T %s %b %l %i' "$BATS_TEST_TMPDIR")"
    equal "$(shim df --output=size "/file$BATS_TEST_TMPDIR" | tail -n 1)" "$(df --output=size "$BATS_TEST_TMPDIR" | tail -n 1)"
}

@test "paths: dot, dot-dot, double slash, trailing slash" {
    same 'cat {}/text/./short.txt'
    same 'cat {}/many/../text/short.txt'
    same 'cat {}//text//short.txt'
    same 'ls {}/text/'
    same 'cat {}/text/short.txt/'
    same 'realpath {}/many/../text/short.txt'
    same 'readlink -f {}/text/short.txt'
}

@test "names with spaces, UTF-8 and characters that URLs treat specially" {
    same 'cat "{}/with space/a file.txt" "{}/with space/ünï+%41&=?#.txt"'
    same 'ls -1 "{}/with space"'
    same 'for f in "{}"/with*/*; do echo "$f"; cat "$f"; done'
}
