#!/usr/bin/env bash
# What each attribute of processors and memory does to a running machine: asked from QEMU and from /proc. What a guest sees of
# them is in attributes_disk.sh: one guest has all that only a guest can tell.
. "$(dirname "$0")/lib.sh"

# memdev ID JQ-FILTER VALUE: of an object that holds guest memory
memdev() {
    qmp query-memdev
    assert_eq "$(jq -cr --arg id "$1" ".[] | select(.id == \$id) | $2" <<<"$REPLY_JSON")" "$3" "$1: $2"
}
# vm_flags NAME KIB: the kernel's flags of QEMU's mapping of that name (empty: none) and size
vm_flags() {
    awk -v name="$1" -v kib="$2" '
        /^[0-9a-f]+-[0-9a-f]+ / { found = name == "" ? NF == 5 : index($0, name) }
        /^Size:/ { right = $2 == kib }
        /^KernelPageSize:/ { page = $2 }
        /^VmFlags:/ && found && right { print $0, "page=" page; exit }' "/proc/$PID/smaps"
}
# place N JQ-FILTER VALUE: of the machine's place N for a vCPU; QEMU lists the highest first
place() {
    qmp query-hotpluggable-cpus
    assert_eq "$(jq -cr "reverse | .[$1] | $2" <<<"$REPLY_JSON")" "$3" "place $1: $2"
}
of_status() { sed -n "s/^$1:[[:space:]]*//p" "/proc/$PID/status"; }

test_machine_has_the_places_nodes_and_pages_that_its_template_says() {
    need_root
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
ACCEL = "tcg"
VCPU = "3"
VCPU_MAX = "8"
MEMORY = "64"
MEMORY_MAX = "1 GiB"
MEMORY_RESIZE_MODE = "HOTPLUG"
MEMORY_SLOTS = "5"
TOPOLOGY = [ SOCKETS = "2", CORES = "2", THREADS = "2", PIN_POLICY = "NONE", MEMORY_ACCESS = "private" ]
NUMA_NODE = [ TOTAL_CPUS = "6", MEMORY = "40", DISTANCE = "1:30" ]
NUMA_NODE = [ TOTAL_CPUS = "2", MEMORY = "24" ]
MEMORY_BACKING = [ NOSHAREPAGES = "yes", DUMP_CORE = "yes", THP = "no" ]
BALLOON = [ MODEL = "virtio", STATS_PERIOD = "7", AUTODEFLATE = "yes", FREE_PAGE_REPORTING = "yes" ]
END
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'Q35_NUMA_PCIE = "YES"' >>"$ROOT/etc/vmlaunch/host.conf"
    started
    # Q35_NUMA_PCIE
    qom peripheral/node0 numa_node 0
    qom peripheral/node1 numa_node 1
    qom peripheral/node1 bus_nr 48
    qmp query-pci
    reply_is '.[] | select(.bus == 48) | [.devices[].qdev_id] | join(" ")' \
        "node1p1 node1p2 node1p3 node1p4 node1p5 node1p6 node1p7 node1p8"
    assert_eq "$(vml -o json status --compare "$VM" | jq -c .differences)" "[]" "what template and QEMU say"
    # VCPU VCPU_MAX TOPOLOGY NUMA_NODE/TOTAL_CPUS
    qmp query-cpus-fast
    reply_is length 3
    place 0 '.props | [."socket-id", ."core-id", ."thread-id", ."node-id"] | join(" ")' "0 0 0 0"
    place 3 '.props | [."socket-id", ."core-id", ."thread-id", ."node-id"] | join(" ")' "0 1 1 0"
    place 6 '.props | [."socket-id", ."core-id", ."thread-id", ."node-id"] | join(" ")' "1 1 0 1"
    place 2 'has("qom-path")' true
    place 3 'has("qom-path")' false
    reply_is length 8
    # MEMORY MEMORY_MAX MEMORY_SLOTS MEMORY_RESIZE_MODE
    qmp query-memory-size-summary
    reply_is '."base-memory"' $((64 << 20))
    qmp qom-get '{"path":"/machine","property":"memory"}'
    reply_is '[.size, .slots, ."max-size"] | join(" ")' "$((64 << 20)) 5 $((1 << 30))"
    # NUMA_NODE/MEMORY, MEMORY_ACCESS, MEMORY_BACKING
    memdev ram0 .size $((40 << 20))
    memdev ram1 .size $((24 << 20))
    memdev ram1 '[.merge, .dump, .share] | join(" ")' "false true false"
    assert_match "$(vm_flags "" $((40 << 10)))" '^VmFlags: [^=]*$|page=4$' "mapping of node 0"
    [[ " $(vm_flags "" $((40 << 10))) " != *" mg "* ]] || fail "NOSHAREPAGES: the kernel may merge pages"
    [[ " $(vm_flags "" $((40 << 10))) " != *" dd "* ]] || fail "DUMP_CORE: guest memory is in no core dump"
    [[ ! -d /sys/kernel/mm/transparent_hugepage ]] || assert_eq "$(of_status THP_enabled)" 0 "THP of QEMU"
    qmp human-monitor-command '{"command-line":"info numa"}'
    assert_eq "$(jq -r . <<<"$REPLY_JSON" | tr -d '\r' | sed -n 's/^\(node [01] \(cpus\|size\): *\)/\1/p' | tr -s ' ' | tr '\n' ';')" \
        "node 0 cpus: 0 1 2;node 0 size: 40 MB;node 1 cpus:;node 1 size: 24 MB;" "nodes"
    # BALLOON
    qom peripheral/balloon0 type virtio-balloon-pci
    qom peripheral/balloon0 deflate-on-oom true
    qom peripheral/balloon0 free-page-reporting true
    qom peripheral/balloon0 guest-stats-polling-interval 7
    qmp query-balloon
    reply_is .actual $((64 << 20))
    ended
}

