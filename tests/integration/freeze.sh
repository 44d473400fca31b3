#!/usr/bin/env bash
# Freezing a real guest that writes: it ends with its holder, its limit, a reset or a shutdown, and is never forgotten.
. "$(dirname "$0")/lib.sh"

# How often somebody is killed around a freeze: `make nightly` has more of them.
FREEZE_RUNS=${FREEZE_RUNS:-20}

# A guest with an ext4 disk that something writes to all the time.
writing_guest() {
    need_root
    command -v mke2fs >/dev/null || skip "needs mke2fs (e2fsprogs)"
    mkdir -p "$WORK/empty"
    truncate -s 32M "$WORK/disk.img"
    mke2fs -q -t ext4 -F -d "$WORK/empty" "$WORK/disk.img" 2>/dev/null
    CMDLINE="guest.mount=/dev/vda:/mnt" template \
        "DISK = [ SOURCE = \"$WORK/disk.img\", FORMAT = \"raw\", TARGET = \"vda\" ]"
    start_ready "$WORK/disk.img" begin_writing
    image_changes || fail "the guest does not write"
}
begin_writing() { tell_guest '(while :; do date >>/mnt/log; sync; usleep 20000; done) &'; }
image_sum() { dd if="$WORK/disk.img" bs=1M status=none | md5sum; }
image_changes() {
    local before end=$((SECONDS + 20))
    before=$(image_sum)
    while ((SECONDS < end)); do
        [[ $(image_sum) == "$before" ]] || return 0
        sleep 0.1
    done
    return 1
}
is_thawed() { [[ $(status_of frozen) == false && $(status_of 'leases|length') == 0 ]]; }
is_frozen() { [[ $(status_of frozen) == true ]]; }
# In the guest's own words; the agent answers this also while frozen.
guest_says() { [[ $(vml agent "$VM" raw guest-fsfreeze-status) == "\"$1\"" ]]; }

hold_freeze() { # in the background, $HOLDER
    "$VMLAUNCH" --root "$ROOT" agent "$VM" freeze >"$WORK/freeze.out" 2>"$WORK/freeze.err" &
    HOLDER=$!
    await 20 grep -q frozen "$WORK/freeze.out"
}

test_a_frozen_guest_writes_nothing_until_its_holder_ends() {
    writing_guest
    hold_freeze
    assert_match "$(cat "$WORK/freeze.out")" "$VM: frozen 1 file systems"
    is_frozen || fail "status says $(status_of frozen)"
    guest_says frozen || fail "the guest is not frozen"
    local before
    before=$(image_sum)
    sleep 1
    assert_eq "$(image_sum)" "$before" "the image of a frozen guest"
    kill -INT "$HOLDER"
    wait "$HOLDER" || fail "freeze ended with $?: $(cat "$WORK/freeze.err")"
    assert_contains "$(cat "$WORK/freeze.out")" "thawed 1 file systems"
    is_thawed || fail "it is not thawed: $(vml status "$VM")"
    guest_says thawed || fail "the guest is frozen"
    image_changes || fail "the guest does not write any more"
    expect 0 vml destroy "$VM"
}

test_a_copy_made_while_frozen_needs_no_journal_recovery() {
    writing_guest
    hold_freeze
    cp "$WORK/disk.img" "$WORK/copy.img"
    kill -INT "$HOLDER"
    wait "$HOLDER" || fail "freeze ended with $?"
    dumpe2fs -h "$WORK/copy.img" >"$WORK/header" 2>/dev/null || fail "the copy is no file system"
    ! grep -q needs_recovery "$WORK/header" || fail "the copy needs recovery"
    expect 0 vml destroy "$VM"
}

