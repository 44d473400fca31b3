#!/usr/bin/env bash
# What reconcile finds and what it leaves alone: orphans by proof, of this instance and of runs that are over; a QEMU
# without supervisor is taken over. With a stand-in for QEMU.
. "$(dirname "$0")/lib.sh"

# A VM of the stand-in with a NIC and a disk.
run_template() {
    qemu-img create -q -f raw "$ROOT/disk.raw" 1M
    fake_template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]" \
        "DISK = [ SOURCE = \"$ROOT/disk.raw\", FORMAT = \"raw\", TARGET = \"vda\" ]"
    DIR=$ROOT/run/vmlaunch/$VM
    [[ -d $ROOT/run ]] || mkdir -p "$ROOT/run"
}
# A run whose supervisor and keeper are killed; QEMU lives.
start_orphan() {
    expect 0 vml start "$TEMPLATE"
    QEMU=$(status_of pid) SUPERVISOR=$(status_of supervisor_pid) KEEPER=$(keeper_of) GENERATION=$(status_of generation)
    slay "$KEEPER" "$SUPERVISOR"
}
end_qemu() {
    kill -9 "$QEMU"
    await 5 is_dead "$QEMU"
}
link_exists() { ip link show "$1" >/dev/null 2>&1; }
link_is_gone() { ! link_exists "$1"; }
# tap NAME ALIAS: one that stays without a process
tap() {
    ip tuntap add "$1" mode tap
    ip link set "$1" alias "$2" master "$BRIDGE"
}
# group NAME [MARK]: an empty control group of that VM name, in every hierarchy
group() {
    local mount
    while read -r mount; do
        mkdir -p "$mount/machine.slice/vmlaunch-$1"
    done < <(awk '($3 == "cgroup" && $4 !~ /name=/ || $3 == "cgroup2") && $2 !~ /unified$/ { print $2 }' /proc/mounts)
    [[ -z ${2:-} ]] || "$TOP/build/tests/mark_group" "machine.slice/vmlaunch-$1" "$2"
}
# Groups of others come and go meanwhile.
groups_of() { find /sys/fs/cgroup -maxdepth 4 -type d -name "vmlaunch-$1" 2>/dev/null || true; }
remove_groups() { groups_of "$1" | xargs -r rmdir; }

test_live_qemu_without_supervisor_is_adopted_in_the_background() {
    need_root
    run_template
    start_orphan
    expect 0 vml reconcile --dry-run
    assert_contains "$OUT" "$VM: would be adopted: QEMU (process $QEMU) runs without its supervisor"
    assert_eq "$(vml -o json list | jq -r '.[0] | "\(.state) \(.pid)"')" "unsupervised $QEMU"
    assert_contains "$(vml status "$VM")" "vmlaunch reconcile $VM gives its QEMU another one" "status"
    expect 0 vml reconcile
    assert_contains "$OUT" "$VM: adopted: supervisor"
    assert_eq "$(status_of state)" running
    assert_eq "$(status_of pid)" "$QEMU"
    local supervisor
    supervisor=$(status_of supervisor_pid)
    assert_eq "$(cat "/proc/$(keeper_of)/comm")" vmlaunch-keeper
    # The new keeper does what the old one did.
    kill -9 "$supervisor"
    await 10 status_is_not supervisor_pid "$supervisor"
    await 10 status_is state running
    expect 0 vml reconcile
    assert_eq "$OUT" "nothing to do"
    expect 0 vml destroy "$VM"
    assert_eq "$(status_of verdict)" asked
}

