#!/usr/bin/env bash
# Changes of a running VM by the verbs, seen inside a real guest.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"

# A guest that runs and answers; $RUN_DIR and its QEMU.
running() { # [LINES...]
    need_root
    template "$@"
    start_ready
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
}
ended() { expect 0 vml destroy "$VM"; }
in_guest() { vml agent "$VM" raw "$@"; }
# What QEMU, live.tmpl and the record say of each other.
all_agree() {
    local differences
    differences=$(vml -o json status "$VM" --compare | jq -c .differences)
    [[ $differences == '[]' ]] || fail "after $1: $differences"
}
# Everything that a change could leave behind.
holdings() {
    vml qmp "$VM" '{"execute":"query-named-block-nodes"}' | jq -r '.return[]."node-name"' | sort
    vml qmp "$VM" '{"execute":"query-fdsets"}' | jq -c '[.return[] | ."fdset-id", (.fds | length)]'
    vml qmp "$VM" '{"execute":"query-chardev"}' | jq -r '.return[].label' | sort
    vml qmp "$VM" '{"execute":"qom-list","arguments":{"path":"/machine/peripheral"}}' | jq -r '.return[].name' | sort
    vml qmp "$VM" '{"execute":"qom-list","arguments":{"path":"/objects"}}' | jq -r '.return[].name' | sort
    find "/proc/$QEMU/fd" -type l -printf '%l\n' | sed -E 's/:\[[0-9]+\]//' | sort | uniq -c
    find "/proc/$(status_of supervisor_pid)/fd" -type l -printf '%l\n' | sed -E 's/:\[[0-9]+\]//' | sort | uniq -c
    ip -o link show | awk -F': ' '{ print $2 }' | sort
    find "$ROOT/run/vmlaunch/images" -type f | sort
    wc -l <"$RUN_DIR/journal"
    grep -v '^#' "$RUN_DIR/live.tmpl"
}
disks_in_guest() { in_guest '{"execute":"guest-get-disks"}' | jq -r '.. | .name? // empty' | sort -u; }
has_disk() { disks_in_guest | grep -qx "/dev/$1"; }
has_no_disk() { ! has_disk "$1"; }
macs_in_guest() { in_guest '{"execute":"guest-network-get-interfaces"}' | jq -r '.. | ."hardware-address"? // empty'; }
has_mac() { macs_in_guest | grep -qx "$1"; }
has_no_mac() { ! has_mac "$1"; }

disks_and_nics_come_and_go() {
    qemu-img create -q -f raw "$ROOT/one.raw" 16M
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 24M
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$ROOT/top.qcow2"
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/} # for drivers of SCSI
    running "NIC = [ BRIDGE_TYPE = \"user\" ]"
    local before after
    before=$(holdings)

    # A virtio disk with its backing file, of whose locks this VM is the holder.
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/top.qcow2,TARGET=vdb"
    assert_match "$OUT" "attached disk0 vdb of '$VM' at" "attach"
    await 10 has_disk vda
    all_agree "attach of a virtio disk"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'TARGET = "vdb"'
    [[ $(find "$ROOT/run/vmlaunch/images" -type f | wc -l) == 2 ]] || fail "locks: $(ls "$ROOT/run/vmlaunch/images")"
    # QEMU alone has the images open.
    assert_eq "$(find /proc/[0-9]*/fd -lname "$ROOT/top.qcow2" 2>/dev/null | cut -d/ -f3 | sort -u)" "$QEMU" "who has the image open"

    # A SCSI disk brings its controller.
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/one.raw,DEV_PREFIX=sd,CACHE=writeback"
    await 10 has_disk sda
    all_agree "attach of a SCSI disk"

    # A NIC with a tap in the bridge.
    expect 0 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,MAC=52:54:00:11:22:33"
    await 10 has_mac 52:54:00:11:22:33
    assert_contains "$(ip -d link show "$VM-1")" "master $BRIDGE"
    all_agree "attach of a NIC"

    # The first disk goes, the second keeps its name.
    expect 0 vml detach disk "$VM" vdb
    await 10 has_no_disk vda
    all_agree "detach of the first disk"
    expect 0 vml -o json status "$VM"
    assert_eq "$(jq -r '.devices[] | select(.target == "sda").id' <<<"$OUT")" disk1 "id of the second disk"
    expect 0 vml detach nic "$VM" 52:54:00:11:22:33
    await 10 has_no_mac 52:54:00:11:22:33
    if ip link show "$VM-1" >/dev/null 2>&1; then fail "the tap is still there"; fi
    expect 0 vml detach disk "$VM" 1
    await 10 has_no_disk sda
    all_agree "detach of all"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    ended
}
test_disks_and_nics_come_and_go_on_q35() { disks_and_nics_come_and_go; }
test_disks_and_nics_come_and_go_on_pc() {
    MACHINE=pc
    disks_and_nics_come_and_go
}

