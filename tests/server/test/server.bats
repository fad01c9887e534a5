#!/usr/bin/env bats
# The bundled S3 server on its own, seen through curl: signatures against published vectors, the
# operations, the faults and the admin path. S3SERVER names another program, B another build folder.
# Curl's own signer leaves the query in the order given: parameters are written sorted, and with "=".

setup_file() {
    cd "$BATS_TEST_DIRNAME/../../.." || return 1
    S3SERVER=$(realpath "${S3SERVER:-${B:-build}/s3server}")
    export S3SERVER
    export W=$BATS_FILE_TMPDIR
    start_server --bucket demo --bucket west@eu-west-1 --bucket examplebucket \
        --key AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY \
        --key RO:ROS:TOK:readonly --key EX:EXS:TOK:expired \
        --domain s3.amazonaws.com --synthetic 'syn/big=16G' --min-part-bytes 1000
}

teardown_file() {
    stop_server
}

setup() {
    curl -s -X DELETE "$U/-/faults"
    curl -s -X PUT "$U/-/clock?offset_s=0"
}

# Starts a server and waits for it; sets PID and U.
start_server() {
    rm -f "$W/port"
    "$S3SERVER" --port-file "$W/port" "$@" >"$W/out" 2>&1 3>&- &
    export PID=$!
    for _ in $(seq 200); do
        [ -s "$W/port" ] && break
        sleep 0.02
    done
    [ -s "$W/port" ] || { cat "$W/out"; return 1; }
    U=http://127.0.0.1:$(cat "$W/port")
    export U
}

stop_server() {
    kill "$PID" && wait "$PID"
}

# A signed request; the answer's status is printed, its head and body are in $W/head and $W/body.
s3() {
    s3_as test testsecret us-east-1 "$@"
}

# Answers that are meant to break off: curl says partial (18), empty (52), cannot send (55), or cannot
# receive (56), and what it printed is the test's. Anything else is a failure.
broke_off() { [[ $1 -eq 18 || $1 -eq 52 || $1 -eq 55 || $1 -eq 56 ]]; }

s3_as() {
    local key=$1 secret=$2 region=$3
    shift 3
    curl -sg -D "$W/head" -o "$W/body" -w '%{http_code}' --aws-sigv4 "aws:amz:$region:s3" \
        --user "$key:$secret" -H x-amz-content-sha256:UNSIGNED-PAYLOAD "$@" || broke_off $?
}

body_has() {
    grep -qF "$1" "$W/body" || { cat "$W/body"; false; }
}

head_has() {
    tr -d '\r' <"$W/head" | grep -qixE "$1" || { cat "$W/head"; false; }
}

# (A plain "! grep" would not fail a test.)
body_lacks() {
    if grep -F "$1" "$W/body"; then return 1; fi
}

head_lacks() {
    if grep -i "^$1:" "$W/head"; then return 1; fi
}

etag() {
    tr -d '\r' <"$W/head" | sed -n 's/^etag: //Ip'
}

put() {
    printf '%s' "$2" | s3 -X PUT --data-binary @- "$U/$1"
}

fault() {
    printf '%s\n' "$@" | curl -s -o /dev/null -w '%{http_code}' --data-binary @- "$U/-/faults"
}

# As AWS documents its signatures: the clock of 24 May 2013.
at_2013() {
    curl -s -X PUT "$U/-/clock?offset_s=$((1369353600 - $(date +%s)))"
}

example() {
    curl -s -D "$W/head" -o "$W/body" -w '%{http_code}' -H 'Expect:' \
        --connect-to "::${U#http://}" -H x-amz-date:20130524T000000Z "$@"
}

scope='AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request'
empty=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855

@test "published vector: GET with a range" {
    [ "$(put examplebucket/test.txt 0123456789abcdef)" = 200 ]
    at_2013
    run example http://examplebucket.s3.amazonaws.com/test.txt -H 'Range: bytes=0-9' \
        -H "x-amz-content-sha256: $empty" \
        -H "Authorization: $scope,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    [ "$output" = 206 ]
    [ "$(cat "$W/body")" = 0123456789 ]
}