test_torn_journal_and_record_cost_no_guest() {
    need_root
    run_template
    start_orphan
    local lock
    lock=$(cd "$ROOT/run/vmlaunch" && ls images/*)
    # Both lost everything: QEMU's own command line says whose it is, its open files what is in use.
    : >"$DIR/journal"
    : >"$DIR/record.json"
    expect 0 vml reconcile
    assert_contains "$OUT" "$VM: adopted: supervisor"
    assert_eq "$(status_of pid)" "$QEMU"
    assert_eq "$(status_of generation)" "$GENERATION"
    assert_eq "$(status_of state)" running
    [[ -e $ROOT/run/vmlaunch/$lock ]] || fail "the image's lock file is gone"
    # Another VM does not get the disk.
    sed "s/^NAME.*/NAME = \"$VM-b\"/; s/vl-$$/vm-$$/" "$TEMPLATE" >"$ROOT/b.tmpl"
    expect 9 vml start "$ROOT/b.tmpl"
    assert_contains "$ERR" "in use by VM '$VM'"
    expect 0 vml destroy "$VM"
    is_dead "$QEMU" || fail "QEMU lives"
}

test_torn_journal_and_record_of_a_dead_qemu_leave_nothing() {
    need_root
    run_template
    local cut
    for cut in 0 400; do
        start_orphan
        end_qemu
        truncate -s "$cut" "$DIR/journal"
        truncate -s 100 "$DIR/record.json"
        expect 0 vml reconcile --dry-run
        assert_contains "$OUT" "would remove: control group machine.slice/vmlaunch-$VM"
        assert_contains "$OUT" "would get the verdict lost"
        [[ -n $(group_dirs) ]] || fail "a dry run has removed the group"
        expect 0 vml reconcile
        assert_contains "$OUT" "$VM: removed: control group machine.slice/vmlaunch-$VM, of run $GENERATION"
        assert_eq "$(status_of verdict)" lost
        assert_clean
        expect 0 vml reconcile
        assert_eq "$OUT" "nothing to do"
    done
}

test_orphans_are_removed_by_proof_and_nothing_foreign_is_touched() {
    need_root
    run_template
    expect 0 vml start "$TEMPLATE"
    GENERATION=$(status_of generation)
    local instance=${GENERATION:0:8} dead=${GENERATION:0:8}0123456789abcdef foreign=00000000fedcba9876543210
    [[ $instance != 00000000 ]] || foreign=11111111fedcba9876543210
    tap "o$$" "vmlaunch:$VM-gone:$dead"
    tap "f$$" "vmlaunch:$VM-gone:$foreign"
    tap "h$$" "vmlaunch:$VM-gone:0123456789abcdef"
    tap "n$$" "somebody's"
    # Of a VM that runs, of an earlier run of it, and of that run.
    tap "e$$" "vmlaunch:$VM:$dead"
    tap "r$$" "vmlaunch:$VM:$GENERATION"
    group "$VM-o" "vmlaunch:$VM-o:$dead"
    group "$VM-f" "vmlaunch:$VM-f:$foreign"
    group "$VM-n"
    group "$VM-m" "vmlaunch:$VM-o:$dead"
    mkdir -p "$ROOT/run/vmlaunch/.gone-$VM-x-17/private" "$ROOT/run/vmlaunch/images"
    touch "$ROOT/run/vmlaunch/.gone-$VM-x-17/lock" "$ROOT/run/vmlaunch/images/8:1-1234567" "$ROOT/run/vmlaunch/uids/5"
    expect 0 vml -o json reconcile --dry-run
    assert_eq "$(jq -r '.orphans[] | "\(.kind) \(.name) \(.removed)"' <<<"$OUT" | sort | tr '\n' ';')" \
        "cgroup machine.slice/vmlaunch-$VM-o true;directory .gone-$VM-x-17 true;lock images/8:1-1234567 true;lock uids/5 true;tap e$$ true;tap o$$ true;"
    link_exists "o$$" || fail "a dry run has removed a tap"
    expect 0 vml reconcile "$VM"
    link_is_gone "e$$" || fail "the tap of an earlier run is left"
    link_exists "o$$" || fail "the orphan of another VM is gone"
    expect 0 vml reconcile
    assert_contains "$OUT" "$VM-gone: removed: tap o$$, on bridge '$BRIDGE', of run $dead, which is over"
    assert_contains "$OUT" "removed: directory .gone-$VM-x-17"
    local name
    for name in o e; do
        link_is_gone "$name$$" || fail "tap $name is left"
    done
    for name in f h n r; do
        link_exists "$name$$" || fail "tap $name is gone"
        ip link delete "$name$$"
    done
    [[ -z $(groups_of "$VM-o") ]] || fail "the group is left"
    for name in f n m; do
        [[ -n $(groups_of "$VM-$name") ]] || fail "group $name is gone"
        remove_groups "$VM-$name"
    done
    [[ ! -e $ROOT/run/vmlaunch/.gone-$VM-x-17 && ! -e $ROOT/run/vmlaunch/images/8:1-1234567 ]] || fail "files are left"
    [[ ! -e $ROOT/run/vmlaunch/$VM-gone && ! -e $ROOT/run/vmlaunch/$VM-o ]] || fail "reconcile has left directories"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

test_vms_of_another_instance_are_left_alone_whatever_they_are_called() {
    need_root
    run_template
    expect 0 vml start "$TEMPLATE"
    local other=$WORK/other
    mkdir -p "$other"
    # As good as the same: a copy of its state, and none of its runs.
    mkdir -p "$other/var/lib" && cp -a "$ROOT/var/lib/vmlaunch" "$other/var/lib/"
    expect 0 "$VMLAUNCH" --root "$other" reconcile
    assert_eq "$OUT" "nothing to do"
    expect 4 "$VMLAUNCH" --root "$other" reconcile "$VM"
    expect 4 "$VMLAUNCH" --root "$other" destroy "$VM"
    assert_eq "$(status_of state)" running
    link_exists "vl-$$" || fail "its tap is gone"
    expect 0 vml destroy "$VM"
}

test_qemu_whose_directory_is_gone_is_reported_refused_and_destroyed() {
    need_root
    run_template
    start_orphan
    rm -r "$DIR"
    expect 0 vml reconcile
    assert_contains "$OUT" "$VM: QEMU (process $QEMU) runs without anybody who knows it"
    expect 0 vml reconcile "$VM"
    assert_contains "$OUT" "tap vl-$$, process $QEMU uses it"
    [[ -d /proc/$QEMU ]] || fail "reconcile has ended QEMU"
    expect 9 vml start "$TEMPLATE"
    assert_contains "$ERR" "runs already"
    assert_contains "$ERR" "vmlaunch destroy $VM"
    expect 0 vml destroy "$VM"
    is_dead "$QEMU" || fail "QEMU lives"
    assert_clean
    expect 4 vml reconcile "$VM"
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
}

test_start_takes_away_what_an_earlier_run_has_left() {
    need_root
    run_template
    start_orphan
    end_qemu
    assert_eq "$(vml -o json list | jq -r '.[0] | "\(.state) \(.pid)"')" "unsupervised null"
    # It had no time to say anything.
    : >"$DIR/journal"
    tap "vl-$$" "vmlaunch:$VM:$GENERATION"
    expect 0 vml start "$TEMPLATE"
    assert_contains "$(status_of 'story[].text')" "removed what an earlier run had left: tap vl-$$"
    expect 0 vml destroy "$VM"
}

test_reconcile_does_not_disturb_starts_and_ends() {
    need_root
    run_template
    local i out
    touch "$WORK/go"
    (
        while [[ -e $WORK/go ]]; do vml reconcile >>"$WORK/reconcile.out" 2>&1 || echo failed >>"$WORK/reconcile.out"; done
    ) &
    local loop=$!
    for i in 1 2 3 4 5 6; do
        out=$(vml start "$TEMPLATE" 2>&1) || fail "start $i: $out"
        assert_eq "$(status_of state)" running
        out=$(vml destroy "$VM" 2>&1) || fail "destroy $i: $out"
    done
    rm "$WORK/go"
    wait "$loop"
    # What ended in order leaves nothing to do; looking while somebody is at it finds nothing to do either.
    ! grep -qv "nothing to do" "$WORK/reconcile.out" || fail "$(sort "$WORK/reconcile.out" | uniq -c)"
}

test_what_a_run_had_made_for_itself_goes_after_a_crash_of_the_host() {
    need_root
    run_template
    sed -i '$a DISK = [ TYPE = "fs", SIZE = "1", TARGET = "vdb" ]\nDISK = [ TYPE = "fs", SIZE = "1", PERSISTENT = "yes", TARGET = "vdc" ]' "$TEMPLATE"
    local made=$ROOT/var/lib/vmlaunch/$VM/overlays
    start_orphan
    assert_eq "$(cd "$made" && echo *)" "disk1-dropped.raw disk2.raw" "what was made"
    # Its journal lives, and its QEMU: nobody takes anything away.
    expect 0 vml reconcile --dry-run
    [[ $OUT != *disk1-dropped* ]] || fail "of a run that goes on: $OUT"
    end_qemu
    # What a new boot finds: RUN is empty.
    rm -rf "$ROOT/run/vmlaunch"
    expect 0 vml reconcile --dry-run
    assert_contains "$OUT" "image overlays/disk1-dropped.raw, of a run that is over"
    expect 0 vml reconcile
    assert_eq "$(cd "$made" && echo *)" "disk2.raw" "what is kept"
}

# The supervisor was killed while it kept the guest's clock.
test_a_clock_that_is_half_written_goes_with_the_run() {
    need_root
    run_template
    echo 'CLOCK = [ OFFSET = "variable" ]' >>"$TEMPLATE"
    local kept=$ROOT/var/lib/vmlaunch/$VM way
    for way in end reconcile; do
        start_orphan
        touch "$kept/clock" "$kept/clock.new.17"
        if [[ $way == end ]]; then
            expect 0 vml reconcile
            assert_contains "$OUT" "adopted"
            expect 0 vml destroy "$VM"
        else
            end_qemu
            expect 0 vml reconcile
        fi
        [[ -e $kept/clock ]] || fail "$way: the clock is gone"
        # The supervisor leaves a moment after it has told the end.
        await 5 test ! -e "$kept/clock.new.17"
        rm "$kept/clock"
    done
}

run_tests "$@"
