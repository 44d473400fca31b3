#!/usr/bin/env bash
# shellcheck disable=SC2034 # variables of the files that source it
# What is done to a VM of the crash matrix while a moment is armed, and who dies when it is reached. Lives that are one change
# of a running VM are in crash_changes.sh.

# verb WORDS...: in the background, until it has ended or the moment is reached, at which who has to die dies. False: it
# was reached, and the life ends here.
verb() {
    begin_verb "$@"
    while [[ -d /proc/$CLIENT ]] && ! reached; do nap 0.003; done
    end_verb
}
begin_verb() {
    WHAT=$1
    "$VMLAUNCH" --root "$ROOT" "$@" >"$ROOT/out" 2>&1 &
    CLIENT=$!
}
end_verb() {
    ! reached || strike
    local i
    for ((i = 0; i < 6000; i++)); do
        [[ -d /proc/$CLIENT ]] || break
        nap 0.005
    done
    [[ ! -d /proc/$CLIENT ]] || fail "$WHERE: '$WHAT' does not end"
    CLIENT_STATUS=0
    wait "$CLIENT" || CLIENT_STATUS=$?
    ! reached
}

# Who dies when the moment is reached. $AT is the process that reached it; it stands still when it is not the victim.
strike() {
    local i name
    ((STRUCK == 0)) || return 0
    STRUCK=1 AT=$(<"$RUN_DIR/crash-reached")
    STARTED=0 GUEST_OFF=false ASKED=false
    ! grep -q '"started"' "$RUN_DIR/$VM/journal" 2>/dev/null || STARTED=1
    [[ ! -e $RECORD ]] || read -r GUEST_OFF ASKED < <(jq -r '[.end.guest_off, .end.asked] | join(" ")' "$RECORD")
    QEMU_LIVED=0
    if [[ $VICTIM == self ]]; then
        [[ -z $(qemu_pids) ]] || QEMU_LIVED=1
        return 0
    fi
    for ((i = 0; i < 5000; i++)); do
        is_stopped "$AT" && break
        nap 0.002
    done
    local -A pids=([client]=$CLIENT [supervisor]='' [helper]='' [keeper]='' [both]='' [qemu]=$(qemu_pids))
    if [[ $AT == "$CLIENT" ]]; then
        pids[client]=''
    elif is_helper "$AT"; then
        pids[supervisor]=$(parent_of "$AT")
        # One that a client has left to itself is not the supervisor's.
        { [[ ${pids[supervisor]} != "$CLIENT" ]] && grep -qx "${pids[supervisor]}" <<<"$(our_pids)"; } || pids[supervisor]=$(jq -r .supervisor_pid "$RECORD")
    else
        pids[helper]=$(pgrep -P "$AT" -x -f "vmlaunch __host" || true)
        pids[both]=$AT
    fi
    [[ $AT == "$CLIENT" ]] || pids[keeper]=$(parent_of "${pids[supervisor]:-$AT}")
    [[ ${pids[keeper]} != 1 && ${pids[keeper]} != "$$" && ${pids[keeper]} != "$BASHPID" ]] || pids[keeper]=''
    [[ ! -d /proc/$CLIENT ]] && pids[client]=''
    case $VICTIM in
    both) KILLED="${pids[keeper]:+${pids[keeper]} ${pids[both]}${pids[supervisor]}}" ;;
    all) KILLED="${pids[keeper]} ${pids[both]}${pids[supervisor]} ${pids[qemu]}" ;;
    *) KILLED=${pids[$VICTIM]} ;;
    esac
    [[ -z ${pids[qemu]} ]] || ! is_alive "${pids[qemu]}" || QEMU_LIVED=1
    # Nobody of that kind is there. In a life without them the supervisor of all is nobody either.
    [[ $VICTIM != all || -n ${pids[both]}${pids[supervisor]} ]] || KILLED=''
    if [[ -z ${KILLED// /} ]]; then
        NOBODY=1
    else
        for name in $KILLED; do kill -KILL "$name" 2>/dev/null || true; done
        # Before anybody looks: the record of a QEMU that is about to die says that all is well.
        for name in $KILLED; do
            for ((i = 0; i < 5000; i++)); do
                is_alive "$name" || break
                nap 0.002
            done
        done
    fi
    kill -CONT "$AT" 2>/dev/null || true
}

# A VM that runs, its agent there, its supervisor looking out for moments; $QEMU is its process.
running() {
    local i
    arm -
    vml -q start "$TEMPLATE" >"$ROOT/out" 2>&1 || fail "$WHERE: the start before: $(<"$ROOT/out")"
    for ((i = 0; i < 5000; i++)); do
        look
        [[ $AGENT != answering ]] || break
        nap 0.005
    done
    [[ $AGENT == answering ]] || fail "$WHERE: no agent"
    QEMU=$(qemu_pids)
}
hold_freeze() { # the holder is $CLIENT
    begin_verb agent "$VM" freeze
    while [[ -d /proc/$CLIENT ]] && ! reached && ! grep -q frozen "$ROOT/out"; do nap 0.003; done
}

# Comes to nothing before there is a QEMU.
life_refused() {
    sed 's/BRIDGE = "[^"]*"/BRIDGE = "nowhere"/' "$TEMPLATE" >"$ROOT/refused.tmpl"
    verb -q start "$ROOT/refused.tmpl"
}
life_start() { verb -q start "$TEMPLATE"; }
life_freeze() {
    hold_freeze
    if reached; then
        strike
        # A holder that nobody has killed would hold it for its minute.
        while [[ -d /proc/$CLIENT ]] && ! grep -q frozen "$ROOT/out"; do nap 0.003; done
    fi
    kill -INT "$CLIENT" 2>/dev/null || true
    while [[ -d /proc/$CLIENT ]] && ! reached; do nap 0.003; done
    end_verb
}
life_pause() { # the lease ends with its connection
    verb qmp "$VM" '{"execute": "vmlaunch-lease", "arguments": {"action": "begin", "kind": "pause"}}'
}
life_commands() {
    verb agent "$VM" raw guest-get-osinfo && verb suspend "$VM" && verb resume "$VM" && verb agent "$VM" set-time
}
# All of it or nothing: check_change().
life_apply() { verb __apply "$VM" "$ROOT/change" "image=$ROOT/extra.img"; }
life_apply_refused() { verb __apply "$VM" "$ROOT/refused-change" "image=$ROOT/extra.img"; }
life_reexec() { verb reexec "$VM"; }
life_shutdown() { verb -q shutdown "$VM"; }
before_shutdown_frozen() { vml agent "$VM" freeze --detach >/dev/null; }
life_shutdown_frozen() { life_shutdown; }
before_shutdown_paused() { vml suspend "$VM" >/dev/null; }
life_shutdown_paused() { life_shutdown; }
life_destroy() { verb -q destroy "$VM"; }
# The successor of a supervisor that dies.
life_adopt() {
    look
    OLD=$SUPERVISOR
    kill -KILL "$SUPERVISOR"
    verb --timeout 10 wait "$VM" --for=agent
}
# Keeper and supervisor are gone before: QEMU runs on with nobody, or is dead too.
lose_supervisor() {
    look
    slay "$(parent_of "$SUPERVISOR")" "$SUPERVISOR"
}
before_reconcile() {
    lose_supervisor
    slay "$QEMU"
}
life_reconcile() { verb reconcile "$VM"; }
before_take_over() { lose_supervisor; }
life_take_over() { verb reconcile "$VM"; }
before_orphan() { lose_supervisor; }
life_orphan() { verb -q destroy "$VM"; }

# Through the life with what is armed, and on until the moment is reached, or cannot be any more.
live() { # LIFE WORDS
    local i
    STRUCK=0 CLIENT='' OLD='' QEMU='' CLIENT_STATUS='' NOBODY=0 KILLED='' QEMU_LIVED=0
    STARTED=1 GUEST_OFF=false ASKED=false
    rm -f "$RECORD" "$ROOT/run.out"
    # The first start of all has no id of the instance, and nothing that is the VM's already.
    [[ $1 != start ]] || rm -rf "$ROOT/var/lib/vmlaunch"/{.instance,.uids,"$VM/machine.lock"}
    if [[ $1 != start && $1 != refused ]]; then
        running
        ! declare -F "before_${1//-/_}" >/dev/null || "before_${1//-/_}"
    fi
    arm "$2"
    "life_${1//-/_}" || return 0
    for ((i = 0; i < ${3:-300}; i++)); do
        if reached; then
            strike
            return 0
        fi
        [[ -n $(our_pids) ]] || break
        nap 0.01
    done
}