@test "published vector: the same with another range is refused" {
    at_2013
    run example http://examplebucket.s3.amazonaws.com/test.txt -H 'Range: bytes=0-8' \
        -H "x-amz-content-sha256: $empty" \
        -H "Authorization: $scope,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    [ "$output" = 403 ]
    body_has '<Code>SignatureDoesNotMatch</Code>'
}

@test "published vector: PUT with a signed payload" {
    at_2013
    printf 'Welcome to Amazon S3.' >"$W/welcome"
    put_example() {
        example 'http://examplebucket.s3.amazonaws.com/test%24file.text' -T "$1" \
            -H 'Date: Fri, 24 May 2013 00:00:00 GMT' -H 'x-amz-storage-class: REDUCED_REDUNDANCY' \
            -H x-amz-content-sha256:44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072 \
            -H "Authorization: $scope,SignedHeaders=date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class,Signature=98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd"
    }
    [ "$(put_example "$W/welcome")" = 200 ]
    printf 'Welcome to Amazon S2.' >"$W/other"
    [ "$(put_example "$W/other")" = 400 ]
    body_has '<Code>XAmzContentSHA256Mismatch</Code>'
}

@test "published vector: list with a query" {
    at_2013
    run example 'http://examplebucket.s3.amazonaws.com/?max-keys=2&prefix=J' \
        -H "x-amz-content-sha256: $empty" \
        -H "Authorization: $scope,SignedHeaders=host;x-amz-content-sha256;x-amz-date,Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    [ "$output" = 200 ]
    body_has '<MaxKeys>2</MaxKeys>'
}

@test "published vector: presigned, then expired" {
    [ "$(put examplebucket/test.txt hello)" = 200 ]
    at_2013
    url="http://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"
    get() { curl -s -o "$W/body" -w '%{http_code}' --connect-to "::${U#http://}" "$url"; }
    [ "$(get)" = 200 ]
    [ "$(cat "$W/body")" = hello ]
    curl -s -X PUT "$U/-/clock?offset_s=$((1369353600 + 86500 - $(date +%s)))"
    [ "$(get)" = 403 ]
    body_has '<Code>AccessDenied</Code>'
}