# Client, supervisor or both die before the freeze is asked for, in the middle of it, or while it is held.
test_whoever_is_killed_around_a_freeze_leaves_no_frozen_guest() {
    writing_guest
    local seed=${SEED:-$RANDOM} n victim supervisor begin took slowest=0 supervisors=0 last=()
    echo "    seed $seed"
    RANDOM=$seed
    for ((n = 0; n < FREEZE_RUNS; n++)); do
        victim=$((RANDOM % 4))
        supervisor=$(status_of supervisor_pid)
        # The keeper gives a supervisor up that dies more than three times in ten seconds.
        if ((victim >= 2 && ${#last[@]} >= 3)) && ((SECONDS - last[-3] <= 11)); then
            ((FREEZE_RUNS > 50)) && sleep $((12 + last[-3] - SECONDS)) || victim=0
        fi
        echo "    run $n, victim $victim"
        "$VMLAUNCH" --root "$ROOT" agent "$VM" freeze >"$WORK/freeze.out" 2>&1 &
        HOLDER=$!
        sleep "0.$(printf %03d $((RANDOM % 200)))"
        ((RANDOM % 3)) || await 20 grep -q frozen "$WORK/freeze.out"
        # It may have ended already, for want of its supervisor.
        ((victim == 2)) || kill -9 "$HOLDER" 2>/dev/null || true
        if ((victim >= 2)); then
            kill -9 "$supervisor"
            last+=("$SECONDS") supervisors=$((supervisors + 1))
        fi
        wait "$HOLDER" 2>/dev/null || true
        begin=${EPOCHREALTIME/./}
        if ((victim >= 2)); then
            await 10 another_supervisor_than "$supervisor"
            await 10 status_is agent answering
        fi
        await 10 is_thawed
        took=$(((${EPOCHREALTIME/./} - begin) / 1000))
        ((took <= slowest)) || slowest=$took
        # Its client may have died with its request on the way.
        await 10 guest_says thawed
    done
    echo "    $FREEZE_RUNS runs, $supervisors supervisors killed, thawed after $slowest ms at most"
    ((supervisors || FREEZE_RUNS < 20)) || fail "seed $seed: no supervisor was killed"
    image_changes || fail "the guest does not write any more"
    expect 0 vml destroy "$VM"
}
another_supervisor_than() { [[ $(status_of supervisor_pid) =~ ^[0-9]+$ && $(status_of supervisor_pid) != "$1" && $(status_of state) == running ]]; }

test_the_limit_thaws_and_the_holder_learns_it() {
    writing_guest
    expect 7 vml --timeout 1 agent "$VM" freeze
    assert_contains "$ERR" "its limit of 1 s has passed"
    # It is told before that when the guest had not frozen by then.
    await 10 is_thawed
    # Nobody holds this one; it is time enough for a slow guest to freeze.
    expect 0 vml --timeout 6 agent "$VM" freeze --detach
    assert_contains "$OUT" "frozen 1 file systems"
    await 10 is_thawed
    guest_says thawed || fail "the guest is frozen"
    # And this one is ended by another client.
    expect 0 vml --timeout 60 agent "$VM" freeze --detach
    is_frozen || fail "not frozen"
    expect 9 vml agent "$VM" freeze
    assert_contains "$ERR" "lease"
    expect 0 vml agent "$VM" thaw
    assert_contains "$OUT" "thawed 1 file systems"
    is_thawed || fail "it is not thawed: $(vml status "$VM")"
    expect 0 vml destroy "$VM"
}

test_the_end_of_stdin_ends_a_freeze() {
    writing_guest
    mkfifo "$WORK/fifo"
    "$VMLAUNCH" --root "$ROOT" agent "$VM" freeze <"$WORK/fifo" >"$WORK/freeze.out" 2>&1 &
    HOLDER=$!
    exec 7>"$WORK/fifo"
    await 20 grep -q frozen "$WORK/freeze.out"
    is_frozen || fail "not frozen"
    exec 7>&-
    wait "$HOLDER" || fail "freeze ended with $?"
    is_thawed || fail "it is not thawed"
    expect 0 vml destroy "$VM"
}

blocks_interrupts() { ((0x$(sed -n 's/^SigBlk:\t//p' "/proc/$1/status") & 1 << $(kill -l INT) - 1)); }
# Whoever has read that the guest is frozen may end the freeze: a signal that comes while the holder says so is heard.
test_a_holder_that_is_saying_so_hears_a_signal() {
    writing_guest
    mkfifo "$WORK/said"
    exec 7<>"$WORK/said"
    # It is full, so the word waits for a reader.
    head -c 65536 /dev/zero >&7
    "$VMLAUNCH" --root "$ROOT" agent "$VM" freeze >&7 2>"$WORK/freeze.err" 7>&- &
    HOLDER=$!
    await 20 is_frozen
    await 20 blocks_interrupts "$HOLDER"
    kill -INT "$HOLDER"
    cat <&7 >"$WORK/freeze.out" &
    local reader=$!
    wait "$HOLDER" || fail "freeze ended with $?: $(cat "$WORK/freeze.err")"
    exec 7>&-
    kill "$reader"
    wait "$reader" 2>/dev/null || true
    is_thawed || fail "it is not thawed"
    expect 0 vml destroy "$VM"
}

test_while_frozen_what_would_hang_is_refused() {
    writing_guest
    expect 0 vml agent "$VM" freeze --detach
    expect 9 vml agent "$VM" fstrim
    expect 9 vml agent "$VM" raw guest-get-osinfo
    assert_contains "$ERR" "frozen"
    expect 9 vml suspend "$VM"
    expect 0 vml agent "$VM" ping
    expect 0 vml agent "$VM" info
    expect 0 vml agent "$VM" thaw
    expect 0 vml agent "$VM" raw guest-get-osinfo
    expect 0 vml suspend "$VM"
    expect 0 vml --timeout 30 wait "$VM" --for=paused
    expect 9 vml agent "$VM" freeze
    expect 9 vml agent "$VM" ping
    expect 9 vml agent "$VM" thaw
    expect 0 vml resume "$VM"
    await 20 story_has "the guest's clock is set by its agent"
    expect 0 vml destroy "$VM"
}

test_a_reset_ends_the_lease() {
    writing_guest
    hold_freeze
    expect 0 vml reset "$VM"
    local status=0
    wait "$HOLDER" || status=$?
    assert_eq "$status" 1 "exit status of freeze"
    assert_contains "$(cat "$WORK/freeze.err")" "the guest was reset"
    await 10 is_thawed
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    guest_says thawed || fail "the guest is frozen"
    expect 0 vml destroy "$VM"
}

test_shutdown_of_a_frozen_guest_thaws_it_first() {
    writing_guest
    expect 0 vml agent "$VM" freeze --detach
    expect 0 vml shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
    assert_contains "$(vml status "$VM")" "thawing the guest, so that it can power off"
    assert_eq "$(status_of frozen)" false
}

test_agent_commands_are_allowed_by_the_template() {
    need_root
    template
    start_ready
    expect 0 vml agent "$VM" ping
    expect 0 vml agent "$VM" info
    assert_contains "$OUT" guest-fsfreeze-freeze
    expect 0 vml agent "$VM" set-time
    expect 0 vml agent "$VM" raw '{"execute": "guest-network-get-interfaces"}'
    expect 5 vml agent "$VM" raw guest-exec '{"path": "/bin/true"}'
    assert_contains "$ERR" 'AGENT_ALLOW = "guest-exec"'
    expect 5 vml agent "$VM" raw guest-fsfreeze-freeze
    assert_contains "$ERR" "vmlaunch agent VM freeze"
    # The test guest has no file system that can be frozen.
    expect 8 vml agent "$VM" freeze
    expect 2 vml agent "$VM" chill
    await 10 is_thawed
    expect 0 vml destroy "$VM"
    template 'AGENT_ALLOW = "guest-exec*"'
    start_ready
    expect 0 vml agent "$VM" raw guest-exec '{"path": "/bin/true"}'
    assert_match "$OUT" '"pid":'
    expect 5 vml agent "$VM" raw guest-file-open '{"path": "/etc/passwd"}'
    expect 8 vml agent "$VM" raw guest-exec '{"path": "/does/not/exist"}'
    expect 0 vml destroy "$VM"
}

test_an_absent_agent_is_said_at_once() {
    need_root
    CMDLINE="guest.noagent" template
    expect 0 vml start "$TEMPLATE"
    expect 8 vml agent "$VM" ping
    expect 8 vml agent "$VM" freeze
    expect 8 vml agent "$VM" thaw
    await 10 is_thawed
    expect 0 vml destroy "$VM"
}

run_tests "$@"
