#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2153,SC2154 # variables of the file that sources it
# Lives of the crash matrix that are one change of a running VM each: what is asked, and what is to be read in live.tmpl once
# it is done. Whoever dies, all of it is there or nothing; what a client was told is true; QEMU, live.tmpl, journal and record
# agree (check_change of crash_checks.sh).

CHANGES="attach detach attach-nic detach-nic update-nic join-switch leave-switch attach-made detach-made attach-fs detach-fs attach-pci detach-pci attach-usb detach-usb
    grow shrink balloon update-disk limit-disk lift-limits update-vm media eject grow-disk asked"

# Devices that the host has not, bridges, also of Open vSwitch; who has nowhere to make them up has no lives of theirs.
change_host() {
    way_out
    ip link add "${BRIDGE}o" type bridge
    if has_switch; then
        switch_begin
    else
        CHANGES=${CHANGES/join-switch leave-switch/}
        LIVES=${LIVES/join-switch leave-switch/}
    fi
    if made_up_host; then
        unlimited
    else
        CHANGES=$(tr ' ' '\n' <<<"$CHANGES" | grep -vE '(pci|usb)$' | xargs)
        LIVES=$(tr ' ' '\n' <<<"$LIVES" | grep -vE '(pci|usb)$' | xargs)
    fi
}
# Each of the VMs at one time has devices of its own: group and number $DEVICE, 2 to 9.
change_devices() { # SHARE
    DEVICE=$(($1 + 2)) GROUP_NODE=/dev/vfio/3$(($1 + 2))
    if mountpoint -q /dev && [[ -d /dev/vfio && ! -e $GROUP_NODE && -e /dev/memlock ]]; then
        vfio_group "3$DEVICE"
        pci_device "0000:5e:0$DEVICE.0" 8086 1563 0200 vfio-pci "3$DEVICE"
        usb_device 1 "1.$DEVICE" "$DEVICE" 0000 0000
    elif [[ -e $GROUP_NODE ]]; then
        # After a cell that went wrong.
        chown 0 "$GROUP_NODE"
    fi
}
# Of the template: room for all of them.
change_lines() {
    truncate -s 1M "$ROOT/one.iso" "$ROOT/two.iso"
    mkdir -m 755 "$ROOT/share"
    # Both vCPUs of the stand-in are one thread.
    printf '%s\n' 'CPUTUNE = [ QUOTA = "150000", VCPUPIN = "0-1:0" ]' 'VCPU = "1"' 'VCPU_MAX = "2"' 'MEMORY_MAX = "512"' 'TOPOLOGY = [ MEMORY_ACCESS = "shared" ]' \
        "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\", TARGET = \"hdb\", READONLY = \"yes\" ]"
}

