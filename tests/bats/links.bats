#!/usr/bin/env bats
# Symbolic links and extended attributes, as programs make, copy and follow them.

load lib/shim
load lib/data

setup_file() { serve_data; }

# A folder of links: to a file, a folder, upwards, nowhere, outside.
TREE='T={}/TREE; mkdir -p $T/real/sub; echo text >$T/real/file; echo deep >$T/real/sub/deep
      ln -s real/file $T/to-file; ln -s real $T/to-dir; ln -s ../file $T/real/sub/up
      ln -s nowhere $T/dangling; ln -s /etc/hostname $T/outside; ln -s to-dir/sub $T/chain;'

# tree NAME COMMAND: the command runs with T a new folder of that name with those links in it.
tree() { same "${TREE//TREE/$1} $2"; }

@test "ln -s, ln -sf, readlink, readlink -f, realpath" {
    tree make 'readlink $T/to-file $T/real/sub/up $T/dangling $T/outside; readlink -f $T/chain/deep $T/to-dir/sub/up'
    tree force 'ln -sf real/sub/deep $T/to-file && cat $T/to-file; ln -sfn real/sub $T/to-dir && ls $T/to-dir
                ln -s x $T/to-file; echo $?; ln -sr $T/real/file $T/relative && readlink $T/relative'
    tree paths 'realpath $T/chain $T/to-file $T/outside; realpath $T/dangling/x; echo $?; readlink $T/to-dir/; echo $?'
}

@test "ls -l, stat, test, file types" {
    tree ls 'ls -l --time-style=+ $T | grep ^l; ls -lL --time-style=+ $T/to-file; ls -F $T; ls $T/chain'
    tree stat 'stat -c "%N %F %s" $T/[a-qs-z]*; stat -Lc "%F" $T/to-file $T/to-dir'
    tree test 'for f in $T/*; do for t in e L f d; do test -$t $f && echo $f $t; done; done'
}

@test "find: links as they are, and followed" {
    tree find 'find $T -type l | sort; find -L $T -type f | sort; find -L $T -type l; find $T -lname "*real*" | sort'
    tree printf 'find $T -printf "%p %y %Y %l\n" | sort'
}

@test "reading and writing through links" {
    tree cat 'cat $T/to-file $T/to-dir/file $T/chain/deep $T/chain/up; cat $T/dangling; echo $?'
    tree write 'echo new >$T/dangling; cat $T/nowhere; echo more >>$T/to-file; cat $T/real/file
                echo x >$T/to-dir/sub/x; ls $T/real/sub; mkdir $T/chain/made; ls $T/real/sub'
    tree cd 'cd $T/to-dir/sub && pwd -P; read line <up; echo $line; cd -P .. && pwd; cd -P $T/chain && pwd'
    tree out 'cmp $T/outside /etc/hostname && echo same'
    tree loop 'ln -s loop $T/loop; cat $T/loop; echo $?; ls -d $T/loop'
    same 'cat {}/text/short.txt/x; echo $?'
}

@test "rm, mv, cp, chmod act on what they should" {
    tree rm 'rm $T/to-dir $T/to-file && ls -R $T'
    tree mv 'mv $T/to-file $T/moved && readlink $T/moved && mv $T/to-dir $T/real2 && ls $T/real2
             mv $T/moved $T/to-file && cat $T/to-file'
    tree cp 'cp $T/to-file $T/copy && test ! -L $T/copy && cat $T/copy; cp -P $T/to-file $T/link && readlink $T/link'
    tree chmod 'chmod 600 $T/to-file && stat -c %a $T/real/file; touch -h -d @1000 $T/dangling && stat -c %Y $T/dangling'
    tree rmr 'rm -r $T && ls $T; echo $?'
}

@test "cp -a, tar, rsync carry links" {
    tree cpa 'cp -a $T {}/cpa2 && find {}/cpa2 -mindepth 1 ! -type d -printf "%P %y %l %s\n" | sort && cat {}/cpa2/chain/deep'
    tree tar 'tar -C {} -cf - tar | tar -C {}/text -xf - && find {}/text/tar -type l -printf "%P %l\n" | sort && cat {}/text/tar/to-dir/file'
    tree rsync 'rsync -a $T/ {}/rsync2/ && find {}/rsync2 -type l -printf "%P %l\n" | sort && cat {}/rsync2/to-file &&
                rsync -a -i $T/ {}/rsync2/'
}

@test "git: a working tree with links" {
    tree git 'd=$(mktemp -d); export HOME=$d GIT_CONFIG_NOSYSTEM=1; git init -q -b main $d/r && cp -a $T/real $T/to-file $T/to-dir $d/r &&
              (cd $d/r && git add -A && git -c user.name=n -c user.email=e@e commit -qm one) &&
              mkdir {}/tree && GIT_DIR=$d/r/.git GIT_WORK_TREE={}/tree git checkout -q -f main -- :/ &&
              readlink {}/tree/to-file {}/tree/to-dir && cat {}/tree/to-file; rm -rf $d'
}

@test "links from outside lead into the bucket where a shell resolves them" {
    shim bash -c "echo there >$VIRTUAL/target"
    ln -s "$VIRTUAL/target" "$BATS_TEST_TMPDIR/in"
    [[ $(shim bash -c "cat \"\$(readlink '$BATS_TEST_TMPDIR/in')\"") == there ]]
}

@test "extended attributes: setfattr, getfattr, cp and rsync keep them" {
    setfattr -n user.probe -v x "$NATIVE/text/short.txt" 2>/dev/null || skip "no user.* in this folder"
    setfattr -x user.probe "$NATIVE/text/short.txt"
    same 'f={}/text/short.txt; setfattr -n user.a -v one $f; setfattr -n user.b -v two $f; getfattr --absolute-names -d $f
          setfattr -x user.a $f; getfattr --absolute-names -d $f; getfattr -n user.none $f; echo $?'
    same 'f={}/text/short.txt; cp --preserve=xattr $f {}/kept && getfattr --absolute-names -d {}/kept
          cp $f {}/bare && getfattr --absolute-names -d {}/bare; echo'
    same 'f={}/text/short.txt; mkdir {}/x; rsync -aX $f {}/x/ && getfattr --absolute-names -d {}/x/short.txt
          cp -a {}/text {}/y && getfattr --absolute-names -d {}/y/short.txt'
}

# What must not cost more than before there were links.
@test "requests: plain files, plain listings, missing names" {
    count() { local before; before=$(requests); shim "$@" >/dev/null 2>&1 || true; echo $(($(requests) - before)); }
    [[ $(count cat "$VIRTUAL/text/short.txt") -eq 1 ]]
    local listing
    listing=$(count ls "$VIRTUAL/many")
    [[ $(count ls -l "$VIRTUAL/many") -eq $listing ]]
    [[ $(count cat "$VIRTUAL/text/absent.txt") -le 3 ]]
}

@test "requests: many files behind one link cost one look at the link" {
    shim bash -c "ln -s many $VIRTUAL/to-many"
    local before
    before=$(requests GetObject)
    shim S3DLIO_META_TTL_MS=60000 bash -c "cat $VIRTUAL/to-many/f001.txt >/dev/null"
    [[ $(($(requests GetObject) - before)) -le 3 ]]
    before=$(requests GetObject)
    shim S3DLIO_META_TTL_MS=60000 cat "$VIRTUAL"/to-many/f0{01..20}.txt >/dev/null
    # each of the twenty: a miss, and the file; the link once
    [[ $(($(requests GetObject) - before)) -le 41 ]]
}
