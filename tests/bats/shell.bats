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

@test "a program that does not load the library and would inherit a virtual descriptor is refused, with one line" {
    gcc -static -o "$BATS_TEST_TMPDIR/static" -xc - <<<'int main(void) { return 0; }'
    refuse ! 'statically linked.*cat .* \| static' bash -c "$BATS_TEST_TMPDIR/static <$VIRTUAL/text/short.txt"
    [[ $(said | wc -l) -eq 1 ]]
    refuse ! 'statically linked.*static \| cat >' bash -c "$BATS_TEST_TMPDIR/static >$VIRTUAL/new"
    refuse ! 'descriptor 3.*statically linked' bash -c "exec 3<$VIRTUAL/text/short.txt; $BATS_TEST_TMPDIR/static"
    refuse ! 'LD_PRELOAD lacks' bash -c "LD_PRELOAD= cat <$VIRTUAL/text/short.txt"
    shim bash -c "exec 3<$VIRTUAL/text/short.txt; exec 3<&-; $BATS_TEST_TMPDIR/static"
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

@test "a program that does not load the library is not started in a directory in the bucket, with one line" {
    refuse ! 's3dlio.*in the directory' bash -c "cd $VIRTUAL/deep && LD_PRELOAD= /bin/ls"
    [[ $(said | wc -l) -eq 1 ]]
    [[ ! -s $BATS_TEST_TMPDIR/out ]]
    shim cp /bin/true "$VIRTUAL/program"
    refuse ! "cannot start $VIRTUAL/program in the directory" bash -c "cd $VIRTUAL/deep && LD_PRELOAD= ../program"
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

@test "redirections of other programs" {
    same 'cat <{}/text/short.txt'
    same 'cat {}/text/short.txt >{}/r1; cat {}/text/short.txt >>{}/r1; cat <{}/r1 | wc -l'
    same 'sort <{}/text/unsorted.txt >{}/r2 2>>{}/r3; cat {}/r2; ls {}/absent 2>>{}/r3; wc -l <{}/r3'
    same '{ date +%Y; cat {}/text/short.txt; echo end; } >{}/r4; cat {}/r4'
    same '(cd /; cat; ls -d /tmp) <{}/text/short.txt >{}/r5 2>&1; cat {}/r5'
    same 'exec 3<>{}/r4; head -c 3 <&3; echo; cat <&3; echo more >&3; date +%Y >&3; exec 3<&-; cat {}/r4'
    same 'while read -r line; do echo "$line" | tr a-z A-Z; done <{}/text/short.txt >{}/r6; cat {}/r6'
    same 'for i in 1 2 3; do /bin/echo $i; done >{}/r8; cat {}/r8; : >{}/r8; wc -c <{}/r8'
    same 'dash -c "cat <{}/text/short.txt >{}/r9; cat >>{}/r9 <{}/r8; cat {}/r9"'
}

@test "here-documents, here-strings, pipelines, subshells" {
    same 'cat >{}/h1 <<X
here $((6 * 7))
X
cat {}/h1'
    same 'cat <<<word >{}/h2; cat <{}/h2 | (cat; echo sub) | tee {}/h3 | rev >{}/h4; cat {}/h3 {}/h4'
    same 'echo both | tee {}/h5 >{}/h6; cat {}/h5 {}/h6; paste <(cat <{}/h5) <(sort {}/h6)'
    same 'seq 1 40 | xargs -P 4 -n 5 sh -c "echo \$# \$1" x >{}/h7; sort {}/h7'
    same 'value=$(cat <{}/h1; cat {}/h2); echo "$value"'
}

@test "a background job that outlives its shell" {
    same 'mkfifo $0.fifo; bash -c "(read -r line <\"$0.fifo\"; echo \$line; date +%Y; echo gone >\"$0.fifo\") >{}/job &"; echo late >$0.fifo; read -r line <$0.fifo; rm $0.fifo; until grep -q 20 {}/job; do :; done; cat {}/job; echo $line'
}

@test "a lock of the shell's is taken by flock" {
    same 'exec 9>{}/lock; flock 9; flock -n {}/lock true || echo locked; exec 9>&-; flock -n {}/lock echo free'
}

@test "programs in a working directory in the bucket" {
    same 'cd {}/deep && /bin/pwd && ls && cat a/b/middle.txt && (cd a && find . | sort) && env pwd'
    same 'cd {}/text && tar -cf - *.txt | tar -tf - && sort unsorted.txt -o sorted.txt && cat sorted.txt'
    same 'mkdir {}/made && cd {}/made && cp ../text/short.txt . && sh -c "cd ..; ls -d made; cat made/short.txt"'
    same_script python3 <<'PY'
import os, subprocess, sys
root = sys.argv[1]
print(subprocess.run("pwd; cat b/middle.txt", shell=True, cwd=root + "/deep/a", capture_output=True).stdout)
with open(root + "/from-child", "w") as out:
    subprocess.run(["echo", "by a child"], stdout=out)
print(open(root + "/from-child").read(), os.getcwd() == os.environ.get("PWD"))
print(subprocess.run(["cat"], stdin=open(root + "/text/short.txt"), capture_output=True).stdout)
print(subprocess.check_output("cat <" + root + "/from-child", shell=True))
PY
}

@test "make and gcc in a bucket" {
    same 'mkdir -p {}/src && cd {}/src && printf "int main(void) { return 3; }\n" >m.c && printf "m: m.o\n\tgcc -o m m.o\nm.o: m.c\n\tgcc -c m.c\n" >Makefile && make 2>&1 && ls && ./m; echo $?; make'
}

@test "git in a bucket" {
    local setup='export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE="@1700000000 +0000" GIT_COMMITTER_DATE="@1700000000 +0000"'
    same "$setup; mkdir {}/git && cd {}/git && git init -q -b main . && echo one >f && git add f && git commit -qm first && echo two >>f && git commit -qam second && git log --oneline && git status --short && git diff HEAD~1"
    same "$setup; cd {} && git clone -q git copy && git -C copy log --format=%s && git -C git gc -q && git -C git fsck && git -C git log --oneline"
}

@test "git in a bucket: branches, merge, rebase, stash, push, repack" {
    local setup='export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b GIT_AUTHOR_DATE="@1700000000 +0000" GIT_COMMITTER_DATE="@1700000000 +0000"'
    same "$setup; mkdir {}/branches && cd {}/branches && git init -q -b main . && seq 100 >f && cp ../text/*.txt . && git add . && git commit -qm first && git checkout -q -b side && sed -i s/50/fifty/ f && git commit -qam side && git checkout -q main && sed -i s/90/ninety/ f && git commit -qam other && git merge -q -m merge side && git rebase -q side && git log --oneline | wc -l && echo x >>f && git stash -q && git stash pop -q && git status --short && git tag v1 && git archive v1 | tar -tf - && git reset -q --hard && touch untracked && git clean -qfdx && git status --short && git rev-parse HEAD"
    same "$setup; cd {} && git clone -q --bare branches bare.git && git -C branches push -q ../bare.git main:pushed && git -C bare.git log --oneline pushed | wc -l && git -C bare.git repack -adq && git -C bare.git fsck && git -C branches fetch -q ../bare.git pushed && git -C branches rev-parse FETCH_HEAD"
}

@test "tar with a compressor" {
    same 'cd {} && tar -czf t.tgz text && tar -tzf t.tgz | sort && mkdir out && tar -xzf t.tgz -C out && diff -r text out/text && gzip -t t.tgz && gzip -dc <t.tgz | tar -tf - | wc -l'
}

@test "s3dlio run: programs with an environment of their own" {
    local settings
    mapfile -t settings <"$RUN/settings"
    [[ ${SAN:-} == *address* ]] && skip "whose runtime is in LD_PRELOAD as well"
    run env "${settings[@]}" "$B/s3dlio" run env -i AWS_ACCESS_KEY_ID="$(setting AWS_ACCESS_KEY_ID)" \
        AWS_SECRET_ACCESS_KEY="$(setting AWS_SECRET_ACCESS_KEY)" AWS_REGION=us-east-1 \
        AWS_ENDPOINT_URL="$(setting AWS_ENDPOINT_URL)" /bin/cat "$VIRTUAL/text/short.txt"
    [[ $status -eq 0 && $output == "$(<"$NATIVE/text/short.txt")" ]]
    run env "${settings[@]}" "$B/s3dlio" run --set S3DLIO_FOLLOW=0 env -i /bin/cat "$VIRTUAL/text/short.txt"
    [[ $status -ne 0 ]]
}

# The parent waits until the server has parts of what its child, still running, writes.
@test "what a child writes to its parent's descriptor goes up meanwhile" {
    admin stats/reset -X POST
    run shim S3DLIO_PUT_PART_SIZE=5M python3 - <<'PY'
import hashlib, json, os, subprocess, sys, time, urllib.request
child = """import os, sys
for n in range(32):
    os.write(1, bytes([n]) * (1 << 20))
sys.stdin.read()
os.write(1, b"end")"""
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

def parts():
    stats = json.load(opener.open(os.environ["AWS_ENDPOINT_URL"] + "/-/stats"))
    return stats["operations"].get("UploadPart", {"requests": 0})["requests"]

with open("/s3/test/streamed", "wb", opener=lambda path, flags: os.open(path, flags, 0o640)) as out:
    process = subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=out)
    for _ in range(600):
        if parts() >= 6:
            break
        time.sleep(0.1)
    before = parts()
    process.communicate()
print(before, parts(), process.returncode, oct(os.stat("/s3/test/streamed").st_mode))
expected = b"".join(bytes([n]) * (1 << 20) for n in range(32)) + b"end"
print(open("/s3/test/streamed", "rb").read() == expected)
PY
    [[ $output == $'6 7 0 0o100640\nTrue' ]] || explain "$output"
}

@test "a shell that forks for a command: its output goes up meanwhile, from one command after the other" {
    admin stats/reset -X POST
    shim S3DLIO_PUT_PART_SIZE=5M dash -c 'head -c 32M /dev/zero >/s3/test/one
        { head -c 17M /dev/zero; echo middle; head -c 17M /dev/zero; } >/s3/test/two; true'
    equal "$(requests UploadPart)" 14
    equal "$(shim cat /s3/test/one | sha256sum)" "$(head -c 32M /dev/zero | sha256sum)"
    equal "$(shim cat /s3/test/two | sha256sum)" \
        "$({ head -c 17M /dev/zero; echo middle; head -c 17M /dev/zero; } | sha256sum)"
}

@test "what a shell's commands write may be larger than the spool" {
    admin stats/reset -X POST
    shim S3DLIO_PUT_PART_SIZE=5M S3DLIO_SPOOL_LIMIT=24M dash -c '{ head -c 90M /dev/zero; env echo middle
        head -c 30M /dev/zero; } >/s3/test/long; true'
    equal "$(requests UploadPart)" 25
    equal "$(shim cat /s3/test/long | sha256sum)" \
        "$({ head -c 90M /dev/zero; echo middle; head -c 30M /dev/zero; } | sha256sum)"
    shim S3DLIO_PUT_PART_SIZE=5M S3DLIO_SPOOL_LIMIT=24M dash -c 'head -c 60M /dev/zero >>/s3/test/new; true'
    equal "$(shim cat /s3/test/new | sha256sum)" "$(head -c 60M /dev/zero | sha256sum)"
}