test_what_cannot_be_attached_changes_nothing() {
    truncate -s 1M "$ROOT/a.raw" "$ROOT/b.raw"
    running "DISK = [ SOURCE = \"$ROOT/a.raw\", TARGET = \"vda\" ]" "NIC = [ BRIDGE_TYPE = \"user\" ]"
    local before
    before=$(holdings)
    refused() { # STATUS WORDS VERB...
        local status=$1 words=$2
        shift 2
        expect "$status" vml "$@"
        assert_contains "$ERR" "$words" "$*"
        local after
        after=$(holdings)
        [[ $after == "$before" ]] || fail "'$*' has changed: $(diff <(echo "$before") <(echo "$after"))"
    }
    refused 6 "DISK/TARGET: 'vda' is also the disk" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vda"
    refused 6 "is an image of disk 0 already" attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    refused 6 "it does not exist" attach disk "$VM" --disk "SOURCE=$ROOT/none.raw"
    refused 6 "DISK/CACHE: 'foo'" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,CACHE=foo"
    refused 6 "DISK/NOSUCH: no such key" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,NOSUCH=1"
    refused 2 "either --disk" attach disk "$VM"
    refused 2 "there is no kind of device 'table'" attach table "$VM" --disk "SOURCE=$ROOT/b.raw"
    refused 1 "it has no disk 'vdz'" detach disk "$VM" vdz
    refused 0 "" attach disk "$VM" --plan --disk "SOURCE=$ROOT/b.raw,TARGET=vdb"
    assert_contains "$OUT" "device_add"
    # Another VM's image.
    flock_holder() { "$VMLAUNCH" --root "$ROOT" start "$ROOT/other.tmpl"; }
    printf 'NAME = "%s"\nMEMORY = "32"\nACCEL = "tcg"\nDISK = [ SOURCE = "%s", TARGET = "vda" ]\n' "o$VM" "$ROOT/b.raw" >"$ROOT/other.tmpl"
    expect 0 flock_holder
    before=$(holdings)
    refused 9 "is in use by VM 'o$VM'" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vdb"
    expect 0 vml destroy "o$VM"
    ended
}

test_guest_that_does_not_let_go_is_asked_again() {
    truncate -s 1M "$ROOT/a.raw"
    running
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    await 10 has_disk vda
    # A paused guest does not answer.
    expect 0 vml suspend "$VM"
    expect 7 vml --timeout 1 detach disk "$VM" vdb
    assert_contains "$ERR" "it is unplug-pending"
    assert_eq "$(vml -o json status "$VM" | jq -r '.devices[] | select(.id == "disk0").state')" unplug-pending "state"
    # Its backend is still there: what goes, goes with the guest's consent.
    vml qmp "$VM" '{"execute":"query-named-block-nodes"}' | grep -q disk0-format || fail "the backend was lost"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'TARGET = "vdb"'
    # A successor of the supervisor knows of it, too.
    local supervisor
    supervisor=$(status_of supervisor_pid)
    kill -9 "$supervisor"
    await 5 status_is_not supervisor_pid "$supervisor"
    await 5 status_is state paused
    expect 0 vml resume "$VM"
    gone() { [[ $(vml -o json status "$VM" | jq '[.devices[] | select(.id == "disk0")] | length') == 0 ]]; }
    await 10 gone
    all_agree "a late event"
    [[ -z $(find "$ROOT/run/vmlaunch/images" -type f) ]] || fail "a lock is left"
    ended
}

run_tests "$@"
