#!/usr/bin/env bash
# Groups and limits of VMs, of units as of those that are started by hand.
# Tests of systemd.sh, which sources this file in its guest; run by itself it has them run there, or those that are named.

# A helper that does not end by itself, nor when it is asked to, and has a child like that: bash with swtpm's name, whose
# first argument is "socket".
stubborn_helper() {
    cp /bin/bash /usr/bin/swtpm
    printf '%s\n' "trap '' TERM" 'sleep 1000' : >/socket
}
no_process() {
    local pid
    for pid; do [[ ! -e /proc/$pid ]] || return 1; done
}
test_helpers_have_the_vms_group_and_fate() {
    local qemu helper child supervisor
    stubborn_helper
    define web 'TPM = [ MODEL = "tpm-crb" ]'
    cp "$VMS/web.tmpl" /root/hand.tmpl
    sed -i 's/"web"/"hand"/' /root/hand.tmpl
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    qemu=$(status_of web pid) helper=$(status_of web 'helpers[0].pid')
    await 20 pgrep -P "$helper"
    child=$(pgrep -P "$helper")
    assert_eq "$(<"/proc/$helper/cgroup")" "$(<"/proc/$qemu/cgroup")" "the helper's groups"
    assert_contains "$(<"/proc/$qemu/cgroup")" "/machine.slice/vmlaunch@web.service$(by_version /vm "")" "QEMU's group"
    supervisor=$(main_pid web)
    kill -KILL "$supervisor"
    await 30 is_replaced web "$supervisor"
    await 30 is_active web
    assert_eq "$(status_of web 'helpers[0].pid')" "$helper" "the helper of a successor"
    expect 0 systemctl stop vmlaunch@web
    await 20 no_process "$helper" "$child"
    # QEMU's death is theirs.
    expect 0 vmlaunch start /root/hand.tmpl
    qemu=$(status_of hand pid) helper=$(status_of hand 'helpers[0].pid')
    await 20 pgrep -P "$helper"
    child=$(pgrep -P "$helper")
    assert_eq "$(<"/proc/$helper/cgroup")" "$(<"/proc/$qemu/cgroup")" "the helper's groups"
    kill -KILL "$qemu"
    await 30 status_says hand state stopped
    await 20 no_process "$helper" "$child"
    rm /usr/bin/swtpm /socket
}

test_limits_that_systemd_does_not_know_yet_are_set_at_the_start() {
    define web "${EVERY_LIMIT[@]}"
    # No daemon-reload: its unit has no drop-in.
    expect 0 vmlaunch start web
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    [[ ! -e /run/systemd/system.control ]] || fail "left: $(find /run/systemd/system.control)"
}

test_limits_of_a_running_vm_change_with_its_template() {
    local unit supervisor
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    sed 's/"web"/"hand"/' "$VMS/web.tmpl" >/root/hand.tmpl
    systemctl daemon-reload
    expect 0 vmlaunch start web
    expect 0 vmlaunch start /root/hand.tmpl
    sed -i 's/"200"/"250"/; s/^CPU = .*/CPU = "3"/; /^CPUTUNE/d' "$VMS/web.tmpl" /root/hand.tmpl
    expect 0 vmlaunch update web --file "$VMS/web.tmpl"
    expect 0 vmlaunch update hand --file /root/hand.tmpl
    for unit in vmlaunch@web.service vmlaunch-hand.scope; do
        assert_eq "$(some_limits $unit)" "$(by_version "300 max 100000" "3072 -1") 250 $((250 << 20))" "limits of $unit"
        assert_eq "$(property $unit TasksMax) $(property $unit MemoryMax)" "250 $((250 << 20))" "properties of $unit"
    done
    assert_eq "$(status_of web 'pending | length')" 0 "what is pending"
    # A reload is no way back, nor is the supervisor's death.
    systemctl daemon-reload
    supervisor=$(main_pid web)
    kill -KILL "$supervisor"
    await 30 is_replaced web "$supervisor"
    await 30 is_active web
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 250 "limit after a reload"
    expect 0 vmlaunch destroy hand
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    # Nothing of it is left for the next start of another template.
    define web
    systemctl daemon-reload
    expect 0 vmlaunch start web
    assert_eq "$(some_limits vmlaunch@web.service)" "$(by_version "100 max 100000 max max" "1024 -1 max $V1_UNLIMITED")" "limits of the next start"
    expect 0 vmlaunch destroy web
}
# The largest multiple of a page.
V1_UNLIMITED=9223372036854771712
some_limits() { # UNIT
    local file
    for file in $(by_version "cpu.weight cpu.max pids.max memory.max" "cpu.shares cpu.cfs_quota_us pids.max memory.limit_in_bytes"); do
        limit "$1" "${file%%.*}" "$file"
    done | xargs
}

