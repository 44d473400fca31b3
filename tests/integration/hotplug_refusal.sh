#!/usr/bin/env bash
# Guests that do not let go: by refusing, by being elsewhere, or by being dead; and vCPUs with KVM's order of events.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

# A disk of a guest that behaves as $SCENARIO says.
fake_with_disk() {
    faked
    truncate -s 1M "$ROOT/a.raw"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
}
holds_no_lock() { [[ -z $(find "$ROOT/run/vmlaunch/images" -type f) ]]; }
# The disk has gone with all that was its own.
no_disk_left() {
    holds_no_lock || fail "a lock is left: $(ls "$ROOT/run/vmlaunch/images")"
    if grep -q vdb "$RUN_DIR/live.tmpl"; then fail "live.tmpl has the disk still"; fi
    all_agree "$1"
}

test_guest_that_refuses_is_asked_again() {
    local SCENARIO='{"faults":[{"fault":"unplug-refused","times":2}]}'
    fake_with_disk
    expect 8 vml detach disk "$VM" vdb
    assert_contains "$ERR" "the guest does not give 'disk0' back"
    assert_contains "$ERR" "the same command asks again"
    assert_eq "$(device_state disk0)" unplug-refused "state"
    has_backend disk0
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'TARGET = "vdb"'
    all_agree "a refusal"
    # Another one while it is refused, and the other way round.
    expect 8 vml detach disk "$VM" vdb
    truncate -s 1M "$ROOT/b.raw"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vdc"
    expect 0 vml detach disk "$VM" vdb
    device_is_gone disk0 || fail "it is still there: $(device_state disk0)"
    expect 0 vml detach disk "$VM" vdc
    no_disk_left "the third time"
    ended
}

test_guest_that_lets_go_late_is_not_asked_again() {
    local SCENARIO='{"faults":[{"fault":"device-deleted-late","ms":8000}]}'
    fake_with_disk
    expect 7 vml --timeout 1 detach disk "$VM" vdb
    assert_contains "$ERR" "it is unplug-pending"
    assert_eq "$(device_state disk0)" unplug-pending "state"
    has_backend disk0
    await 20 device_is_gone disk0
    await 20 holds_no_lock
    no_disk_left "a late event"
    ended
}

test_guest_that_lost_the_request_is_asked_again() {
    local SCENARIO='{"faults":[{"fault":"device-deleted-never","times":1}]}'
    fake_with_disk
    expect 7 vml --timeout 1 detach disk "$VM" vdb
    assert_eq "$(device_state disk0)" unplug-pending "state"
    # What is being taken away cannot be attached meanwhile.
    expect 6 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdd"
    expect 0 vml detach disk "$VM" vdb
    no_disk_left "the second request"
    ended
}

# Makes the guest's kernel use the memory that came last: all but 64 MiB of what is free is filled, pipes that nobody
# reads (which the kernel cannot move) take the next pages, and what was filled is given back.
kernel_takes_new_memory() {
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'mkdir /tmp/fill; mount -t ramfs fill /tmp/fill' \
        'dd if=/dev/zero of=/tmp/fill/all bs=1M count=$(awk "/^MemFree/ { print int(\$2 / 1024) - 64 }" /proc/meminfo) 2>/dev/null' \
        'for i in $(seq 100); do dd if=/dev/zero bs=64k count=1 2>/dev/null | sleep 600 & done; rm /tmp/fill/all; echo fill""ed'
    [[ $SAID == *filled* ]] || fail "the guest's memory is not filled: $SAID"
}
# A restart takes memory of its kernel out of use: then it can go.
test_memory_that_is_the_kernels_stays_until_the_guest_restarts() {
    running 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' 'MEMORY_SLOTS = "2"'
    tell_guest "echo online_kernel >/sys/devices/system/memory/auto_online_blocks"
    expect 0 vml resize "$VM" --memory 384
    await 30 has_blocks 3
    kernel_takes_new_memory
    expect 8 vml --timeout 30 resize "$VM" --memory 256
    assert_contains "$ERR" "the guest does not give 'dimm0' back"
    assert_contains "$ERR" "memory of its kernel"
    assert_eq "$(device_state dimm0)" unplug-refused "state"
    grep -q 'DIMM = ' "$RUN_DIR/live.tmpl" || fail "live.tmpl has lost it"
    has_blocks 3 || fail "the guest has lost memory"
    all_agree "a refusal"
    expect 0 vml reset "$VM"
    await 60 status_is_not agent answering
    expect 0 vml --timeout 90 wait "$VM" --for=agent
    expect 0 vml resize "$VM" --memory 256
    await 30 has_blocks 2
    all_agree "the restarted guest"
    ended
}

guest_that_still_boots() {
    need_root
    truncate -s 1M "$ROOT/a.raw"
    template
    expect 0 vml start "$TEMPLATE"
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
    # It finds it when it looks for its devices, and hears no request before. It waits, or who is slow here would come later.
    expect 0 vml suspend "$VM"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    expect 7 vml --timeout 1 detach disk "$VM" vdb
    assert_eq "$(device_state disk0)" unplug-pending "state"
    has_backend disk0
    expect 0 vml resume "$VM"
    expect 0 vml --timeout 90 wait "$VM" --for=agent
    has_disk vda || fail "the guest has no disk"
    expect 0 vml detach disk "$VM" vdb
    await 30 has_no_disk vda
    no_disk_left "the booted guest"
    ended
}
test_guest_that_still_boots_on_q35() { guest_that_still_boots; }
test_guest_that_still_boots_on_pc() {
    MACHINE=pc
    guest_that_still_boots
}

