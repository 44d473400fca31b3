#!/usr/bin/env bash
# Disks whose image is made when they come to a running VM: volatile ones and clones.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"
# shellcheck source=tests/integration/fragments.sh
. "$(dirname "$0")/fragments.sh"

overlays() { (cd "$ROOT/var/lib/vmlaunch/$VM/overlays" 2>/dev/null && find . -type f -printf '%P\n' | sort | tr '\n' ' ') || true; }
locks() { find "$ROOT/run/vmlaunch/images" -type f 2>/dev/null | wc -l; }

made_disks_come_and_go() {
    local before after inode
    qemu-img create -q -f raw "$ROOT/base.raw" 4M
    printf 'below' | dd of="$ROOT/base.raw" conv=notrunc status=none
    running
    mkdir -p "$ROOT/run/vmlaunch/images"
    before=$(holdings)

    # One with a file system, used in the guest.
    expect 0 vml attach disk "$VM" --disk "TYPE=fs,SIZE=8,FS=ext4,TARGET=vdb"
    await 30 has_disk vda
    assert_eq "$(overlays)$(locks)" "disk0-dropped.raw 1" "what was made, and its lock"
    assert_eq "$(stat -c '%u %a' "$ROOT/var/lib/vmlaunch/$VM/overlays/disk0-dropped.raw")" "0 600" "whose it is"
    all_agree "a volatile disk"
    tell_guest 'mkdir -p /v && mount -t ext4 /dev/vda /v && echo hello >/v/f && umount /v && echo "used=yes"'
    assert_contains "$SAID" "used=yes"
    # The supervisor's successor has its lock.
    kill -9 "$(status_of supervisor_pid)"
    await 10 status_is state running
    assert_eq "$(locks)" 1 "locks of a successor"
    all_agree "a successor"

    # Swap, an empty one that is kept, and a clone.
    expect 0 vml attach disk "$VM" --disk "TYPE=swap,SIZE=4,TARGET=vdc"
    await 30 has_disk vdb
    tell_guest 'swapon /dev/vdb && grep -c vdb /proc/swaps | sed s/^/swaps=/; swapoff /dev/vdb'
    assert_contains "$SAID" "swaps=1"
    expect 0 vml attach disk "$VM" --disk "TYPE=fs,SIZE=4,FORMAT=qcow2,PERSISTENT=yes,TARGET=vdd"
    await 30 has_disk vdc
    tell_guest 'printf kept | dd of=/dev/vdc conv=fsync 2>/dev/null; echo "writ''ten=yes"'
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/base.raw,CLONE=yes,TARGET=vde"
    await 30 has_disk vdd
    tell_guest 'head -c 5 /dev/vdd | sed "s/^/clone=/"; printf above | dd of=/dev/vdd conv=fsync 2>/dev/null; echo'
    assert_contains "$SAID" "clone=below"
    assert_eq "$(head -c 5 "$ROOT/base.raw")" below "what the clone is made over"
    assert_eq "$(overlays)$(locks)" "disk0-dropped.raw disk1-dropped.raw disk2.qcow2 disk3.qcow2 5" "all that was made"
    all_agree "four disks"
    # live.tmpl has the size that it has now.
    expect 0 vml resize-disk "$VM" vdd "8 MiB"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'SIZE = "8 MiB"'
    all_agree "a larger disk"
    inode=$(stat -c %i "$ROOT/var/lib/vmlaunch/$VM/overlays/disk2.qcow2")

    # What is volatile goes with its disk, what is kept is there when the disk comes again.
    for disk in vdb vdc vdd vde; do expect 0 vml detach disk "$VM" "$disk"; done
    assert_eq "$(overlays)$(locks)" "disk2.qcow2 disk3.qcow2 0" "what is left"
    await 30 has_no_disk vdd
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    all_agree "all have gone"
    expect 0 vml attach disk "$VM" --disk "TYPE=fs,SIZE=4,FORMAT=qcow2,PERSISTENT=yes,TARGET=vdd,DISK_ID=2"
    await 30 has_disk vda
    assert_eq "$(stat -c %i "$ROOT/var/lib/vmlaunch/$VM/overlays/disk2.qcow2")" "$inode" "the image that was kept"
    tell_guest 'head -c 4 /dev/vda | sed "s/^/again=/"; echo'
    assert_contains "$SAID" "again=kept"
    expect 0 vml attach disk "$VM" --disk "TYPE=fs,SIZE=4,TARGET=vdf"
    ended
    assert_eq "$(overlays)" "disk2.qcow2 disk3.qcow2 " "what is left at the end"
}
test_made_disks_come_and_go_on_q35() { made_disks_come_and_go; }
test_made_disks_come_and_go_on_pc() {
    MACHINE=pc
    made_disks_come_and_go
}

