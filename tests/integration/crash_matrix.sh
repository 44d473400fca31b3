#!/usr/bin/env bash
# A process dies at each named moment (vmlaunch __steps) of each way through a VM's life, and at random ones: what is
# left is repaired by the keeper or by the verbs a user has, the verdict is right, QEMU is the same where only its
# supervisor died, nobody is frozen or paused who was not, nothing leaks, and the next start and shutdown work.
#
# A life is what is done to a VM while a moment is armed; a victim is who dies when it is reached. CRASH says how much:
#   sample   (make check) the process that reaches it dies at each moment once, in a life that the seed draws; and each
#            other victim in a few lives, at a moment that it draws
#   moments  every victim at the first time of each moment of each life
#   all      (make nightly) at every time of it
# CRASH_LIVES, CRASH_VICTIMS, CRASH_MOMENTS (words or patterns) choose, with CRASH=moments; a table is printed.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fragments.sh"
# shellcheck source=tests/integration/crash_changes.sh
. "$(dirname "$0")/crash_changes.sh"
# shellcheck source=tests/integration/made_up_devices.sh
. "$(dirname "$0")/made_up_devices.sh"
# shellcheck source=tests/integration/switch_lib.sh
. "$(dirname "$0")/switch_lib.sh"

CRASH_SEED=${CRASH_SEED:-$RANDOM}
RANDOM_KILLS=${RANDOM_KILLS:-50}
CRASH=${CRASH:-sample}
LIVES=${CRASH_LIVES:-start refused freeze pause commands apply apply-refused $CHANGES reexec shutdown shutdown-frozen shutdown-paused destroy adopt reconcile take-over orphan}
# self: who reaches the moment. The others die while that one stands still at it; both: keeper and supervisor.
VICTIMS=${CRASH_VICTIMS:-self client supervisor helper keeper both qemu all}
# In a sample: lives of each victim that is not self.
SAMPLE_LIVES=3
SHARES=${CRASH_SHARES:-4}
FAKE_QEMU=${FAKE_QEMU:-$TOP/build/vmlaunch-fake-qemu}

# Waits without a process of its own: nobody writes there.
exec {NAP}<> <(:)
nap() { read -rt "$1" -u "$NAP" || true; }

# --- a VM ----------------------------------------------------------------------------------------------------------

