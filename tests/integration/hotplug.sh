#!/usr/bin/env bash
# Changes of a running VM by the verbs, seen inside a real guest.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

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
    # What is under it is known before QEMU writes its header.
    assert_contains "$(<"$ROOT/var/lib/vmlaunch/$VM/machine.lock")" "BACKING = \"qcow2:$ROOT/base.qcow2\""
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

vcpus_and_memory_modules_come_and_go() {
    running 'VCPU_MAX = "4"' 'VCPU = "1"' 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' 'MEMORY_SLOTS = "2"'
    local id
    expect 0 vml resize "$VM" --vcpu 3 --memory 384
    assert_contains "$OUT" "has 3 vCPUs, 384 MiB"
    await 15 has_vcpus 3
    await 15 has_blocks 3
    all_agree "more vCPUs and memory"
    # Wrong sizes change nothing.
    expect 1 vml resize "$VM" --vcpu 5
    assert_contains "$ERR" "it has places for 4 vCPUs"
    expect 1 vml resize "$VM" --memory 400
    assert_contains "$ERR" "no multiple of 128 MiB"
    expect 1 vml resize "$VM" --memory 2048
    assert_contains "$ERR" "it can have at most 1 GiB"
    expect 0 vml resize "$VM" --memory 640
    expect 1 vml resize "$VM" --memory 768
    assert_contains "$ERR" "all 2 slots have a memory module"
    expect 1 vml resize "$VM" --memory 600
    assert_contains "$ERR" "it has 128 MiB, 256 MiB"
    all_agree "refused sizes"
    # A start from live.tmpl has the same devices.
    vml plan "$RUN_DIR/live.tmpl" --format argv >"$WORK/argv"
    for id in cpu1 cpu2 dimm0 dimm1; do grep -q "\"id\":\"$id\"" "$WORK/argv" || fail "live.tmpl starts without $id"; done
    # The module that was added last goes, then the other. QEMU 7.2 without KVM takes vCPUs out once.
    expect 0 vml resize "$VM" --memory 384
    expect 0 vml resize "$VM" --memory 256
    expect 0 vml resize "$VM" --vcpu 1
    await 15 has_vcpus 1
    await 15 has_blocks 2
    all_agree "fewer"
    assert_eq "$(grep -cE 'VCPU_PLUGGED = "[1-9]|DIMM =' "$RUN_DIR/live.tmpl")" 0 "plugged in live.tmpl"
    ended
}
test_vcpus_and_memory_modules_come_and_go_on_q35() { vcpus_and_memory_modules_come_and_go; }
test_vcpus_and_memory_modules_come_and_go_on_pc() {
    MACHINE=pc
    vcpus_and_memory_modules_come_and_go
}

test_virtio_mem_grows_and_shrinks() {
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    running 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "VIRTIO_MEM"'
    expect 0 vml --timeout 60 resize "$VM" --memory 512
    assert_eq "$(qemu_says qom-get '{"path":"/machine/peripheral/vmem0","property":"size"}' | jq .return)" $((256 << 20)) "size of vmem0"
    all_agree "growing"
    expect 1 vml resize "$VM" --memory 513
    assert_contains "$ERR" "multiples of 2 MiB"
    expect 1 vml resize "$VM" --memory 100
    assert_contains "$ERR" "it was started with 256 MiB"
    expect 0 vml --timeout 60 resize "$VM" --memory 256
    all_agree "shrinking"
    ended
}

test_balloon_gives_and_takes_and_says_what_it_reached() {
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    running 'MEMORY_MAX = "512"' 'BALLOON = [ STATS_PERIOD = "1" ]'
    expect 0 vml --timeout 60 resize "$VM" --memory 400
    expect 0 vml --timeout 60 balloon "$VM" 300
    expect 0 vml balloon "$VM"
    assert_match "$OUT" '^(299|300|301) MiB'
    all_agree "ballooning"
    grep -q 'MEMORY = "300 MiB"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    # The next start is another matter.
    expect 0 vml balloon "$VM" --config 350
    grep -q '^MEMORY = "350 MiB"' "$TEMPLATE" || fail "no MEMORY in the file: $(<"$TEMPLATE")"
    grep -q 'MEMORY = "300 MiB"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 0 vml balloon "$VM" --plan 280
    assert_contains "$OUT" 'balloon {"value":293601280}'
    expect 0 vml --timeout 60 balloon "$VM" --live --config 290
    grep -q '^MEMORY = "290 MiB"' "$TEMPLATE" || fail "no MEMORY in the file: $(<"$TEMPLATE")"
    grep -q 'MEMORY = "290 MiB"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 8 vml --timeout 2 balloon "$VM" 20
    assert_match "$ERR" "the guest was told 20 MiB, and is at [0-9]+ MiB after 2 s"
    # Asked again for what it was told already, it is looked at again.
    expect 8 vml --timeout 2 balloon "$VM" 20
    assert_match "$ERR" "the guest was told 20 MiB, and is at [0-9]+ MiB after 2 s"
    expect 1 vml balloon "$VM" 513
    assert_contains "$ERR" "it can have at most 512 MiB"
    ended
}

