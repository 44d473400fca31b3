#!/usr/bin/env bash
# Limits of a running VM's disks: they change, come where none were, and go.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

test_limits_of_a_disk_change_while_it_runs() {
    truncate -s 1M "$ROOT/a.raw"
    running "DISK = [ SOURCE = \"$ROOT/a.raw\", TARGET = \"vda\", TOTAL_BYTES_SEC = \"1000000\", TOTAL_BYTES_SEC_MAX = \"4000000\", TOTAL_BYTES_SEC_MAX_LENGTH = \"2\" ]"
    limits() { qemu_says qom-get '{"path":"/objects/disk0-limits","property":"limits"}' | jq -c '.return | [."bps-total", ."bps-total-max", ."iops-total"]'; }
    assert_eq "$(limits)" '[1000000,4000000,0]' "limits of the start"
    expect 0 vml update disk "$VM" vda --disk 'TOTAL_BYTES_SEC=2000000,TOTAL_BYTES_SEC_MAX=8000000,TOTAL_IOPS_SEC=300'
    assert_eq "$(limits)" '[2000000,8000000,300]' "limits then"
    all_agree "new limits"
    grep -q 'TOTAL_IOPS_SEC = "300"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 6 vml update disk "$VM" vda --disk 'TOTAL_IOPS_SEC=-1'
    ended
}

# What blkdeviotune of virsh is used for: the throttle is put below a device that is there, and taken out again.
test_limits_come_to_a_disk_without_any_and_go() {
    need_root
    truncate -s 16M "$ROOT/a.raw" "$ROOT/base.raw" "$ROOT/d.raw" "$ROOT/one.iso" "$ROOT/two.iso"
    qemu-img create -q -f qcow2 -F raw -b "$ROOT/base.raw" "$ROOT/b.qcow2"
    running "DISK = [ SOURCE = \"$ROOT/a.raw\", TARGET = \"vda\" ]" "DISK = [ SOURCE = \"$ROOT/b.qcow2\", TARGET = \"sda\", COPY_ON_READ = \"yes\" ]" \
        "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\", TARGET = \"sdc\" ]"
    local before
    before=$(holdings)
    limits() { qemu_says qom-get '{"path":"/objects/'"$1"'-limits","property":"limits"}' | jq -c '.return | [."bps-write", ."bps-write-max", ."iops-total"]'; }
    node() { qemu_says query-block | jq -r --arg id "/$1(/|$)" '.return[] | select("/" + .qdev | test($id)) | .inserted."node-name" // "none"'; }
    local plan
    plan=$(vml update disk "$VM" vda --disk WRITE_BYTES_SEC=2000000 --plan)
    assert_eq "$(awk '{ print $2 }' <<<"$plan" | xargs)" "object-add blockdev-add qom-set" "the plan"

    expect 0 vml update disk "$VM" vda --disk WRITE_BYTES_SEC=2000000,WRITE_BYTES_SEC_MAX=4000000
    assert_eq "$(limits disk0) $(node disk0)" '[2000000,4000000,0] disk0-throttle' "limits of vda"
    all_agree "limits where none were"
    # In the guest: 2 s of burst budget is 4 MB, the other 8 take 4 s; without limits it is nothing like that.
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 's=$(cut -d. -f1 /proc/uptime); dd if=/dev/zero of=/dev/vda bs=1M count=12 oflag=direct 2>/dev/null; e=$(cut -d. -f1 /proc/uptime); echo "took=$((e - s))"'
    assert_match "$SAID" "took=([3-9]|[1-9][0-9])" "12 MB at 2 MB/s"
    # What else is done with a disk.
    expect 0 vml resize-disk "$VM" vda "20 MiB"
    qemu_says query-block | jq -e '.return[] | select(.qdev | test("disk0")) | .inserted.image."virtual-size" == 20971520' >/dev/null || fail "not grown: $(qemu_says query-block)"
    expect 0 vml update disk "$VM" vda --disk WRITE_BYTES_SEC=0,WRITE_BYTES_SEC_MAX=0
    assert_eq "$(node disk0)" disk0-format "vda without limits"
    all_agree "no limits any more"
    tell_guest 'dd if=/dev/vda of=/dev/null bs=1M count=1 iflag=direct 2>/dev/null && echo "reads=yes"'
    assert_contains "$SAID" "reads=yes"

    # Over other filters, on SCSI, and on a CD, which loses them with its medium.
    expect 0 vml update disk "$VM" sda --disk TOTAL_IOPS_SEC=300
    assert_eq "$(limits disk1) $(node disk1)" '[0,0,300] disk1-throttle' "limits of sda"
    expect 0 vml update disk "$VM" sdc --disk TOTAL_IOPS_SEC=30
    assert_eq "$(limits disk2) $(node disk2)" '[0,0,30] disk2-throttle' "limits of sdc"
    all_agree "limits of SCSI disks"
    expect 0 vml change-media "$VM" sdc "$ROOT/two.iso"
    assert_eq "$(limits disk2) $(node disk2)" '[0,0,30] disk2-throttle' "limits of another medium"
    expect 0 vml change-media "$VM" sdc --eject
    all_agree "an empty drive"
    expect 0 vml change-media "$VM" sdc "$ROOT/one.iso"
    assert_eq "$(limits disk2) $(node disk2)" '[0,0,30] disk2-throttle' "limits of a medium again"
    all_agree "a medium again"
    expect 0 vml update disk "$VM" sdc --disk TOTAL_IOPS_SEC=0
    expect 0 vml update disk "$VM" sda --disk TOTAL_IOPS_SEC=0
    assert_eq "$(node disk1) $(node disk2)" "disk1-cor disk2-format" "without limits"

    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/d.raw,TARGET=vdb"
    expect 0 vml update disk "$VM" vdb --disk TOTAL_IOPS_SEC=500
    all_agree "limits of a disk that was attached"
    await 30 has_disk vdb
    expect 0 vml --timeout 60 detach disk "$VM" vdb
    all_agree "a disk with limits has gone"
    left() { diff <(echo "$before") <(holdings | grep -vE '^  [A-Z]+_(BYTES|IOPS)_SEC(_MAX)? = "0",?$'); }
    await 30 left || fail "left: $(left)"
    ended
}

# QEMU 7.2 would die of it; the other way it takes.
test_limits_with_iothreads_go_and_come_not() {
    need_root
    truncate -s 1M "$ROOT/a.raw" "$ROOT/b.raw"
    template "DISK = [ SOURCE = \"$ROOT/a.raw\", TARGET = \"vda\" ]" "DISK = [ SOURCE = \"$ROOT/b.raw\", TARGET = \"vdb\", TOTAL_IOPS_SEC = \"50\" ]" \
        'FEATURES = [ IOTHREADS = "1" ]'
    start_ready
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    expect 6 vml update disk "$VM" vda --disk TOTAL_IOPS_SEC=300
    assert_contains "$ERR" "it has an iothread"
    expect 0 vml update disk "$VM" vdb --disk TOTAL_IOPS_SEC=60
    expect 0 vml update disk "$VM" vdb --disk TOTAL_IOPS_SEC=0
    all_agree "limits went"
    tell_guest 'dd if=/dev/vdb of=/dev/null bs=64k count=1 iflag=direct 2>/dev/null && echo "reads=yes"'
    assert_contains "$SAID" "reads=yes"
    ended
}

run_tests "$@"