# Its emulator answers at once and its guest obeys: what dies here is ours, not the guest.
set_up() { # [SHARE]
    need_root
    change_devices "${1:-6}"
    # One file, so that its facts are asked for once.
    [[ -e $WORK/fake-qemu ]] || install -m 755 "$FAKE_QEMU" "$WORK/fake-qemu"
    ln "$WORK/fake-qemu" "$ROOT/fake-qemu"
    truncate -s 1M "$ROOT/disk.img"
    template "EMULATOR = \"$ROOT/fake-qemu\"" "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]" \
        "DISK = [ SOURCE = \"$ROOT/disk.img\", FORMAT = \"raw\", TARGET = \"vda\", TOTAL_IOPS_SEC = \"200\" ]" 'CLOCK = [ OFFSET = "variable" ]' \
        "$(change_lines)"
    # Every limit, and a helper process, which shares the VM's group and fate.
    printf '%s\n' 'PIDS_LIMIT = "300"' 'MEMTUNE = [ HARD_LIMIT = "1 GiB", SOFT_LIMIT = "512" ]' >>"$TEMPLATE"
    ! command -v swtpm >/dev/null || echo 'TPM = [ MODEL = "tpm-tis" ]' >>"$TEMPLATE"
    ! command -v passt >/dev/null || echo 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "passt", NIC_ID = "7", ADDRESS = "rp9:0x0" ]' >>"$TEMPLATE"
    # Variables of UEFI are made, where there are any; and the guest sets its clock.
    [[ ! -e /usr/share/OVMF/OVMF_CODE_4M.fd ]] || sed -i 's#^OS = \[#OS = [ FIRMWARE = "UEFI",#' "$TEMPLATE"
    echo '{"events":[{"after":"cont","event":"RTC_CHANGE","data":{"offset":60,"qom-path":"/machine/rtc"}}]}' >"$ROOT/fake-qemu.scenario.json"
    if [[ -d $WORK/cache ]]; then
        mkdir -p "$ROOT/var"
        cp -a "$WORK/cache" "$ROOT/var/"
    else
        vml -q start "$TEMPLATE" && vml -q destroy "$VM"
        cp -a "$ROOT/var/cache" "$WORK/cache.new" && mv "$WORK/cache.new" "$WORK/cache"
    fi
    RUN_DIR=$(vml -o json plan "$TEMPLATE" | jq -r '.steps[] | select(.effect == "live-template").args.path')
    RUN_DIR=${RUN_DIR%/*/*}
    mkdir -p "$RUN_DIR"
    RECORD=$RUN_DIR/$VM/record.json
    VM_UID=$(vml -o json plan "$TEMPLATE" | jq -r .confine.uid)
    # The host's memory is cleaned up before each start, or so it seems: /proc/sys has files of ours there.
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'CLEANUP_MEMORY_ON_START=yes' >"$ROOT/etc/vmlaunch/kvmrc"
    make_fragments
}
# A change with all kinds of steps, and one whose last step QEMU refuses.
make_fragments() {
    local plan TAP=${VM}m CPU GROUP IMAGE=$ROOT/extra.img
    plan=$(vml -o json plan "$TEMPLATE")
    CPU=$(jq -c '[.steps[] | select(.effect == "cgroup-write") | .args][0]' <<<"$plan")
    GROUP=$(jq -r .confine.uid <<<"$plan")
    fragments
    jq -c --argjson nic "$NIC" --argjson disk "$DISK" '.steps += $nic.steps + $disk.steps |
        .live.set = $nic.live.set + $disk.live.set | .devices.set = $nic.devices.set + $disk.devices.set' <<<"$CGROUP" >"$ROOT/change"
    cut_after "$(<"$ROOT/change")" 12 >"$ROOT/refused-change"
    CPU_FILE=$(jq -r .file <<<"$CPU")
}

arm() { # WORDS
    rm -f "$RUN_DIR/crash-reached" "$RUN_DIR/.memory-cleanup"
    echo "$1" >"$RUN_DIR/crash-at.new"
    mv "$RUN_DIR/crash-at.new" "$RUN_DIR/crash-at"
}
disarm() { rm -f "$RUN_DIR"/crash-*; }
reached() { [[ -e $RUN_DIR/crash-reached ]]; }

qemu_pids() { pgrep -f "guest=$VM," || true; }
# Starter, keeper, supervisors, and the host helper, which says whose it is by its directory.
our_pids() {
    local pid
    pgrep -f "(^$VMLAUNCH .*$ROOT/[^ ]*tmpl|(__keeper|__adopt) .*$VM\$|__reexec $VM |$VMLAUNCH .* (run|reconcile) $VM\$)" || true
    for pid in $(pgrep -x -f "vmlaunch __host"); do
        [[ $(readlink "/proc/$pid/fd/3") != "$RUN_DIR/$VM" && $(readlink "/proc/$pid/fd/3") != "$RUN_DIR" ]] || echo "$pid"
    done
}
parent_of() { awk '/^PPid:/ { print $2 }' "/proc/$1/status" 2>/dev/null || true; }
is_stopped() { [[ $(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null) == T ]]; }
is_alive() { [[ -n $1 && -d /proc/$1 && $(awk '/^State:/ { print $2 }' "/proc/$1/status" 2>/dev/null) != Z ]]; }
is_helper() { [[ $(tr '\0' ' ' <"/proc/$1/cmdline") == "vmlaunch __host " ]]; } 2>/dev/null

# What the record says, in variables.
look() {
    STATE='' VERDICT='' PID='' SUPERVISOR='' FROZEN='' LEASES='' AGENT=''
    [[ ! -e $RECORD ]] ||
        read -r STATE VERDICT PID SUPERVISOR FROZEN LEASES AGENT < <(
            jq -r '[.state, .verdict, .pid, .supervisor_pid, .frozen, (.leases | length), .agent] | map(if . == null then "-" else . end) | join(" ")' "$RECORD" 2>/dev/null
        ) || true
}

# Everything that a VM which has ended may not leave: of RUN only records and the two directories of locks stay.
residue() {
    leftovers
    our_pids | sed 's/^/process of ours: /'
    pgrep -a -u "$VM_UID" | sed 's/^/process of the VM: /'
    change_residue
    find "$RUN_DIR" -mindepth 1 ! -name 'crash-*' ! -path "$RUN_DIR/$VM" ! -path "$RECORD" ! -path "$RUN_DIR/images" ! -path "$RUN_DIR/uids" ! -path "$RUN_DIR/ports" ! -path "$RUN_DIR/.memory-cleanup" |
        sed 's/^/in RUN: /'
    find "$ROOT/var/lib/vmlaunch" -name '*.new.*' 2>/dev/null | sed 's/^/half written: /'
    [[ -e $ROOT/var/lib/vmlaunch/$VM/machine.lock ]] || find "$ROOT/var/lib/vmlaunch/.uids" -type l 2>/dev/null | sed 's/^/link of nobody: /'
    [[ ! -d $RUN_DIR/$VM || -e $RECORD ]] || echo "an empty directory"
}

# --- the lives -----------------------------------------------------------------------------------------------------

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

# --- what has to be true afterwards --------------------------------------------------------------------------------

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

# --- the table -----------------------------------------------------------------------------------------------------

# Until nobody is left, or nothing has been added to FILE for some time, half a second or more.
until_quiet() { # FILE
    local i now before=''
    for ((i = 0; i < 25; i++)); do
        [[ -n $(our_pids) ]] || break
        now=$(stat -c %s "$1" 2>/dev/null) || true
        [[ $now == "$before" ]] || i=0
        before=$now
        nap 0.01
    done
}
# Every moment of a life and how often, in their order: "MOMENT TIMES".
moments_of() { # LIFE
    WHERE="$1, traced" VICTIM=nobody
    live "$1" '* 0 trace' 0
    until_quiet "$RUN_DIR/crash-trace"
    arm -
    [[ -z $(qemu_pids) ]] || vml -q shutdown "$VM" >/dev/null 2>&1 || true
    vml reconcile "$VM" >/dev/null 2>&1 || true
    awk '{ if (!n[$1]++) order[++k] = $1 } END { for (i = 1; i <= k; i++) print order[i], n[order[i]] }' "$RUN_DIR/crash-trace"
    disarm
}

cell() { # LIFE MOMENT COUNT VICTIM
    local action=stop
    VICTIM=$4 WHERE="life $1, $2 time $3, victim $4" WHAT='' AT=''
    [[ $VICTIM != self ]] || action="kill"
    live "$1" "$2 $3 $action"
    if ! reached; then
        AT=''
        NOBODY=1
    fi
    check "$1"
    disarm
    ((NOBODY == 0)) || return 3
}

# Its part of the cells, one after the other.
share() { # NUMBER
    local life moment count victim status reason n=0
    ROOT=$WORK/root$1 VM=c${UNIQUE}s$1
    mkdir -p "$ROOT"
    chmod 755 "$ROOT"
    set_up "$1"
    while read -r life moment count victim; do
        status=0
        # A reason of its own.
        reason=$(WORK=$ROOT cell "$life" "$moment" "$count" "$victim" 2>&1) || status=$?
        [[ ! -e $ROOT/why ]] || reason+=$(<"$ROOT/why")
        case $status in
        0) echo "$life $moment $count $victim ok" ;;
        3) echo "$life $moment $count $victim nobody" ;;
        *)
            echo "$life $moment $count $victim bad"
            printf '%s\n' "$reason" >>"$WORK/bad"
            [[ ! -e $ROOT/run.out ]] || sed 's/^/      run: /' "$ROOT/run.out" >>"$WORK/bad"
            [[ ! -e $ROOT/var/log/vmlaunch/$VM.log ]] || tail -25 "$ROOT/var/log/vmlaunch/$VM.log" | sed 's/^/      /' >>"$WORK/bad"
            for pid in $(our_pids) $(qemu_pids); do kill -KILL "$pid" 2>/dev/null || true; done
            for pid in $(our_pids) $(qemu_pids); do kill -KILL "$pid" 2>/dev/null || true; done
            rm -rf "$ROOT"
            ((n += 1))
            VM=c${UNIQUE}s$1x$n
            mkdir -p "$ROOT"
            chmod 755 "$ROOT"
            set_up "$1"
            ;;
        esac
    done >>"$WORK/cells.$1"
}

# Rows are moments, columns victims; a cell is how many times, "." nobody to kill there, "!" what went wrong.
print_table() {
    cat "$WORK"/cells.[0-9]* | awk -v victims="$VICTIMS" -v lives="$LIVES" '
        { key = $1 " " $2; if (!(key in seen)) { seen[key] = 1; rows[$1] = rows[$1] " " $2 } cell[key " " $4 " " $5]++; total[$5]++ }
        END {
            nv = split(victims, v, " "); nl = split(lives, l, " ")
            for (i = 1; i <= nl; i++) {
                if (!(l[i] in rows)) continue
                printf "    %-34s", "life " l[i]
                for (j = 1; j <= nv; j++) printf "%11s", v[j]
                printf "\n"
                nr = split(rows[l[i]], r, " ")
                for (k = 1; k <= nr; k++) {
                    printf "      %-32s", r[k]
                    for (j = 1; j <= nv; j++) {
                        key = l[i] " " r[k] " " v[j]
                        text = cell[key " ok"] ? cell[key " ok"] : (cell[key " nobody"] ? "." : "")
                        if (cell[key " bad"]) text = text "!" cell[key " bad"]
                        printf "%11s", text
                    }
                    printf "\n"
                }
            }
            printf "    %d cells: %d as they must be, %d wrong, in %d there was nobody to kill\n",
                   total["ok"] + total["bad"] + total["nobody"], total["ok"], total["bad"], total["nobody"]
        }'
}

# Of the moments in $WORK/moments.LIFE the cells to try: "LIFE MOMENT COUNT VICTIM" lines.
sample() {
    local moment life victim i lines lives
    read -ra lives <<<"$LIVES"
    RANDOM=$CRASH_SEED
    while read -r moment; do
        mapfile -t lines < <(grep -l "^$moment " "$WORK"/moments.*)
        echo "${lines[RANDOM % ${#lines[@]}]##*/moments.} $moment 1 self"
    done < <(cut -d' ' -f1 "$WORK"/moments.* | sort -u)
    for victim in $VICTIMS; do
        [[ $victim != self ]] || continue
        for ((i = 0; i < SAMPLE_LIVES; i++)); do
            life=${lives[RANDOM % ${#lives[@]}]}
            mapfile -t lines < <(cut -d' ' -f1 "$WORK/moments.$life")
            echo "$life ${lines[RANDOM % ${#lines[@]}]} 1 $victim"
        done
    done | sort -u
}
product() {
    local moment life victim times count names
    for life in $LIVES; do
        while read -r moment times; do
            # shellcheck disable=SC2053 # patterns
            if [[ -n ${CRASH_MOMENTS:-} ]]; then
                for names in $CRASH_MOMENTS; do [[ $moment == $names ]] && break; done
                [[ $moment == $names ]] || continue
            fi
            [[ $CRASH == all ]] || times=1
            for victim in $VICTIMS; do
                for ((count = 1; count <= times; count++)); do
                    echo "$life $moment $count $victim"
                done
            done
        done <"$WORK/moments.$life"
    done
}

test_who_dies_at_any_moment_leaves_nothing_behind() {
    need_root
    change_host
    set_up
    echo "    seed $CRASH_SEED"
    local life i shares=()
    VICTIM=nobody
    for life in $LIVES; do moments_of "$life" >"$WORK/moments.$life"; done
    case $CRASH in
    sample) sample ;;
    moments | all) product ;;
    *) fail "CRASH is sample, moments or all" ;;
    esac >"$WORK/cells"
    split -n "r/$SHARES" -d -a 2 "$WORK/cells" "$WORK/part."
    for ((i = 0; i < SHARES; i++)); do
        share "$i" <"$WORK/part.$(printf %02d "$i")" &
        shares+=($!)
    done
    for i in "${shares[@]}"; do wait "$i" || fail "a share has ended with $?"; done
    print_table
    # Every moment must have been somebody's end, but those of a plan's effects that this plan has not, of what only
    # goes wrong, and of hosts with systemd.
    local missed effects
    effects=$(vml -o json plan "$TEMPLATE" | jq -r '[.steps[].effect] | unique | join("|")')
    missed=$(vml __steps | cut -f1 | grep -vxF -f <(cut -d' ' -f1 "$WORK"/moments.*) |
        grep -vxE 'helper-late|restart-asked|fd-closed|qemu-signalled|machined-asked' |
        { grep -E "^($effects):|^[^:]*$" || true; })
    [[ ! -e $WORK/bad ]] || fail "$(<"$WORK/bad")"
    [[ -n ${CRASH_LIVES:-} || -z $missed ]] || fail "moments that nobody reached: ${missed//$'\n'/ }"
}