test_paused_guest_takes_and_gives_when_it_goes_on() {
    truncate -s 1M "$ROOT/a.raw" "$ROOT/b.raw"
    running 'VCPU = "1"' 'VCPU_MAX = "3"'
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    await 30 has_disk vda
    expect 0 vml suspend "$VM"
    # What comes is there for QEMU, and the guest sees it later.
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/b.raw,TARGET=vdc"
    expect 0 vml resize "$VM" --vcpu 2
    # Nobody waits for a paused guest, unless told to.
    expect 7 vml detach disk "$VM" vdb
    assert_contains "$ERR" "has not given 'disk0' back in 1 s; it is unplug-pending"
    assert_contains "$ERR" "the guest is paused: it gives a device back once it goes on"
    assert_eq "$(device_state disk0)" unplug-pending "state"
    has_backend disk0
    expect 8 vml balloon "$VM" 200
    assert_match "$ERR" 'the guest was told 200 MiB, and is at [0-9]+ MiB$' "a balloon of a paused guest"
    expect 8 vml --timeout 1 balloon "$VM" 201
    assert_contains "$ERR" "after 1 s"
    assert_contains "$ERR" "the guest is paused: it takes or gives memory once it goes on"
    # The agent cannot be asked.
    expect 9 vml --timeout 2 resize "$VM" --vcpu 3 --online
    assert_contains "$ERR" "but for the guest's part"
    all_agree "a paused guest"
    expect 0 vml resume "$VM"
    await 30 device_is_gone disk0
    await 30 has_vcpus 3
    await 30 has_disk vdb
    expect 0 vml detach disk "$VM" vdc
    no_disk_left "the guest that goes on"
    ended
}

test_dead_agent_holds_up_nothing_but_what_is_asked_of_it() {
    truncate -s 1M "$ROOT/a.raw"
    running 'VCPU = "1"' 'VCPU_MAX = "2"' 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"'
    tell_guest "killall -STOP qemu-ga"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb"
    seen() { tell_guest "ls /dev/vd*" && [[ $SAID == *"/dev/$1"* ]]; }
    await 30 seen vda
    expect 7 vml --timeout 2 resize "$VM" --vcpu 2 --memory 384 --online
    assert_contains "$ERR" "it is done, but for the guest's part"
    expect 0 vml detach disk "$VM" vdb
    no_disk_left "a dead agent"
    tell_guest "killall -CONT qemu-ga"
    await 30 has_vcpus 2
    expect 0 vml resize "$VM" --memory 256
    all_agree "the agent is back"
    ended
}

test_agent_brings_online_what_the_guest_leaves_offline() {
    running 'VCPU = "1"' 'VCPU_MAX = "3"' 'MEMORY_MAX = "1024"' 'MEMORY_RESIZE_MODE = "HOTPLUG"' 'AGENT_ALLOW = "guest-exec*"'
    # Nobody there onlines anything.
    tell_guest "killall uevent; echo offline >/sys/devices/system/memory/auto_online_blocks"
    expect 0 vml resize "$VM" --vcpu 2 --memory 384
    assert_contains "$OUT" "in the guest, vCPUs that it does not bring online itself"
    assert_contains "$OUT" "in the guest, memory that it does not bring online itself"
    online() { in_guest '{"execute":"guest-get-vcpus"}' | jq '[.[] | select(.online)] | length'; }
    assert_eq "$(online)" 1 "vCPUs that it uses by itself"
    expect 0 vml --timeout 60 resize "$VM" --vcpu 3 --memory 512 --online
    assert_eq "$(online)" 3 "vCPUs that it uses"
    assert_eq "$(blocks_in_guest)" 4 "blocks of memory that it uses"
    # Those it has, fewer of them in use.
    expect 0 vml resize "$VM" --vcpu 2 --guest
    assert_eq "$(online)" 2 "vCPUs that it was told to use"
    expect 1 vml resize "$VM" --vcpu 4 --guest
    assert_contains "$ERR" "it has 3 vCPUs"
    all_agree "vCPUs that are not used"
    # A guest that found it already has nothing to do for a rescan.
    truncate -s 1M "$ROOT/a.raw"
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.raw,TARGET=vdb" --online --timeout 60
    expect 0 vml detach disk "$VM" vdb
    ended
}

# qemu-lab 5: only KVM tells of the vCPU itself, and only there one can come after one has gone.
test_vcpu_comes_again_after_it_has_gone() {
    faked 'VCPU = "1"' 'VCPU_MAX = "4"'
    vcpus() { qemu_says query-cpus-fast | jq '.return | length'; }
    for _ in 1 2 3; do
        expect 0 vml resize "$VM" --vcpu 4
        assert_eq "$(vcpus)" 4 "vCPUs of QEMU"
        all_agree "more vCPUs"
        expect 0 vml resize "$VM" --vcpu 2
        assert_contains "$ERR" "QEMU 7.2 without KVM crashes when vCPUs or memory change after a vCPU has gone"
        assert_eq "$(vcpus)" 2 "vCPUs of QEMU"
        all_agree "fewer vCPUs"
    done
    grep -q 'VCPU_PLUGGED = "1"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    ended
}

run_tests "$@"