@test "published vector: chunks with signatures, and a changed byte in one" {
    at_2013
    chunks() {
        printf '10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n'
        head -c 65536 /dev/zero | tr '\0' a
        printf '\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497\r\n'
        head -c 1024 /dev/zero | tr '\0' "$1"
        printf '\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9\r\n\r\n'
    }
    send() {
        chunks "$1" >"$W/chunks"
        example http://s3.amazonaws.com/examplebucket/chunkObject.txt -X PUT \
            --data-binary "@$W/chunks" -H 'Content-Type:' -H 'Content-Encoding: aws-chunked' \
            -H 'x-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD' \
            -H 'x-amz-decoded-content-length: 66560' \
            -H 'x-amz-storage-class: REDUCED_REDUNDANCY' \
            -H "Authorization: $scope,SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class,Signature=4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    }
    [ "$(send b)" = 403 ]
    body_has '<Code>SignatureDoesNotMatch</Code>'
    [ "$(send a)" = 200 ]
    curl -s -X PUT "$U/-/clock?offset_s=0"
    [ "$(s3 "$U/examplebucket/chunkObject.txt")" = 200 ]
    [ "$(tr -d a <"$W/body" | wc -c)" = 0 ]
    [ "$(wc -c <"$W/body")" = 66560 ]
    head_has 'x-amz-storage-class: REDUCED_REDUNDANCY'
    head_lacks content-encoding
}

@test "who is refused, and how" {
    [ "$(curl -s -o "$W/body" -w '%{http_code}' "$U/demo/x")" = 403 ]
    body_has '<Code>AccessDenied</Code>'
    [ "$(s3_as test wrong us-east-1 "$U/demo/x")" = 403 ]
    body_has '<Code>SignatureDoesNotMatch</Code>'
    [ "$(s3_as nobody x us-east-1 "$U/demo/x")" = 403 ]
    body_has '<Code>InvalidAccessKeyId</Code>'
    [ "$(s3_as test testsecret mars "$U/demo/x")" = 400 ]
    body_has '<Code>AuthorizationHeaderMalformed</Code>'
    body_has '<Region>us-east-1</Region>'
    [ "$(s3_as EX EXS us-east-1 -H x-amz-security-token:TOK "$U/demo/x")" = 400 ]
    body_has '<Code>ExpiredToken</Code>'
    [ "$(s3_as RO ROS us-east-1 -H x-amz-security-token:NO "$U/demo/x")" = 400 ]
    body_has '<Code>InvalidToken</Code>'
    [ "$(s3_as RO ROS us-east-1 -H x-amz-security-token:TOK -X PUT -d x "$U/demo/x")" = 403 ]
    [ "$(s3_as RO ROS us-east-1 -H x-amz-security-token:TOK "$U/demo/absent")" = 404 ]
    curl -s -X PUT "$U/-/clock?offset_s=1000"
    [ "$(s3 "$U/demo/x")" = 403 ]
    body_has '<Code>RequestTimeTooSkewed</Code>'
}

@test "a bucket of another region names it" {
    [ "$(s3 "$U/west/x")" = 301 ]
    head_has 'x-amz-bucket-region: eu-west-1'
    body_has '<Code>PermanentRedirect</Code>'
    [ "$(s3_as test testsecret mars "$U/west/x")" = 400 ]
    body_has '<Region>eu-west-1</Region>'
    [ "$(s3_as test testsecret eu-west-1 "$U/west/x")" = 404 ]
}

@test "put, get, head, ranges, attributes" {
    [ "$(s3 -X PUT -d 0123456789 -H 'Content-Type: text/odd' -H 'x-amz-meta-color: blue' \
        -H 'Cache-Control: no-store' -H 'x-amz-tagging: a=1&b=2' "$U/demo/a%20b/%C3%A9")" = 200 ]
    [ "$(s3 "$U/demo/a%20b/%C3%A9")" = 200 ]
    [ "$(cat "$W/body")" = 0123456789 ]
    head_has 'x-amz-meta-color: blue'
    head_has 'content-type: text/odd'
    head_has 'cache-control: no-store'
    head_has 'x-amz-tagging-count: 2'
    [ "$(s3 "$U/demo/a%20b/%C3%A9?tagging=")" = 200 ]
    body_has '<Tag><Key>b</Key><Value>2</Value></Tag>'
    [ "$(s3 -X PUT -d '' "$U/demo/a%20b/%C3%A9?tagging=")" = 501 ]
    [ "$(s3 -I "$U/demo/a%20b/%C3%A9")" = 200 ]
    head_has 'content-length: 10'
    for range in 2-4:234 7-:789 -2:89 5-99:56789; do
        [ "$(s3 -r "${range%:*}" "$U/demo/a%20b/%C3%A9")" = 206 ]
        [ "$(cat "$W/body")" = "${range#*:}" ]
    done
    head_has 'content-range: bytes 5-9/10'
    [ "$(s3 -r 10-20 "$U/demo/a%20b/%C3%A9")" = 416 ]
    body_has '<ActualObjectSize>10</ActualObjectSize>'
    [ "$(s3 "$U/demo/absent")" = 404 ]
    body_has '<Code>NoSuchKey</Code>'
    [ "$(s3 "$U/absent/absent")" = 404 ]
    body_has '<Code>NoSuchBucket</Code>'
}

@test "conditions on reads, writes and deletes" {
    [ "$(put demo/cond one)" = 200 ]
    tag=$(etag)
    [ "$(s3 -H "If-None-Match: $tag" "$U/demo/cond")" = 304 ]
    [ "$(s3 -H "If-Match: $tag" "$U/demo/cond")" = 200 ]
    [ "$(s3 -H 'If-Match: "other"' "$U/demo/cond")" = 412 ]
    [ "$(s3 -H 'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT' "$U/demo/cond")" = 304 ]
    [ "$(s3 -H 'If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT' "$U/demo/cond")" = 412 ]
    [ "$(s3 -X PUT -d two -H 'If-None-Match: *' "$U/demo/cond")" = 412 ]
    [ "$(s3 -X PUT -d two -H 'If-Match: "other"' "$U/demo/cond")" = 412 ]
    [ "$(s3 -X PUT -d two -H 'If-Match: "other"' "$U/demo/never")" = 404 ]
    [ "$(s3 -X PUT -d two -H "If-Match: $tag" "$U/demo/cond")" = 200 ]
    [ "$(s3 -X DELETE -H "If-Match: $tag" "$U/demo/cond")" = 412 ]
    [ "$(s3 -X DELETE "$U/demo/cond")" = 204 ]
    [ "$(s3 -I "$U/demo/cond")" = 404 ]
}

@test "checksums are compared, and nothing is stored when they differ" {
    [ "$(s3 -X PUT -d 123456789 -H 'x-amz-checksum-crc32c: 4waSgw==' "$U/demo/sum")" = 200 ]
    [ "$(s3 -H 'x-amz-checksum-mode: ENABLED' "$U/demo/sum")" = 200 ]
    head_has 'x-amz-checksum-crc32c: 4waSgw=='
    [ "$(s3 -X PUT -d 123456789 -H 'x-amz-checksum-crc32: y/Q5Jg==' "$U/demo/sum")" = 200 ]
    [ "$(s3 -X PUT -d 123456789 -H 'x-amz-checksum-crc64nvme: rosUhgp5mIg=' "$U/demo/sum")" = 200 ]
    for header in 'x-amz-checksum-crc32c: AAAAAA==' 'Content-MD5: AAAAAAAAAAAAAAAAAAAAAA=='; do
        [ "$(s3 -X PUT -d 123456789 -H "$header" "$U/demo/unsummed")" = 400 ]
        body_has '<Code>BadDigest</Code>'
    done
    [ "$(s3 -I "$U/demo/unsummed")" = 404 ]
}

@test "limits: metadata, key length" {
    long=$(printf '%02100d' 0)
    [ "$(s3 -X PUT -d x -H "x-amz-meta-a: $long" "$U/demo/x")" = 400 ]
    body_has '<Code>MetadataTooLarge</Code>'
    [ "$(s3 -X PUT -d x "$U/demo/${long:0:1024}")" = 200 ]
    [ "$(s3 -X PUT -d x "$U/demo/${long:0:1025}")" = 400 ]
    body_has '<Code>KeyTooLongError</Code>'
}

@test "listing: delimiter, paging, start-after, url encoding" {
    [ "$(s3 -X PUT "$U/listing")" = 200 ]
    for key in a d/1 d/2 d/e/3 e%20f%2B g; do
        [ "$(put "listing/$key" 1)" = 200 ]
    done
    [ "$(s3 "$U/listing?delimiter=%2F&list-type=2&max-keys=2")" = 200 ]
    body_has '<KeyCount>2</KeyCount>'
    body_has '<CommonPrefixes><Prefix>d/</Prefix></CommonPrefixes>'
    token=$(sed -n 's:.*<NextContinuationToken>\(.*\)</NextContinuationToken>.*:\1:p' "$W/body")
    [ "$(s3 "$U/listing?continuation-token=$token&delimiter=%2F&encoding-type=url&list-type=2")" = 200 ]
    body_has '<Key>e+f%2B</Key>'
    body_has '<IsTruncated>false</IsTruncated>'
    body_lacks '<Prefix>d/'
    [ "$(s3 "$U/listing?list-type=2&prefix=d%2F&start-after=d%2F1")" = 200 ]
    [ "$(grep -o '<Key>[^<]*' "$W/body" | tr '\n' ' ')" = '<Key>d/2 <Key>d/e/3 ' ]
    [ "$(s3 "$U/listing?continuation-token=00&list-type=2")" = 400 ]
}

@test "multi-delete, quiet, and the bucket after it" {
    [ "$(s3 -X PUT "$U/doomed")" = 200 ]
    [ "$(put doomed/a 1)$(put doomed/b 1)" = 200200 ]
    [ "$(s3 -X DELETE "$U/doomed")" = 409 ]
    many() {
        s3 -X POST -d "$1" -H "Content-MD5: $(printf %s "$1" | openssl md5 -binary | base64)" \
            "$U/doomed?delete="
    }
    [ "$(many '<Delete><Object><Key>a</Key></Object><Object><Key>no</Key></Object></Delete>')" = 200 ]
    body_has '<Deleted><Key>no</Key></Deleted>'
    [ "$(many '<Delete><Quiet>true</Quiet><Object><Key>b</Key></Object></Delete>')" = 200 ]
    body_lacks '<Deleted>'
    [ "$(s3 -X POST -d '<Delete></Delete>' "$U/doomed?delete=")" = 400 ]
    [ "$(s3 -X DELETE "$U/doomed")" = 204 ]
    [ "$(s3 -I "$U/doomed")" = 404 ]
}

upload_id() {
    s3 -X POST "$@" >/dev/null
    sed -n 's:.*<UploadId>\(.*\)</UploadId>.*:\1:p' "$W/body"
}

@test "multipart: parts, part copy, completion once and again" {
    id=$(upload_id -H 'x-amz-meta-k: v' "$U/demo/multi?uploads=")
    head -c 1000 /dev/zero | tr '\0' 1 >"$W/one"
    [ "$(s3 -T "$W/one" "$U/demo/multi?partNumber=1&uploadId=$id")" = 200 ]
    one=$(etag)
    [ "$(s3 -X PUT -H 'x-amz-copy-source: /syn/big' -H 'x-amz-copy-source-range: bytes=5-14' \
        "$U/demo/multi?partNumber=7&uploadId=$id")" = 200 ]
    two=$(sed -n 's:.*<ETag>\(.*\)</ETag>.*:\1:p' "$W/body")
    [ "$(s3 "$U/demo/multi?uploadId=$id")" = 200 ]
    body_has '<PartNumber>7</PartNumber>'
    part() { printf '<Part><PartNumber>%s</PartNumber><ETag>%s</ETag></Part>' "$1" "$2"; }
    complete() {
        s3 -X POST -d "<CompleteMultipartUpload>$1</CompleteMultipartUpload>" \
            "$U/demo/multi?uploadId=$id"
    }
    [ "$(complete "$(part 7 "$two")$(part 1 "$one")")" = 400 ]
    body_has '<Code>InvalidPartOrder</Code>'
    [ "$(complete "$(part 1 '"wrong"')$(part 7 "$two")")" = 400 ]
    body_has '<Code>InvalidPart</Code>'
    [ "$(complete "$(part 1 "$one")$(part 7 "$two")")" = 200 ]
    [ "$(complete "$(part 1 "$one")$(part 7 "$two")")" = 200 ]
    [ "$(s3 "$U/demo/multi")" = 200 ]
    head_has 'x-amz-meta-k: v'
    head_has 'content-length: 1010'
    tail -c 10 "$W/body" >"$W/copied"
    [ "$(s3 -r 5-14 "$U/syn/big")" = 206 ]
    cmp "$W/body" "$W/copied"
}

@test "multipart: a full-object CRC32C is combined from the parts" {
    id=$(upload_id -H 'x-amz-checksum-algorithm: CRC32C' -H 'x-amz-checksum-type: FULL_OBJECT' \
        "$U/demo/crc?uploads=")
    [ "$(s3 -X PUT -d "$(cat <<<12345)" "$U/demo/crc?partNumber=1&uploadId=$id")" = 400 ]
    head -c 2000 /dev/zero >"$W/zeros" # CRC32C of zeros and of "123456789" after them
    [ "$(s3 -T "$W/zeros" -H 'x-amz-checksum-crc32c: /KW50w==' \
        "$U/demo/crc?partNumber=1&uploadId=$id")" = 200 ]
    one=$(etag)
    [ "$(s3 -X PUT -d 123456789 -H 'x-amz-checksum-crc32c: 4waSgw==' \
        "$U/demo/crc?partNumber=2&uploadId=$id")" = 200 ]
    two=$(etag)
    list="<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>$one</ETag></Part>"
    list+="<Part><PartNumber>2</PartNumber><ETag>$two</ETag></Part></CompleteMultipartUpload>"
    [ "$(s3 -X POST -d "$list" -H 'x-amz-checksum-crc32c: AAAAAA==' "$U/demo/crc?uploadId=$id")" = 400 ]
    body_has '<Code>BadDigest</Code>'
    [ "$(s3 -X POST -d "$list" -H 'x-amz-checksum-crc32c: zqkzEQ==' "$U/demo/crc?uploadId=$id")" = 200 ]
}

@test "copy keeps or replaces metadata, and heeds conditions on the source" {
    [ "$(s3 -X PUT -d body -H 'x-amz-meta-k: v' "$U/demo/from")" = 200 ]
    [ "$(s3 -X PUT -H 'x-amz-copy-source: demo/from' "$U/demo/to")" = 200 ]
    [ "$(s3 "$U/demo/to")" = 200 ]
    head_has 'x-amz-meta-k: v'
    [ "$(cat "$W/body")" = body ]
    [ "$(s3 -X PUT -H 'x-amz-copy-source: demo/to' "$U/demo/to")" = 400 ]
    [ "$(s3 -X PUT -H 'x-amz-copy-source: demo/to' -H 'x-amz-metadata-directive: REPLACE' \
        -H 'x-amz-meta-n: 1' "$U/demo/to")" = 200 ]
    [ "$(s3 -I "$U/demo/to")" = 200 ]
    head_has 'x-amz-meta-n: 1'
    head_lacks x-amz-meta-k
    [ "$(s3 -X PUT -H 'x-amz-copy-source: demo/from' -H 'x-amz-copy-source-if-match: "no"' \
        "$U/demo/to")" = 412 ]
}

@test "faults: answers that are errors" {
    put demo/f 0123456789
    [ "$(fault 'op=GetObject key=f action=status:503:SlowDown:retry-after=7 count=1')" = 204 ]
    [ "$(s3 "$U/demo/f")" = 503 ]
    head_has 'retry-after: 7'
    [ "$(s3 "$U/demo/f")" = 200 ]
    fault 'op=HeadObject nth=2 action=status:500'
    [ "$(s3 -I "$U/demo/f")$(s3 -I "$U/demo/f")$(s3 -I "$U/demo/f")" = 200500200 ]
    fault 'op=GetObject action=redirect:mars'
    [ "$(s3 "$U/demo/f")" = 301 ]
    head_has 'x-amz-bucket-region: mars'
    curl -s -X DELETE "$U/-/faults"
    fault 'op=CopyObject action=error200'
    [ "$(s3 -X PUT -H 'x-amz-copy-source: demo/f' "$U/demo/g")" = 200 ]
    body_has '<Code>InternalError</Code>'
    [ "$(fault 'op=GetObject action=nonsense')" = 400 ]
}

# curl's exit status: 56 reset, 28 timed out, 18 cut short
@test "faults: bodies that go wrong" {
    put demo/f 0123456789
    get() {
        curl -s -m 0.5 -D "$W/head" -o "$W/body" --aws-sigv4 aws:amz:us-east-1:s3 \
            --user test:testsecret -H x-amz-content-sha256:UNSIGNED-PAYLOAD "$@" "$U/demo/f"
        echo $?
    }
    each() { curl -s -X DELETE "$U/-/faults"; fault "op=GetObject action=$1" >/dev/null; }
    each reset
    [ "$(get)" = 56 ]
    each reset@4
    [ "$(get)" = 56 ]
    [ "$(cat "$W/body")" = 0123 ]
    each stall@6
    [ "$(get)" = 28 ]
    [ "$(cat "$W/body")" = 012345 ]
    each truncate@3
    [ "$(get)" = 18 ]
    [ "$(cat "$W/body")" = 012 ]
    each corrupt@2
    [ "$(get)" = 0 ]
    [ "$(cmp -l <(printf 0123456789) "$W/body" | wc -l)" = 1 ]
    each wrong-length
    [ "$(get -r 2-5)" = 0 ]
    head_has 'content-range: bytes 2-5/10'
    [ "$(cat "$W/body")" = 234 ]
    each wrong-range
    [ "$(get -r 2-5)" = 0 ]
    head_has 'content-range: bytes 3-6/11'
    each endless-body
    [ "$(get)" = 28 ]
    [ "$(wc -c <"$W/body")" -gt 1000 ]
    each many-headers:500
    [ "$(get)" = 0 ]
    [ "$(grep -c '^x-many-' "$W/head")" = 500 ]
    each huge-header:50000
    [ "$(get)" = 0 ]
    [ "$(wc -c <"$W/head")" -gt 50000 ]
    each no-etag
    [ "$(get)" = 0 ]
    head_lacks etag
}

@test "faults: a lost answer has done its work; a replaced object has another tag" {
    fault 'op=PutObject key=lost action=lose-answer' 'op=GetObject key=f nth=2 action=replace'
    [ "$(put demo/lost x)" = 000 ]
    [ "$(s3 -I "$U/demo/lost")" = 200 ]
    put demo/f 0123456789
    s3 "$U/demo/f"
    before=$(etag)
    [ "$(s3 -H "If-Match: $before" "$U/demo/f")" = 412 ]
    [ "$(s3 "$U/demo/f")" = 200 ]
    head_has 'content-length: 10'
    [ "$(etag)" != "$before" ]
}

@test "faults: a copy that is empty, and one that is none; requests that hang" {
    put demo/source 0123456789
    copy() { s3 -X PUT -H 'x-amz-copy-source: demo/source' "$U/demo/$1"; }
    fault 'op=CopyObject key=empty action=empty-copy' 'op=CopyObject key=none action=pretend-copy' \
        'op=PutObject key=unheard action=hang' 'op=PutObject key=done action=hang-done'
    [ "$(copy empty)$(s3 -I "$U/demo/empty")" = 200200 ]
    head_has 'content-length: 0'
    [ "$(copy none)" = 200 ]
    body_has CopyObjectResult
    [ "$(s3 -I "$U/demo/none")" = 404 ]
    [ "$(s3 -m 0.3 -X PUT -d x "$U/demo/unheard")$(s3 -m 0.3 -X PUT -d x "$U/demo/done")" = 000000 ]
    [ "$(s3 -I "$U/demo/unheard")$(s3 -I "$U/demo/done")" = 404200 ]
}

@test "faults: uploads reset, stalled or corrupted on their way in" {
    head -c 300000 /dev/zero >"$W/zeros"
    fault 'op=PutObject key=r action=reset@200000' 'op=PutObject key=c action=corrupt@250000' \
        'op=PutObject key=s action=stall@200000:300'
    [ "$(s3 -T "$W/zeros" "$U/demo/r")" != 200 ]
    [ "$(s3 -I "$U/demo/r")" = 404 ]
    crc=$(head -c 300000 /dev/zero | gzip -c | tail -c 8 | head -c 4 | xxd -p | fold -w2 | tac | tr -d '\n' | xxd -r -p | base64)
    [ "$(s3 -T "$W/zeros" -H "x-amz-checksum-crc32: $crc" "$U/demo/c")" = 400 ]
    [ "$(s3 -T "$W/zeros" -H "x-amz-checksum-crc32: $crc" "$U/demo/d")" = 200 ]
    begin=$(date +%s%N)
    [ "$(s3 -T "$W/zeros" "$U/demo/s")" = 200 ]
    [ $(($(date +%s%N) - begin)) -ge 300000000 ]
}

@test "admin: counters, log, reset" {
    curl -s -X POST "$U/-/stats/reset"
    curl -s -X DELETE "$U/-/log"
    put demo/counted 12345
    s3 -r 1-2 "$U/demo/counted"
    s3 "$U/demo/absent"
    run curl -s "$U/-/stats"
    [[ "$output" == *'"GetObject":{"requests":2,"errors":1,'* ]]
    [[ "$output" == *'"PutObject":{"requests":1,"errors":0,"bytes_in":5,'* ]]
    run curl -s "$U/-/log"
    [[ "${lines[1]}" == 'GetObject demo counted bytes=1-2 206 0 2 '* ]]
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$U/-/health")" = 200 ]
    [ "$(curl -s -o /dev/null -w '%{http_code}' "$U/-/nothing")" = 404 ]
}

