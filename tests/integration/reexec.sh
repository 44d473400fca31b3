#!/usr/bin/env bash
# A running supervisor becomes another program: no reply and no client is lost, pids stay, and what cannot work is refused
# with the old one going on.
. "$(dirname "$0")/lib.sh"

exe_of() { readlink "/proc/$1/exe"; }
# A VM whose emulator answers at once; $QEMU and $SUPERVISOR are its processes, $SOCKET its control socket.
start_vm() {
    need_root
    expect 0 "${A:-$VMLAUNCH}" --root "$ROOT" start "$TEMPLATE"
    QEMU=$(status_of pid) SUPERVISOR=$(status_of supervisor_pid)
    SOCKET=$(find "$ROOT/run" -path "*/$VM/control.sock")
}
# program NAME [FILE]: a copy of the program under another name, as an upgrade brings it
program() { install -m 755 "${2:-$VMLAUNCH}" "$ROOT/$1"; }
# Same QEMU, same supervisor, and it is that program now.
assert_became() { # PROGRAM
    assert_eq "$(status_of pid)" "$QEMU" "pid of QEMU"
    assert_eq "$(status_of supervisor_pid)" "$SUPERVISOR" "pid of the supervisor"
    assert_eq "$(exe_of "$SUPERVISOR")" "$1" "the supervisor's program"
    assert_eq "$(sed -n 's/^CapEff:\t//p' "/proc/$SUPERVISOR/status")" 0000000000000000 "effective capabilities"
}

# The newest version before this one that can be taken over, built into $A: the tree must be a clone.
build_last_version() {
    local commit dir=$WORK/last
    commit=$(git -C "$TOP" rev-parse -q --verify HEAD~1 2>/dev/null) || skip "no earlier version: the tree is no clone with history"
    git -C "$TOP" cat-file -e "$commit:launcher/run/handover.c" 2>/dev/null ||
        skip "the version before this one cannot be re-executed"
    mkdir "$dir"
    git -C "$TOP" archive "$commit" | tar -x -C "$dir"
    make -s -C "$dir" -j2 CFLAGS=-O0 HARDEN=-fPIE VERSION=0.0.1 build/vmlaunch >"$WORK/build" 2>&1 || fail "the version before this one: $(tail -5 "$WORK/build")"
    A=$dir/build/vmlaunch
}

# N VMs run by $A become $ROOT/B while clients talk to all of them.
vms_become_b() { # N
    local n=$1 i names=() talkers=() pids=()
    program B
    for i in $(seq "$n"); do
        VM=${VM%-*}-$i
        fake_template
        start_vm
        names+=("$VM")
        pids+=("$QEMU $SUPERVISOR")
        "$TOP/build/tests/qmp_talk" "$SOCKET" 2 >"$WORK/talked$i" 2>&1 &
        talkers+=($!)
    done
    for i in $(seq "$n"); do await 10 grep -q talking "$WORK/talked$i"; done
    expect 0 vml -o json reexec --all --program "$ROOT/B"
    assert_eq "$(jq '.vms | length' <<<"$OUT")" "$n" "VMs asked"
    expect 0 vml -o json reexec --all --program "$ROOT/B"
    kill -TERM "${talkers[@]}"
    for i in $(seq "$n"); do
        wait "${talkers[i - 1]}" || fail "clients of VM $i: $(<"$WORK/talked$i")"
        # Each of the three has been told twice; and they did talk.
        assert_match "$(tail -1 "$WORK/talked$i")" '^[0-9]{3,} 6$' "replies and events of VM $i"
        VM=${names[i - 1]}
        read -r QEMU SUPERVISOR <<<"${pids[i - 1]}"
        assert_became "$ROOT/B"
        expect 0 vml shutdown "$VM"
    done
}

test_vms_of_this_version_become_a_new_file_while_clients_talk() {
    need_root
    vms_become_b 3
}
test_ten_vms_of_the_last_version_become_this_one_while_clients_talk() {
    need_root
    build_last_version
    vms_become_b 10
    # And its records are adopted.
    VM=${VM%-*}-a
    fake_template
    start_vm
    slay "$(keeper_of)" "$SUPERVISOR"
    await 5 is_gone "$SUPERVISOR"
    vml run "$VM" 2>"$WORK/run.err" &
    local run=$!
    await 5 adopted_after "$SUPERVISOR"
    assert_eq "$(status_of pid)" "$QEMU"
    expect 0 vml shutdown "$VM"
    wait "$run" || fail "run ended with $?"
}

