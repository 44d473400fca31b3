#!/usr/bin/env bash
# The VM's control group: limits as the kernel has them, hosts without control groups or with read-only ones.
. "$(dirname "$0")/lib.sh"

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

# opennebula-semantics 3.4
test_a_table_of_cpu_values_is_read_back() {
    need_v1 cpu
    local row
    for row in 0.001=2 0.01=11 0.1=103 0.5=512 2=2048 4=4096 100=102400 256=262144 10000=262144; do
        fake_template
        sed -i "s/^CPU = .*/CPU = \"${row%=*}\"/" "$TEMPLATE"
        expect 0 vml start "$TEMPLATE"
        group_has cpu cpu.shares "${row#*=}"
        expect 0 vml destroy "$VM"
    done
    # A configuration that was made for hosts of the other version.
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'CGROUPS_VERSION = "2"' >"$ROOT/etc/vmlaunch/host.conf"
    expect 0 vml start "$TEMPLATE"
    group_has cpu cpu.shares 262144
    assert_eq "$(status_of 'warnings | length')" 1 "number of warnings"
    assert_contains "$(status_of 'warnings[0]')" "CGROUPS_VERSION: is 2 and this host has version 1, which counts"
    expect 0 vml destroy "$VM"
}

# Frozen, so that none can fork away, and killed: what cgroup.kill is on v2.
test_whoever_is_in_the_group_goes_with_the_vm() {
    need_v1 cpu
    local stranger at
    fake_template
    expect 0 vml start "$TEMPLATE"
    bash -c 'trap "" TERM HUP; while :; do sleep 0.01; done' &
    stranger=$!
    for at in /sys/fs/cgroup/*/machine.slice/vmlaunch-"$VM"; do echo "$stranger" >"$at/cgroup.procs"; done
    expect 0 vml destroy "$VM"
    is_dead "$stranger" || fail "a process of the group is still there"
    assert_eq "$(group_dirs)" "" "groups"
}

# --- what the limits do ------------------------------------------------------------------------------------------

# work: the stand-in begins what the words on its command line say
work() { vml qmp "${1:-$VM}" '{"execute":"inject-nmi"}' >/dev/null || true; }
cpu_of() { cat "/sys/fs/cgroup/cpuacct/machine.slice/vmlaunch-$1/cpuacct.usage"; }
# In one look, or the second one has had more time.
cpu_of_both() { cat /sys/fs/cgroup/cpuacct/machine.slice/vmlaunch-{"$VM","$OTHER"}/cpuacct.usage; }
# second_vm CPU: another VM of the same template in $OTHER, with this share
second_vm() {
    OTHER=$VM-b
    sed -E "s/^NAME = .*/NAME = \"$OTHER\"/; s/^CPU = .*/CPU = \"$1\"/" "$TEMPLATE" >"$ROOT/$OTHER.tmpl"
    expect 0 vml start "$ROOT/$OTHER.tmpl"
}
pin() { # VM CPU
    local pid
    pid=$(vml -o json status "$1" | jq .pid)
    taskset -a -p -c "$2" "$pid" >/dev/null || fail "cannot pin process $pid"
}

test_two_busy_vms_share_a_cpu_as_their_templates_say() {
    need_v1 cpu cpuacct
    local begun=() now=() a b ratio
    MANNER=fake.spin fake_template
    second_vm 2
    expect 0 vml start "$TEMPLATE"
    pin "$VM" 0
    pin "$OTHER" 0
    work
    work "$OTHER"
    # The threads that compute have their parent's CPU. A scheduler needs some of its periods to be fair.
    mapfile -t begun < <(cpu_of_both)
    # What both have had is what counts, however long that takes beside others: a second and a half of CPU time.
    await 60 have_computed $((begun[0] + begun[1] + 1500000000))
    mapfile -t now < <(cpu_of_both)
    a=$((now[0] - begun[0])) b=$((now[1] - begun[1]))
    ratio=$((b * 100 / a))
    ((ratio >= 180 && ratio <= 220)) || fail "shares of 1 and 2 became 1 : $ratio/100 (CPU time $a and $b ns)"
    expect 0 vml destroy "$OTHER"
    expect 0 vml destroy "$VM"
}
have_computed() { (($(cpu_of_both | paste -sd+) >= $1)); }

