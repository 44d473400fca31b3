#!/usr/bin/env bash
# Supervisors that die: the keeper, adoption, and what is known of a QEMU that ended meanwhile.
. "$(dirname "$0")/lib.sh"

comm_of() { cat "/proc/$1/comm" 2>/dev/null; }
is_zombie() { grep -q '^State:[[:space:]]Z' "/proc/$1/status"; }

# The guest runs and its agent answers; $QEMU, $SUPERVISOR and $KEEPER are its processes.
start_guest() {
    start_ready
    QEMU=$(status_of pid) SUPERVISOR=$(status_of supervisor_pid) KEEPER=$(keeper_of)
    assert_eq "$(comm_of "$KEEPER")" vmlaunch-keeper "the supervisor's parent"
}

test_killed_supervisor_is_replaced_and_shutdown_works() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_guest
    local begin
    begin=$(now_ms)
    kill -9 "$SUPERVISOR"
    await 5 adopted_after "$SUPERVISOR"
    echo "    replaced after $(($(now_ms) - begin)) ms" >&2
    assert_eq "$(status_of pid)" "$QEMU" "pid of QEMU"
    assert_eq "$(keeper_of)" "$KEEPER" "pid of the keeper"
    await 5 status_is state running
    await 5 status_is agent answering
    assert_contains "$(status_of "devices[].kind")" nic
    expect 0 vml suspend "$VM"
    expect 0 vml --timeout 30 wait "$VM" --for=paused
    expect 0 vml shutdown "$VM"
    assert_contains "$OUT" guest-off
    assert_clean
    await 5 is_gone "$KEEPER"
}

# A client waits for the supervisor with this pid to take its connection.
has_client_in_queue() { ss -xlpH | awk -v pid="pid=$1," 'index($0, pid) && /control.sock/ && $3 > 0 { n = 1 } END { exit !n }'; }

# Nobody is told that QEMU does not answer because its new supervisor has not met it yet; a QEMU that does not greet is
# not waited for without end.
test_client_of_a_new_supervisor_waits_for_qemu() {
    need_root
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    cat >"$ROOT/fake-qemu.scenario.json" <<<'{ "faults": [ { "fault": "greeting-late", "nth": 2, "ms": 150 },
        { "fault": "greeting-missing", "nth": 2 } ] }'
    template "EMULATOR = \"$ROOT/fake-qemu\"" 'VCPU_MAX = "3"' 'VCPU = "1"'
    expect 0 vml start "$TEMPLATE"
    local last
    expect 0 vml resize "$VM" --vcpu 2
    await 5 jq -e '.last_change == 1' "$ROOT/run/vmlaunch/$VM/record.json"
    last=$(status_of supervisor_pid)
    kill -STOP "$last"
    vml suspend "$VM" >"$WORK/suspend" 2>&1 &
    local client=$! status=0
    await 5 has_client_in_queue "$last"
    kill -9 "$last"
    wait "$client" || status=$?
    assert_eq "$status" 0 "exit status of suspend: $(<"$WORK/suspend")"
    await 5 adopted_after "$last"
    # Its changes are numbered on.
    expect 0 vml resize "$VM" --vcpu 3
    assert_contains "$(status_of 'story[].text')" "change 2 (resize) by uid 0"
    last=$(status_of supervisor_pid)
    kill -9 "$last"
    expect 9 vml resume "$VM"
    assert_contains "$ERR" "QEMU does not answer"
    await 5 adopted_after "$last"
    expect 0 vml destroy "$VM"
    assert_clean
}

test_keeper_gives_up_after_three_restarts_and_run_adopts() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_guest
    local last=$SUPERVISOR
    for _ in 1 2 3; do
        kill -9 "$last"
        await 5 adopted_after "$last"
        last=$(status_of supervisor_pid)
    done
    kill -9 "$last"
    await 5 is_gone "$KEEPER"
    assert_contains "$(log_of)" "giving up, QEMU goes on without one"
    [[ -d /proc/$QEMU ]] || fail "QEMU is gone"
    assert_contains "$(vml list)" unsupervised
    vml run "$VM" 2>"$WORK/run.err" &
    local run=$! status=0
    await 5 adopted_after "$last"
    assert_eq "$(status_of pid)" "$QEMU"
    await 5 status_is agent answering
    expect 0 vml destroy "$VM"
    wait "$run" || status=$?
    assert_eq "$status" 0 "exit status of run"
    assert_eq "$(status_of verdict)" asked
}

test_qemu_killed_while_its_supervisor_is_dead_is_known_to_be_killed() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_guest
    kill -STOP "$KEEPER"
    kill -9 "$SUPERVISOR" "$QEMU"
    await 5 is_zombie "$QEMU"
    kill -CONT "$KEEPER"
    await 10 is_gone "$KEEPER"
    assert_eq "$(status_of verdict)" killed
    assert_contains "$(status_of reason)" SIGKILL
    assert_clean
}