@test "admin: all that is stored" {
    put demo/state 123456789
    s3 -X POST "$U/demo/state-upload?uploads="
    run curl -s "$U/-/state"
    [[ "$output" == *'object demo state 9 e3069283'* ]]
    [[ "$output" == *'upload demo state-upload 0'* ]]
}

@test "network: delay, pace, throttle" {
    (
        trap 'kill "$PID"' EXIT # also when a line below fails
        start_server --anonymous --first-byte-ms 100 --down-mbps 10 --up-mbps 10 --max-in-flight 1 \
            --synthetic net/o=3M --synthetic net/long=300M --bucket net
        in_flight() { for _ in $(seq 500); do curl -s "$U/-/stats" | grep -q "\"in_flight\":$1," && return; sleep 0.01; done; return 1; }
        took() { in_flight 0; curl -s -o /dev/null -w '%{time_total}' "$@" | tr -d . | sed 's/^0*//'; }
        # What else this machine does at the time may slow one of them down, not all.
        takes_less() { for _ in $(seq 20); do [ "$(took "${@:2}")" -ge "$1" ] || return 0; done; return 1; }
        [ "$(took -r 0-0 "$U/net/o")" -ge 100000 ]
        takes_less 190000 -r 0-0 "$U/net/o"
        [ "$(took "$U/net/o")" -ge 350000 ]
        head -c 3000000 /dev/zero >"$W/zeros"
        [ "$(took -T "$W/zeros" "$U/net/up")" -ge 350000 ]
        curl -s -o /dev/null "$U/net/long" 3>&- &
        in_flight 1
        [ "$(curl -s -o /dev/null -w '%{http_code}' "$U/net/o")" = 503 ]
        kill $!
    )
}

