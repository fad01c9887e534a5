#!/usr/bin/env bats
# What the library takes over: the list, the built library and this machine's libc agree.

load lib/shim

@test "the library exports what the list names, and libc has nothing that the lists leave out" {
    run "$REPO/scripts/check-interpose" "$B/libs3dlio_shim.so"
    [[ $status -eq 0 ]] || explain "$output"
}

@test "the library needs libc and the loader only" {
    needed=$(objdump -p "$B/libs3dlio_shim.so" | awk '$1 == "NEEDED" { print $2 }' |
        grep -vE '^(libc\.so\.6|ld-linux.*|lib(a|t|ub)san\.so.*)$' || true)
    [[ -z $needed ]] || explain "needed: $needed"
}
