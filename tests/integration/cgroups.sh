#!/usr/bin/env bash
# The VM's control group: limits as the kernel has them, hosts without control groups or with read-only ones.
. "$(dirname "$0")/lib.sh"

# fake_template [LINES...]: a VM of the stand-in, with further lines; $MANNER are words on its command line
fake_template() {
    install -m 755 "$TOP/build/tests/fake_qemu" "$ROOT/fake-qemu"
    CMDLINE=${MANNER:-} template "EMULATOR = \"$ROOT/fake-qemu\"" "$@"
}
need_v1() { # CONTROLLER...
    local controller
    need_root
    for controller in "$@"; do
        [[ -w /sys/fs/cgroup/$controller/cgroup.procs ]] || skip "no $controller controller of cgroup v1 here"
    done
}
# group_file CONTROLLER FILE [VM]
group_file() { cat "/sys/fs/cgroup/$1/machine.slice/vmlaunch-${3:-$VM}/$2"; }
# group_has CONTROLLER FILE VALUE
group_has() { assert_eq "$(group_file "$1" "$2")" "$3" "$2"; }

test_each_limit_is_in_its_control_file() {
    need_v1 cpu memory pids
    local row
    fake_template 'CPUTUNE = [ QUOTA = "30000", PERIOD = "20000" ]' 'PIDS_LIMIT = "200"' \
        'MEMTUNE = [ HARD_LIMIT = "1536", SOFT_LIMIT = "1 GiB", SWAP_HARD_LIMIT = "2 GiB" ]'
    sed -i 's/^CPU = .*/CPU = "1.5"/' "$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    group_has cpu cpu.shares 1536
    group_has cpu cpu.cfs_quota_us 30000
    group_has cpu cpu.cfs_period_us 20000
    group_has pids pids.max 200
    group_has memory memory.soft_limit_in_bytes $((1 << 30))
    group_has memory memory.limit_in_bytes $((1536 << 20))
    group_has memory memory.memsw.limit_in_bytes $((2 << 30))
    for row in cpu.shares=1536 cpu.cfs_quota_us=30000 cpu.cfs_period_us=20000 pids.max=200 \
        memory.limit_in_bytes=$((1536 << 20)) memory.memsw.limit_in_bytes=$((2 << 30)); do
        assert_eq "$(status_of "limits[\"${row%=*}\"]")" "${row#*=}" "limits of status: ${row%=*}"
    done
    expect 0 vml destroy "$VM"
}

# Which file a kernel has for it differs, and it may have none: CFQ's, BFQ's, told by what BFQ puts beside it.
test_a_weight_of_io_is_converted_for_the_kernel_or_one_warning() {
    need_v1 blkio
    fake_template 'BLKIOTUNE = [ WEIGHT = "300" ]'
    expect 0 vml start "$TEMPLATE"
    if [[ -e /sys/fs/cgroup/blkio/blkio.bfq.io_service_bytes ]]; then
        group_has blkio blkio.bfq.weight 118
        assert_eq "$(status_of 'limits["blkio.bfq.weight"]')" 118 "limits of status"
    elif [[ -e /sys/fs/cgroup/blkio/blkio.weight ]]; then
        group_has blkio blkio.weight 1000
    else
        assert_eq "$(status_of 'warnings | length')" 1 "number of warnings"
        assert_contains "$(status_of 'warnings[0]')" \
            "BLKIOTUNE/WEIGHT: has no effect on this host, which has no blkio.weight"
    fi
    expect 0 vml destroy "$VM"
}

test_limits_that_cannot_be_are_refused_before_anything_starts() {
    need_root
    fake_template 'MEMTUNE = [ HARD_LIMIT = "255 MiB" ]'
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "MEMTUNE/HARD_LIMIT: 255 MiB is less than the guest's MEMORY of 256 MiB"
    [[ ! -e $ROOT/run/vmlaunch/$VM ]] || fail "something was begun"
    fake_template 'PIDS_LIMIT = "16"' 'CPUTUNE = [ QUOTA = "1" ]' 'BLKIOTUNE = [ WEIGHT = "20000" ]'
    expect 6 vml start "$TEMPLATE"
    for _ in PIDS_LIMIT CPUTUNE/QUOTA BLKIOTUNE/WEIGHT; do
        assert_match "$ERR" "$TEMPLATE:[0-9]+:[0-9]+: $_: '[0-9]+' is out of range"
    done
}

# starts_without_group COMMANDS: the VM runs in a mount namespace made so, without a group, with one warning
starts_without_group() {
    fake_template 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "1 GiB" ]'
    expect 0 unshare --mount -- bash -c "$1"'; shift; exec "$@"' - "" "$VMLAUNCH" --root "$ROOT" start "$TEMPLATE"
    assert_eq "$(status_of cgroup)" null "the group"
    assert_eq "$(group_dirs)" "" "groups"
    assert_eq "$(status_of 'warnings | length')" 1 "number of warnings"
    assert_match "$(status_of 'warnings[0]')" "$2"
    expect 0 vml destroy "$VM"
}

test_read_only_control_groups_are_one_warning() {
    need_v1 cpu
    # shellcheck disable=SC2016 # for the inner shell
    starts_without_group 'grep -E " cgroup2? " /proc/mounts | while read -r _ at _; do mount -o remount,bind,ro "$at"; done' \
        'CPU: has no effect on this host, which has a read-only cpu controller; nor has PIDS_LIMIT'
}

test_a_host_without_control_groups_is_one_warning() {
    need_v1 cpu
    # shellcheck disable=SC2016 # for the inner shell
    starts_without_group 'grep -E " cgroup2? " /proc/mounts | while read -r _ at _; do umount "$at"; done' \
        'CPU: has no effect on this host, which has no control groups; nor has PIDS_LIMIT, MEMTUNE/HARD_LIMIT'
}

run_tests "$@"