test_a_medium_is_changed_and_a_disk_grows() {
    truncate -s 1M "$ROOT/one.iso" "$ROOT/two.iso" "$ROOT/disk.raw"
    running "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\" ]" "DISK = [ SOURCE = \"$ROOT/disk.raw\", TARGET = \"vda\" ]"
    local before after
    before=$(holdings)
    expect 0 vml change-media "$VM" 0 "$ROOT/two.iso"
    all_agree "another medium"
    assert_eq "$(find /proc/[0-9]*/fd -lname "$ROOT/two.iso" 2>/dev/null | cut -d/ -f3 | sort -u)" "$QEMU" "who has the new one open"
    assert_eq "$(find /proc/[0-9]*/fd -lname "$ROOT/one.iso" 2>/dev/null | wc -l)" 0 "fds of the old one"
    expect 1 vml change-media "$VM" vda "$ROOT/one.iso"
    assert_contains "$ERR" "is no drive whose medium can be changed"
    expect 6 vml change-media "$VM" 0 "$ROOT/none.iso"
    assert_contains "$ERR" "vmlaunch: change-media of '$VM': DISK[0]/SOURCE: image '$ROOT/none.iso'"
    expect 1 vml resize-disk "$VM" 0 "2 MiB"
    assert_contains "$ERR" "disk '0' is a drive, whose medium keeps its size"
    expect 0 vml change-media "$VM" 0 --eject
    all_agree "an empty drive"
    expect 0 vml change-media "$VM" 0 "$ROOT/one.iso"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left: $(diff <(echo "$before") <(echo "$after"))"

    # The file of the next start alone, and both.
    expect 0 vml change-media "$VM" 0 --config "$ROOT/two.iso"
    grep -q 'SOURCE = ".*two.iso"' "$TEMPLATE" || fail "the file: $(<"$TEMPLATE")"
    grep -q 'one.iso' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 0 vml change-media "$VM" 0 --live --config "$ROOT/two.iso"
    grep -q 'two.iso' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 0 vml change-media "$VM" 0 --live --config "$ROOT/one.iso"

    expect 0 vml resize-disk "$VM" vda "8 MiB" --plan
    assert_contains "$OUT" 'block_resize {"node-name":"disk1-format","size":8388608}'
    assert_eq "$(stat -c %s "$ROOT/disk.raw")" $((1 << 20)) "size of the image"
    expect 0 vml resize-disk "$VM" vda "8 MiB"
    assert_eq "$(stat -c %s "$ROOT/disk.raw")" $((8 << 20)) "size of the image"
    grown() { tell_guest "cat /sys/block/vda/size" && [[ $SAID == *16384* ]]; }
    await 10 grown
    expect 1 vml resize-disk "$VM" vda "4 MiB"
    assert_contains "$ERR" "would cut its end off"
    ended
}

test_another_template_is_applied_as_far_as_it_can_be() {
    truncate -s 1M "$ROOT/a.raw" "$ROOT/b.raw"
    running "DISK = [ SOURCE = \"$ROOT/a.raw\", TARGET = \"vda\" ]"
    sed -e 's/^MEMORY = .*/MEMORY = "512"/' -e 's/^CPU = .*/CPU = "2"/' -e "s#$ROOT/a.raw#$ROOT/b.raw#; s/vda/vdb/" "$TEMPLATE" >"$ROOT/new.tmpl"
    expect 0 vml update "$VM" --plan -f "$ROOT/new.tmpl"
    assert_match "$OUT" "CPU +1 +2 +update can do it now"
    assert_match "$OUT" "MEMORY +256 MiB +512 MiB +next start"
    all_agree "a plan"
    expect 0 vml update "$VM" -f "$ROOT/new.tmpl"
    assert_match "$OUT" "DISK vdb +none +there +done"
    assert_match "$OUT" "DISK vda +there +none +done"
    all_agree "another template"
    assert_eq "$(cat "/sys/fs/cgroup/cpu/machine.slice/vmlaunch-$VM/cpu.shares")" 2048 "cpu.shares"
    expect 0 vml update "$VM" --plan -f "$ROOT/new.tmpl"
    assert_eq "$(wc -l <<<"$OUT")" 2 "lines of what is left"
    # A key that QEMU cannot change while it runs.
    expect 6 vml update disk "$VM" vdb --disk CACHE=writeback
    assert_contains "$ERR" "changes at the next start"
    ended
}

