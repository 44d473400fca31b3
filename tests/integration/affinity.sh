#!/usr/bin/env bash
# Which CPUs of the host QEMU's threads run on, and which memory nodes its memory comes from, as the kernel has it.
. "$(dirname "$0")/lib.sh"

# bare_template [LINES...]: a machine without a system
bare_template() {
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "64"' 'ACCEL = "tcg"' 'CPU_MODEL = [ MODEL = "qemu64" ]' \
        'FEATURES = [ GUEST_AGENT = "no", IOTHREADS = "2" ]' "$@" >"$TEMPLATE"
}
need_two_cpus() {
    [[ $(cat /sys/devices/system/cpu/online) == 0-1 && $(awk '/^Cpus_allowed_list/ { print $2 }' /proc/self/status) == 0-1 ]] ||
        skip "needs a host with the CPUs 0 and 1"
}
cpus_of() { awk '/^Cpus_allowed_list:/ { print $2 }' "/proc/$PID/task/$1/status"; }
# vcpu N CPUS, iothread N CPUS: where it may run
vcpu() {
    qmp query-cpus-fast
    assert_eq "$(cpus_of "$(jq ".[] | select(.\"cpu-index\" == $1).\"thread-id\"" <<<"$REPLY_JSON")")" "$2" "CPUs of vCPU $1"
}
iothread() {
    qmp query-iothreads
    assert_eq "$(cpus_of "$(jq ".[] | select(.id == \"iothread$1\").\"thread-id\"" <<<"$REPLY_JSON")")" "$2" "CPUs of I/O thread $1"
}
# emulator CPUS: every thread that is no vCPU and no I/O thread
emulator() {
    local set_apart tid others=0
    qmp query-cpus-fast
    set_apart=$(jq -r '.[]."thread-id"' <<<"$REPLY_JSON")
    qmp query-iothreads
    set_apart+=" $(jq -r '.[]."thread-id"' <<<"$REPLY_JSON")"
    for tid in "/proc/$PID/task"/*; do
        [[ " ${set_apart//$'\n'/ } " == *" ${tid##*/} "* ]] && continue
        assert_eq "$(cpus_of "${tid##*/}")" "$1" "CPUs of thread ${tid##*/}"
        others=$((others + 1))
    done
    ((others > 1)) || fail "QEMU has $others threads of its own"
}
# memory ID POLICY NODES
memory() {
    qmp query-memdev
    reply_is ".[] | select(.id == \"$1\") | [.policy, (.\"host-nodes\" | tostring)] | join(\" \")" "$2 $3"
}

test_threads_and_memory_are_where_the_template_says() {
    need_two_cpus
    bare_template 'VCPU = "2"' 'VCPU_MAX = "4"' 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' \
        'CPUTUNE = [ VCPUPIN = "0:1; 2:0", EMULATORPIN = "0", IOTHREADPIN = "2:1" ]' 'NUMATUNE = [ NODESET = "0" ]'
    started
    vcpu 0 1
    vcpu 1 0-1
    iothread 1 0-1
    iothread 2 1
    emulator 0
    memory ram0 bind '[0]'

    # What is plugged in is as what was there.
    expect 0 vml resize "$VM" --vcpu 4 --memory 192 --plan
    assert_contains "$OUT" 'affinity      {"vcpus":{"2":"0","3":"any"},"iothreads":{}}' "the plan of more vCPUs"
    expect 0 vml resize "$VM" --vcpu 4 --memory 192
    vcpu 2 0
    vcpu 3 0-1
    vcpu 0 1
    memory ram-dimm0 bind '[0]'
    emulator 0

    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" '[]' "differences"

    # And what is running can be moved.
    sed -i 's/VCPUPIN = "[^"]*"/VCPUPIN = "0:0; 2-3:1"/; s/IOTHREADPIN = "[^"]*"/IOTHREADPIN = "1:0"/' "$TEMPLATE"
    printf '%s\n' 'VCPU_PLUGGED = "2"' 'DIMM = [ SIZE = "128" ]' >>"$TEMPLATE"
    expect 0 vml update "$VM" -f "$TEMPLATE"
    vcpu 0 0
    vcpu 1 0-1
    vcpu 2 1
    vcpu 3 1
    iothread 1 0
    iothread 2 0-1
    emulator 0
    assert_contains "$(<"$ROOT/run/vmlaunch/$VM/live.tmpl")" 'VCPUPIN = "0:0; 2-3:1"' live.tmpl
    sed -i 's/EMULATORPIN = "0"/EMULATORPIN = "1"/' "$TEMPLATE"
    expect 0 vml update "$VM" -f "$TEMPLATE" --plan
    assert_match "$OUT" "EMULATORPIN +0 +1 +next start" "a change of EMULATORPIN"
    ended
}

# apply STATUS STEPS
apply() {
    echo "{\"what\":\"pins\",\"steps\":[$2]}" >"$WORK/fragment"
    expect "$1" vml __apply "$VM" "$WORK/fragment"
}