# One that a start made goes as one that came later.
test_a_disk_that_the_start_made_goes_with_its_image() {
    faked 'DISK = [ TYPE = "swap", SIZE = "2", TARGET = "vda" ]' 'DISK = [ TYPE = "fs", SIZE = "2", PERSISTENT = "yes", TARGET = "vdb" ]'
    assert_eq "$(overlays)$(locks)" "disk0-dropped.raw disk1.raw 2" "what the start made"
    expect 0 vml detach disk "$VM" vda
    expect 0 vml detach disk "$VM" vdb
    assert_eq "$(overlays)$(locks)" "disk1.raw 0" "what is left"
    all_agree "detached disks"
    ended
}

# Whatever fails, and when, nothing is left of what was made for it; kept images of others are.
test_a_change_that_fails_leaves_nothing_that_it_made() {
    local before keys
    faked
    before=$(holdings)
    # It cannot be made: no file system is that small.
    expect 1 vml attach disk "$VM" --disk "TYPE=fs,SIZE=1KiB,FS=ext4,TARGET=vdb,PERSISTENT=yes"
    assert_contains "$ERR" "make the image '$ROOT/var/lib/vmlaunch/$VM/overlays/disk0.raw'"
    [[ ! -e $ROOT/var/lib/vmlaunch/$VM/overlays ]] || fail "a directory is left"
    for keys in "TYPE=fs,SIZE=4,TARGET=vdb" "TYPE=fs,SIZE=4,PERSISTENT=yes,TARGET=vdb" "TYPE=fs,SIZE=4,FS=ext4,FORMAT=qcow2,PERSISTENT=yes,TARGET=vdb"; do
        expect 0 vml -o json attach disk "$VM" --plan --disk "$keys"
        # Everything is done, and a last step fails.
        cut_after "$(jq -c 'del(.schema)' <<<"$OUT")" 60 >"$WORK/fragment"
        expect 1 vml __apply "$VM" "$WORK/fragment"
        assert_contains "$ERR" nosuch
        assert_eq "$(overlays)$(locks)" 0 "left of $keys"
    done
    sed -E 's#/overlays/#/elsewhere/#' "$WORK/fragment" >"$WORK/elsewhere"
    expect 1 vml __apply "$VM" "$WORK/elsewhere"
    assert_contains "$ERR" "is not below overlays"
    [[ ! -e $ROOT/var/lib/vmlaunch/$VM/overlays ]] || fail "a directory is left"
    # A client that goes takes back what it has not committed.
    expect 0 vml -o json attach disk "$VM" --plan --disk "TYPE=fs,SIZE=4,PERSISTENT=yes,TARGET=vdb"
    jq -c 'del(.schema)' <<<"$OUT" >"$WORK/fragment"
    vml __apply --ask "$VM" "$WORK/fragment" </dev/null >"$WORK/told" 2>&1 && fail "the end of what it reads is no commit"
    nothing_is_left() { [[ $(overlays)$(locks) == 0 ]]; }
    await 20 nothing_is_left
    [[ $(holdings) == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(holdings))"
    all_agree "what failed"
    ended
}

run_tests "$@"
