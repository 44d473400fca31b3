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
# shellcheck source=tests/integration/crash_lives.sh
. "$(dirname "$0")/crash_lives.sh"
# shellcheck source=tests/integration/crash_checks.sh
. "$(dirname "$0")/crash_checks.sh"
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
