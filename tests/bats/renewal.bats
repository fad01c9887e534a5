#!/usr/bin/env bats
# Programs that read a large directory to its end and look at its entries when that was longer ago than
# attributes are trusted: what is asked again is pages, not entries, and what they see is the same.

load lib/shim

FILES=14000 # more than fts looks at in the order of the directory
SIZE=1000

setup_file() {
    start_server bundled --synthetic "test/many/f%=$SIZE*$FILES"
    fault 'op=ListObjectsV2 action=delay:400' # so that listing them takes longer than the TTL
    fault 'op=HeadObject action=delay:10'
}

setup() { admin stats/reset -X POST; }

far_fewer_requests_than_files() {
    [[ $(requests) -lt $((FILES / 20)) ]] || explain "$(admin stats)"
}

@test "du, in the order of inodes" {
    equal "$(shim S3DLIO_META_TTL_MS=2000 du -sb --apparent-size /s3/test/many | cut -f1)" $((FILES * SIZE))
    far_fewer_requests_than_files
}

@test "find -size" {
    equal "$(shim S3DLIO_META_TTL_MS=2000 find /s3/test/many -size -2k -type f | wc -l)" "$FILES"
    far_fewer_requests_than_files
}