# One way through a life, with nobody looking at what comes of it.
random_life() {
    local words
    for words in "start $TEMPLATE" "__apply $VM $ROOT/change image=$ROOT/extra.img" "agent $VM freeze --detach" "shutdown $VM"; do
        # shellcheck disable=SC2086 # words
        timeout 20 "$VMLAUNCH" --root "$ROOT" -q $words >/dev/null 2>&1 || true
    done
}
is_looked_after() { look && { [[ $STATE == stopped ]] || { [[ $STATE == running || $STATE == paused ]] && is_alive "$SUPERVISOR"; }; }; }

test_who_dies_at_random_times_leaves_nothing_behind() {
    set_up
    echo "    seed $CRASH_SEED"
    RANDOM=$CRASH_SEED
    local i j delay victim life pids out qemu now status begin=${EPOCHREALTIME/./} span
    local -A killed=()
    # Undisturbed, and how long it takes on this machine.
    random_life
    span=$(((${EPOCHREALTIME/./} - begin) / 1000))
    for ((i = 1; i <= RANDOM_KILLS; i++)); do
        # Of the lowest bits of one and the next the one tells the other.
        delay=$(((RANDOM << 12 ^ RANDOM) % span)) victim=$((RANDOM / 64 % 6))
        random_life &
        life=$!
        nap "$(printf '%d.%03d' $((delay / 1000)) $((delay % 1000)))"
        qemu=$(qemu_pids)
        case $victim in
        0) victim=helper pids=$(pgrep -x -f "vmlaunch __host" || true) ;;
        1) victim=qemu pids=$qemu ;;
        2) victim=keeper pids=$(pgrep -f "__keeper .*$VM\$" || true) ;;
        3) victim=supervisor pids=$(jq -r '.supervisor_pid // empty' "$RECORD" 2>/dev/null || true) ;;
        4) victim=client pids=$(pgrep -P "$(pgrep -P "$life" || echo 0)" || true) ;;
        *) victim=ours pids=$(our_pids) ;;
        esac
        # shellcheck disable=SC2086 # one word each
        [[ -z $pids ]] || { kill -KILL $pids 2>/dev/null && killed[$victim]=$((${killed[$victim]:-0} + 1)); } || true
        wait "$life" || true
        WHERE="kill $i after $delay ms, victim $victim, seed $CRASH_SEED"
        for ((j = 0; j < 1500; j++)); do
            [[ -n $(our_pids) ]] || break
            ! is_looked_after || break
            nap 0.02
        done
        # Who has nobody gets a supervisor.
        out=$(vml reconcile "$VM" 2>&1) || [[ $out == *"no VM"* ]] || fail "$WHERE: reconcile: $out"
        # A guest that was asked to power off may do so at any time.
        now=$(qemu_pids)
        if [[ -n $now ]]; then
            [[ -z $qemu || $now == "$qemu" ]] || fail "$WHERE: QEMU was '$qemu' and is '$now'"
            status=0
            out=$(vml shutdown "$VM" 2>&1) || status=$?
            # It may have ended by itself meanwhile.
            ((status == 0 || status == 3)) || fail "$WHERE: the next shutdown: $out"
        fi
        for ((j = 0; j < 500; j++)); do
            [[ -n $(residue) ]] || break
            nap 0.02
        done
        [[ -z $(residue) ]] || fail "$WHERE: left behind: $(residue)"$'\n'"$out"
        look
        [[ ! -e $RECORD || ($STATE == stopped && $VERDICT != - && $PID == - && $SUPERVISOR == -) ]] ||
            fail "$WHERE: the record does not say the end: $STATE, $VERDICT, pid $PID, supervisor $SUPERVISOR"
    done
    echo "    a life takes $span ms"
    for victim in "${!killed[@]}"; do echo "    $victim killed ${killed[$victim]} times"; done
    expect 0 vml start "$TEMPLATE"
    expect 0 vml shutdown "$VM"
}

if [[ $(id -u) == 0 ]]; then
    for one in drop_caches compact_memory; do mount --bind /dev/null "/proc/sys/vm/$one" || exit 1; done
fi
run_tests "$@"
