#!/usr/bin/env bash
# Every golden plan's argv is accepted by the real QEMU (argv is stricter about types than QMP), with stand-ins for
# its fds. Goldens of hosts with KVM or another QEMU are skipped. Needs no root where namespaces for users exist.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit
check=$PWD/${BUILD:-build}/tests/argv_check

if [[ -z ${IN_NETNS:-} ]]; then
    if ((EUID == 0)); then
        IN_NETNS=1 exec unshare -n "$0" "$@"
    fi
    unshare -Urn true 2>/dev/null || { echo "skip golden_argv: no user namespaces here, and not root"; exit 77; }
    IN_NETNS=1 exec unshare -Urn "$0" "$@"
fi
ip link set lo up # a SPICE server of QEMU's own binds its address
command -v qemu-system-x86_64 >/dev/null || { echo "skip golden_argv: no qemu-system-x86_64"; exit 77; }
# Not in /tmp: images are opened past the page cache, which tmpfs of older kernels refuses.
images=$(mktemp -d "${BUILD:-build}/golden_argv.XXXXXX") || { echo "skip golden_argv: ${BUILD:-build} cannot be written"; exit 77; }
trap 'rm -rf "$images"' EXIT

# What "hugetlb":true objects of the plan on stdin need, and the host has not; empty: nothing.
missing_pages() {
    sed -nE 's/^ +-object .*"size":([0-9]+),.*"hugetlbsize":([0-9]+).*/\1 \2/p' | while read -r size page; do
        (($(cat "/sys/kernel/mm/hugepages/hugepages-$((page / 1024))kB/free_hugepages" 2>/dev/null || echo 0) * page >= size)) ||
            echo "$((size / page)) huge pages of $((page >> 20)) MiB"
    done
}

# Memory nodes of "host-nodes" in the plan on stdin that the host has not; empty: none.
missing_nodes() {
    local node
    grep -oE '"host-nodes":\[[0-9,]+\]' | grep -oE '[0-9]+' | sort -u | while read -r node; do
        [[ -d /sys/devices/system/node/node$node ]] || echo "memory node $node"
    done
}

# The machines of a QEMU, each asked once.
declare -A machines=()
has_machine() { # PROGRAM MACHINE
    [[ -n ${machines[$1]:-} ]] || machines[$1]=$("$1" -machine help | awk '{print $1}')
    grep -qx "$2" <<<"${machines[$1]}"
}

# Code and variables of a UEFI golden: this host's own files of the same names. What is missing here is said.
firmware() { # PLAN DIRECTORY
    local path format template
    while read -r path; do
        [[ -e $path ]] || { echo "$path"; return; }
        ln -s "$path" "$2/${path//\//_}"
    done < <(sed -nE 's/^file +image +ro ([^ ]*(OVMF|AAVMF)[^ ]*)  lock .*/\1/p' "$1")
    while read -r path format template; do
        [[ -e $template ]] || { echo "$template"; return; }
        qemu-img convert -O "$format" "$template" "$2/${path//\//_}"
    done < <(sed -nE 's/^file +nvram +rw ([^ ]+)  ([a-z0-9]+), at first a copy of (.*)/\1 \2 \3/p' "$1")
}

# A golden by its file name; images as its "# IMAGE:" lines say.
check_one() { # NAME
    local name=$1 template=tests/golden/$1.tmpl plan=tests/golden/$1.plan program machine path line format size missing
    # attributes_capacity.sh fills the host's pool for itself, and has this lock for as long.
    exec 8>&-
    ! grep -q '"hugetlb":true' "$plan" || { exec 8>"${BUILD:-build}/lock-hugepages" && flock 8; }
    grep -q '^# EXPECT_ERROR' "$template" && return 0
    grep -q 'accel=kvm' "$plan" && { echo "skip $name: needs KVM"; return 0; }
    machine=$(sed -nE 's/^ +-machine ([^,]+),.*/\1/p' "$plan")
    program=$(sed -nE 's/^exec +([^ ]+).*/\1/p' "$plan")
    [[ -x $program ]] || { echo "skip $name: no $program"; return 0; }
    has_machine "$program" "$machine" || { echo "skip $name: this QEMU has no $machine"; return 0; }
    missing=$(missing_pages <"$plan")
    [[ -z $missing ]] || { echo "skip $name: needs $missing"; return 0; }
    missing=$(missing_nodes <"$plan")
    [[ -z $missing ]] || { echo "skip $name: needs ${missing//$'\n'/, }"; return 0; }
    grep -qE '^# IMAGE:.* block' "$template" && { echo "skip $name: needs a block device"; return 0; }
    grep -qE '"driver":"(rbd|iscsi|gluster|nbd)"' "$plan" && { echo "skip $name: needs a storage server"; return 0; }
    grep -qE "of ::1  bound|addr=::1" "$plan" && [[ ! -e /proc/net/if_inet6 ]] && { echo "skip $name: no IPv6 here"; return 0; }
    grep -qE '"driver":"(vfio-pci|usb-host)"' "$plan" && { echo "skip $name: needs a device of the host"; return 0; }
    grep -qE '"backend":"(nss-emulated|certificates)"' "$plan" && { echo "skip $name: needs an NSS database"; return 0; }
    mkdir "$images/$name"
    while read -r line; do
        path=${line%% *}
        format=$(sed -E 's/.* format=([^ ]+).*/\1/' <<<"$line")
        size=$(sed -E 's/.* size=([^ ]+).*/\1/' <<<"$line")
        options=()
        if [[ $line == *" encrypted"* ]]; then
            # As argv_check.c's secrets are.
            options=(--object "secret,id=s,data=sesame" -o)
            [[ $format == luks ]] && options+=("key-secret=s,iter-time=10") || options+=("encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10")
            size=16M
        fi
        # Its measurement of how long 10 ms of key derivation are needs luck with so few of them.
        for _ in $(seq 50); do
            qemu-img create -q -f "$format" "${options[@]}" "$images/$name/${path//\//_}" "$size" >/dev/null 2>&1 && break
        done
    done < <(sed -n 's/^# IMAGE: //p' "$template")
    # What the start would make.
    while read -r format path; do
        qemu-img create -q -f "$format" "$images/$name/${path//\//_}" 64M >/dev/null
    done < <(sed -nE 's/^file    make image    ([a-z0-9]+) ([^ ]+)  .*/\1 \2/p' "$plan")
    missing=$(firmware "$plan" "$images/$name")
    [[ -z $missing ]] || { echo "skip $name: no $missing"; rm -rf "${images:?}/$name"; return 0; }
    timeout -k 5 90 "$check" "$plan" "$images/$name" >"$images/$name.log" 2>&1
    case $? in
    0) echo "ok $name" ;;
    77) echo "skip $name: $(tail -1 "$images/$name.log")" ;;
    *)
        echo "not ok $name"
        cat "$images/$name.log"
        failed=1
        ;;
    esac
    rm -rf "${images:?}/$name"
}

failed=0
if (($#)); then
    names=("$@")
else
    mapfile -t names < <(cd tests/golden && printf '%s\n' *.tmpl | sed 's/\.tmpl$//')
fi
for name in "${names[@]}"; do
    check_one "$name"
done
exit "$failed"