test_a_change_that_fails_puts_threads_back() {
    need_two_cpus
    bare_template 'VCPU = "2"' 'CPUTUNE = [ VCPUPIN = "0:1" ]'
    started
    local step='{"effect":"affinity","args":{"vcpus":{"0":"0","1":"1"},"iothreads":{"1":"1"}}}'
    apply 1 "$step,{\"effect\":\"qmp\",\"args\":{\"execute\":\"device_del\",\"arguments\":{\"id\":\"nosuch\"}},\"undo\":[]}"
    assert_contains "$ERR" "nosuch" "QEMU's word"
    vcpu 0 1
    vcpu 1 0-1
    iothread 1 0-1
    apply 0 "$step"
    vcpu 0 0
    vcpu 1 1
    iothread 1 1
    # Whose thread it is is QEMU's to say.
    apply 1 '{"effect":"affinity","args":{"vcpus":{"7":"0"},"iothreads":{}}}'
    assert_contains "$ERR" "QEMU has 0 of the 1 vCPUs" "a vCPU that is not there"
    apply 1 '{"effect":"affinity","args":{"vcpus":{},"iothreads":{},"threads":{"1":"0"}}}'
    assert_contains "$ERR" "member 'threads' is unexpected" "a thread of the client's"
    ended
}

test_a_thread_of_another_process_is_not_pinned_whatever_qemu_says() {
    need_two_cpus
    local victim
    sleep 1000 &
    victim=$!
    bare_template 'VCPU = "1"' 'CPUTUNE = [ VCPUPIN = "0:1" ]'
    install -m 755 "${FAKE_QEMU:-$TOP/build/vmlaunch-fake-qemu}" "$WORK/fake"
    printf 'EMULATOR = "%s"\n' "$WORK/fake" >>"$TEMPLATE"
    echo "{\"replies\":[{\"command\":\"query-cpus-fast\",\"return\":[{\"cpu-index\":0,\"thread-id\":$victim}]}]}" \
        >"$WORK/fake.scenario.json"
    chmod a+r "$WORK/fake.scenario.json"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "QEMU has no thread $victim" "the pin"
    assert_eq "$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/$victim/status")" 0-1 "CPUs of another process"
    kill "$victim"
}

test_cpuset_is_for_all_and_restrictive_for_all_memory() {
    need_two_cpus
    bare_template 'VCPU = "2"' 'CPUTUNE = [ CPUSET = "0-1,^0", VCPUPIN = "1:0" ]' \
        'NUMATUNE = [ MODE = "restrictive", NODESET = "0" ]'
    started
    vcpu 0 1
    vcpu 1 0
    iothread 2 1
    emulator 1
    memory ram0 default '[]'
    ! grep -v ' bind:0' "/proc/$PID/numa_maps" || fail "memory of QEMU comes from elsewhere"
    ended
}

test_nodes_of_the_guest_have_policies_of_their_own() {
    bare_template 'VCPU = "3"' 'NUMA_NODE = [ TOTAL_CPUS = "1", MEMORY = "16" ]' \
        'NUMA_NODE = [ TOTAL_CPUS = "1", MEMORY = "32" ]' 'NUMA_NODE = [ TOTAL_CPUS = "1", MEMORY = "16" ]' \
        'NUMATUNE = [ MODE = "interleave", NODESET = "0" ]' 'NUMATUNE = [ CELLID = "0", NODESET = "0" ]' \
        'NUMATUNE = [ CELLID = "2", MODE = "preferred", NODESET = "0" ]'
    started
    memory ram0 bind '[0]'
    memory ram1 interleave '[0]'
    memory ram2 preferred '[0]'
    ended
}

test_what_the_host_has_not_is_an_error() {
    need_two_cpus
    local row
    for row in 'CPUTUNE = [ VCPUPIN = "0:0,700" ]|CPUTUNE/VCPUPIN: this host has the CPUs 0-1, and not all of 0,700' \
        'CPUTUNE = [ EMULATORPIN = "700" ]|CPUTUNE/EMULATORPIN: this host has the CPUs 0-1' \
        'NUMATUNE = [ NODESET = "0,900" ]|NUMATUNE\[0\]/NODESET: this host has the memory nodes'; do
        bare_template "${row%|*}"
        expect 10 vml start "$TEMPLATE"
        assert_match "$ERR" "${row#*|}"
    done
}

# What the host has and a cpuset keeps from us is seen when it is asked for.
test_a_cpuset_that_has_not_all_cpus_ends_the_start() {
    need_two_cpus
    need_root
    local slice=vml$RANDOM.slice group
    [[ -w /sys/fs/cgroup/cpuset/cgroup.procs ]] || skip "no cpuset controller of cgroup v1 here"
    group=/sys/fs/cgroup/cpuset/$slice
    mkdir -p "$group"
    echo 0 >"$group/cpuset.mems"
    echo 0 >"$group/cpuset.cpus"
    bare_template "SLICE = \"$slice\"" 'CPUTUNE = [ VCPUPIN = "0:0-1" ]'
    expect 10 vml start "$TEMPLATE"
    assert_contains "$ERR" "is to run on CPUs 0-1, and may on 0" "a vCPU"
    assert_clean
    bare_template "SLICE = \"$slice\"" 'CPUTUNE = [ EMULATORPIN = "1" ]'
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "run on all CPUs of CPUTUNE" "the emulator"
    assert_clean
    # Any is what there is.
    bare_template "SLICE = \"$slice\"" 'CPUTUNE = [ EMULATORPIN = "0" ]'
    started
    vcpu 0 0
    ended
    # Groups of others go meanwhile, which find complains of.
    find /sys/fs/cgroup -depth -type d -name "$slice" -exec rmdir {} \; 2>/dev/null || true
    [[ ! -d $group ]] || fail "the slice is left"
}

run_tests "$@"