test_what_nobody_says_of_processors_and_memory() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'Q35_ROOT_PORTS = "20"' >"$ROOT/etc/vmlaunch/host.conf"
    TEMPLATE=$ROOT/$VM.tmpl
    printf 'NAME = "%s"\nACCEL = "tcg"\nMEMORY = "64"\nVCPU_MAX = "2"\n' "$VM" >"$TEMPLATE"
    started
    # VCPU absent is VCPU_MAX; TOPOLOGY absent: as many sockets
    qmp query-cpus-fast
    reply_is length 2
    place 1 '.props | [."socket-id", ."core-id", ."thread-id"] | join(" ")' "1 0 0"
    memdev ram0 '[.merge, .dump, .share] | join(" ")' "true false false"
    [[ ! -d /sys/kernel/mm/ksm ]] || [[ " $(vm_flags "" 65536) " == *" mg "* ]] || fail "the kernel may not merge pages"
    [[ " $(vm_flags "" 65536) " == *" dd "* ]] || fail "guest memory is in core dumps"
    [[ ! -d /sys/kernel/mm/transparent_hugepage ]] || assert_eq "$(of_status THP_enabled)" 1 "THP of QEMU"
    qom peripheral/balloon0 deflate-on-oom false
    qom peripheral/balloon0 free-page-reporting false
    qom peripheral/balloon0 guest-stats-polling-interval 0
    # A console and an agent
    qmp query-chardev
    reply_is '[.[].label] | sort | join(" ")' "agent0 mon0 serial0"
    # Q35_ROOT_PORTS, instead of 16
    qom_child rp20 || fail "there is no twentieth root port"
    ! qom_child rp21 || fail "there is a further root port"
    ended
}

test_memory_that_grows_and_what_host_conf_says() {
    need_root
    local other=1
    [[ -d /sys/fs/cgroup/cpu ]] && other=2
    mkdir -p "$ROOT/etc/vmlaunch"
    printf '#!/bin/sh\nMARK=here exec /usr/bin/qemu-system-x86_64 "$@"\n' >"$ROOT/listed-qemu"
    chmod 755 "$ROOT/listed-qemu"
    printf '%s\n' "CGROUPS_VERSION = \"$other\"" "EMULATORS = \"$ROOT/listed-qemu qemu-system-x86_64\"" >"$ROOT/etc/vmlaunch/host.conf"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
ACCEL = "tcg"
EMULATOR = "$ROOT/other-qemu"
MEMORY = "64"
MEMORY_MAX = "256"
MEMORY_RESIZE_MODE = "VIRTIO_MEM"
VCPU = "4"
TOPOLOGY = [ MEMORY_ACCESS = "shared" ]
BALLOON = [ MODEL = "none" ]
END
    # EMULATORS
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "is not on the EMULATORS list of host.conf"
    sed -i 's/other-qemu/listed-qemu/' "$TEMPLATE"
    started
    grep -zqx MARK=here "/proc/$PID/environ" || fail "QEMU is not the one of the list"
    assert_contains "$(<"$WORK/err")" "CGROUPS_VERSION" "warning"
    place 3 '.props | [."socket-id", ."core-id", ."thread-id"] | join(" ")' "0 3 0"
    memdev ram0 .share true
    assert_match "$(vm_flags memfd:memory-backend-memfd 65536)" ' sh ' "mapping of guest memory"
    qom peripheral/vmem0 type virtio-mem-pci
    qom peripheral/vmem0 block-size $((2 << 20))
    qom peripheral/vmem0 requested-size 0
    qmp query-memory-devices
    reply_is '.[] | [.data.id, .data."max-size", .data.size] | join(" ")' "vmem0 $((192 << 20)) 0"
    ! qom_child balloon0 || fail "BALLOON/MODEL none: there is a balloon"
    ended
}