test_qemu_killed_after_adoption_is_known_to_be_killed() {
    need_root
    template
    start_guest
    kill -9 "$SUPERVISOR"
    await 5 adopted_after "$SUPERVISOR"
    kill -SEGV "$QEMU"
    await 10 is_gone "$KEEPER"
    assert_eq "$(status_of verdict)" crashed
}

test_qemu_killed_while_its_supervisor_is_stopped_is_known_to_be_killed() {
    need_root
    template
    start_guest
    kill -STOP "$SUPERVISOR"
    kill -9 "$QEMU"
    await 5 is_zombie "$QEMU"
    kill -CONT "$SUPERVISOR"
    await 10 is_gone "$KEEPER"
    assert_eq "$(status_of verdict)" killed
}

# unseen EVENT COMMAND: the guest does it while keeper and supervisor see nothing; QEMU has said so before they go on
unseen() {
    start_guest
    kill -STOP "$KEEPER"
    kill -9 "$SUPERVISOR"
    # Whoever is QMP's client now: QEMU serves one after the other.
    { echo '{"execute":"qmp_capabilities"}' && sleep 60; } |
        socat - "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/private/qmp.sock" >"$WORK/qmp" &
    local client=$!
    await 10 grep -q '"return"' "$WORK/qmp"
    tell_guest_last "$2"
    await 20 grep -q "\"event\": \"$1\"" "$WORK/qmp"
    kill "$client"
    kill -CONT "$KEEPER"
}
unseen_end() { # EVENT COMMAND VERDICT
    unseen "$1" "$2"
    await 10 is_gone "$KEEPER"
    assert_eq "$(status_of verdict)" "$3"
    assert_clean
}
test_guest_that_powers_off_while_nobody_listens_is_guest_off() {
    need_root
    template
    unseen_end SHUTDOWN 'poweroff -f' guest-off
}
test_guest_that_panics_while_nobody_listens_is_panicked() {
    need_root
    template 'PANIC = [ MODEL = "pci" ]'
    sed -i 's/ guest.small//' "$TEMPLATE"
    unseen_end GUEST_PANICKED 'echo c >/proc/sysrq-trigger' panicked
}
test_guest_that_resets_while_nobody_listens_runs_on() {
    need_root
    template
    unseen RESET 'reboot -f'
    await 5 adopted_after "$SUPERVISOR"
    assert_eq "$(status_of pid)" "$QEMU"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    expect 0 vml shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
}

test_without_keeper_and_supervisor_run_adopts_and_a_kill_nobody_saw_is_lost() {
    need_root
    template
    start_guest
    kill -9 "$KEEPER"
    await 5 is_gone "$KEEPER"
    assert_eq "$(status_of state)" running
    kill -9 "$SUPERVISOR"
    await 5 is_gone "$SUPERVISOR"
    expect 0 vml reconcile --dry-run "$VM"
    assert_contains "$OUT" "runs without its supervisor"
    vml --timeout 60 wait "$VM" --for=stopped &
    local waiter=$!
    vml run "$VM" 2>"$WORK/run.err" &
    local run=$! status=0
    await 5 adopted_after "$SUPERVISOR"
    assert_eq "$(status_of pid)" "$QEMU"
    kill -9 "$QEMU"
    wait "$run" || status=$?
    assert_eq "$status" 15 "exit status of run"
    assert_eq "$(status_of verdict)" lost
    wait "$waiter" || fail "wait --for=stopped ended with $?"
}

is_watching() { [[ -n $(find "/proc/$1/fd" -lname '*inotify') ]]; }

test_wait_for_the_end_of_a_qemu_that_nobody_supervises_ends_with_it() {
    need_root
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    template "EMULATOR = \"$ROOT/fake-qemu\""
    expect 0 vml start "$TEMPLATE"
    QEMU=$(status_of pid) SUPERVISOR=$(status_of supervisor_pid) KEEPER=$(keeper_of)
    kill -9 "$KEEPER" "$SUPERVISOR"
    await 5 is_gone "$SUPERVISOR"
    expect 7 vml --timeout 1 wait "$VM" --for=stopped
    assert_contains "$ERR" "the supervisor of '$VM' is gone: vmlaunch reconcile $VM" "why it is not stopped"
    "$VMLAUNCH" --root "$ROOT" --timeout 60 wait "$VM" --for=stopped &
    local waiter=$!
    await 10 is_watching "$waiter"
    kill -9 "$QEMU"
    wait "$waiter" || fail "wait --for=stopped ended with $?"
    expect 0 vml reconcile "$VM"
    assert_eq "$(status_of verdict)" lost
}

