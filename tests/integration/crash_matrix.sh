#!/usr/bin/env bash
# A process of ours dies at each named moment (vmlaunch __steps) of start, stop and undo, and at random ones: what is
# left is repaired by the verbs a user has, nothing leaks, and the next start and shutdown work.
. "$(dirname "$0")/lib.sh"

# The whole table is done within this; random kills are printed with their seed: CRASH_SEED=N repeats them.
CRASH_SEED=${CRASH_SEED:-$RANDOM}
RANDOM_KILLS=${RANDOM_KILLS:-50}

# A VM whose emulator answers at once: what dies here is ours, not the guest.
set_up() {
    need_root
    install -m 755 "$TOP/build/tests/fake_qemu" "$ROOT/fake-qemu"
    template "EMULATOR = \"$ROOT/fake-qemu\"" "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]"
    # The facts of the real QEMU are read once.
    vml plan "$TEMPLATE" >/dev/null
    RUN_DIR=$(vml -o json plan "$TEMPLATE" | jq -r '.steps[] | select(.effect == "live-template").args.path')
    RUN_DIR=${RUN_DIR%/*/*}
    mkdir -p "$RUN_DIR"
}

arm() { # NAME COUNT kill|stop
    echo "$1 $2 $3" >"$RUN_DIR/crash-at.new"
    mv "$RUN_DIR/crash-at.new" "$RUN_DIR/crash-at"
}
was_reached() { [[ ! -e $RUN_DIR/crash-at ]]; }
qemu_pids() { pgrep -f "guest=$VM," || true; }
# Starter and supervisor: their command line has the template's path.
our_pids() { pgrep -f "^$VMLAUNCH .*$TEMPLATE" || true; }
helper_pids() { pgrep -x -f "vmlaunch __host" --ns $$ --nslist net || true; }

# Ends what goes on, by the verbs a user has. Everybody may have died anywhere.
repair() { # WHERE
    local out
    for _ in 1 2 3 4 5 6; do
        out=$(vml destroy "$VM" 2>&1) || true
        out+=$(vml reconcile "$VM" 2>&1) || true
        [[ -z $(qemu_pids) && -z $(leftovers) ]] && return
        sleep 0.05
    done
    fail "$1: not repaired: $(leftovers)"$'\n'"$out"
}

# Has a repaired VM its end written down?
assert_ended() { # WHERE
    local record=$RUN_DIR/$VM/record.json
    [[ -e $record ]] || return 0
    jq -e '.state == "stopped" and .verdict != null and .pid == null and .supervisor_pid == null' "$record" >/dev/null ||
        fail "$1: the record does not say the end: $(jq -c '{state, verdict, pid, supervisor_pid}' "$record")"
}

assert_works() { # WHERE
    vml -q start "$TEMPLATE" >"$WORK/again" 2>&1 || fail "$1: the next start: $(<"$WORK/again")"
    vml -q shutdown "$VM" >"$WORK/again" 2>&1 || fail "$1: the next shutdown: $(<"$WORK/again")"
    assert_ended "$1, next run"
}

# A life with the moment armed: start, pause, resume, shutdown. Failing is what they do here.
live() {
    timeout 20 "$VMLAUNCH" --root "$ROOT" -q start "$TEMPLATE" >/dev/null 2>&1 || true
    was_reached || timeout 20 "$VMLAUNCH" --root "$ROOT" -q shutdown "$VM" >/dev/null 2>&1 || true
    # The client knows of the end a moment before the supervisor has ended.
    local _
    for _ in $(seq 100); do
        if was_reached || [[ -z $(our_pids) ]]; then break; fi
        sleep 0.01
    done
}

matrix() { # MOMENT...
    local name count times where
    for name in "$@"; do
        times=40
        # What follows an entry is the next moment of the table; its first time is enough.
        [[ $name != journal-appended && $name != record-written ]] || times=1
        for ((count = 1; count <= times; count++)); do
            where="$name, time $count"
            arm "$name" "$count" kill
            local began=$SECONDS
            live
            was_reached || break
            repair "$where"
            assert_ended "$where"
            # Each moment once; the further times of one share the way back.
            ((count > 1)) || assert_works "$where"
            echo "$name" >>"$WORK/reached"
            ((SECONDS - began < 5)) || echo "    slow: $where took $((SECONDS - began)) s"
        done
        rm -f "$RUN_DIR/crash-at"
        repair "$name"
    done
}

# A share of the moments, on a VM in an instance of its own: most of the time is somebody's waiting.
SHARES=4
share() { # NUMBER MOMENT...
    local number=$1 name i=0 mine=()
    shift
    ROOT=$WORK/root$number VM=t$$s$number
    mkdir -p "$ROOT"
    chmod 755 "$ROOT"
    set_up
    for name in "$@"; do
        ((i++ % SHARES != number)) || mine+=("$name")
    done
    matrix "${mine[@]}"
}

test_supervisor_or_helper_killed_at_each_moment_leaves_nothing_behind() {
    set_up
    local names pids=() pid i failed=0
    # Those of a change of a running VM are apply.sh's.
    mapfile -t names < <(vml __steps | cut -f1 | grep -vE '^(apply-.*|helper-done)$')
    for ((i = 0; i < SHARES; i++)); do
        share "$i" "${names[@]}" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    ((failed == 0)) || fail "see above"
    sort "$WORK/reached" | uniq -c | awk '{ printf "    %s x%d\n", $2, $1 }'
    # Every moment must have been somebody's end, but for effects whose step this plan has not; QMP steps have no undo.
    local missed effects
    effects=$(vml -o json plan "$TEMPLATE" | jq -r '[.steps[].effect] | unique | join("|")')
    missed=$(printf '%s\n' "${names[@]}" | grep -vxF -f "$WORK/reached" | grep -vE '^qmp:undo' |
        { grep -E "^($effects):|^[^:]*$" || true; })
    [[ -z $missed ]] || fail "moments that nobody reached: ${missed//$'\n'/ }"
}

test_supervisor_or_helper_killed_at_random_times_leaves_nothing_behind() {
    set_up
    echo "    seed $CRASH_SEED"
    RANDOM=$CRASH_SEED
    local i delay victim life pids
    for ((i = 1; i <= RANDOM_KILLS; i++)); do
        delay=$((RANDOM % 90)) victim=$((RANDOM % 4))
        (
            timeout 20 "$VMLAUNCH" --root "$ROOT" -q start "$TEMPLATE" >/dev/null 2>&1 || true
            timeout 20 "$VMLAUNCH" --root "$ROOT" -q shutdown "$VM" >/dev/null 2>&1 || true
        ) &
        life=$!
        sleep "$(printf '0.%03d' "$delay")"
        if ((victim == 0)); then
            pids=$(helper_pids)
        elif ((victim == 1)); then
            pids=$(qemu_pids)
        else
            pids=$(our_pids)
        fi
        # shellcheck disable=SC2086 # one word each
        [[ -z $pids ]] || kill -KILL $pids 2>/dev/null || true
        wait "$life" || true
        repair "kill $i after $delay ms, victim $victim"
        assert_ended "kill $i after $delay ms, victim $victim"
    done
    assert_works "after all of them"
}

run_tests "$@"