@test "a program goes on with what its parent has sent" {
    run shim S3DLIO_PUT_PART_SIZE=5M python3 -c 'import os, subprocess
with open("/s3/test/handed", "wb", buffering=0) as out:
    out.write(b"a" * (40 << 20))
    subprocess.run(["sh", "-c", "echo child; head -c 30M /dev/zero"], stdout=out, check=True)
    out.write(b"end")
data = open("/s3/test/handed", "rb").read()
print(data == b"a" * (40 << 20) + b"child\n" + bytes(30 << 20) + b"end")'
    equal "$status $output" "0 True"
}

@test "the home directory may be in a bucket, with keys in the environment" {
    unset AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
    run -0 shim HOME=/s3/test/home ls "$VIRTUAL/text"
    equal "$output" "$(ls "$NATIVE/text")"
    run -0 shim HOME=/s3/test/home bash -c 'mkdir -p ~; cd; echo kept >~/file; cat ~/file'
    equal "$output" kept
}

@test "the home directory may be in a bucket, and the keys with it: that there are none is said" {
    unset AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
    refuse 2 'credentials' -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY HOME=/s3/test/home S3DLIO_LOG=warn ls "$VIRTUAL/text"
}

@test "a script whose interpreter is in the bucket, and is a link or a script itself" {
    same 'ln -s /bin/sh {}/sh && printf "#!%s -e\necho \"\$0 has \$*\"\n" {}/sh >{}/script && chmod +x {}/script && {}/script one two
          printf "#!%s first\nignored\n" {}/script >{}/second && chmod +x {}/second && {}/second three
          cp /bin/echo {}/echo && printf "#!%s said by\n" {}/echo >{}/third && chmod +x {}/third && {}/third four; find {}/third -exec {} \;
          printf "#!%s\n" {}/loop >{}/loop && chmod +x {}/loop; {}/loop; echo $?
          rm {}/sh {}/script {}/second {}/echo {}/third {}/loop'
}