throttled() { (($(group_file cpu cpu.stat | awk '/^nr_throttled/ { print $2 }') >= 5)); }
test_a_quota_holds_a_busy_vm_back() {
    need_v1 cpu cpuacct
    MANNER=fake.spin fake_template 'CPUTUNE = [ QUOTA = "5000", PERIOD = "50000" ]'
    expect 0 vml start "$TEMPLATE"
    work
    await 30 throttled
    # A tenth of each period, and there have been as many as the kernel says.
    local periods used
    used=$(cpu_of "$VM")
    periods=$(group_file cpu cpu.stat | awk '/^nr_periods/ { print $2 }')
    ((used < (periods + 2) * 5000000 * 5 / 4 + 100000000)) || fail "$used ns in $periods periods of 5 ms each"
    expect 0 vml destroy "$VM"
}

test_a_vm_gets_no_more_processes_than_its_limit() {
    need_v1 pids
    local pid
    MANNER=fake.crowd fake_template 'PIDS_LIMIT = "60"'
    expect 0 vml start "$TEMPLATE"
    pid=$(status_of pid)
    work
    assert_contains "$(tr -d '\0' <"/proc/$pid/fd/2")" "fake_qemu: 59 threads more"
    expect 0 vml destroy "$VM"
}

test_a_vm_that_needs_more_than_its_limit_is_oom_killed() {
    need_v1 memory
    MANNER=fake.eat=400 fake_template 'MEMTUNE = [ HARD_LIMIT = "256", SWAP_HARD_LIMIT = "256" ]'
    "$VMLAUNCH" --root "$ROOT" run "$TEMPLATE" >"$WORK/run.out" 2>&1 &
    local run=$! status=0
    await 20 status_is state running
    work
    wait "$run" || status=$?
    assert_eq "$status" 13 "exit status of run"
    assert_eq "$(status_of verdict)" oom-killed "verdict"
    assert_match "$(status_of reason)" 'the VM reached its memory limit: 1 process killed, .* limit is 256 MiB, .* were in use'
    assert_eq "$(status_of oom.kills)" 1 "processes killed"
    assert_eq "$(status_of oom.limit)" $((256 << 20)) "the limit"
    (($(status_of oom.peak) > 200 << 20)) || fail "a peak of $(status_of oom.peak)"
    assert_eq "$(status_of oom.at_limit)" true "at its limit"
}

test_an_oom_kill_that_no_supervisor_saw_is_told_by_the_group() {
    need_v1 memory
    MANNER=fake.eat=400 fake_template 'MEMTUNE = [ HARD_LIMIT = "256", SWAP_HARD_LIMIT = "256" ]'
    "$VMLAUNCH" --root "$ROOT" run "$TEMPLATE" >"$WORK/run.out" 2>&1 &
    local run=$! qemu
    await 20 status_is state running
    qemu=$(status_of pid)
    kill -KILL "$run"
    wait "$run" 2>/dev/null || true
    printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"inject-nmi"}' |
        socat -t 20 - "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/private/qmp.sock" >/dev/null || true
    await 20 is_dead "$qemu"
    expect 0 vml reconcile "$VM"
    assert_eq "$(status_of verdict)" oom-killed "verdict"
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
    fake_template 'SLICE = "gold"' 'MEMTUNE = [ HARD_LIMIT = "1 GiB", SWAP_HARD_LIMIT = "512" ]'
    sed -i 's/^CPU = .*/CPU = "0"/' "$TEMPLATE"
    expect 6 vml start "$TEMPLATE"
    assert_match "$ERR" "$TEMPLATE:[0-9]+:[0-9]+: SLICE: 'gold'"
    assert_match "$ERR" "$TEMPLATE:[0-9]+:[0-9]+: CPU: '0'"
    [[ ! -e $ROOT/run/vmlaunch/$VM ]] || fail "something was begun"
    fake_template 'MEMTUNE = [ HARD_LIMIT = "1 GiB", SWAP_HARD_LIMIT = "512" ]'
    expect 6 vml start "$TEMPLATE"
    assert_match "$ERR" "$TEMPLATE:[0-9]+:[0-9]+: MEMTUNE/SWAP_HARD_LIMIT: "
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

