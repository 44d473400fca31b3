#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2153,SC2154 # variables of the file that sources it
# Lives of the crash matrix that are one change of a running VM each: what is asked, and what is to be read in live.tmpl once
# it is done. Whoever dies, all of it is there or nothing; what a client was told is true; QEMU, live.tmpl, journal and record
# agree (check_change of crash_matrix.sh).

CHANGES="attach detach attach-nic detach-nic grow shrink balloon update-disk update-vm media eject grow-disk"

# Of the template: room for all of them.
change_lines() {
    truncate -s 1M "$ROOT/one.iso" "$ROOT/two.iso"
    # Both vCPUs of the stand-in are one thread.
    printf '%s\n' 'CPUTUNE = [ QUOTA = "150000", VCPUPIN = "0-1:0" ]' 'VCPU = "1"' 'VCPU_MAX = "2"' 'MEMORY_MAX = "512"' \
        "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\", TARGET = \"hdb\", READONLY = \"yes\" ]"
}

life_attach() { verb -q attach disk "$VM" --disk "SOURCE=$ROOT/extra.img,TARGET=vdz"; }
before_detach() { before attach disk "$VM" --disk "SOURCE=$ROOT/extra.img,TARGET=vdz"; }
life_detach() { verb -q detach disk "$VM" vdz; }
life_attach_nic() { verb -q attach nic "$VM" --nic "BRIDGE=$BRIDGE,TARGET=${VM}k"; }
before_detach_nic() { before attach nic "$VM" --nic "BRIDGE=$BRIDGE,TARGET=${VM}k"; }
life_detach_nic() { verb -q detach nic "$VM" "${VM}k"; }
# A device and a weight.
life_grow() { verb -q resize "$VM" --vcpu 2 --cpu 0.5; }
before_shrink() { before resize "$VM" --vcpu 2; }
life_shrink() { verb -q resize "$VM" --vcpu 1; }
life_balloon() { verb -q balloon "$VM" 200; }
life_update_disk() { verb -q update disk "$VM" vda --disk TOTAL_IOPS_SEC=300; }
# One that goes and one that comes, a fragment each; the last is the weight's.
life_update_vm() {
    sed -e "s#^CPU = .*#CPU = \"2\"#" -e "s#^DISK = .*hdb.*#&\nDISK = [ SOURCE = \"$ROOT/extra.img\", TARGET = \"vdz\" ]#" "$TEMPLATE" >"$ROOT/other.tmpl"
    verb -q update "$VM" -f "$ROOT/other.tmpl"
}
life_media() { verb -q change-media "$VM" hdb "$ROOT/two.iso"; }
life_eject() { verb -q change-media "$VM" hdb --eject; }
life_grow_disk() { verb -q resize-disk "$VM" vda "2 MiB"; }

before() { vml -q "$@" || fail "$WHERE: the change before: $*"; }

# there LIFE: what the change makes is in live.tmpl (of one that takes away: what it has to take).
there() {
    local live=$RUN_DIR/$VM/live.tmpl
    case $1 in
    attach | detach | update-vm) grep -q 'TARGET = "vdz"' "$live" ;;
    attach-nic | detach-nic) grep -q "TARGET = \"${VM}k\"" "$live" ;;
    grow | shrink) grep -q 'VCPU_PLUGGED = "1"' "$live" ;;
    balloon) grep -q 'MEMORY = "200 MiB"' "$live" ;;
    update-disk) grep -q 'TOTAL_IOPS_SEC = "300"' "$live" ;;
    media) grep -q 'two.iso' "$live" ;;
    eject) ! grep -q 'one.iso' "$live" ;;
    grow-disk) qemu_says query-block | jq -e '.return[] | select(.qdev | test("disk0")) | .inserted.image."virtual-size" == 2097152' >/dev/null ;;
    esac
}

# check_told LIFE: what the client was told, what is written down, and what the host has are the same.
check_told() {
    local changed=no takes=no
    ! there "$1" || changed=yes
    [[ $1 != detach && $1 != detach-nic && $1 != shrink ]] || takes=yes
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
weight() { group_dirs | while read -r i; do cat "$i/$CPU_FILE" 2>/dev/null || true; done; }
# Held by somebody: who dies before he has removed the file of a lock holds it no more.
is_locked() {
    local file
    file=$(compgen -G "$RUN_DIR/images/*-$(stat -c %i "$ROOT/$1")") || true
    if [[ $file ]] && grep -q ":$(stat -c %i "$file") " /proc/locks; then echo yes; else echo no; fi
}