test_replaced_file_is_what_a_supervisor_becomes_and_its_vm_lives_on() {
    need_root
    program vmlaunch
    A=$ROOT/vmlaunch
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_vm
    expect 0 vml --timeout 90 wait "$VM" --for=agent
    # As a package manager does it.
    program vmlaunch.new && mv "$ROOT/vmlaunch.new" "$ROOT/vmlaunch"
    assert_contains "$(exe_of "$SUPERVISOR")" "(deleted)"
    expect 0 vml reexec "$VM"
    assert_match "$OUT" "^$VM: supervisor is now version [0-9.]+, same pid $SUPERVISOR\$"
    assert_became "$ROOT/vmlaunch"
    assert_contains "$(vml status "$VM")" "re-executed as version"
    expect 0 vml agent "$VM" ping
    expect 0 vml suspend "$VM"
    expect 0 vml reexec "$VM"
    assert_eq "$(status_of state)" paused
    expect 0 vml resume "$VM"
    await 5 status_is agent answering
    expect 0 vml shutdown "$VM"
    assert_contains "$OUT" guest-off
}

test_killed_after_it_became_another_program_it_is_replaced_by_its_keeper() {
    fake_template
    start_vm
    program B
    expect 0 vml reexec "$VM" --program "$ROOT/B"
    assert_became "$ROOT/B"
    kill -9 "$SUPERVISOR"
    await 5 adopted_after "$SUPERVISOR"
    assert_eq "$(status_of pid)" "$QEMU" "pid of QEMU"
    SUPERVISOR=$(status_of supervisor_pid)
    expect 0 vml reexec "$VM" --program "$ROOT/B"
    assert_became "$ROOT/B"
    # An adopted QEMU is the keeper's child, and the keeper's word reaches the new program.
    kill -9 "$QEMU"
    await 10 status_is verdict killed
}

test_qemu_that_dies_after_it_is_known_by_its_status() {
    fake_template
    start_vm
    program B
    expect 0 vml reexec "$VM" --program "$ROOT/B"
    kill -SEGV "$QEMU"
    await 10 status_is verdict crashed
}

test_run_in_the_foreground_becomes_another_program() {
    need_root
    fake_template
    "$VMLAUNCH" --root "$ROOT" run "$TEMPLATE" 2>"$WORK/run.err" &
    local run=$!
    await 20 vml status "$VM"
    expect 0 vml --timeout 60 wait "$VM" --for=started
    QEMU=$(status_of pid) SUPERVISOR=$(status_of supervisor_pid)
    assert_eq "$SUPERVISOR" "$run"
    program B
    expect 0 vml reexec "$VM" --program "$ROOT/B"
    assert_became "$ROOT/B"
    # Its signals are heard.
    kill -TERM "$run"
    wait "$run" || fail "run ended with $?"
    assert_eq "$(status_of verdict)" guest-off
}