# Its last bytes and its end come at once: nobody says so again later.
@test "clients that leave before their body is whole are gone" {
    python3 - "$U" <<'PY'
import json, socket, sys, time, urllib.request
port = int(sys.argv[1].rsplit(":", 1)[1])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for body in (b"x" * 50000, b""):
    for _ in range(100):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"PUT /demo/left HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + body)
    for _ in range(1000):
        if json.load(opener.open(sys.argv[1] + "/-/stats"))["in_flight"] == 0:
            break
        time.sleep(0.01)
    else:
        sys.exit("they are in flight still")
PY
}

@test "a directory keeps objects for the next server; SIGTERM ends it with 0" {
    (
        trap 'kill "$PID"' EXIT # also when a line below fails
        start_server --anonymous --dir "$W/store" --bucket keep
        for key in a a/b 'a%2F%2Fc' ..%2Fup; do
            [ "$(curl -s -o /dev/null -w '%{http_code}' -X PUT -d "data $key" --path-as-is "$U/keep/$key")" = 200 ]
        done
        head -c 300000 /dev/urandom >"$W/random"
        curl -s -T "$W/random" -H 'x-amz-meta-k: v v' "$U/keep/big"
        stop_server
        start_server --anonymous --dir "$W/store"
        [ "$(curl -s "$U/keep/a")" = 'data a' ]
        [ "$(curl -s "$U/keep/a/b")" = 'data a/b' ]
        [ "$(curl -s --path-as-is "$U/keep/..%2Fup")" = 'data ..%2Fup' ]
        curl -s -D "$W/head" "$U/keep/big" | cmp - "$W/random"
        head_has 'x-amz-meta-k: v v'
        [ "$(ls "$W/store/blocks" | wc -l)" = 5 ]
        curl -s -X DELETE "$U/keep/big"
        [ "$(ls "$W/store/blocks" | wc -l)" = 4 ]
    )
}