life_attach() { verb -q attach disk "$VM" --disk "SOURCE=$ROOT/extra.img,TARGET=vdz"; }
before_detach() { before attach disk "$VM" --disk "SOURCE=$ROOT/extra.img,TARGET=vdz"; }
life_detach() { verb -q detach disk "$VM" vdz; }
life_attach_nic() { verb -q attach nic "$VM" --nic "BRIDGE=$BRIDGE,TARGET=${VM}k"; }
before_detach_nic() { before attach nic "$VM" --nic "BRIDGE=$BRIDGE,TARGET=${VM}k"; }
life_detach_nic() { verb -q detach nic "$VM" "${VM}k"; }
# Bridge and link.
life_update_nic() { verb -q update nic "$VM" "${VM}n" --nic "BRIDGE=${BRIDGE}o,LINK=down"; }
life_join_switch() { verb -q update nic "$VM" "${VM}n" --nic "BRIDGE=ovs0,BRIDGE_TYPE=openvswitch,VLAN_ID=20"; }
before_leave_switch() { before update nic "$VM" "${VM}n" --nic "BRIDGE=ovs0,BRIDGE_TYPE=openvswitch,VLAN_ID=20"; }
life_leave_switch() { verb -q update nic "$VM" "${VM}n" --nic "BRIDGE=$BRIDGE,BRIDGE_TYPE=linux,VLAN_ID=\"\""; }
MADE=TYPE=fs,SIZE=1,TARGET=vdy,PERSISTENT=yes
# What an earlier life was told to keep is there still.
before_attach_made() { rm -rf "$ROOT/var/lib/vmlaunch/$VM/overlays"; }
life_attach_made() { verb -q attach disk "$VM" --disk "$MADE"; }
# What is kept stays when it goes, so here it is not.
before_detach_made() {
    before_attach_made
    before attach disk "$VM" --disk "${MADE%,*}"
}
life_detach_made() { verb -q detach disk "$VM" vdy; }
life_attach_fs() { verb -q attach fs "$VM" --fs "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"; }
before_detach_fs() { before attach fs "$VM" --fs "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"; }
life_detach_fs() { verb -q detach fs "$VM" share; }
life_attach_pci() { verb -q attach pci "$VM" --pci "ADDRESS=0000:5e:0$DEVICE.0"; }
before_detach_pci() { before attach pci "$VM" --pci "ADDRESS=0000:5e:0$DEVICE.0"; }
life_detach_pci() { verb -q detach pci "$VM" "0000:5e:0$DEVICE.0"; }
life_attach_usb() { verb -q attach usb "$VM" --usb "BUS=1,PORT=1.$DEVICE"; }
before_detach_usb() { before attach usb "$VM" --usb "BUS=1,PORT=1.$DEVICE"; }
life_detach_usb() { verb -q detach usb "$VM" "1-1.$DEVICE"; }
# A device and a weight.
life_grow() { verb -q resize "$VM" --vcpu 2 --cpu 0.5; }
before_shrink() { before resize "$VM" --vcpu 2; }
life_shrink() { verb -q resize "$VM" --vcpu 1; }
life_balloon() { verb -q balloon "$VM" 200; }
life_update_disk() { verb -q update disk "$VM" vda --disk TOTAL_IOPS_SEC=300; }
# A filter and its group that come, and go.
life_limit_disk() { verb -q update disk "$VM" hdb --disk TOTAL_IOPS_SEC=500; }
before_lift_limits() { before update disk "$VM" hdb --disk TOTAL_IOPS_SEC=500; }
life_lift_limits() { verb -q update disk "$VM" hdb --disk TOTAL_IOPS_SEC=0; }
# One that goes and one that comes, a fragment each; the last is the weight's.
life_update_vm() {
    sed -e "s#^CPU = .*#CPU = \"2\"#" -e "s#^DISK = .*hdb.*#&\nDISK = [ SOURCE = \"$ROOT/extra.img\", TARGET = \"vdz\" ]#" "$TEMPLATE" >"$ROOT/other.tmpl"
    verb -q update "$VM" -f "$ROOT/other.tmpl"
}
life_media() { verb -q change-media "$VM" hdb "$ROOT/two.iso"; }
life_eject() { verb -q change-media "$VM" hdb --eject; }
# What an operator's client sends.
life_asked() { verb -q qmp "$VM" '{"execute":"vmlaunch-apply","arguments":{"change":{"vector":"DISK","which":"vda","set":[{"attribute":"TOTAL_IOPS_SEC","value":"400"}]}}}'; }
life_grow_disk() { verb -q resize-disk "$VM" vda "2 MiB"; }

before() { vml -q "$@" || fail "$WHERE: the change before: $*"; }

# there LIFE: what the change makes is in live.tmpl (of one that takes away: what it has to take).
there() {
    local live=$RUN_DIR/$VM/live.tmpl
    case $1 in
    attach | detach | update-vm) grep -q 'TARGET = "vdz"' "$live" ;;
    attach-nic | detach-nic) grep -q "TARGET = \"${VM}k\"" "$live" ;;
    update-nic) grep -q 'LINK = "down"' "$live" ;;
    join-switch) grep -q 'BRIDGE = "ovs0"' "$live" ;;
    leave-switch) ! grep -q 'BRIDGE = "ovs0"' "$live" ;;
    attach-made | detach-made) grep -q 'TARGET = "vdy"' "$live" ;;
    attach-fs | detach-fs) grep -q 'TARGET = "share"' "$live" ;;
    attach-pci | detach-pci) grep -q "ADDRESS = \"0000:5e:0$DEVICE.0\"" "$live" ;;
    attach-usb | detach-usb) grep -q "PORT = \"1.$DEVICE\"" "$live" ;;
    grow | shrink) grep -q 'VCPU_PLUGGED = "1"' "$live" ;;
    balloon) grep -q 'MEMORY = "200 MiB"' "$live" ;;
    update-disk) grep -q 'TOTAL_IOPS_SEC = "300"' "$live" ;;
    limit-disk | lift-limits) grep -q 'TOTAL_IOPS_SEC = "500"' "$live" ;;
    asked) grep -q 'TOTAL_IOPS_SEC = "400"' "$live" ;;
    media) grep -q 'two.iso' "$live" ;;
    eject) ! grep -q 'one.iso' "$live" ;;
    grow-disk) qemu_says query-block | jq -e '.return[] | select(.qdev | test("disk0")) | .inserted.image."virtual-size" == 2097152' >/dev/null ;;
    esac
}

