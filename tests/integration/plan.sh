#!/usr/bin/env bash
# Plans: the same whoever prints them; what they promise is read back from the host.
. "$(dirname "$0")/lib.sh"

test_plan_is_the_same_for_an_ordinary_user_without_run_and_cache() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\" ]" 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]'
    qemu-img create -q -f qcow2 "$ROOT/disk.qcow2" 16M
    chmod -R a+rX "$WORK"
    # A cache for root: only start and run write it, so a start comes first.
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    [[ -n $(find "$ROOT/var/cache" -name 'qemu-*.facts') ]] || fail "start wrote no cache of QEMU's facts"
    expect 0 vml plan --system "$TEMPLATE"
    printf '%s' "$OUT" >"$WORK/plan.root"
    # An ordinary user in a namespace with a read-only root, an empty /run and no cache.
    chmod a+rX "$WORK" "$ROOT"
    cat >"$WORK/other.sh" <<END
mount --make-rprivate /
mount -t tmpfs none "$ROOT/var/cache"
mount -t tmpfs none "$ROOT/run"
mount -t tmpfs none /run
mount -o remount,ro,bind / 2>/dev/null || { mount --bind / / && mount -o remount,ro,bind /; }
exec setpriv --reuid 65534 --regid 65534 --clear-groups --bounding-set=-all --no-new-privs \
    "$VMLAUNCH" --root "$ROOT" plan --system "$TEMPLATE"
END
    expect 0 unshare -m bash "$WORK/other.sh"
    printf '%s' "$OUT" >"$WORK/plan.user"
    cmp "$WORK/plan.root" "$WORK/plan.user" || fail "$(diff "$WORK/plan.root" "$WORK/plan.user" | head -20)"
    expect 0 vml plan --system --format json "$TEMPLATE"
    assert_eq "$(jq -r .schema <<<"$OUT")" 1
}

test_cpu_values_are_read_back_from_cpu_shares() {
    need_root
    [[ -d /sys/fs/cgroup/cpu ]] || skip "no cgroup v1 cpu controller here"
    local pair cpu
    # The group is ours, whoever is in it.
    install -m 755 "$TOP/build/tests/fake_qemu" "$ROOT/fake-qemu"
    for pair in 0.1:103 0.5:512 1:1024 2:2048 200:204800 10000:262144; do
        cpu=${pair%:*}
        template "EMULATOR = \"$ROOT/fake-qemu\""
        sed -i "s/^CPU = .*/CPU = \"$cpu\"/" "$TEMPLATE"
        expect 0 vml start "$TEMPLATE"
        assert_eq "$(cat /sys/fs/cgroup/cpu/machine.slice/vmlaunch-"$VM"/cpu.shares)" "${pair#*:}" "cpu.shares of CPU=$cpu"
        grep -q "^$(status_of pid)\$" /sys/fs/cgroup/cpu/machine.slice/vmlaunch-"$VM"/cgroup.procs || fail "QEMU is not in its group"
        expect 0 vml destroy "$VM"
    done
}

test_explain_names_the_line_or_layer_of_each_argument() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'DISK = [ CACHE = "writeback" ]' >"$ROOT/etc/vmlaunch/vmm_exec_kvm.conf"
    qemu-img create -q -f qcow2 "$ROOT/disk.qcow2" 16M
    template 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]'
    expect 0 vml explain "$TEMPLATE"
    assert_contains "$OUT" "$TEMPLATE:8"
    assert_contains "$OUT" "vmm_exec_kvm.conf:1"
    assert_contains "$OUT" "rule:"
    expect 0 vml -o json explain "$TEMPLATE"
    jq -e '.argv | length > 20' <<<"$OUT" >/dev/null || fail "explain's JSON has no argv"
}

test_second_start_keeps_machine_addresses_and_uid() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\" ]"
    expect 0 vml start "$TEMPLATE"
    local uid
    uid=$(status_of uid)
    expect 0 vml destroy "$VM"
    cp "$ROOT/var/lib/vmlaunch/$VM/machine.lock" "$WORK/lock"
    qemu-img create -q -f qcow2 "$ROOT/disk.qcow2" 16M
    echo 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]' >>"$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(status_of uid)" "$uid" uid
    grep nic0 "$WORK/lock" | grep -qxFf - "$ROOT/var/lib/vmlaunch/$VM/machine.lock" || fail "nic0 moved: $(cat "$ROOT/var/lib/vmlaunch/$VM/machine.lock")"
    grep -q '^MACHINE *= *"pc-q35-' "$ROOT/var/lib/vmlaunch/$VM/machine.lock" || fail "no versioned machine in machine.lock"
    expect 0 vml destroy "$VM"
}

run_tests "$@"
