#!/bin/bash
# Build the test guest: OUTDIR/vmlinuz, OUTDIR/bzImage and OUTDIR/initrd.img, from Debian packages that are only unpacked;
# and the same with Debian's ordinary kernel, which has 9p and watchdogs and takes three times as long to boot:
# vmlinuz-generic and initrd-generic.img.
#
# usage: build.sh [--refresh] OUTDIR
#
# Nothing is done while OUTDIR/stamp holds the hash of what this directory contains: no apt, no network.
# --refresh looks for newer packages as well. Needs no root. Packages are kept in OUTDIR/cache.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

die() {
    echo "guest: $*" >&2
    exit 1
}

usage() {
    echo "usage: build.sh [--refresh] OUTDIR" >&2
    exit 2
}

# One hash over names, modes and contents of this directory.
recipe_hash() {
    (
        cd "$here"
        find build.sh modules root -printf '%p %M\n' | sort
        find build.sh modules root -type f -print0 | sort -z | xargs -0 sha256sum
    ) | sha256sum | cut -d' ' -f1
}

# The libraries that a package depends on, directly.
library_depends() {
    apt-cache depends --important "$@" | sed -nE 's/^ +(Pre)?Depends: ((lib|zlib)[^:]*)$/\2/p' |
        grep -v perl | sort -u
}

# Names of the packages to unpack.
resolve_packages() {
    local kernel generic agent_libs libs

    kernel=$(apt-cache depends --important linux-image-cloud-amd64 2>/dev/null |
        sed -nE 's/^ +Depends: (linux-image-[0-9].*-cloud-amd64)$/\1/p' | head -n1)
    generic=$(apt-cache depends --important linux-image-amd64 2>/dev/null |
        sed -nE 's/^ +Depends: (linux-image-[0-9].*-amd64)$/\1/p' | head -n1)
    [ -n "$kernel" ] && [ -n "$generic" ] || return 1
    agent_libs=$(library_depends qemu-guest-agent)
    # shellcheck disable=SC2086
    libs=$(library_depends $agent_libs)
    printf '%s\n' "$kernel" "$generic" qemu-guest-agent busybox-static
    printf '%s\n' "$agent_libs" "$libs" | sort -u
}

# Downloads what the cache has not got; prints the path of each package. Every one is checked again, by the
# checksum that apt's signed lists give.
fetch_packages() {
    local names=$1 cache=$2 uris file size sum
    local -A sums=()

    # shellcheck disable=SC2086
    uris=$(apt-get download --print-uris $names) || die "cannot find the packages"
    while read -r _ file size sum; do # 'URI' FILE SIZE SHA256:SUM
        case $file in
        *[!A-Za-z0-9._%+~-]* | .*) die "package file name '$file'" ;;
        esac
        [ "${sum%%:*}" = SHA256 ] || die "no SHA256 for $file"
        sums[$cache/$file]=${sum#*:}
    done <<<"$uris"
    if ! check_packages; then
        echo "guest: downloading ${#sums[@]} packages" >&2
        # shellcheck disable=SC2086
        (cd "$cache" && apt-get -qq -o APT::Sandbox::User="$(id -un)" download $names) ||
            die "cannot download the packages"
        check_packages || die "a package has a wrong checksum"
    fi
    printf '%s\n' "${!sums[@]}" | sort
}

# With the array of fetch_packages(): every file is there and is what it should be.
check_packages() {
    local file

    for file in "${!sums[@]}"; do
        echo "${sums[$file]}  $file"
    done | sha256sum --check --status - 2>/dev/null
}

# Little-endian number of SIZE bytes at OFFSET of FILE.
le_number() {
    od -An -tu"$3" -j"$2" -N"$3" "$1" | tr -d ' '
}

# The kernel as an ELF file (QEMU boots it by its PVH note) saves the guest the decompression, 0.6 s under
# TCG. Where the payload is: Documentation/x86/boot.rst, payload_offset and payload_length; its last four
# bytes are the size of what is in it. A kernel that is not LZ4 is taken as it is.
extract_kernel() {
    local image=$1 out=$2 start length size

    start=$((($(le_number "$image" $((0x1f1)) 1) + 1) * 512 + $(le_number "$image" $((0x248)) 4)))
    length=$(le_number "$image" $((0x24c)) 4)
    if [ "$(od -An -tx1 -j"$start" -N4 "$image" | tr -d ' ')" != 02214c18 ]; then
        cp "$image" "$out"
        return
    fi
    size=$(le_number "$image" $((start + length - 4)) 4)
    tail -c +$((start + 1)) "$image" | head -c $((length - 4)) >"$out.lz4" || true
    lz4 -dqf "$out.lz4" "$out"
    rm "$out.lz4"
    [ "$(stat -c %s "$out")" = "$size" ] || die "the kernel is $(stat -c %s "$out") bytes, not $size"
}

