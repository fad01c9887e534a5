#!/usr/bin/env bats
# Programs that bring an allocator of their own: one that is preloaded too, in either order, or that of
# AddressSanitizer, which is in the program or in a library of it.

load lib/shim

PROGRAM=$REPO/tests/bats/programs/everyday.c
ALLOCATORS=(libjemalloc.so.2 libtcmalloc_minimal.so.4 libmimalloc.so.2)

setup_file() {
    start_server
    compile plain gcc
    "$BATS_FILE_TMPDIR/plain" "$NATIVE/everyday" >"$BATS_FILE_TMPDIR/everyday.out"
}

# Where sanitizers are in the library, theirs is the only allocator that goes with it.
setup() {
    [[ ${SAN:-} != *address* && ${SAN:-} != *thread* ]] || skip "the sanitizers of this build bring their allocator"
}

# compile NAME CC [OPTIONS...]: the program, as BATS_FILE_TMPDIR/NAME.
compile() {
    "$2" -std=gnu11 -Wall -Wextra -Werror -g -O1 -pthread "${@:3}" -D_GNU_SOURCE -o "$BATS_FILE_TMPDIR/$1" "$PROGRAM"
}

# everyday PRELOAD NAME: the program of that name finds in the bucket what it found on the disk.
everyday() {
    local status=0 folder
    folder=/s3/test/$2-$BATS_TEST_NUMBER-${1//[^a-z]/}
    shim ASAN_OPTIONS= LD_PRELOAD="$1" "$BATS_FILE_TMPDIR/$2" "$folder" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" ||
        status=$?
    [[ $status -eq 0 && ! -s $BATS_TEST_TMPDIR/err ]] ||
        explain "$2 with $1 ended with $status:" "$(head -n 40 "$BATS_TEST_TMPDIR/err")"
    diff "$BATS_FILE_TMPDIR/everyday.out" "$BATS_TEST_TMPDIR/out" || explain "$2 with $1"
}

python_script() {
    cat <<'PY'
import hashlib, mmap, multiprocessing, os, shutil, subprocess, sys, threading
root = sys.argv[1]

def digest(name):
    with open(f"{root}/{name}", "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()[:12]

def put(number):
    with open(f"{root}/part{number}", "wb") as file:
        for chunk in range(50):
            file.write(bytes([number, chunk]) * 5000)
    return digest(f"part{number}")

os.mkdir(root)
found = {}
threads = [threading.Thread(target=lambda n=n: found.update({n: put(n)})) for n in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(sorted(found.items()))
with multiprocessing.get_context("fork").Pool(3) as pool:
    print(pool.map(put, range(6, 12)))
with open(f"{root}/part3", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    mapped[1000:1006] = b"mapped"
    mapped.flush()
print(digest("part3"))
with open(f"{root}/by-a-child", "wb") as out:
    subprocess.run(["sh", "-c", "echo child; cat"], stdin=open(f"{root}/part4"), stdout=out, check=True)
shutil.copyfile(f"{root}/by-a-child", f"{root}/copy")
os.rename(f"{root}/copy", f"{root}/renamed")
print(digest("renamed"), sorted(os.listdir(root)))
PY
}

both_orders() {
    local allocator=$1
    shim LD_PRELOAD="$allocator $(preload_list)" grep -q "${allocator%%.*}" /proc/self/maps ||
        explain "$allocator is not loaded"
    everyday "$(preload_list) $allocator" plain
    everyday "$allocator $(preload_list)" plain
}

python_both_orders() {
    local order native_out=$BATS_TEST_TMPDIR/native.out
    python_script >"$BATS_TEST_TMPDIR/script.py"
    /usr/bin/python3 "$BATS_TEST_TMPDIR/script.py" "$NATIVE/$1" >"$native_out"
    for order in "$(preload_list) $1" "$1 $(preload_list)"; do
        shim LD_PRELOAD="$order" PYTHONMALLOC=malloc /usr/bin/python3 "$BATS_TEST_TMPDIR/script.py" \
            "/s3/test/python-${order//[^a-z]/}" >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" ||
            explain "python3 with $order:" "$(<"$BATS_TEST_TMPDIR/err")"
        diff "$native_out" "$BATS_TEST_TMPDIR/out" || explain "python3 with $order"
    done
}

@test "no other allocator: what is compared with" {
    everyday "$(preload_list)" plain
}

@test "jemalloc" {
    both_orders "${ALLOCATORS[0]}"
}

@test "tcmalloc" {
    both_orders "${ALLOCATORS[1]}"
}

@test "mimalloc" {
    both_orders "${ALLOCATORS[2]}"
}

@test "python3 with each of them, which it asks for every object" {
    local allocator
    for allocator in "${ALLOCATORS[@]}"; do python_both_orders "$allocator"; done
}

@test "one that is in LD_PRELOAD before s3dlio run adds to it" {
    local settings
    mapfile -t settings <"$RUN/settings"
    run timeout 60 env "${settings[@]}" LD_PRELOAD=libjemalloc.so.2 "$B/s3dlio" run -- \
        bash -c 'echo kept >/s3/test/run; read -r word </s3/test/run; echo $word; grep -c -m1 jemalloc /proc/self/maps'
    equal "$status $output" $'0 kept\n1'
}

# Leaks are looked for at the end, as by default: what the library keeps is none.
@test "AddressSanitizer of gcc, as a library and in the program" {
    compile gcc-shared gcc -fsanitize=address -DWITH_ADDRESS_SANITIZER
    compile gcc-static gcc -fsanitize=address -static-libasan -DWITH_ADDRESS_SANITIZER
    everyday "$(preload_list)" gcc-shared
    everyday "$(preload_list)" gcc-static
}

@test "AddressSanitizer of clang, in the program and as a library" {
    local runtime
    runtime=$(clang-19 -print-file-name=libclang_rt.asan-x86_64.so)
    compile clang-static clang-19 -fsanitize=address -DWITH_ADDRESS_SANITIZER
    compile clang-shared clang-19 -fsanitize=address -shared-libsan "-Wl,-rpath,${runtime%/*}" -DWITH_ADDRESS_SANITIZER
    everyday "$(preload_list)" clang-static
    everyday "$(preload_list)" clang-shared
}

# It supports no fork of a program with threads, which the engine's are. It does not know the locks of libraries
# that were built without it (docs/TROUBLESHOOTING.md).
@test "ThreadSanitizer of gcc and of clang: threads that write and read" {
    local compiler
    for compiler in gcc clang-19; do
        "$compiler" -g -fsanitize=thread -o "$BATS_TEST_TMPDIR/$compiler" -xc - <<'C'
#include <pthread.h>
#include <stdio.h>
static const char *folder;
static void *put(void *number)
{
    char name[100], line[10] = "";
    snprintf(name, sizeof name, "%s-%ld", folder, (long)number);
    FILE *file = fopen(name, "w");
    if (!file || fputs("text\n", file) < 0 || fclose(file))
        return NULL;
    file = fopen(name, "r");
    return file && fgets(line, sizeof line, file) && !fclose(file) ? number : NULL;
}
int main(int argc, char **argv)
{
    pthread_t threads[8];
    void *done;
    int count = 0;
    folder = argv[1];
    for (long i = 0; i < 8; i++)
        pthread_create(&threads[i], NULL, put, (void *)(i + 1));
    for (int i = 0; i < 8; i++)
        count += !pthread_join(threads[i], &done) && done;
    return printf("%d\n", count) < 0;
}
C
        run shim TSAN_OPTIONS=ignore_noninstrumented_modules=1 "$BATS_TEST_TMPDIR/$compiler" "/s3/test/tsan-$compiler"
        equal "$status $output" "0 8"
    done
}

# Its runtime makes system calls of its own with signals blocked: those are left alone.
@test "AddressSanitizer and S3DLIO_INLINE_SYSCALLS=on: a line says that it has no effect" {
    compile inline gcc -fsanitize=address -DWITH_ADDRESS_SANITIZER
    shim ASAN_OPTIONS= LD_PRELOAD="$(preload_list)" S3DLIO_INLINE_SYSCALLS=on "$BATS_FILE_TMPDIR/inline" /s3/test/inline \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
    grep -q "S3DLIO_INLINE_SYSCALLS=on has no effect" "$BATS_TEST_TMPDIR/err"
    diff "$BATS_FILE_TMPDIR/everyday.out" "$BATS_TEST_TMPDIR/out"
}

# A program with default options of its own, which take the place of ours (docs/TROUBLESHOOTING.md).
@test "AddressSanitizer that wants to come first: the two commands that work" {
    gcc -fsanitize=address -o "$BATS_TEST_TMPDIR/first" -xc - <<'C'
#include <stdio.h>
const char *__asan_default_options(void) { return "detect_leaks=0"; }
int main(int argc, char **argv)
{
    char line[100];
    FILE *file = fopen(argv[argc - 1], "r");
    return !file || !fgets(line, sizeof line, file) || puts(line) < 0;
}
C
    shim bash -c 'echo found >/s3/test/first'
    refuse ! 'runtime does not come first' "$BATS_TEST_TMPDIR/first" /s3/test/first
    run shim ASAN_OPTIONS=verify_asan_link_order=0 "$BATS_TEST_TMPDIR/first" /s3/test/first
    equal "$status ${lines[0]}" "0 found"
    run shim LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(preload_list)" "$BATS_TEST_TMPDIR/first" /s3/test/first
    equal "$status ${lines[0]}" "0 found"
}
