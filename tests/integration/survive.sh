#!/usr/bin/env bash
# What a VM and the host have to survive: a QEMU that misbehaves on its socket, a supervisor or client that is killed,
# a start that is cancelled, two of them at once, full and read-only file systems. Most of it with a stand-in for QEMU.
. "$(dirname "$0")/lib.sh"

ask_supervisor() { # COMMAND
    printf '{"execute":"qmp_capabilities"}\n{"execute":"%s"}\n' "$1" |
        timeout 5 socat -t 0.3 - "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/control.sock"
}
# start_orphan: a VM that runs, its supervisor killed, and before that the keeper, which would have replaced it
start_orphan() {
    fake_template
    expect 0 vml start "$TEMPLATE"
    QEMU=$(status_of pid)
    SUPERVISOR=$(status_of supervisor_pid)
    slay "$(keeper_of)" "$SUPERVISOR"
}
# What is looked for is a wait without end: five times the time it takes leaves room for a busy machine.
quicker_than() { # SECONDS COMMAND...
    local limit=$((5 * $1)) begin=$SECONDS
    shift
    "$@"
    ((SECONDS - begin <= limit)) || fail "'$*' took $((SECONDS - begin)) s"
}

test_lost_qmp_connection_is_made_again() {
    need_root
    MANNER=fake.hangup fake_template
    expect 0 vml start "$TEMPLATE"
    ask_supervisor query-version >/dev/null
    await 5 story_has "QMP is connected again"
    story_has "the connection to QEMU is lost, trying again" || fail "the loss is not in the story: $(story)"
    assert_eq "$(status_of state)" running
    assert_eq "$(status_of reason)" null reason
    expect 0 vml suspend "$VM"
    assert_eq "$(status_of state)" paused
    expect 0 vml destroy "$VM"
}

test_qemu_that_hangs_up_during_its_start_and_lives_on_is_ended() {
    need_root
    MANNER=fake.leave fake_template
    quicker_than 9 expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "closed its QMP connection"
    assert_clean
}

test_endless_and_deep_greetings_end_the_start() {
    need_root
    MANNER=fake.endless fake_template
    # The bound on a message or the deadline of the greeting, whichever the machine comes to first.
    local status=0
    timeout 75 "$VMLAUNCH" --root "$ROOT" start "$TEMPLATE" 2>"$WORK/start.err" || status=$?
    case $status in
    1) assert_contains "$(<"$WORK/start.err")" "JSON message" ;;
    7) assert_contains "$(<"$WORK/start.err")" "has not greeted" ;;
    *) fail "start ended with $status: $(<"$WORK/start.err")" ;;
    esac
    MANNER=fake.deep fake_template
    quicker_than 9 expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "levels deep"
}

test_flood_of_events_fills_neither_memory_nor_log_and_destroy_works() {
    need_root
    MANNER=fake.flood fake_template
    expect 0 vml start "$TEMPLATE"
    sleep 2
    quicker_than 2 status_is state running || true
    local supervisor rss
    supervisor=$(status_of supervisor_pid)
    rss=$(awk '/VmRSS/ { print $2 }' "/proc/$supervisor/status")
    ((rss < 32768)) || fail "the supervisor has $rss KiB"
    quicker_than 12 expect 0 vml destroy "$VM"
    ((rss = $(wc -l <"$ROOT/var/log/vmlaunch/$VM.log"))) || true
    ((rss < 300)) || fail "the log has $rss lines"
}

test_start_cancelled_before_it_is_ready_leaves_nothing() {
    need_root
    MANNER=fake.mute fake_template
    "$VMLAUNCH" --root "$ROOT" start "$TEMPLATE" 2>"$WORK/start.err" &
    local start=$! status=0
    await 5 status_is state starting
    # An asynchronous list of a script ignores SIGINT; SIGTERM is taken the same way.
    kill -TERM "$start"
    wait "$start" || status=$?
    assert_eq "$status" 1 "exit status of start"
    assert_contains "$(<"$WORK/start.err")" cancelling
    assert_clean
}