# Takes the signature off a module: checking it costs the guest more than loading the module. The kernel's
# struct module_signature is 12 bytes and ends with the big-endian length; the magic is 28 bytes.
strip_signature() {
    local ko=$1 size length

    [ "$(tail -c 28 "$ko" | head -c 27)" = "~Module signature appended~" ] || return 0
    size=$(stat -c %s "$ko")
    length=$((16#$(tail -c 32 "$ko" | head -c 4 | od -An -tx1 | tr -d ' \n')))
    [ $((length + 40)) -lt "$size" ] || die "$ko: bad signature length"
    truncate -s $((size - length - 40)) "$ko"
}

# Copies a module of $modules and what it depends on into the tree, once each.
add_module() {
    local name=$1 ko dep

    # The dots: a module is called virtio_rng, its file may be virtio-rng.ko.
    ko=$(find "$modules/kernel" -name "${name//_/[-_]}.ko" -print -quit)
    [ -n "$ko" ] || die "this kernel has no module '$name'"
    [ ! -e "$tree/lib/modules/$version/${ko##*/}" ] || return 0
    cp "$ko" "$tree/lib/modules/$version/"
    strip_signature "$tree/lib/modules/$version/${ko##*/}"
    for dep in $(tr '\0' '\n' <"$ko" | sed -n 's/^depends=//p' | tr ',' ' '); do
        add_module "$dep"
    done
}

pack_initrd() { # FILE
    find "$tree" -exec touch -h -d @0 {} +
    (cd "$tree" && find . -mindepth 1 | sort | cpio --quiet -o -H newc -R 0:0 --reproducible) >"$1"
}

# Of the ordinary kernel's 400 MB only the kernel and the modules that are wanted, and those that they may need.
unpack_generic() { # DEB
    mkdir -p "$work/generic"
    dpkg-deb --fsys-tarfile "$1" | tar -x -C "$work/generic" --wildcards './boot/vmlinuz-*' \
        './lib/modules/*/kernel/drivers/virtio/*' './lib/modules/*/kernel/drivers/char/virtio*' \
        './lib/modules/*/kernel/drivers/watchdog/*' './lib/modules/*/kernel/drivers/mfd/*' \
        './lib/modules/*/kernel/drivers/acpi/*' './lib/modules/*/kernel/drivers/input/*' \
        './lib/modules/*/kernel/net/9p/*' './lib/modules/*/kernel/fs/9p/*' './lib/modules/*/kernel/fs/netfs/*' \
        './lib/modules/*/kernel/fs/fscache/*'
}

# The tree again, with that kernel's modules instead. Uses what build() knows.
build_generic() {
    local set name

    set -- "$work"/generic/boot/vmlinuz-*
    [ $# = 1 ] || die "more than one ordinary kernel"
    version=${1#*/vmlinuz-}
    cp "$1" "$work/vmlinuz-generic"
    modules=$work/generic/lib/modules/$version
    rm -rf "$tree/lib/modules" "$tree"/etc/modules.*
    mkdir -p "$tree/lib/modules/$version"
    : >"$tree/etc/modules.full"
    while read -r set name; do
        [ "$set" = generic ] || continue
        echo "$name" >>"$tree/etc/modules.small"
        add_module "$name"
    done <"$here/modules"
    "$tree/bin/busybox" depmod -b "$tree" "$version"
    pack_initrd "$work/initrd-generic.img"
}

build() {
    local out=$1 work=$2 names debs deb linker path name set modules version
    local unpacked=$work/unpacked tree=$work/tree

    for name in apt-get apt-cache dpkg-deb lz4 cpio sha256sum; do
        command -v "$name" >/dev/null || die "no $name here: run 'make deps'"
    done
    [ "$(dpkg --print-architecture)" = amd64 ] || die "only amd64 guests are known"
    if ! names=$(resolve_packages); then
        [ "$(id -u)" = 0 ] || die "apt knows no linux-image-cloud-amd64: run 'apt-get update' as root"
        apt-get -qq update
        names=$(resolve_packages) || die "no package linux-image-cloud-amd64: the guest needs Debian's"
    fi
    mkdir -p "$out/cache" "$unpacked" "$tree"
    debs=$(fetch_packages "$names" "$out/cache")
    while read -r deb; do
        case ${deb##*/} in
        linux-image-*-cloud-amd64_*) dpkg-deb -x "$deb" "$unpacked" ;;
        linux-image-*) unpack_generic "$deb" ;;
        *) dpkg-deb -x "$deb" "$unpacked" ;;
        esac
    done <<<"$debs"

    set -- "$unpacked"/boot/vmlinuz-*
    [ $# = 1 ] || die "more than one kernel"
    version=${1#*/vmlinuz-}
    extract_kernel "$1" "$work/vmlinuz"
    # As Debian ships it: with the EFI stub, and signed with Debian's key.
    cp "$1" "$work/bzImage"

    mkdir -p "$tree"/{bin,dev,etc,lib64,lib/modules/"$version",mnt,proc,root,run,sbin,sys,tmp,usr/sbin,var}
    cp "$unpacked/bin/busybox" "$tree/bin/busybox"
    for name in $("$tree/bin/busybox" --list); do
        [ "$name" = busybox ] || ln -s busybox "$tree/bin/$name"
    done
    ln -s /run "$tree/var/run"
    ln -s /bin/hwclock "$tree/sbin/hwclock" # qemu-ga looks at exactly this path
    cp -R "$here/root/." "$tree/"

    modules=$unpacked/lib/modules/$version
    while read -r set name; do
        case $set in
        '' | '#'*) continue ;;
        small | full) echo "$name" >>"$tree/etc/modules.$set" ;;
        extra) ;;
        generic) continue ;;
        *) die "modules: unknown set '$set'" ;;
        esac
        add_module "$name"
    done <"$here/modules"
    "$tree/bin/busybox" depmod -b "$tree" "$version"

    # The packages' own linker and libraries, so that the host's versions do not matter.
    cp "$unpacked/usr/sbin/qemu-ga" "$tree/usr/sbin/"
    linker=$unpacked/lib64/ld-linux-x86-64.so.2
    [ ! -L "$linker" ] || linker=$unpacked/$(readlink "$linker")
    cp "$linker" "$tree/lib64/ld-linux-x86-64.so.2"
    path=$unpacked/lib/x86_64-linux-gnu:$unpacked/usr/lib/x86_64-linux-gnu
    "$linker" --library-path "$path" --list "$unpacked/usr/sbin/qemu-ga" >"$work/libraries"
    ! grep 'not found' "$work/libraries" >&2 || die "qemu-ga misses libraries"
    sed -nE 's/.* => (\/[^ ]*) .*/\1/p' "$work/libraries" | while read -r name; do
        case $name in
        "$unpacked"/*) cp -L "$name" "$tree/lib/" ;;
        *ld-linux*) ;;
        *) die "qemu-ga would use the host's $name" ;;
        esac
    done

    pack_initrd "$work/initrd.img"
    build_generic

    rm -f "$out/stamp"
    mv "$work/vmlinuz" "$work/bzImage" "$work/initrd.img" "$work/vmlinuz-generic" "$work/initrd-generic.img" "$out/"
    while read -r deb; do
        echo "${deb##*/}"
    done <<<"$debs" >"$out/packages"
}

refresh=
while [ $# -gt 0 ]; do
    case $1 in
    --refresh) refresh=1 ;;
    -*) usage ;;
    *) break ;;
    esac
    shift
done
[ $# = 1 ] || usage

mkdir -p "$1"
outdir=$(cd "$1" && pwd)
exec 9>"$outdir/lock"
flock 9 # two makes may ask for the same guest
recipe=$(recipe_hash)
if [ -z "$refresh" ] && [ -s "$outdir/vmlinuz" ] && [ -s "$outdir/bzImage" ] && [ -s "$outdir/initrd.img" ] &&
    [ "$(cat "$outdir/stamp" 2>/dev/null)" = "$recipe" ]; then
    exit 0
fi
workdir=$(mktemp -d "$outdir/work.XXXXXX")
trap 'rm -rf "$workdir"' EXIT
build "$outdir" "$workdir"
echo "$recipe" >"$outdir/stamp"
echo "guest: built $outdir/vmlinuz and initrd.img ($(($(stat -c %s "$outdir/initrd.img") / 1048576)) MiB)"