test_the_file_of_the_next_start_is_edited_in_place() {
    truncate -s 1M "$ROOT/a.raw"
    running '# mine, and it stays'
    expect 0 vml attach disk "$VM" --live --config --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    assert_contains "$OUT" "now and at the next start"
    grep -q '# mine, and it stays' "$TEMPLATE" || fail "a comment is gone"
    grep -q 'TARGET = "vdb"' "$TEMPLATE" || fail "the file has no disk: $(<"$TEMPLATE")"
    vml validate "$TEMPLATE" >/dev/null || fail "it does not start any more"
    expect 0 vml update disk "$VM" vdb --config --disk CACHE=unsafe
    grep -q 'CACHE = "unsafe"' "$TEMPLATE" || fail "no CACHE: $(<"$TEMPLATE")"
    expect 6 vml attach disk "$VM" --config --disk "SOURCE=$ROOT/none.raw,TARGET=vdc"
    if grep -q vdc "$TEMPLATE"; then fail "a template that does not start was written"; fi
    await 10 has_disk vda
    expect 0 vml detach disk "$VM" vdb --live --config
    if grep -q vdb "$TEMPLATE"; then fail "the disk is still in the file"; fi
    all_agree "the end"
    expect 0 vml resize "$VM" --config --memory 300 --cpu 0.5
    grep -q 'MEMORY = "300 MiB"' "$TEMPLATE" || fail "no MEMORY: $(<"$TEMPLATE")"

    # A disk that the start makes gets its size from there; an image has its own.
    size_of_vdc() { qemu_says query-block | jq '.return[] | select(.qdev | contains("disk0")) | .inserted.image."virtual-size"'; }
    expect 0 vml attach disk "$VM" --live --config --disk "TYPE=swap,SIZE=2,TARGET=vdc"
    expect 0 vml resize-disk "$VM" vdc "3 MiB" --config
    grep -q 'SIZE = "3 MiB"' "$TEMPLATE" || fail "no SIZE: $(<"$TEMPLATE")"
    assert_eq "$(size_of_vdc)" $((2 << 20)) "size that it has"
    expect 0 vml resize-disk "$VM" vdc "4 MiB" --config --plan
    expect 0 vml resize-disk "$VM" vdc "5 MiB" --config --live
    grep -q 'SIZE = "5 MiB"' "$TEMPLATE" || fail "no SIZE: $(<"$TEMPLATE")"
    assert_eq "$(size_of_vdc)" $((5 << 20)) "size that it has"
    expect 0 vml attach disk "$VM" --live --config --disk "SOURCE=$ROOT/a.raw,TARGET=vdd"
    expect 1 vml resize-disk "$VM" vdd "3 MiB" --config --live
    assert_contains "$ERR" "disk 'vdd' has no SIZE there: its image keeps the size that it has"
    assert_eq "$(stat -c %s "$ROOT/a.raw")" $((1 << 20)) "size of the image"
    all_agree "larger disks"
    ended
    expect 0 vml resize-disk "$VM" vdc "7 MiB" --config
    grep -q 'SIZE = "7 MiB"' "$TEMPLATE" || fail "no SIZE: $(<"$TEMPLATE")"
}

test_guest_on_a_full_file_system_waits_and_goes_on_by_itself() {
    need_root
    mkdir "$WORK/small"
    mount -t tmpfs -o size=6M tmpfs "$WORK/small"
    truncate -s 16M "$WORK/small/disk.raw"
    # What else is there: the guest gets room when it goes.
    head -c 4M /dev/zero >"$WORK/small/ballast"
    running "DISK = [ SOURCE = \"$WORK/small/disk.raw\", TARGET = \"vda\", CACHE = \"writeback\" ]"
    # More than there is room for; what it prints is read until the guest says that it is done.
    (tell_guest "dd if=/dev/urandom of=/dev/vda bs=64k count=64 conv=fsync 2>/dev/null; echo done" && echo "$SAID" >"$WORK/said") &
    local writer=$!
    stopped() { status_is state paused && story_has "no space left; the guest is paused until there is"; }
    await 30 stopped
    assert_contains "$(story)" "vda (disk0) cannot be written: no space left"
    # A successor of the supervisor waits on.
    local supervisor
    supervisor=$(status_of supervisor_pid)
    kill -9 "$supervisor"
    await 5 status_is_not supervisor_pid "$supervisor"
    await 5 status_is state paused
    rm "$WORK/small/ballast"
    await 40 status_is state running
    wait "$writer" || fail "the guest has not gone on"
    assert_contains "$(<"$WORK/said")" "done"
    await 10 story_has "there is space again: the guest goes on"
    assert_eq "$(du -k --apparent-size "$WORK/small/disk.raw" | cut -f1)" 16384 "size of the image"
    (($(du -k "$WORK/small/disk.raw" | cut -f1) >= 4096)) || fail "not all of it was written"
    ended
    umount "$WORK/small"
}

