#!/usr/bin/env bash
# Changes of a running VM in random order, seen inside a real guest, end where they began.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

# How many random steps, a third for each way that memory changes; `make nightly` has more.
STEPS=${STEPS:-100}
STEPS_SEED=${STEPS_SEED:-$((SRANDOM % 32768))}

# Steps in any order end where they began, and after each QEMU is as live.tmpl says. Every kind of them comes once in each
# round, in an order that the seed draws. vCPUs come and go in the end: with some that were added, QEMU 7.2 without KVM dies
# of a device's unplug now and then (SIGSEGV), and after one has gone, too.
random_steps() { # COUNT KINDS...
    local count=$1 i k disk before disks='' nics='' scsi='' made='' share='' kind number round=()
    shift
    RANDOM=$STEPS_SEED
    echo "    seed $STEPS_SEED, $count steps"
    for i in 0 1 2 3; do truncate -s 1M "$ROOT/$i.raw"; done
    before=$(holdings)
    for ((i = 0; i < count; i++)); do
        ((${#round[@]})) || mapfile -t round < <(for kind in disk "$@"; do echo "$RANDOM $kind"; done | sort -n | cut -d' ' -f2)
        kind=${round[0]} round=("${round[@]:1}") number=$((RANDOM / 8 % 4))
        case $kind in
        disk)
            disk=vd$(printf '%b' "\\$(printf %o $((99 + number)))")
            if [[ $disks == *" $disk "* ]]; then
                expect 0 vml --timeout 60 detach disk "$VM" "$disk"
                disks=${disks/" $disk "/}
            else
                expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/$number.raw,TARGET=$disk"
                disks+=" $disk "
                await 30 has_disk_count "$(($(wc -w <<<"$disks$made") + 1))"
            fi
            ;;
        scsi)
            if [[ $scsi ]]; then
                expect 0 vml --timeout 60 detach disk "$VM" sdk
                scsi=''
            else
                expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/scsi.raw,TARGET=sdk,CACHE=writeback"
                scsi=1
            fi
            ;;
        nic)
            if [[ $nics == *" $number "* ]]; then
                expect 0 vml --timeout 60 detach nic "$VM" "52:54:00:77:00:0$number"
                nics=${nics/" $number "/}
            else
                expect 0 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,MAC=52:54:00:77:00:0$number"
                nics+=" $number "
                await 30 has_mac "52:54:00:77:00:0$number"
            fi
            ;;
        made)
            if [[ $made ]]; then
                expect 0 vml --timeout 60 detach disk "$VM" vdm
                made=''
            else
                expect 0 vml attach disk "$VM" --disk "TYPE=fs,SIZE=1,TARGET=vdm"
                made=' vdm '
                await 30 has_disk_count "$(($(wc -w <<<"$disks$made") + 1))"
            fi
            ;;
        share)
            if [[ $share ]]; then
                expect 0 vml --timeout 60 detach fs "$VM" share
                share=''
            else
                expect 0 vml attach fs "$VM" --fs "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"
                share=1
            fi
            ;;
        card) expect 0 vml update nic "$VM" "${VM}c" --nic "LINK=$( ((number % 2)) && echo up || echo down),BRIDGE=$( ((number / 2)) && echo "$BRIDGE" || echo "${BRIDGE}o")" ;;
        weight) expect 0 vml resize "$VM" --cpu $((number + 1)) ;;
        limits) expect 0 vml update disk "$VM" vdb --disk "TOTAL_IOPS_SEC=$((number ? 1000 * (number + 2) : 0))" ;;
        medium) if ((number)); then expect 0 vml change-media "$VM" hdc "$ROOT/$((number % 2)).iso"; else expect 0 vml change-media "$VM" hdc --eject; fi ;;
        grow) expect 0 vml resize-disk "$VM" vdb "$((i + 2)) MiB" ;;
        modules) expect 0 vml --timeout 60 resize "$VM" --memory $((256 + 128 * (number % 2))) ;;
        balloon) expect 0 vml --timeout 60 balloon "$VM" $((256 - 8 * number)) ;;
        virtio-mem) expect 0 vml --timeout 60 resize "$VM" --memory $((256 + 64 * number)) ;;
        esac
        # The whole comparison asks QEMU some forty questions.
        ((i % 5)) || all_agree "step $i, $kind"
    done
    for disk in $disks; do expect 0 vml --timeout 60 detach disk "$VM" "$disk"; done
    [[ ! $scsi ]] || expect 0 vml --timeout 60 detach disk "$VM" sdk
    [[ ! $made ]] || expect 0 vml --timeout 60 detach disk "$VM" vdm
    [[ ! $share ]] || expect 0 vml --timeout 60 detach fs "$VM" share
    for number in $nics; do expect 0 vml --timeout 60 detach nic "$VM" "52:54:00:77:00:0$number"; done
    for kind in "$@"; do
        case $kind in
        card) expect 0 vml update nic "$VM" "${VM}c" --nic "LINK=up,BRIDGE=$BRIDGE" ;;
        weight) expect 0 vml resize "$VM" --cpu 1 ;;
        limits) expect 0 vml update disk "$VM" vdb --disk TOTAL_IOPS_SEC=1000 ;;
        medium) expect 0 vml change-media "$VM" hdc "$ROOT/0.iso" ;;
        modules | virtio-mem) expect 0 vml --timeout 60 resize "$VM" --memory 256 ;;
        balloon) expect 0 vml --timeout 60 balloon "$VM" 256 ;;
        esac
    done
    all_agree "the last step of devices"
    for k in $((2 + RANDOM % 3)) 1; do
        expect 0 vml --timeout 60 resize "$VM" --vcpu "$k"
        all_agree "$k vCPUs"
    done
    for ((k = 0; k < 100; k++)); do
        [[ $(holdings) != "$before" ]] || break
        sleep 0.1
    done
    ((k < 100)) || fail "left behind: $(diff <(echo "$before") <(holdings))"
    ended
}
has_disk_count() { [[ $(disks_in_guest | grep -c '^/dev/vd') == "$1" ]]; }
# What steps are made with; further lines of the template.
run_for_steps() {
    need_root
    truncate -s 1M "$ROOT/0.iso" "$ROOT/1.iso" "$ROOT/own.raw" "$ROOT/scsi.raw"
    mkdir -m 755 "$ROOT/share"
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'Q35_ROOT_PORTS = "24"' >"$ROOT/etc/vmlaunch/host.conf"
    ip link add "${BRIDGE}o" type bridge
    trap 'ip link del "${BRIDGE}o"' EXIT
    running "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}c\", LINK = \"up\" ]" \
        "DISK = [ SOURCE = \"$ROOT/own.raw\", TARGET = \"vdb\", TOTAL_IOPS_SEC = \"1000\" ]" \
        "DISK = [ SOURCE = \"$ROOT/0.iso\", TYPE = \"cdrom\", TARGET = \"hdc\" ]" 'VCPU = "1"' 'VCPU_MAX = "4"' "$@"
}
test_random_steps_end_where_they_began_on_q35() {
    run_for_steps 'MEMORY_MAX = "512"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' 'MEMORY_SLOTS = "2"'
    random_steps "$((STEPS / 3 + 1))" scsi nic card made weight limits medium grow modules
}
test_random_steps_end_where_they_began_on_pc() {
    MACHINE=pc
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    run_for_steps 'MEMORY_MAX = "256"' 'TOPOLOGY = [ MEMORY_ACCESS = "shared" ]'
    random_steps "$((STEPS / 3 + 1))" scsi nic card share weight limits medium grow balloon
}
test_random_steps_with_virtio_mem_end_where_they_began() {
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    run_for_steps 'MEMORY_MAX = "512"' 'MEMORY_RESIZE_MODE = "VIRTIO_MEM"'
    random_steps "$((STEPS / 3))" scsi nic made weight limits medium grow virtio-mem
}

run_tests "$@"