test_limits_of_a_running_vm_change_with_its_template() {
    need_v1 cpu memory pids
    fake_template 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "512", SWAP_HARD_LIMIT = "600" ]'
    # The one that answers what a change asks.
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    expect 0 vml start "$TEMPLATE"
    sed -i 's/^CPU = .*/CPU = "2"/; /^PIDS_LIMIT/d; s/"512"/"1024"/; s/"600"/"1200"/' "$TEMPLATE"
    echo 'CPUTUNE = [ QUOTA = "30000" ]' >>"$TEMPLATE"
    assert_eq "$(status_of 'pending | sort | join(" ")')" \
        "CPU CPUTUNE/QUOTA MEMTUNE/HARD_LIMIT MEMTUNE/SWAP_HARD_LIMIT PIDS_LIMIT" "what is pending"
    expect 0 vml update "$VM" --file "$TEMPLATE"
    group_has cpu cpu.shares 2048
    group_has cpu cpu.cfs_quota_us 30000
    group_has pids pids.max max
    group_has memory memory.limit_in_bytes $((1 << 30))
    group_has memory memory.memsw.limit_in_bytes $((1200 << 20))
    assert_eq "$(status_of 'pending | join(" ")')" "" "what is pending"
    expect 0 vml destroy "$VM"
}

test_a_slice_is_a_group_of_that_name() {
    need_v1 cpu
    local at=/sys/fs/cgroup/cpu/vmltest$$.slice
    fake_template "SLICE = \"vmltest$$-gold.slice\""
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(<"$at/vmltest$$-gold.slice/vmlaunch-$VM/cpu.shares")" 1024 "share in the slice"
    # What is left of it in a slice is found too.
    slay_vm
    no_process() { ! pgrep -f "(__keeper .*$VM\$|guest=$VM,)"; }
    await 10 no_process
    rm "$ROOT/run/vmlaunch/$VM/journal"
    expect 0 vml reconcile
    [[ ! -e $at/vmltest$$-gold.slice/vmlaunch-$VM ]] || fail "the group is still there"
    find /sys/fs/cgroup -depth -type d -path "*/vmltest$$.slice*" -exec rmdir {} + 2>/dev/null || true
}

# The order of ends is that of the logs' last lines.
ended() { sed -n 's/^\([^ ]*\) info: .*QEMU has ended.*/\1/p' "$ROOT/var/log/vmlaunch/$1.log"; }
began() { sed -n 's/^\([^ ]*\) debug: .*QEMU started.*/\1/p' "$ROOT/var/log/vmlaunch/$1.log"; }
test_vms_are_started_and_shut_down_in_their_order() {
    need_root
    local name begin
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    install -m 755 "$TOP/build/tests/fake_qemu" "$ROOT/fake-qemu"
    for name in a b c d; do
        sed "s/@NAME@/$VM$name/" <<END >"$ROOT/etc/vmlaunch/vms/$VM$name.tmpl"
NAME = "@NAME@"
MEMORY = "64"
ACCEL = "tcg"
EMULATOR = "$ROOT/fake-qemu"
END
    done
    printf 'START_ORDER = "2"\nSTART_DELAY = "2"\n' >>"$ROOT/etc/vmlaunch/vms/${VM}a.tmpl"
    printf 'START_ORDER = "1"\n' >>"$ROOT/etc/vmlaunch/vms/${VM}b.tmpl"
    echo 'CPU = "nonsense"' >>"$ROOT/etc/vmlaunch/vms/${VM}d.tmpl"
    for name in a b c d; do expect 0 vml enable "$VM$name"; done
    cp "$ROOT/etc/vmlaunch/vms/${VM}a.tmpl" "$ROOT/etc/vmlaunch/vms/other.tmpl"
    expect 6 vml enable other
    assert_contains "$ERR" "vms/other.tmpl:1:8: NAME: '${VM}a' is not the file's name, 'other'" "enable"
    expect 0 vml disable "${VM}c"
    expect 0 vml enable "${VM}c"
    assert_eq "$OUT" "${VM}c is started by 'vmlaunch start --autostart'" "enable"
    assert_eq "$(vml -o json status "${VM}c" | jq .autostart)" true "autostart"
    begin=$SECONDS
    # A bad one keeps no other from starting.
    expect 6 vml start --autostart
    assert_contains "$ERR" "${VM}d.tmpl:5:7: CPU: " "what is said of the bad one"
    ((SECONDS - begin >= 2)) || fail "nobody has waited START_DELAY"
    assert_eq "$(vml list | awk 'NR > 1 { print $1 }' | sort | xargs)" "${VM}a ${VM}b ${VM}c" "running"
    [[ $(began "${VM}b") < $(began "${VM}a") && $(began "${VM}a") < $(began "${VM}c") ]] || fail "not in their order"
    # Those that run already are left alone.
    expect 6 vml start --autostart
    expect 0 vml shutdown --all
    assert_eq "$(vml list | awk 'NR > 1')" "" "running"
    [[ $(ended "${VM}c") < $(ended "${VM}a") && $(ended "${VM}a") < $(ended "${VM}b") ]] || fail "not in the reverse order"
}

run_tests "$@"
