#!/bin/bash
# Install what is missing of the Debian packages that a group of targets needs.
#
# usage: tests/deps.sh [GROUP...]     groups: build demo test guest lint; without any, all of them
#
# Nothing is asked of the network while nothing is missing. Not being root, it prints the command and fails.
set -euo pipefail
export LC_ALL=C

build="gcc make pkg-config libc6-dev libjansson-dev libexpat1-dev"
demo="qemu-system-x86 iproute2 jq"
test="libcmocka-dev libssl-dev qemu-system-x86 qemu-system-arm qemu-system-common ovmf qemu-efi-aarch64 qemu-utils qemu-block-extra tgt jq libnss3-tools mtools passt swtpm openvswitch-switch socat iproute2 procps e2fsprogs"
guest="cpio lz4"
lint="clang clang-format clang-tidy cppcheck shellcheck codespell binutils"

wanted=
[ $# -gt 0 ] || set -- build test guest lint
for group; do
    case $group in
    build) wanted+=" $build" ;;
    demo) wanted+=" $demo" ;;
    test) wanted+=" $test" ;;
    guest) wanted+=" $guest" ;;
    lint) wanted+=" $lint" ;;
    *)
        echo "deps: no group '$group'; there are: build demo test guest lint" >&2
        exit 2
        ;;
    esac
done

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "deps: no Debian packages here; what is needed:$wanted" >&2
    exit 1
fi

# Provides counts as well (pkg-config is pkgconf since Debian 12), a removed package's rest does not.
have=" $(dpkg-query -W -f '${db:Status-Status} ${Package} ${Provides}\n' |
    sed -nE 's/^installed //p' | sed -E 's/ \([^)]*\)//g' | tr ',\n' '  ') "
missing=
for package in $wanted; do
    case $have in
    *" $package "*) ;;
    *) missing+=" $package" ;;
    esac
done
if [ -z "$missing" ]; then
    echo "deps: nothing is missing for: $*"
    exit 0
fi

if [ "$(id -u)" != 0 ]; then
    echo "deps: missing, install as root:" >&2
    echo "apt-get update && apt-get install --no-install-recommends -y$missing"
    exit 1
fi
apt-get -qq update
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get -qq install --no-install-recommends -y $missing
echo "deps: installed$missing"
