#!/usr/bin/env bash
# update of a running VM: what it says is what it does, and live.tmpl is what QEMU has. The real QEMU, whose guest does nothing.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

# One whose guest is of no help: it is stopped in its first moments.
stopped() { # [LINES...]
    need_root
    qemu-img create -q -f qcow2 "$ROOT/a.qcow2" 8M
    qemu-img create -q -f qcow2 "$ROOT/b.qcow2" 8M
    qemu-img create -q -f qcow2 "$ROOT/c.qcow2" 8M
    template 'DISK = [ SOURCE = "a.qcow2", TARGET = "vda", TOTAL_IOPS_SEC = "1000" ]' 'DISK = [ TYPE = "cdrom", TARGET = "hda" ]' "$@"
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    CONFIG=$ROOT/etc/vmlaunch/vms/$VM.tmpl
    sed "s#\"\([abc].qcow2\)#\"$ROOT/\1#" "$TEMPLATE" >"$CONFIG"
    expect 0 vml start "$VM"
    expect 0 vml suspend "$VM"
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
}
live() { cat "$RUN_DIR/live.tmpl"; }

test_update_of_a_device_says_what_it_does() {
    stopped 'NIC = [ BRIDGE = "'"$BRIDGE"'" ]'
    local before
    before=$(live)
    # Not now.
    expect 6 vml update disk "$VM" vda --disk "SOURCE=$ROOT/b.qcow2"
    assert_contains "$ERR" "DISK[0]/SOURCE" "another image"
    assert_contains "$ERR" "changes at the next start" "another image"
    expect 6 vml update disk "$VM" vda --disk TARGET=vdq
    assert_contains "$ERR" "nothing of it changes while the VM runs" "another name"
    expect 0 vml update disk "$VM" vda --disk TARGET=vda
    assert_contains "$OUT" "it is so already"
    # The bus of another model is another one.
    expect 6 vml update nic "$VM" 0 --nic MODEL=e1000
    assert_contains "$ERR" "driver of 'nic0' changes at the next start"
    assert_eq "$(live)" "$before" "live.tmpl"
    # With --config what can be now is now, and nothing else is in live.tmpl.
    expect 0 vml update disk "$VM" vda --disk TOTAL_IOPS_SEC=70,TOTAL_IOPS_SEC_MAX=100,CACHE=writeback --config --live
    assert_contains "$ERR" "cache of 'disk0-file' changes at the next start"
    assert_eq "$(qemu_says qom-get '{"path":"/objects/disk0-limits","property":"limits"}' |
        jq -c '.return | [."iops-total", ."iops-total-max"]')" "[70,100]" limits
    expect 0 vml update nic "$VM" 0 --nic MODEL=e1000 --config --live
    assert_contains "$OUT" "updated 0 of '$VM', at the next start"
    assert_contains "$(live)" 'CACHE = "none"'
    assert_contains "$(live)" 'MODEL = "virtio"'
    assert_contains "$(<"$CONFIG")" 'CACHE = "writeback"'
    assert_contains "$(<"$CONFIG")" 'MODEL = "e1000"'
    all_agree "updates"
    # Who is asked to unmount it is asked for a reason.
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/b.qcow2,TARGET=vdb"
    expect 6 vml change-media "$VM" hda "$ROOT/b.qcow2"
    [[ $ERR != *"unmount it"* ]] || fail "change-media: $ERR"
    ended
}

sizes() { printf '%s %s' "$(vml -o json status "$VM" | jq '[.devices[] | select(.kind == "cpu" or .kind == "vcpu")] | length')" "$(qemu_says query-memory-size-summary | jq '.return | (."plugged-memory" / 1048576)')"; }
# What a template says of vCPUs and memory counts as how much there shall be, however it came.
test_a_template_says_how_much_there_shall_be() {
    stopped 'VCPU = "1"' 'VCPU_MAX = "4"' 'MEMORY_MAX = "1024"' 'MEMORY_SLOTS = "4"' 'MEMORY_RESIZE_MODE = "HOTPLUG"'
    expect 0 vml resize "$VM" --vcpu 2 --memory 512 --config --live
    expect 0 vml dump "$VM" --diff
    assert_contains "$OUT" "it is as the template says" "after a resize"
    expect 0 vml update "$VM" --file "$CONFIG"
    assert_eq "$(sizes)" "1 256" "after an update to what there is"
    sed -i -e 's/^VCPU = .*/VCPU = "3"/' -e 's/^MEMORY = .*/MEMORY = "768"/' "$CONFIG"
    expect 0 vml update "$VM" --file "$CONFIG"
    assert_match "$OUT" "VCPU_PLUGGED +1 +2 +done" "more"
    assert_match "$OUT" "DIMM +none +there +done" "more"
    assert_eq "$(sizes)" "2 512" "after an update to more"
    # What no module makes is for the next start, and takes none away: also where no room is left beside those there are.
    for size in 700 900; do
        sed -i -e "s/^MEMORY = .*/MEMORY = \"$size\"/" "$CONFIG"
        expect 0 vml update "$VM" --file "$CONFIG"
        assert_match "$OUT" "MEMORY +256 MiB +$size MiB +next start" "what no module makes"
        [[ $OUT != *DIMM* ]] || fail "a module: $OUT"
        assert_eq "$(sizes)" "2 512" "after an update to what no module makes"
    done
    expect 1 vml resize "$VM" --memory 900
    assert_contains "$ERR" "resize --config: from the next start on"
    # Less: the last module, which this guest keeps.
    sed -i -e 's/^MEMORY = .*/MEMORY = "512"/' "$CONFIG"
    expect 0 vml update "$VM" --file "$CONFIG" --plan
    assert_match "$OUT" "DIMM +there +none +update can do it now" "less"
    all_agree "updates"
    ended
}