test_kvmrc_has_defaults_for_what_is_attached() {
    truncate -s 1M "$ROOT/a.raw" "$ROOT/b.raw"
    mkdir -p "$ROOT/etc/vmlaunch"
    printf 'DEFAULT_ATTACH_CACHE=unsafe\nDEFAULT_ATTACH_NIC_MODEL=e1000\n' >"$ROOT/etc/vmlaunch/kvmrc"
    MACHINE=pc
    running
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vda"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vdb,CACHE=none"
    expect 0 vml attach nic "$VM" --nic "BRIDGE_TYPE=user"
    qemu_says query-named-block-nodes |
        jq -e '[.return[] | select(."node-name" == "disk0-format" or ."node-name" == "disk1-format") | .cache."no-flush"] | sort == [false, true]' >/dev/null ||
        fail "cache modes: $(qemu_says query-named-block-nodes | jq -c '.return[] | [."node-name", .cache]')"
    assert_contains "$(qemu_says qom-get '{"path":"/machine/peripheral/nic0","property":"type"}')" '"e1000"'
    ended
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
    refused 6 "DISK/TARGET: 'vda' is also the disk of line" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vda"
    assert_contains "$ERR" " of live.tmpl" "where the other disk is"
    refused 6 "is an image of disk 0 already" attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    refused 6 "it does not exist" attach disk "$VM" --disk "SOURCE=$ROOT/none.raw"
    refused 6 "DISK/CACHE: 'foo'" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,CACHE=foo"
    refused 6 "DISK/NOSUCH: no such key" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,NOSUCH=1"
    refused 2 "either --disk" attach disk "$VM"
    refused 6 "hotplug" attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=hdb"
    refused 6 "a drive has no hotplug: change-media changes its medium" attach disk "$VM" --disk "TYPE=cdrom,SOURCE=$ROOT/b.raw"
    assert_contains "$ERR" "with --config it comes with the next start"
    refused 1 "would cut its end off" resize-disk "$VM" vda "512 KiB"
    refused 2 "no whole number of sectors" resize-disk "$VM" vda "1048577 b"
    refused 1 "it has places for 1 vCPU" resize "$VM" --vcpu 2
    refused 1 "MEMORY_MAX gives more" resize "$VM" --memory 4096
    refused 1 "it has no nic 'nic7'" detach nic "$VM" nic7
    refused 1 "is no drive whose medium can be changed" change-media "$VM" vda "$ROOT/b.raw"
    refused 2 "there is no kind of device 'table'" attach table "$VM" --disk "SOURCE=$ROOT/b.raw"
    refused 1 "it has no disk 'vdz'" detach disk "$VM" vdz
    refused 0 "DISK/TARGET: given twice, the first one counts" attach disk "$VM" --plan --disk "SOURCE=$ROOT/b.raw,TARGET=vdb,TM_MAD=x,TARGET=vdc"
    assert_contains "$ERR" "known and without effect here: DISK/TM_MAD"
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

# So many ports there are, and there could be more.
test_no_free_port_says_how_many_there_are() {
    local i before
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'Q35_ROOT_PORTS = "2"' >"$ROOT/etc/vmlaunch/host.conf"
    for i in 0 1 2 3 4 5; do truncate -s 1M "$ROOT/$i.raw"; done
    running
    for i in 0 1 2 3 4 5; do
        before=$(holdings)
        STATUS=0
        vml -q attach disk "$VM" --disk "SOURCE=$ROOT/$i.raw,DEV_PREFIX=vd" 2>"$WORK/err" || STATUS=$?
        ((STATUS == 0)) || break
    done
    ((STATUS != 0)) || fail "there is no end of ports"
    assert_match "$(<"$WORK/err")" "no port is free: the machine has [0-9]+ and each has a device"
    assert_contains "$(<"$WORK/err")" "Q35_ROOT_PORTS"
    [[ $(holdings) == "$before" ]] || fail "it has changed: $(diff <(echo "$before") <(holdings))"
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
    [[ $(qemu_says query-named-block-nodes) == *disk0-format* ]] || fail "the backend was lost"
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
