#!/usr/bin/env bats
# The shell itself: globbing, tests, redirections, and what this version refuses.

load lib/shim
load lib/data

setup_file() { serve_data; }

@test "globbing" {
    same 'echo {}/*'
    same 'echo {}/many/f00*.txt'
    same 'echo {}/*/*/b'
    same 'shopt -s globstar; printf "%s\n" {}/deep/**'
    same 'shopt -s nullglob; echo x {}/none*'
    same 'cd {} && echo text/[so]*.txt'
    same 'compgen -f {}/te; compgen -d {}/ | sort'
}

@test "test and [[ ]]" {
    same 'for t in -e -f -d -s -r -w -x -L -p; do test $t {}/text/short.txt; echo $t $?; done'
    same 'for t in -e -f -d -r -x; do [ $t {}/text ]; echo $t $?; done'
    same '[[ -e {}/absent ]]; echo $?; [[ -d {}/text ]]; echo $?; [[ -f {}/text ]]; echo $?'
    same '[[ -s {}/text/empty.txt ]]; echo $?'
    same '[[ {}/text/short.txt -ef {}/many/../text/short.txt ]]; echo $?'
}

@test "input redirection for what the shell does itself" {
    same 'read -r line <{}/text/short.txt; echo "$line"'
    same 'while read -r line; do echo "<$line>"; done <{}/text/short.txt'
    same 'mapfile -t lines <{}/text/long.txt; echo ${#lines[@]} "${lines[2999]}"'
    same 'echo "$(<{}/text/short.txt)"'
    same 'exec 5<{}/text/short.txt; read -r -u 5 a; read -r -u 5 b; exec 5<&-; echo $a $b'
    same '. {}/absent'
    same 'read -r line <{}/absent; echo $?'
}

@test "a script is sourced from the bucket" {
    echo 'greeting=hello; greet() { echo "$greeting $1"; }' >"$NATIVE/lib.sh"
    add_data
    same '. {}/lib.sh && greet you'
}

@test "an inherited virtual descriptor is refused at exec, with one line" {
    refuse ! 's3dlio' bash -c "cat <$VIRTUAL/text/short.txt"
    [[ $(said | wc -l) -eq 1 ]]
    [[ ! -s $BATS_TEST_TMPDIR/out ]]
    refuse ! 's3dlio' bash -c "exec 3<$VIRTUAL/text/short.txt; /bin/echo still-running"
    [[ ! -s $BATS_TEST_TMPDIR/out ]]
}

@test "a descriptor closed on exec is no hindrance" {
    same 'exec 3<{}/text/short.txt; read -r -u 3 line; exec 3<&-; /bin/echo "$line"'
}

@test "a working directory in the bucket, within one program" {
    same 'cd {}/deep/a && pwd && echo * && [[ -f b/middle.txt ]] && read -r word <b/middle.txt && echo "$word" ../../text/s*'
    same 'cd {}/deep && cd .. && echo t* && cd - && cd {}/absent'
    same_script python3 <<'PY'
import os, sys
os.chdir(sys.argv[1] + "/deep")
print(os.getcwd(), sorted(os.listdir()), open("a/b/middle.txt").read(), os.path.abspath("../text"))
os.chdir("a/b")
print(os.getcwd(), sorted(os.listdir("..")), os.stat("c/d/leaf.txt").st_size)
PY
}

@test "a program started in a working directory in the bucket is refused, with one line" {
    refuse ! 's3dlio.*working directory' bash -c "cd $VIRTUAL/deep && /bin/ls"
    [[ $(said | wc -l) -eq 1 ]]
    [[ ! -s $BATS_TEST_TMPDIR/out ]]
}

@test "pipes into programs that inherit nothing virtual" {
    same 'cat {}/text/long.txt | sort -r | head -n 3'
    same 'diff <(cat {}/text/short.txt) <(cat {}/text/unsorted.txt)'
    same 'cat {}/text/short.txt | while read -r word rest; do echo "$word"; done'
}

@test "dash, and find -exec, xargs" {
    need dash
    same 'dash -c "cd {} && for f in text/*.txt; do [ -s \$f ] && echo \$f; done"'
    same 'find {}/text -name "*.txt" | sort | xargs -d "\n" head -qn 1'
}

@test "nothing is printed and nothing changes for a program that stays local" {
    local with without
    without=$(bash -c 'ls -ld / /tmp; echo $((6 * 7)); cat /etc/hostname')
    with=$(shim bash -c 'ls -ld / /tmp; echo $((6 * 7)); cat /etc/hostname' 2>&1)
    [[ $with == "$without" ]]
}
