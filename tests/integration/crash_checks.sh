#!/usr/bin/env bash
# What has to be true after a life of the crash matrix, whoever has died in it.

# 0: somebody looks after the VM, and it is well; 1: nobody is left. QEMU without anybody: $ORPHAN.
settle() {
    local end=$((SECONDS + 30))
    while ((SECONDS < end)); do
        look
        # $RUN may not have become the program yet.
        if [[ -z $(our_pids) ]] && ! is_alive "$RUN"; then
            ORPHAN=$(qemu_pids)
            return 1
        fi
        # What the record says of a QEMU that has died is of before.
        if [[ ($STATE == running || $STATE == paused) && $FROZEN == false && $LEASES == 0 && $AGENT == answering ]] && is_alive "$PID"; then
            [[ " $KILLED $AT $OLD " == *" $SUPERVISOR "* ]] || ! is_alive "$SUPERVISOR" || return 0
            # A supervisor that was not the victim.
            [[ $VICTIM == self || $AT != "$SUPERVISOR" || " $KILLED " == *" $AT "* ]] || return 0
        fi
        nap 0.01
    done
    fail "$WHERE: nothing has come of it: $(jq -c '{state, reason, frozen, leases, agent, supervisor_pid}' "$RECORD" 2>&1) processes: $(our_pids | tr '\n' ' ')"
}

# What QEMU is, what live.tmpl, journal and record say, and what a change has changed: all of them, or none.
check_change() { # LIFE
    local i changed=no weight differences
    for ((i = 0; i < 1000; i++)); do
        grep -q '"apply"' "$RUN_DIR/$VM/journal" || break
        nap 0.01
    done
    ((i < 1000)) || fail "$WHERE: a change stays owed: $(<"$RUN_DIR/$VM/journal")"
    # The image of the fragment in "apply" has no lock of ours.
    differences=$(vml -o json status --compare "$VM" 2>&1 | jq -c --arg life "$1" '[.differences[] | select(.kind != "image" or $life != "apply")]' 2>&1)
    [[ $differences == "[]" ]] || fail "$WHERE: QEMU, live.tmpl, journal and record do not agree: $differences"
    [[ " $CHANGES " != *" $1 "* ]] || check_told "$1"
    [[ $1 == apply* ]] || return 0
    grep -q "TARGET = \"${VM}m\"" "$RUN_DIR/$VM/live.tmpl" && changed=yes
    weight=$(weight)
    [[ $changed == no || $1 == apply ]] || fail "$WHERE: a refused change is in live.tmpl"
    if [[ $changed == yes && $weight != 512 || $changed == no && $weight == 512 ]]; then
        fail "$WHERE: changed: $changed, and the weight is $weight"
    fi
    if ip link show "${VM}m" >/dev/null 2>&1; then
        [[ $changed == yes ]] || fail "$WHERE: nothing is changed, and the tap is there"
    else
        [[ $changed == no ]] || fail "$WHERE: it is changed, and the tap is not there"
    fi
    [[ $1 != apply || $CLIENT_STATUS != 0 || $changed == yes ]] || fail "$WHERE: told that it is done, and it is not"
}

# The VM is looked after: it is as it was, and can be shut down.
check_running() { # LIFE
    local now
    now=$(qemu_pids)
    [[ -z $QEMU || $now == "$QEMU" ]] || fail "$WHERE: QEMU was $QEMU and is '$now'"
    [[ $now == "$PID" ]] || fail "$WHERE: the record says QEMU is $PID, and it is '$now'"
    if [[ $STATE == paused ]]; then
        [[ $WHAT == suspend || $WHAT == resume || $1 == shutdown-paused ]] || fail "$WHERE: it is paused: $(jq -c "[.leases, .story[-6:][].text]" "$RECORD")"
        vml -q resume "$VM" || fail "$WHERE: it cannot be resumed"
    fi
    check_change "$1"
    [[ $(vml agent "$VM" raw guest-fsfreeze-status 2>&1) == '"thawed"' ]] || fail "$WHERE: the guest is not thawed"
    [[ $(qemu_says query-status 2>&1 | jq -r '.return.status // .status') == running ]] ||
        fail "$WHERE: the guest does not run"
    vml -q shutdown "$VM" >"$ROOT/out" 2>&1 || fail "$WHERE: the next shutdown: $(<"$ROOT/out")"
}