# check_told LIFE: what the client was told, what is written down, and what the host has are the same.
check_told() {
    local changed=no takes=no
    ! there "$1" || changed=yes
    [[ $1 != detach* && $1 != shrink && $1 != lift-limits ]] || takes=yes
    if [[ $CLIENT_STATUS == 0 ]]; then
        [[ $changed != "$takes" ]] || fail "$WHERE: told that it is done, and it is not"
    fi
    case $1 in
    attach-nic | detach-nic)
        if ip link show "${VM}k" >/dev/null 2>&1; then
            [[ $changed == yes ]] || fail "$WHERE: a tap of nobody"
        else
            [[ $changed == no ]] || fail "$WHERE: it has no tap"
        fi
        ;;
    update-nic) assert_eq "$(ip -j -d link show "${VM}n" | jq -r '.[0].master')" "$([[ $changed == yes ]] && echo "${BRIDGE}o" || echo "$BRIDGE")" "$WHERE: changed: $changed, bridge" ;;
    join-switch) assert_eq "$(place_of "${VM}n")" "$([[ $changed == yes ]] && echo "none ovs0 20" || echo "$BRIDGE")" "$WHERE: changed: $changed, place" ;;
    leave-switch) assert_eq "$(place_of "${VM}n")" "$([[ $changed == no ]] && echo "none ovs0 20" || echo "$BRIDGE")" "$WHERE: changed: $changed, place" ;;
    attach-made | detach-made) assert_eq "$(find "$ROOT/var/lib/vmlaunch/$VM/overlays" -type f 2>/dev/null | wc -l)" "$([[ $changed == yes ]] && echo 1 || echo 0)" "$WHERE: changed: $changed, images that were made" ;;
    attach-fs | detach-fs)
        local i n=0
        [[ $changed == no ]] || n=1
        for ((i = 0; i < 500; i++)); do
            [[ $(share_helpers | wc -l) != "$n" ]] || break
            nap 0.02
        done
        ((i < 500)) || fail "$WHERE: changed: $changed, processes of virtiofsd: $(share_helpers | wc -l)"
        ;;
    attach-pci | detach-pci) assert_match "$(owner "$GROUP_NODE") $(memlock)" "^$([[ $changed == yes ]] && echo "$VM_UID 1610612736" || echo "0 (8388608)?")\$" "$WHERE: changed: $changed, owner of the group and memory that may be locked" ;;
    grow)
        # Both or none.
        [[ $(weight) == "$([[ $changed == yes ]] && echo 512 || echo 1024)" ]] || fail "$WHERE: changed: $changed, and the weight is $(weight)"
        ;;
    media)
        assert_eq "$(is_locked one.iso) $(is_locked two.iso)" "$([[ $changed == yes ]] && echo no yes || echo yes no)" "$WHERE: changed: $changed, locks of both media"
        ;;
    eject) assert_eq "$(is_locked one.iso)" "$([[ $changed == yes ]] && echo no || echo yes)" "$WHERE: changed: $changed, lock of the medium" ;;
    esac
}
# Whose root or directory it is: virtiofsd changes its root to it.
share_helpers() {
    local pid
    for pid in $(pgrep -x virtiofsd); do
        [[ $(readlink "/proc/$pid/root") != "$ROOT/share" && $(readlink "/proc/$pid/fd/4") != "$ROOT/share" ]] || echo "$pid"
    done
}
# Of a VM that has ended.
place_of() {
    local port
    port="$(vsctl port-to-br "$1" 2>/dev/null) $(vsctl get Port "$1" tag 2>/dev/null)"
    echo "$(ip -j -d link show "$1" | jq -r '.[0].master // "none"')${port:+ $port}" | sed 's/ *$//'
}
change_residue() {
    [[ ! -S $OVS/db.sock ]] || vsctl list-ports ovs0 | grep -x "${VM}n" | sed 's/^/port: /'
    share_helpers | sed 's/^/virtiofsd: /'
    [[ ! -e $GROUP_NODE || $(owner "$GROUP_NODE") == 0 ]] || echo "$GROUP_NODE is of uid $(owner "$GROUP_NODE")"
}
weight() { group_dirs | while read -r i; do cat "$i/$CPU_FILE" 2>/dev/null || true; done; }
# Held by somebody: who dies before he has removed the file of a lock holds it no more.
is_locked() {
    local file
    file=$(compgen -G "$RUN_DIR/images/*-$(stat -c %i "$ROOT/$1")") || true
    if [[ $file ]] && grep -q ":$(stat -c %i "$file") " /proc/locks; then echo yes; else echo no; fi
}
