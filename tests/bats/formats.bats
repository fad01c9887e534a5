#!/usr/bin/env bats
# Programs that seek: databases, archives, scientific and media files.

load lib/shim
load lib/data

setup_file() { serve_data make_archives make_database make_hdf5 make_media; }

@test "sqlite3 -readonly" {
    need sqlite3
    same 'sqlite3 -readonly {}/data.sqlite "SELECT count(*), sum(score) FROM item"'
    same 'sqlite3 -readonly {}/data.sqlite "SELECT * FROM item WHERE name = '\''item 12345'\''"'
    same 'sqlite3 -readonly {}/data.sqlite .schema'
    same 'sqlite3 -readonly {}/data.sqlite "PRAGMA integrity_check"'
    same 'sqlite3 -readonly {}/table.csv .schema'
}

@test "h5dump, h5ls" {
    need h5dump h5ls
    same 'h5dump {}/data.h5 | tail -n +2 | sha256sum'
    same 'h5dump -d /group/numbers -s 100,100 -c 2,3 {}/data.h5'
    same 'h5ls -r {}/data.h5'
    same 'h5dump -H {}/data.h5'
}

@test "ffprobe" {
    need ffprobe
    same 'ffprobe -v error -show_format -show_streams -of json {}/media/clip.mp4'
    same 'ffprobe -v error -count_packets -show_entries stream=nb_read_packets -of csv {}/media/clip.mp4'
    same 'ffprobe -v error -show_streams {}/media/tone.wav'
    same 'ffprobe -v error -show_format {}/text/long.txt'
}

@test "ffmpeg decodes from the bucket" {
    need ffmpeg
    same 'ffmpeg -v error -nostdin -i {}/media/clip.mp4 -f framemd5 - | grep -v "^#"'
}

@test "gzip, zcat, bzip2" {
    same 'gzip -cd {}/archives/long.gz | sha256sum'
    same 'zcat {}/archives/long.gz | tail -n 1'
    same 'gzip -l {}/archives/long.gz'
    same 'bzip2 -cd {}/archives/long.bz2 | sha256sum'
    same 'gzip -t {}/text/long.txt'
}

@test "unzip and zipinfo" {
    need unzip
    same 'unzip -l {}/archives/text.zip'
    same 'unzip -p {}/archives/text.zip text/short.txt'
    same 'unzip -tq {}/archives/text.zip'
    same 'unzip -l {}/big.bin'
}

@test "tar reads an archive" {
    same 'tar -tf {}/archives/text.tar'
    same 'tar -xOf {}/archives/text.tar text/short.txt'
    same 'd=$(mktemp -d) && tar -C $d -xf {}/archives/text.tar && cd $d && find . -type f | sort | xargs sha256sum; rm -r $d'
}

@test "file tells the types apart" {
    same 'file {}/archives/* {}/media/* {}/data.sqlite {}/data.h5'
    same 'file -i {}/media/frame.png'
}