# Which verdicts are right.
verdicts() { # LIFE
    case $VICTIM in
    qemu | all)
        if ((!QEMU_LIVED)); then
            :
        elif ((!STARTED)); then
            # QEMU's last reply may have been that it runs, and was not read before the moment.
            [[ $VICTIM == qemu && $WHERE == *[\ :]cont-sent\ * || $WHERE == *qmp:done* ]] && echo "never-started killed" || echo "never-started -"
            return
        elif [[ $VICTIM == qemu ]]; then
            # Dead by a stranger's hand; if it was just ending anyway the guest's or ours may have been first.
            case $1 in
            shutdown*) echo "killed guest-off" ;;
            destroy) echo "killed asked" ;;
            # Whose child it was is gone.
            orphan) echo "killed asked lost" ;;
            take-over) echo lost ;;
            *) echo killed ;;
            esac
            return
        elif [[ $GUEST_OFF == true ]]; then
            echo guest-off
            return
        elif [[ $ASKED == true ]]; then
            echo asked
            return
        else
            # Its last words may have been in the record that was being written.
            [[ $1 == shutdown* || $1 == destroy || $1 == orphan ]] && echo "lost guest-off asked" || echo lost
            return
        fi
        ;;&
    *)
        case $1 in
        refused) echo "- never-started" ;;
        start) ((FELL_THROUGH)) && echo "never-started asked -" || echo guest-off ;;
        destroy) ((WAS_RUNNING)) && echo "guest-off" || echo "asked" ;;
        orphan) ((WAS_RUNNING)) && echo guest-off || echo "asked lost" ;;
        reconcile) echo lost ;;
        *) echo guest-off ;;
        esac
        ;;
    esac
}

check() { # LIFE
    local out i allowed
    FELL_THROUGH=0 WAS_RUNNING=0 ORPHAN='' RUN=''
    if settle; then
        WAS_RUNNING=1
        check_running "$1"
        # Its supervisor is about to end.
        for ((i = 0; i < 2000; i++)); do
            [[ -n $(our_pids) ]] || break
            nap 0.01
        done
    elif [[ -n $ORPHAN ]]; then
        [[ -z $QEMU || $ORPHAN == "$QEMU" ]] || fail "$WHERE: QEMU was $QEMU and is '$ORPHAN'"
        [[ $VICTIM == both || $VICTIM == keeper || $1 == start || $1 == orphan || $1 == take-over ]] || fail "$WHERE: QEMU runs on with nobody"
        "$VMLAUNCH" --root "$ROOT" run "$VM" >"$ROOT/run.out" 2>&1 &
        RUN=$!
        # Or it ends, because its guest has never run.
        VICTIM_BEFORE=$VICTIM
        if settle; then
            WAS_RUNNING=1
            check_running "$1"
        fi
        for ((i = 0; i < 2000; i++)); do
            is_alive "$RUN" || break
            nap 0.01
        done
        ((i < 2000)) || fail "$WHERE: 'run' does not end: $(jq -c "[.state, .story[-3:][].text]" "$RECORD")"
        wait "$RUN" || true
        VICTIM=$VICTIM_BEFORE
    fi
    out=$(vml reconcile "$VM" 2>&1) || [[ $out == *"no VM"* ]] || fail "$WHERE: reconcile: $out"
    for ((i = 0; i < 500; i++)); do
        [[ -n $(residue) ]] || break
        nap 0.02
    done
    ((i < 500)) || fail "$WHERE: left behind: $(residue)"$'\n'"$out"
    look
    [[ $1 != start || $WAS_RUNNING == 1 ]] || FELL_THROUGH=1
    allowed=$(verdicts "$1")
    [[ " $allowed " == *" ${VERDICT:--} "* ]] ||
        fail "$WHERE: verdict '$VERDICT' ($(jq -r .reason "$RECORD" 2>&1)), expected one of: $allowed"
    [[ ! -e $RECORD || ($STATE == stopped && $PID == - && $SUPERVISOR == -) ]] ||
        fail "$WHERE: the record does not say the end: $STATE, pid $PID, supervisor $SUPERVISOR"
}
