#!/usr/bin/env bash
# Somebody does not answer: a stopped QEMU, a stopped supervisor, a mute agent, dead storage. Every verb ends within what
# `vmlaunch help VERB` says, list and status do not care, destroy says what is stuck.
#
# "over" in the output is what a verb took beyond the deadline of its case; on a quiet machine that is below 100 ms
# (DEADLINES_STRICT=1 makes it a failure). Without it a loaded machine gets SLACK_MS more.
. "$(dirname "$0")/lib.sh"

TOOLS=$TOP/build/tests
SLACK_MS=4000
[[ -n ${DEADLINES_STRICT:-} ]] && SLACK_MS=100

# What help says of a verb, without its timeout.
ends_within_ms() {
    local text
    text=$("$VMLAUNCH" help "$1" | sed -nE 's/^Ends within (its timeout and )?([0-9]+) s,.*/\2000/p')
    echo "${text:-0}"
}

# took LIMIT_MS STATUS VERB ARG...: in the background; ends with STATUS (a pattern) after LIMIT_MS at most, its own timeout
# within. The line it writes is checked by all_took.
took() {
    local limit=$1 want=$2 begin took status=0 out
    shift 2
    {
        begin=$(now_ms)
        out=$(vml "$@" 2>&1 </dev/null) || status=$?
        took=$(($(now_ms) - begin))
        echo "    $* took $took ms of $limit, over $((took > limit ? took - limit : 0)): $status $out" |
            head -1 | tee -a "$WORK/took" >&2
        [[ $status =~ ^($want)$ ]] || echo "'$*' ended with $status: $out" >>"$WORK/wrong"
        ((took <= limit + SLACK_MS)) || echo "'$*' took $took ms, its deadline is $limit ms" >>"$WORK/wrong"
    } &
    TOOK+=($!)
}
all_took() {
    wait "${TOOK[@]}"
    TOOK=()
    [[ ! -s $WORK/wrong ]] || fail "$(<"$WORK/wrong")"
}

# Neither waits for anybody: so it is quick sooner or later, however busy the machine is, and never slow.
look_unaffected() {
    local begin worst=0 best=1000000 took n
    for ((n = 0; n < 5 || (best >= 400 && n < 50); n++)); do
        begin=$(now_ms)
        expect 0 vml list
        assert_contains "$OUT" "$VM"
        expect 0 vml status "$VM"
        took=$(($(now_ms) - begin))
        ((took <= worst)) || worst=$took
        ((took >= best)) || best=$took
    done
    echo "    list and status together: $best to $worst ms" >&2
    ((best < 400 && worst < 400 + SLACK_MS)) || fail "list and status took $best to $worst ms"
}

test_a_stopped_qemu_holds_no_verb_beyond_its_deadline() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    kill -STOP "$(status_of pid)"
    # The supervisor's own words, a little before the client's patience ends; Busy once something is unknown.
    took 5000 '7|9' suspend "$VM"
    took 5000 '7|9' resume "$VM"
    took 5000 '7|9' reset "$VM"
    took 500 7 qmp "$VM" '{"execute":"query-status"}'
    took 5000 '7|9' qmp "$VM" '{"execute":"balloon","arguments":{"value":1}}'
    took 8000 8 agent "$VM" ping
    took 1000 7 --timeout 1 wait "$VM" --for=paused
    took 1000 0 --timeout 1 events "$VM"
    took 1000 '0|7' --timeout 1 console "$VM"
    took 1000 0 log "$VM"
    took 1000 0 log --wire "$VM"
    took 1000 0 dump "$VM"
    took 1000 0 dump "$VM" --argv
    took 1000 '7|9' --timeout 1 wait "$VM" --for=job:x
    took 1000 9 start "$TEMPLATE"
    took 1000 9 run "$TEMPLATE"
    took 1000 0 reconcile
    look_unaffected
    all_took
    assert_contains "$(vml status "$VM")" "QEMU does not answer"
    took 1000 7 --timeout 1 shutdown "$VM"
    all_took
    # Clients are held for as long as it waits for QEMU.
    took 3000 '7|9' reexec "$VM"
    all_took
    if [[ -n ${DEADLINES_ALL:-} ]]; then
        took 1000 '7|9' --timeout 1 reboot "$VM"
        took 30000 7 qmp "$VM" '{"execute":"blockdev-del","arguments":{"node-name":"x"}}'
        all_took
    fi
    took 2000 0 destroy "$VM"
    all_took
}