test_client_killed_or_without_stdout_during_a_start_does_not_matter() {
    need_root
    fake_template
    "$VMLAUNCH" --root "$ROOT" start "$TEMPLATE" &
    local start=$!
    # It has forked then.
    await 10 test -e "$ROOT/run/vmlaunch/$VM/lock"
    kill -9 "$start" 2>/dev/null || true
    wait "$start" 2>/dev/null || true
    expect 0 vml --timeout 60 wait "$VM" --for=started
    expect 0 vml destroy "$VM"
    expect 0 sh -c "exec '$VMLAUNCH' --root '$ROOT' start '$TEMPLATE' >&- <&- 2>&-"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

test_of_two_starts_at_once_one_is_told_that_the_name_is_taken() {
    need_root
    fake_template
    local one two first=0 second=0
    vml start "$TEMPLATE" >"$WORK/1" 2>&1 &
    one=$!
    vml start "$TEMPLATE" >"$WORK/2" 2>&1 &
    two=$!
    wait "$one" || first=$?
    wait "$two" || second=$?
    ((first + second == 9)) || fail "they ended with $first and $second: $(cat "$WORK/1" "$WORK/2")"
    assert_contains "$(cat "$WORK/1" "$WORK/2")" "holds its lock"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

test_destroy_and_start_over_and_over_leave_nothing() {
    need_root
    fake_template
    for _ in 1 2 3 4 5; do
        expect 0 vml start "$TEMPLATE"
        vml destroy "$VM" >/dev/null &
        # While the first run is being undone its name is taken, after that it is free.
        until vml start "$TEMPLATE" >"$WORK/again" 2>&1; do
            grep -q "holds its lock" "$WORK/again" || fail "$(<"$WORK/again")"
        done
        wait $!
        expect 0 vml destroy "$VM"
        assert_clean
    done
}

test_qemu_without_supervisor_is_shown_refused_and_destroyed() {
    need_root
    start_orphan
    expect 0 vml status "$VM"
    assert_contains "$OUT" "supervisor of '$VM' is gone"
    assert_eq "$(status_of state)" unknown
    assert_eq "$(vml -o json list | jq -r '.[0].state')" unsupervised
    expect 9 vml start "$TEMPLATE"
    assert_contains "$ERR" "lives without a supervisor"
    assert_contains "$ERR" "vmlaunch destroy $VM"
    expect 3 vml suspend "$VM"
    expect 3 vml shutdown "$VM"
    expect 0 vml reconcile --dry-run
    assert_contains "$OUT" "runs without its supervisor"
    [[ -d /proc/$QEMU ]] || fail "reconcile has ended QEMU"
    expect 0 vml destroy "$VM"
    is_dead "$QEMU" || fail "QEMU lives"
    assert_eq "$(status_of verdict)" asked
}

test_run_that_ended_unseen_is_reconciled_or_started_anew() {
    need_root
    start_orphan
    kill -9 "$QEMU"
    await 5 is_dead "$QEMU"
    expect 0 vml reconcile
    assert_contains "$OUT" "verdict lost"
    assert_eq "$(status_of verdict)" lost
    assert_clean
    start_orphan
    kill -9 "$QEMU"
    await 5 is_dead "$QEMU"
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

test_stopped_qemu_delays_nobody_and_is_destroyed() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    kill -STOP "$(status_of pid)"
    quicker_than 1 expect 0 vml status "$VM"
    quicker_than 1 expect 0 vml list
    quicker_than 1 expect 0 vml wait "$VM" --for=started
    quicker_than 7 expect 7 vml suspend "$VM"
    await 5 status_is reason "QEMU does not answer"
    quicker_than 4 expect 0 vml destroy "$VM"
    assert_eq "$(status_of verdict)" asked
}

test_a_query_past_its_deadline_is_no_silence_before_two_seconds() {
    need_root
    fake_template
    expect 0 vml start "$TEMPLATE"
    local qemu begin took
    qemu=$(status_of pid) begin=${EPOCHREALTIME/./}
    kill -STOP "$qemu"
    expect 7 vml qmp "$VM" '{"execute":"query-status"}'
    kill -CONT "$qemu"
    expect 0 qemu_says query-status
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    # On a host where these took longer it was a silence.
    ((took >= 2000)) || ! story_has "QEMU does not answer" || fail "silent after $took ms: $(story)"
    kill -STOP "$qemu"
    expect 7 vml qmp "$VM" '{"execute":"query-status"}'
    await 5 status_is reason "QEMU does not answer"
    # The reply that comes late ends it.
    kill -CONT "$qemu"
    await 5 status_is reason null
    story_has "QEMU answers again" || fail "not in the story: $(story)"
    expect 0 vml destroy "$VM"
}

test_qemu_that_cannot_be_killed_is_said_to_be_stuck_and_cleaned_up_after_its_end() {
    need_root
    [[ -d /sys/fs/cgroup/freezer ]] || skip "needs the v1 freezer, which holds a process against SIGKILL"
    fake_template
    expect 0 vml start "$TEMPLATE"
    local state=/sys/fs/cgroup/freezer/machine.slice/vmlaunch-$VM/freezer.state
    echo FROZEN >"$state"
    quicker_than 9 expect 7 vml destroy "$VM"
    assert_contains "$ERR" "stuck-in-kernel: QEMU"
    assert_contains "$(status_of reason)" stuck-in-kernel
    expect 9 vml start "$TEMPLATE"
    echo THAWED >"$state"
    expect 0 vml --timeout 60 wait "$VM" --for=stopped
    assert_eq "$(status_of verdict)" asked
}

# One more would have to wait in connect() until the process with this pid takes a connection.
queue_is_full() { ss -xlpH | awk -v pid="pid=$1," 'index($0, pid) && /control.sock/ && $3 > $4 { n = 1 } END { exit !n }'; }

test_stopped_supervisor_makes_no_client_wait_long() {
    need_root
    fake_template
    expect 0 vml start "$TEMPLATE"
    local supervisor
    supervisor=$(status_of supervisor_pid)
    kill -STOP "$supervisor"
    quicker_than 1 expect 0 vml list
    # Two that wait for their own deadline.
    vml destroy "$VM" 2>"$WORK/destroy.err" &
    local destroy=$! status=0
    quicker_than 4 expect 0 vml status "$VM"
    assert_contains "$OUT" unknown
    # No longer than the 20 s that quicker_than would give it.
    timeout 20 tail --pid="$destroy" -f /dev/null
    wait "$destroy" || status=$?
    assert_eq "$status" 7 "exit status of destroy"
    # Its queue of connections is full: connect() itself would wait.
    local clients=()
    for _ in $(seq 70); do
        socat -u "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/control.sock" /dev/null 2>/dev/null &
        clients+=($!)
    done
    await 10 queue_is_full "$supervisor"
    quicker_than 4 expect 7 vml suspend "$VM"
    kill "${clients[@]}" 2>/dev/null || true
    kill -CONT "$supervisor"
    await 5 vml destroy "$VM"
}

test_full_run_directory_fails_the_start_and_leaves_nothing() {
    need_root
    fake_template
    mkdir -p "$ROOT/run"
    local size
    for size in 4 8 12 16 20 28 36; do
        mount -t tmpfs -o "size=${size}k" none "$ROOT/run"
        if vml start "$TEMPLATE" >"$WORK/out" 2>"$WORK/err"; then
            expect 0 vml destroy "$VM"
        else
            grep -q "No space left" "$WORK/err" || fail "$size KiB: $(<"$WORK/err")"
        fi
        assert_clean
        umount "$ROOT/run"
    done
}

test_log_directory_that_cannot_be_written_is_a_warning() {
    need_root
    fake_template
    mkdir -p "$ROOT/var/log/vmlaunch"
    mount -t tmpfs -o ro none "$ROOT/var/log/vmlaunch"
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    umount "$ROOT/var/log/vmlaunch"
}

run_tests "$@"