# refused WORDS ARGUMENTS...: the supervisor says so, and goes on with what it had
refused() {
    local words=$1 status=${WANT:-1}
    shift
    expect "$status" vml reexec "$VM" "$@"
    assert_contains "$ERR" "$words" "the refusal"
    expect 0 qemu_says query-status
    assert_eq "$(exe_of "$SUPERVISOR")" "$VMLAUNCH" "the supervisor's program"
    assert_eq "$(status_of supervisor_pid)" "$SUPERVISOR"
}
test_what_cannot_take_over_is_refused_and_the_old_one_goes_on() {
    fake_template
    start_vm
    local name
    for name in future silent failing; do program "$name" "$TOP/build/tests/bad_successor"; done
    refused "takes over formats 90 to 99" --program "$ROOT/future"
    refused "did not end within 2000 ms" --program "$ROOT/silent"
    refused "status 3" --program "$ROOT/failing"
    program true /bin/true
    refused "does not say that it can take over" --program "$ROOT/true"
    refused "no regular file" --program "$ROOT"
    program open && chmod 777 "$ROOT/open"
    refused "others than its owner may write to it" --program "$ROOT/open"
    program plain && chmod 644 "$ROOT/plain"
    refused "not executable" --program "$ROOT/plain"
    program foreign && chown 65534 "$ROOT/foreign"
    refused "belongs to uid 65534" --program "$ROOT/foreign"
    printf '#!/bin/sh\necho hello\n' >"$ROOT/script" && chmod 755 "$ROOT/script"
    refused "ended with status" --program "$ROOT/script"
    program broken && truncate -s 5000 "$ROOT/broken"
    refused "ended with" --program "$ROOT/broken"
    expect 1 vml reexec "$VM" --program "$ROOT/nothing"
    expect 2 vml reexec
    expect 2 vml reexec "$VM" --all
    expect 4 vml reexec nobody
    assert_contains "$(vml status "$VM")" "re-execute as '$ROOT/future'"
    expect 0 vml destroy "$VM"
    expect 3 vml reexec "$VM"
    expect 0 vml reexec --all
    assert_contains "$OUT" "no VM runs"
}

test_lease_or_a_shutdown_is_waited_for_by_somebody_and_refuses_it() {
    fake_template
    start_vm
    local holder
    { echo '{"execute":"qmp_capabilities"}{"execute":"vmlaunch-lease","arguments":{"action":"begin","kind":"pause"}}' && sleep 30; } |
        socat -t 2 - "UNIX-CONNECT:$SOCKET" >"$WORK/holder" &
    holder=$!
    await 5 grep -q '"held"' "$WORK/holder"
    WANT=9 refused "pause"
    kill "$holder"
    await 5 status_is state running
    # The guest goes on before it is known to.
    await 5 status_is 'leases | length' 0
    expect 0 vml reexec "$VM"
    expect 0 vml --timeout 30 shutdown "$VM"
}

test_only_an_admin_may() {
    fake_template
    start_vm
    {
        cat /etc/group
        echo "vmlaunch:x:1900000018:"
    } >"$WORK/group"
    mount --bind "$WORK/group" /etc/group
    # The groups are looked up when a supervisor starts.
    expect 0 vml reexec "$VM"
    expect 5 setpriv --reuid 65534 --regid 65534 --groups 1900000018 "$VMLAUNCH" --root "$ROOT" --system reexec "$VM"
    umount /etc/group
    expect 0 vml destroy "$VM"
}

test_program_that_dies_in_its_place_is_replaced_by_the_keeper() {
    fake_template
    start_vm
    program crash "$TOP/build/tests/bad_successor"
    expect 1 vml reexec "$VM" --program "$ROOT/crash"
    assert_contains "$ERR" "the new program ended"
    await 5 adopted_after "$SUPERVISOR"
    assert_eq "$(status_of pid)" "$QEMU" "pid of QEMU"
    expect 0 vml shutdown "$VM"
}

test_state_that_is_none_costs_the_clients_and_not_the_vm() {
    fake_template
    start_vm
    program garbled "$TOP/build/tests/bad_successor"
    program vmlaunch
    expect 1 vml reexec "$VM" --program "$ROOT/garbled"
    await 5 grep -q "adopted by supervisor pid $SUPERVISOR" "$ROOT/var/log/vmlaunch/$VM.log"
    assert_contains "$(log_of)" "the state is no JSON object"
    assert_became "$ROOT/vmlaunch"
    expect 0 vml shutdown "$VM"
}

test_qemu_that_does_not_answer_refuses_it_within_its_time() {
    fake_template
    start_vm
    kill -STOP "$QEMU"
    local begin=$EPOCHREALTIME took
    expect 9 vml reexec "$VM"
    took=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
    # 2 s are its time; the next longer wait of the program is 5 s.
    ((took < 5000)) || fail "it took $took ms"
    assert_contains "$ERR" "QEMU does not answer"
    kill -CONT "$QEMU"
    await 5 vml qmp "$VM" '{"execute":"query-status"}'
    expect 0 vml reexec "$VM"
    expect 0 vml shutdown "$VM"
}

run_tests "$@"