test_a_stopped_supervisor_holds_no_verb_beyond_its_deadline() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    local supervisor verb
    supervisor=$(status_of supervisor_pid)
    kill -STOP "$supervisor"
    for verb in suspend resume reset shutdown reboot destroy; do
        took 3000 7 "$verb" "$VM"
    done
    for verb in ping info freeze thaw fstrim set-time; do
        took 3000 7 agent "$VM" "$verb"
    done
    took 3000 7 agent "$VM" raw guest-info
    took 3000 7 qmp "$VM" '{"execute":"query-status"}'
    took 3000 7 events "$VM"
    took 3000 7 wait "$VM" --for=stopped
    took 1000 7 --timeout 1 wait "$VM" --for=paused
    took 1000 7 --timeout 1 wait "$VM" --for=ip
    took 3000 7 reexec "$VM"
    took 1000 0 dump "$VM" --metadata
    took 1000 7 --timeout 1 events "$VM"
    took 1000 0 --timeout 1 console "$VM"
    took 1000 0 log "$VM"
    took 1000 9 start "$TEMPLATE"
    took 1000 9 run "$TEMPLATE"
    took 1000 0 reconcile
    look_unaffected
    all_took
    assert_contains "$(<"$WORK/took")" "(pid $supervisor) does not answer: a signal has stopped it"
    assert_contains "$(vml status "$VM")" "its supervisor (pid $supervisor) is stopped"
    kill -CONT "$supervisor"
    # What came meanwhile was hung up: nothing of it is done now.
    await 5 status_is state running
    expect 0 vml destroy "$VM"
}

test_an_agent_that_never_answers_holds_no_verb_beyond_its_deadline() {
    need_root
    # Programs of users' own: the agent is the scripted one.
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$WORK/fake"
    echo '{"faults": [{"fault": "agent-silent"}]}' >"$WORK/fake.scenario.json"
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "64"' 'CPU = "1"' 'ACCEL = "tcg"' "EMULATOR = \"$WORK/fake\"" \
        'FEATURES = [ GUEST_AGENT = "yes", ACPI = "yes" ]' >"$TEMPLATE"
    expect 0 vml start "$TEMPLATE"
    # They wait in one queue, each for a sync's 3 s.
    took 11000 '7|8' agent "$VM" ping
    took 11000 '7|8' --timeout 2 agent "$VM" info
    took 11000 '7|8' --timeout 2 agent "$VM" set-time
    took 1000 7 --timeout 1 wait "$VM" --for=agent
    took 500 0 qmp "$VM" '{"execute":"query-status"}'
    look_unaffected
    all_took
    took 5000 0 suspend "$VM"
    all_took
    took 5000 0 resume "$VM"
    all_took
    # It ends after its 2 s; that the guest is thawed cannot be proven, and is tried on.
    took 20000 '7|8|9' --timeout 2 agent "$VM" freeze
    took 20000 '7|8|9' agent "$VM" thaw
    all_took
    # By its agent in vain, then by ACPI.
    took 12000 '0|7' --timeout 12 shutdown "$VM"
    all_took
}

# dead_storage [open|read N]: $DISK on a file system that stops answering; SIGUSR1 to $FUSE does that too
dead_storage() {
    need_root
    [[ -w /dev/fuse ]] || skip "needs /dev/fuse"
    mkdir "$WORK/storage"
    chmod 755 "$WORK" "$WORK/storage"
    truncate -s 1M "$WORK/image"
    mkfifo "$WORK/fuse-says"
    "$TOOLS/hang_fuse" "$WORK/storage" "$WORK/image" "$@" >"$WORK/fuse-says" &
    FUSE=$!
    local word=''
    read -r -t 30 word <"$WORK/fuse-says" || true
    [[ $word == ready ]] || skip "FUSE cannot be mounted here"
    DISK=$WORK/storage/disk
    # lib.sh removes what is below $WORK in the end.
    trap 'storage_gives_up' EXIT
}
# The connection is aborted: whoever waits gets an error.
storage_gives_up() {
    kill -9 "$FUSE" 2>/dev/null || true
    wait "$FUSE" 2>/dev/null || true
    umount -l "$WORK/storage" 2>/dev/null || true
}

