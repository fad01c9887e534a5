#!/usr/bin/env bats
# Random programs in a bucket, some of which are killed, for half a minute; `make soak` does it for longer.

load lib/shim

@test "random programs and kills leave whole objects, and nothing behind" {
    case ${SAN:-}:${SAN_CC:-} in
    *thread*) skip "ThreadSanitizer ends a child of a fork that starts threads" ;;
    *address*:*clang*) ;;
    *address*) skip "gcc's AddressSanitizer has locks that a child of a fork finds held" ;;
    esac
    timeout -k 5 300 "$REPO/tests/soak/run" --build "$B" --preload "$(preload_list)" --minutes 0.4 </dev/null
}