@test "--discard checks an upload and answers with the pattern" {
    (
        trap 'kill "$PID"' EXIT # also when a line below fails
        start_server --anonymous --discard --synthetic net/same=100000
        head -c 100000 /dev/zero >"$W/zeros"
        [ "$(curl -s -o /dev/null -w '%{http_code}' -T "$W/zeros" -H 'x-amz-checksum-crc32c: AAAAAA==' "$U/net/same2")" = 400 ]
        curl -s "$U/net/same" >"$W/synthetic"
        curl -s -X DELETE "$U/net/same"
        curl -s -T "$W/zeros" "$U/net/same"
        curl -s "$U/net/same" | cmp - "$W/synthetic"
        curl -s -T "$W/zeros" "$U/net/same"
        curl -s "$U/net/same" >"$W/again"
        [ "$(cmp -l "$W/again" "$W/synthetic" | wc -l)" -gt 90000 ]
    )
}

@test "bad command lines are refused with one line" {
    run "$S3SERVER" --tls-cert x
    [ "$status" -eq 2 ]
    [ "${#lines[@]}" -eq 1 ]
    run "$S3SERVER" --network nowhere
    [ "$status" -eq 2 ]
    [[ "$output" == *"--network"*"nowhere"* ]]
    run "$S3SERVER" --help
    [ "$status" -eq 0 ]
    [[ "$output" == *--first-byte-ms* ]]
}
