#!/bin/bash
# Build the test guest that runs a real systemd: OUTDIR/systemd.img (ext4) and OUTDIR/systemd-initrd.img.
#
# usage: systemd.sh OUTDIR
#
# OUTDIR has what build.sh makes: its kernel boots this guest too, and its initrd is the first part of this one's. The
# root is made of packages of this machine's own Debian, downloaded and unpacked, never installed, so that what is
# built here runs there; QEMU and its libraries are this machine's. Nothing is done while OUTDIR/systemd.stamp holds
# the hash of what this directory contains. Needs no root.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
    echo "guest: $*" >&2
    exit 1
}

recipe_hash() {
    (
        cd "$here"
        find systemd.sh systemd -printf '%p %M\n' | sort
        find systemd.sh systemd -type f -print0 | sort -z | xargs -0 sha256sum
        cat "$outdir/stamp"
        sha256sum <"$(command -v qemu-system-x86_64)"
    ) | sha256sum | cut -d' ' -f1
}

# What tests use there, and what they need. Alternatives of what is there anyway, installers and perl are left out.
resolve_packages() {
    apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
        systemd systemd-sysv systemd-container dbus dbus-user-session udev libpam-systemd kmod procps util-linux mount login passwd \
        bash coreutils sed grep mawk findutils tar hostname base-files libc-bin iproute2 jq socat \
        libjansson4 |
        sed -nE 's/^([a-z0-9].*)/\1/p' | sort -u |
        grep -vE '^(cdebconf|dbus-broker|debconf.*|dpkg|adduser|install-info|libdebian-installer4|libelogind0|libtextwrap1|lib.*-perl|libperl.*|perl.*|original-awk|gawk|usr.*merge.*|libnewt.*|libslang.*|libdb5.*|libgdbm.*|.*:i386)$'
}

download() {
    local cache=$1 missing=() name
    shift
    for name; do
        compgen -G "$cache/${name}_*.deb" >/dev/null || missing+=("$name")
    done
    ((${#missing[@]})) || return 0
    echo "guest: downloading ${#missing[@]} packages" >&2
    (cd "$cache" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download "${missing[@]}") ||
        die "cannot download the packages"
}

# A program of this machine with the libraries that it asks for.
add_program() {
    local program=$1 library
    install -D -m 755 "$program" "$tree$program"
    ldd "$program" | sed -nE 's/.* => (\/[^ ]*) .*/\1/p' | while read -r library; do
        library=/usr/${library#/usr/}
        library=${library/\/usr\/\/lib/\/usr\/lib}
        [ -e "$tree$library" ] || install -D -m 644 "$library" "$tree$library"
    done
}

build() {
    local out=$1 work=$2 name deb names
    local tree=$work/tree
    for name in apt-get apt-cache dpkg-deb cpio mke2fs qemu-system-x86_64 ldd; do
        command -v "$name" >/dev/null || die "no $name here: run 'make deps'"
    done
    mapfile -t names < <(resolve_packages)
    ((${#names[@]} > 40)) || die "apt does not know systemd's packages: run 'apt-get update' as root"
    mkdir -p "$out/cache/systemd" "$tree/usr"
    download "$out/cache/systemd" "${names[@]}"
    for name in bin sbin lib lib64; do
        mkdir -p "$tree/usr/$name"
        ln -s "usr/$name" "$tree/$name"
    done
    for name in "${names[@]}"; do
        # The newest, when there are several.
        deb=$(find "$out/cache/systemd" -name "${name}_*.deb" -printf '%T@ %p\n' | sort -n | tail -1)
        dpkg-deb --fsys-tarfile "${deb#* }" | tar -x --keep-directory-symlink --no-same-owner -C "$tree" \
            --exclude='./usr/share/doc*' --exclude='./usr/share/man*' --exclude='./usr/share/locale*' \
            --exclude='./usr/share/info*' --exclude='./usr/lib/udev/hwdb.d*'
    done
    add_program /usr/bin/qemu-system-x86_64
    # Debian's has its accelerators in files of their own.
    find /usr/lib/*/qemu -name 'accel-*.so' | while read -r name; do
        install -D -m 644 "$name" "$tree$name"
    done
    mkdir -p "$tree/usr/share/qemu" "$tree/usr/share/seabios"
    cp -L /usr/share/seabios/bios-256k.bin "$tree/usr/share/seabios/"
    for name in kvmvapic.bin linuxboot_dma.bin pvh.bin; do
        [ ! -e "/usr/share/qemu/$name" ] || cp -L "/usr/share/qemu/$name" "$tree/usr/share/qemu/"
    done
    ln -sf ../seabios/bios-256k.bin "$tree/usr/share/qemu/bios-256k.bin"
    ln -sf mawk "$tree/usr/bin/awk"
    # Modules of the other guest's kernel.
    (cd "$work" && mkdir -p initrd && cd initrd && cpio --quiet -id 'lib/modules/*' 2>/dev/null <"$out/initrd.img")
    cp -R "$work/initrd/lib/modules" "$tree/usr/lib/"
    cp -R "$here/systemd/root/." "$tree/"
    mkdir -p "$tree"/{dev,proc,sys,run,tmp,mnt,root,srv/test,var/{cache,lib,log,tmp}}
    ln -sf /run "$tree/var/run"
    # Units and generators that a test has no use for, and that cost time at boot and at each reload: half of it, under
    # TCG. Without udev there are no device units either.
    for name in $(<"$here/systemd/masked"); do
        ln -sf /dev/null "$tree/etc/systemd/system/$name"
    done
    mkdir -p "$tree/etc/systemd/system-generators"
    for name in "$tree"/usr/lib/systemd/system-generators/*; do
        ln -sf /dev/null "$tree/etc/systemd/system-generators/${name##*/}"
    done
    ln -sf /usr/lib/systemd/system/multi-user.target "$tree/etc/systemd/system/default.target"
    ldconfig -r "$tree"

    find "$tree" -exec touch -h -d @0 {} +
    rm -f "$work/systemd.img"
    mke2fs -q -t ext4 -E root_owner=0:0 -O ^has_journal,^metadata_csum -d "$tree" "$work/systemd.img" 900M
    (cd "$here/systemd" && find . -name sinit | cpio --quiet -o -H newc -R 0:0 --reproducible) >"$work/sinit.cpio"
    cat "$out/initrd.img" "$work/sinit.cpio" >"$work/systemd-initrd.img"
    rm -f "$out/systemd.stamp"
    mv "$work/systemd.img" "$work/systemd-initrd.img" "$out/"
}

[ $# = 1 ] || {
    echo "usage: systemd.sh OUTDIR" >&2
    exit 2
}
outdir=$(cd "$1" && pwd)
[ -e "$outdir/stamp" ] || die "the other guest comes first: build.sh $1"
exec 9>"$outdir/lock-systemd"
flock 9
recipe=$(recipe_hash)
[ "$(cat "$outdir/systemd.stamp" 2>/dev/null)" != "$recipe" ] || exit 0
workdir=$(mktemp -d "$outdir/work.XXXXXX")
trap 'rm -rf "$workdir"' EXIT
build "$outdir" "$workdir"
echo "$recipe" >"$outdir/systemd.stamp"
echo "guest: built $outdir/systemd.img ($(du -m "$outdir/systemd.img" | cut -f1) MiB used)"