# After a vCPU has gone an emulated machine of QEMU 7.2 takes nothing more: it goes last, and that is told.
test_vcpus_go_last() {
    faked 'VCPU = "1"' 'VCPU_MAX = "4"' 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"'
    cp "$TEMPLATE" "$ROOT/next.tmpl"
    truncate -s 1M "$ROOT/new.raw"
    echo "DISK = [ SOURCE = \"$ROOT/new.raw\", TARGET = \"vda\" ]" >>"$ROOT/next.tmpl"
    expect 0 vml resize "$VM" --vcpu 2 --memory 512
    expect 0 vml update "$VM" --file "$ROOT/next.tmpl"
    assert_contains "$ERR" "crashes when vCPUs or memory change after a vCPU has gone"
    assert_match "$OUT" "VCPU_PLUGGED +1 +0 +done"
    vml -o json log --wire "$VM" | jq -r 'select(.channel == "qmp" and .direction == "sent") | .text' |
        jq -r 'select(.execute | test("^device_(add|del)$")) | .execute + " " + .arguments.id' | tail -3 >"$WORK/order"
    assert_eq "$(tr '\n' ',' <"$WORK/order")" "device_del dimm0,device_add disk0,device_del cpu1," "what came and went"
    ended
}

# One template with much that changes: each thing in its own way, and what cannot be is said.
test_a_whole_template_with_much_that_changes() {
    stopped 'SOUND = [ MODEL = "sb16" ]' 'BALLOON = [ MODEL = "virtio" ]'
    expect 0 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,IP=192.0.2.7,NETWORK_ADDRESS=192.0.2.0"
    assert_contains "$(live)" 'IP = "192.0.2.7"'
    sed -i '/^SOUND/d' "$CONFIG"
    qemu-img create -q -f raw "$ROOT/shared.raw" 8M
    printf '%s\n' "NIC = [ BRIDGE = \"$BRIDGE\", IP = \"192.0.2.7\", NETWORK_ADDRESS = \"192.0.2.0\" ]" \
        "DISK = [ SOURCE = \"$ROOT/shared.raw\", TARGET = \"sda\", PERSISTENT_TYPE = \"shareable\", CACHE = \"none\", ORDER = \"1\" ]" \
        "DISK = [ SOURCE = \"$ROOT/missing.raw\", TARGET = \"sdb\" ]" \
        'FEATURES = [ MIGRATE_COMPRESSED = "yes" ]' 'SCHED_RANK = "1"' >>"$CONFIG"
    expect 0 vml update "$VM" --file "$CONFIG"
    assert_contains "$ERR" "known and without effect here: SCHED_RANK"
    assert_match "$OUT" "DISK sda +none +there +done" "a shared disk, its place in the boot order taken"
    assert_match "$OUT" "DISK sdb +none +there +impossible" "no image"
    assert_contains "$ERR" "missing.raw': it does not exist"
    assert_match "$OUT" "FEATURES MIGRATE_COMPRESSED +no +yes +next start" "how it migrates"
    assert_match "$OUT" "SOUND +there +none +next start" "an ISA device"
    all_agree "an update"
    ended
}

# A guest that keeps one device holds up no other.
test_a_pending_detach_holds_up_no_other() {
    stopped 'DISK = [ SOURCE = "c.qcow2", TARGET = "sda" ]'
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/b.qcow2,TARGET=vdb"
    qemu-img create -q -f qcow2 "$ROOT/d.qcow2" 8M
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/d.qcow2,TARGET=sdb"
    expect 7 vml detach disk "$VM" vdb --timeout 1
    assert_contains "$ERR" "unplug-pending"
    expect 9 vml resize-disk "$VM" vdb 16
    assert_contains "$ERR" "(detach disk vdb) is not yet done: the guest keeps the device"
    # A SCSI disk asks no guest.
    expect 0 vml detach disk "$VM" sdb --timeout 5
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/d.qcow2,TARGET=sdb"
    ended
}

run_tests "$@"
