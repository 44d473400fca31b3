#!/bin/bash
# Unpacks the init systems that tests run VMs under: OUTDIR/inits, a tree to be laid over this machine's own root.
#
# usage: inits.sh OUTDIR
#
# The packages are this machine's own Debian's, downloaded and unpacked, never installed. Nothing is done while the tree is
# there. Needs no root.
set -euo pipefail
export LC_ALL=C
umask 022

[ $# = 1 ] || {
    echo "usage: inits.sh OUTDIR" >&2
    exit 2
}
mkdir -p "$1"
outdir=$(cd "$1" && pwd)
exec 9>"$outdir/lock-inits"
flock 9
[ ! -e "$outdir/inits/done" ] || exit 0

names=$(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
    openrc runit s6 busybox-static | sed -nE 's/^(openrc|insserv|runit|s6|busybox-static|lib(rc|einfo|skarnet|execline|s6)[^:]*)$/\1/p' | sort -u)
cache=$outdir/cache/inits
mkdir -p "$cache"
missing=()
for name in $names; do
    compgen -G "$cache/${name}_*.deb" >/dev/null || missing+=("$name")
done
if ((${#missing[@]})); then
    (cd "$cache" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "${missing[@]}") || {
        echo "inits: cannot download the packages: 'apt-get update' as root may help" >&2
        exit 1
    }
fi
rm -rf "$outdir/inits.new"
mkdir "$outdir/inits.new"
for deb in "$cache"/*.deb; do
    dpkg-deb --fsys-tarfile "$deb" | tar -x --no-same-owner -C "$outdir/inits.new" --exclude='./usr/share/doc*' --exclude='./usr/share/man*'
done
# This machine's /bin, /sbin and /lib may be links into /usr: a directory over one would hide it.
for name in bin sbin lib; do
    [ -d "$outdir/inits.new/$name" ] || continue
    mkdir -p "$outdir/inits.new/usr/$name"
    cp -a "$outdir/inits.new/$name/." "$outdir/inits.new/usr/$name/"
    rm -rf "$outdir/inits.new/$name"
done
touch "$outdir/inits.new/done"
rm -rf "$outdir/inits"
mv "$outdir/inits.new" "$outdir/inits"