test_images_on_dead_storage_hold_no_verb() {
    dead_storage open 1
    template "DISK = [ SOURCE = \"$DISK\", FORMAT = \"raw\" ]"
    local verb
    # With a second for QEMU, which is asked first what it can do.
    for verb in plan validate explain start run; do
        took 6000 7 "$verb" "$TEMPLATE"
    done
    expect 0 vml list
    all_took
    assert_contains "$(<"$WORK/took")" "'$DISK': its storage has not answered within 5000 ms"
    expect 0 vml reconcile
    assert_eq "$OUT" "nothing to do"
}

test_storage_that_dies_under_a_start_is_its_error() {
    # Once to look at its header, then to pass it to QEMU.
    dead_storage open 2
    template "DISK = [ SOURCE = \"$DISK\", FORMAT = \"raw\" ]"
    took 6000 7 start "$TEMPLATE"
    all_took
    assert_contains "$(<"$WORK/took")" "'$DISK': its storage has not answered within 5000 ms"
    expect 0 vml reconcile
    assert_eq "$OUT" "nothing to do"
}

# Its QEMU waits in the kernel, and SIGKILL does not reach it.
qemu_is_stuck() {
    expect 7 vml destroy "$VM"
    assert_contains "$ERR" "stuck-in-kernel: QEMU"
    assert_contains "$ERR" "about '$DISK'"
    assert_contains "$(vml status "$VM")" stuck-in-kernel
    look_unaffected
    storage_gives_up
    await 10 status_is state stopped
}

test_storage_that_dies_under_a_running_guest_is_named_by_destroy() {
    dead_storage
    template "DISK = [ SOURCE = \"$DISK\", FORMAT = \"raw\", CACHE = \"writeback\" ]"
    expect 0 vml start "$TEMPLATE"
    local node
    node=$(qemu_says query-named-block-nodes |
        jq -r '[.return[] | select(.drv == "raw")][0]."node-name"')
    kill -USR1 "$FUSE"
    # QEMU's own thread waits for this read: its monitor answers nobody any more.
    vml qmp "$VM" "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"qemu-io $node \\\"read 0 512\\\"\"}}" >/dev/null 2>&1 &
    local reader=$!
    await 10 held "$(status_of pid)"
    took 5000 '7|9' suspend "$VM"
    took 500 7 qmp "$VM" '{"execute":"query-status"}'
    look_unaffected
    all_took
    took 1000 7 --timeout 1 shutdown "$VM"
    all_took
    # quit is not heard for 2 s, SIGKILL has no effect for 5 s.
    took 7000 7 destroy "$VM"
    all_took
    assert_contains "$(<"$WORK/took")" "stuck-in-kernel: QEMU"
    # Its own deadline may have ended it.
    kill "$reader" 2>/dev/null || true
    qemu_is_stuck
}
held() { # PID: does a thread of it wait for the FUSE server
    grep -l 'request_wait_answer' /proc/"$1"/task/*/wchan
}

test_storage_that_dies_under_a_starting_qemu_is_named_by_start() {
    [[ -n ${DEADLINES_ALL:-} ]] || skip "20 s: make nightly"
    dead_storage read 2
    template "DISK = [ SOURCE = \"$DISK\", FORMAT = \"raw\", CACHE = \"writeback\" ]"
    # Its greeting has 10 s, SIGTERM 5, SIGKILL 5; plan and facts come before (help says 20 s, storage may be slow there, too).
    took 20500 7 start "$TEMPLATE"
    all_took
    assert_contains "$(<"$WORK/took")" "was killed and does not end"
    qemu_is_stuck
}

run_tests "$@"