test_shutdown_goes_on_under_the_next_supervisor() {
    need_root
    CMDLINE="guest.noacpi guest.noagent" template
    mkdir -p "$ROOT/run/vmlaunch"
    echo - >"$ROOT/run/vmlaunch/crash-at"
    start_ready
    SUPERVISOR=$(status_of supervisor_pid) KEEPER=$(keeper_of)
    # It dies when it has just asked the guest: what its client may have been told by then must not be lost.
    echo "guest-asked 1 kill" >"$ROOT/run/vmlaunch/crash-at.new"
    mv "$ROOT/run/vmlaunch/crash-at.new" "$ROOT/run/vmlaunch/crash-at"
    vml --timeout 2 shutdown --force --no-block "$VM" || true
    # Perhaps the VM is gone already when somebody looks.
    await 10 is_gone "$KEEPER"
    assert_contains "$(log_of)" "adopted by supervisor pid"
    assert_eq "$(status_of verdict)" asked
}

test_supervisor_killed_before_the_guest_runs_leaves_nothing() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    local n
    for n in 1 2 3 4; do
        vml start "$TEMPLATE" >"$WORK/start.out" 2>&1 &
        local start=$! status=0
        # Some time of a start from the journal on.
        until [[ -s $ROOT/run/vmlaunch/$VM/journal ]]; do sleep 0.002; done
        sleep "0.0$((n * 2 - 1))"
        kill -9 "$(head -1 "$ROOT/run/vmlaunch/$VM/lock")" 2>/dev/null || true
        wait "$start" || status=$?
        if ((status == 0)); then
            expect 0 vml destroy "$VM"
        fi
        assert_clean
    done
}

# It had its lock and no more: nobody but that start knows of it.
test_supervisor_killed_right_after_its_lock_leaves_nothing() {
    need_root
    template
    mkdir -p "$ROOT/run/vmlaunch"
    echo "vm-locked 1 kill" >"$ROOT/run/vmlaunch/crash-at"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "ended without a word"
    rm "$ROOT"/run/vmlaunch/crash-*
    assert_clean
}

panic_guest() { # ON_CRASH
    template 'PANIC = [ MODEL = "pci" ]' "ON_CRASH = \"$1\""
    sed -i 's/ guest.small//' "$TEMPLATE"
    start_guest
    tell_guest_last 'echo c >/proc/sysrq-trigger'
}
test_on_crash_restart_starts_a_guest_that_panics_again() {
    need_root
    panic_guest restart
    await 20 grep -q "the guest has rebooted" "$ROOT/var/log/vmlaunch/$VM.log"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    assert_eq "$(status_of pid)" "$QEMU"
    expect 0 vml destroy "$VM"
}
test_on_crash_preserve_leaves_a_guest_that_panics_paused() {
    need_root
    panic_guest preserve
    await 20 status_is state paused
    await 5 status_is reason guest-panicked
    kill -9 "$SUPERVISOR"
    await 5 adopted_after "$SUPERVISOR"
    await 5 status_is state paused
    await 5 status_is reason guest-panicked
    expect 0 vml destroy "$VM"
}

# adopted_with FILE BYTES: that file of the VM's is cut to so many bytes, and `run` adopts all the same.
adopted_with() {
    local dir=$ROOT/run/vmlaunch/$VM last
    cp "$WORK/journal" "$WORK/record.json" "$dir/"
    truncate -s "$2" "$dir/$1"
    last=$(log_of | grep -c "adopted by supervisor") || true
    "$VMLAUNCH" --root "$ROOT" run "$VM" >>"$WORK/run.err" 2>&1 &
    RUN=$!
    await 10 adoptions_are $((last + 1))
    # It writes the record anew a moment after it says so in the log.
    await 5 status_is pid "$QEMU"
    await 5 status_is state running
}
adoptions_are() { [[ $(log_of | grep -c "adopted by supervisor") == "$1" ]]; }

test_torn_journal_or_record_is_adopted_and_leaves_nothing() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_guest
    local dir=$ROOT/run/vmlaunch/$VM file size cut
    slay "$KEEPER" "$SUPERVISOR"
    await 5 is_gone "$SUPERVISOR"
    cp "$dir/journal" "$dir/record.json" "$WORK/"
    for file in record.json journal; do
        size=$(stat -c %s "$WORK/$file")
        for cut in 0 1 $((size / 4)) $((size / 2)) $((size * 3 / 4)) $((size - 30)) $((size - 1)); do
            adopted_with "$file" "$cut"
            kill -9 "$RUN"
            wait "$RUN" 2>/dev/null || true
        done
    done
    adopted_with journal $((size / 2))
    expect 0 vml shutdown "$VM"
    wait "$RUN" || fail "run ended with $?"
    assert_clean
}

test_destroy_without_supervisor_and_with_half_a_journal_leaves_nothing() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_guest
    local journal=$ROOT/run/vmlaunch/$VM/journal
    slay "$KEEPER" "$SUPERVISOR"
    await 5 is_gone "$SUPERVISOR"
    truncate -s $(($(stat -c %s "$journal") / 2)) "$journal"
    expect 9 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    # A zombie, when nobody has waited for it yet.
    [[ -z $(tr -d "\0" 2>/dev/null <"/proc/$QEMU/cmdline") ]] || fail "QEMU lives"
    assert_clean
}

run_tests "$@"