test_slice_is_the_templates() {
    mkdir -p /etc/systemd/system
    printf '[Slice]\nMemoryMax=500M\n' >/etc/systemd/system/machine-gold.slice
    define web 'SLICE = "machine-gold.slice"'
    define new 'SLICE = "brass.slice"'
    systemctl daemon-reload
    expect 0 vmlaunch start web
    expect 0 vmlaunch start new
    assert_eq "$(status_of web cgroup)" "machine.slice/machine-gold.slice/vmlaunch@web.service" "group"
    assert_eq "$(limit machine-gold.slice memory "$(by_version memory.max memory.limit_in_bytes)")" $((500 << 20)) "limit of the slice"
    assert_eq "$(status_of web 'warnings | length')" 0 "warnings"
    assert_contains "$(status_of new 'warnings[0]')" "nobody has defined 'brass.slice'" "warning"
    assert_eq "$(journalctl -b -u vmlaunch@new -p warning -o cat | grep -c "nobody has defined 'brass.slice'")" 1 "times that the journal has it"
    expect 0 systemctl stop vmlaunch@web vmlaunch@new
    # By hand.
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web cgroup) $(property vmlaunch-web.scope Slice)" \
        "machine.slice/machine-gold.slice/vmlaunch-web.scope machine-gold.slice" "group, slice"
    expect 0 vmlaunch destroy web
    rm /etc/systemd/system/machine-gold.slice
}

test_vm_that_needs_more_than_its_limit_is_oom_killed() {
    MANNER=fake.eat=400 define web 'MEMTUNE = [ HARD_LIMIT = "100", SWAP_HARD_LIMIT = "100" ]'
    systemctl daemon-reload
    expect 0 vmlaunch start web
    work web
    await 30 is_active web failed
    assert_eq "$(status_of web verdict) $(property vmlaunch@web ExecMainStatus)" "oom-killed 13" "verdict, exit status"
    assert_eq "$(status_of web oom.kills) $(status_of web oom.limit) $(status_of web oom.at_limit)" "1 $((100 << 20)) true" \
        "kills, limit, at the limit"
}

test_two_busy_vms_share_a_cpu_as_their_templates_say() {
    local begun=() now=() a b ratio end=$((SECONDS + 120))
    MANNER=fake.spin define one
    MANNER=fake.spin define two 'CPU = "2"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@one vmlaunch@two
    taskset -p -c 1 "$(status_of one pid)" >/dev/null
    taskset -p -c 1 "$(status_of two pid)" >/dev/null
    work one
    work two
    mapfile -t begun < <(cpu_of_both)
    # CPU time, not the clock's: others may use the CPU.
    while mapfile -t now < <(cpu_of_both) && a=$((now[0] - begun[0])) b=$((now[1] - begun[1])) && ((a + b < 5000000)); do
        ((SECONDS < end)) || fail "no CPU time: $a and $b us"
        sleep 0.5
    done
    ratio=$((b * 100 / a))
    ((ratio >= 180 && ratio <= 220)) || fail "shares of 1 and 2 became 1 : $ratio/100 (CPU time $a and $b us)"
    expect 0 vmlaunch destroy one
    expect 0 vmlaunch destroy two
}
# In one look, or the second one has had more time.
cpu_of_both() {
    local groups=("$(group_of vmlaunch@one.service cpu)" "$(group_of vmlaunch@two.service cpu)")
    if [[ $HIERARCHY == v2 ]]; then
        awk '/^usage_usec/ { print $2 }' "${groups[@]/%//cpu.stat}"
    else
        awk '{ print int($1 / 1000) }' "${groups[@]/%//cpuacct.usage}"
    fi
}

no_systemd() { unshare --mount -- bash -c 'mount -t tmpfs none /run/systemd && exec "$@"' - "$@"; }
test_v2_own_groups_where_no_systemd_is() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 no_systemd vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web cgroup)" machine.slice/vmlaunch-web "group"
    assert_every_limit vmlaunch-web
    assert_contains "$(limit vmlaunch-web pids cgroup.procs)" "$(status_of web pid)" "processes of the group"
    # Whoever is in the group goes with it.
    bash -c 'trap "" TERM; exec sleep 1000' &
    local stranger=$! row
    echo "$stranger" >"$(group_of vmlaunch-web pids)/cgroup.procs"
    expect 0 no_systemd vmlaunch destroy web
    [[ ! -e $(group_of vmlaunch-web cpu) ]] || fail "the group is still there"
    ! kill -0 "$stranger" 2>/dev/null || fail "a process of the group is still there"
    for row in 0.001=1 0.1=10 0.5=50 4=400 100=10000 200=10000; do
        define web "CPU = \"${row%=*}\""
        expect 0 no_systemd vmlaunch start web
        assert_eq "$(limit vmlaunch-web cpu cpu.weight)" "${row#*=}" "weight of CPU = ${row%=*}"
        expect 0 no_systemd vmlaunch destroy web
    done
    # What a host does not let anybody write, and a configuration for another version, are one warning each.
    expect 0 no_systemd bash -c 'mount -o remount,bind,ro /sys/fs/cgroup && exec vmlaunch start web'
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    assert_contains "$(status_of web 'warnings[0]')" "CPU: has no effect on this host, which has read-only control groups" "warning"
    expect 0 no_systemd vmlaunch destroy web
    echo 'CGROUPS_VERSION = "1"' >/etc/vmlaunch/host.conf
    expect 0 no_systemd vmlaunch start web
    rm /etc/vmlaunch/host.conf
    assert_eq "$(status_of web 'warnings | length') $(limit vmlaunch-web cpu cpu.weight)" "1 10000" "warnings, weight"
    assert_contains "$(status_of web 'warnings[0]')" "CGROUPS_VERSION: is 1 and this host has version 2" "warning"
    expect 0 no_systemd vmlaunch destroy web
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || {
    # shellcheck disable=SC2046 # a word each
    (($# > 0)) || set -- $(declare -F | sed -n 's/^declare -f test_//p')
    exec bash "$(dirname "$0")/systemd.sh" "$@"
}