test_memory_of_huge_pages() {
    need_root
    local pool=/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages before
    # The pool is the host's, and golden_argv.sh would help itself.
    exec 8>"$TOP/build/lock-hugepages"
    flock 8
    before=$(cat "$pool" 2>/dev/null) || skip "no huge pages of 2 MiB here"
    # shellcheck disable=SC2064 # the value of now
    trap "echo $before >$pool" EXIT
    { echo $((before + 96)) >"$pool" && (($(<"$pool") == before + 96)); } 2>/dev/null || skip "the host gives no 192 MiB of huge pages"
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'ACCEL = "tcg"' 'MEMORY = "32"' 'TOPOLOGY = [ HUGEPAGE_SIZE = "2" ]' >"$TEMPLATE"
    printf '%s\n' 'MEMORY_MAX = "4096"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' >>"$TEMPLATE"
    # Too few are told before anything is done.
    local live too_few='its memory takes 1024 huge pages of 2 MiB, and [0-9]+ are free \(node 0: [0-9]+'
    sed 's/^MEMORY = .*/MEMORY = "2048"/' "$TEMPLATE" >"$ROOT/large.tmpl"
    expect 10 vml start "$ROOT/large.tmpl"
    assert_match "$ERR" "start '$VM': $too_few"
    assert_clean
    started
    live=$(<"$ROOT/run/vmlaunch/$VM/live.tmpl")
    expect 10 vml resize "$VM" --memory 2080
    assert_match "$ERR" "resize of '$VM': $too_few"
    assert_match "$ERR" "echo [0-9]+ >$pool"
    assert_eq "$(<"$ROOT/run/vmlaunch/$VM/live.tmpl")" "$live" "live.tmpl after a refused resize"
    # What comes is of huge pages too.
    expect 0 vml resize "$VM" --memory 160
    memdev ram-dimm0 '[.size, .share, .prealloc] | join(" ")' "$((128 << 20)) false true"
    assert_match "$(vm_flags memfd:memory-backend-memfd 131072)" ' ht .*page=2048$' "mapping of a memory module"
    memdev ram0 '[.share, .prealloc, .merge] | join(" ")' "false true false"
    assert_match "$(vm_flags memfd:memory-backend-memfd 32768)" ' ht .*page=2048$' "mapping of guest memory"
    # Of huge pages nothing can be given back.
    ! qom_child balloon0 || fail "there is a balloon"
    ended
    sed -i -e '/^MEMORY_/d' -e 's/TOPOLOGY.*/MEMORY_BACKING = [ HUGEPAGES = "yes" ]/' "$TEMPLATE"
    started
    assert_match "$(vm_flags memfd:memory-backend-memfd 32768)" " ht .*page=$(awk '/^Hugepagesize/ { print $2 }' /proc/meminfo)\$" "mapping of guest memory"
    ended
}

test_locked_memory_or_the_reason_why_not() {
    need_root
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'ACCEL = "tcg"' 'MEMORY = "64"' 'MEMORY_BACKING = [ LOCKED = "yes" ]' >"$TEMPLATE"
    if (ulimit -H -l unlimited) 2>/dev/null; then
        started
        (($(of_status VmLck | tr -dc 0-9) >= 65536)) || fail "locked: $(of_status VmLck)"
        ended
    else
        expect 1 vml start "$TEMPLATE"
        assert_contains "$ERR" "raise the limit of locked memory (MEMORY_BACKING/LOCKED): Operation not permitted"
    fi
}

run_tests "$@"
