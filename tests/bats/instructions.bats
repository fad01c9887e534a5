#!/usr/bin/env bats
# bench/instructions: what it says when a workload takes more than is stored, and when it cannot compare.

setup() {
    stored=$BATS_TEST_TMPDIR/stored.json
    cp bench/instructions.json "$stored"
}

compare() {
    bench/instructions --build "$B" --stored "$stored" --only '^CRC32C of 1 MiB$'
}

# Multiplies the stored count by $1.
stored_times() {
    python3 - "$stored" "$1" <<'END'
import json, sys
data = json.load(open(sys.argv[1]))
data["workloads"]["CRC32C of 1 MiB"] = int(data["workloads"]["CRC32C of 1 MiB"] * float(sys.argv[2]))
json.dump(data, open(sys.argv[1], "w"))
END
}

need_counts() {
    run compare
    [[ $output != *'# skip '* ]] || skip "${output##*# skip }"
    [ "$status" -eq 0 ]
}

@test "six percent more than stored fail, with the workload, both counts and what to do" {
    need_counts
    stored_times 0.943
    run compare
    [ "$status" -eq 1 ]
    [[ $output == *"not ok 1 CRC32C of 1 MiB"* ]]
    [[ $output =~ "'CRC32C of 1 MiB' takes "[0-9,]+" instructions, "[0-9,]+" are stored (+6".*"bench/instructions --write" ]]
}

@test "four percent more pass, six percent less are named" {
    need_counts
    stored_times 0.962
    run compare
    [ "$status" -eq 0 ]
    [[ $output != *stored* ]]
    stored_times 1.11
    run compare
    [ "$status" -eq 0 ]
    [[ $output == *"are stored (-6"* ]]
}

@test "a workload that nothing is stored of fails" {
    need_counts
    python3 -c 'import json, sys
data = json.load(open(sys.argv[1]))
data["workloads"] = {}
json.dump(data, open(sys.argv[1], "w"))' "$stored"
    run compare
    [ "$status" -eq 1 ]
    [[ $output == *"none are stored"*"bench/instructions --write"* ]]
}

@test "counts of another compiler are not compared" {
    need_counts
    sed -i 's/"compiler": "[^"]*"/"compiler": "gcc 3.2.1"/' "$stored"
    run compare
    [ "$status" -eq 0 ]
    [[ $output == *"# skip the stored counts are those of gcc 3.2.1, here is "* ]]
}

@test "what is written is what is compared with" {
    need_counts
    rm "$stored"
    run compare
    [ "$status" -eq 1 ]
    bench/instructions --build "$B" --stored "$stored" --write
    compare
}
