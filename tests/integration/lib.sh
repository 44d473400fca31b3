#!/usr/bin/env bash
# What every integration test file sources first. A test is a function test_WORDS; run_tests at the end of the file runs
# them all, or those named as arguments, each in a subshell of its own with:
#   $ROOT   a fresh vmlaunch root        $VM    a VM name nobody else uses      $BRIDGE  a bridge in a network namespace
# and fails it when it leaves a tap, control group, process, socket or lock behind.
set -uo pipefail
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
VMLAUNCH=${VMLAUNCH:-$TOP/build/vmlaunch}
GUEST=$TOP/build/guest
GUEST_CMDLINE="console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check nokaslr cryptomgr.notests mitigations=off audit=0 8250.nr_uarts=1 i8042.noaux guest.small"

# Namespaces for the whole file: taps and bridges are nobody else's, and a look at all processes is one at its own.
# The pid out there stays what no other file has: control groups are the host's.
export UNIQUE=${UNIQUE:-$$}
if [[ $(id -u) == 0 && -z ${VML_NAMESPACES:-} ]]; then
    export VML_NAMESPACES=1
    exec unshare --net --pid --fork --kill-child --mount-proc=/proc -- bash "$0" "$@" 2>&1 || exit 1
fi

# shellcheck source=tests/integration/assert.sh
. "$TOP/tests/integration/assert.sh"

vml() {
    case " $* " in *" run "*) count_start "$@" ;; esac
    "$VMLAUNCH" --root "$ROOT" "$@" || return
    case " $* " in
    *" start "*) count_start "$@" ;;
    *" --for=agent "* | *" console "*) heard ;;
    esac
}

# Starts of the real QEMU are counted, for tests/starts.sh: those whose guest the test listens to are boots of a guest; what
# a stand-in does is no start. build/starts/FILE:TEST has the numbers of the last run: starts, boots, restored guests.
STARTS=$TOP/build/starts
count_start() { # WORD...: the last one that is a template
    local word file='' name emulator
    [[ -z ${SAVING:-} ]] || return 0
    for word; do [[ ! -f $word ]] || file=$word; done
    [[ -n $file ]] || return 0
    name=$(sed -n 's/^NAME = "\([^"]*\)".*/\1/p;T;q' "$file")
    emulator=$(sed -n 's/^EMULATOR = "\(.*\)"/\1/p' "$file" | tail -1)
    case ${emulator##*/} in
    *fake*) ;;
    ready-qemu) echo "restored $name" >>"$WORK/starts" ;;
    *) echo "starts $name" >>"$WORK/starts" ;;
    esac
}
heard() { echo "heard $VM" >>"$WORK/starts"; }
write_starts() { # TEST STATUS
    mkdir -p "$STARTS"
    if (($2 == 77)); then
        echo skipped
    else
        awk '$1 != "heard" { kind[++n] = $1; last[$2] = n } $1 == "heard" && kind[last[$2]] == "starts" { kind[last[$2]] = "boots" }
            END { for (i = 1; i <= n; i++) sum[kind[i]]++; print sum["starts"] + 0, sum["boots"] + 0, sum["restored"] + 0 }' "$WORK/starts"
    fi >"$STARTS/$(basename "$0"):$1"
}

# encrypted FORMAT FILE PASSPHRASE [SIZE]: qemu-img measures its speed, for which 10 ms are sometimes too short
encrypted() {
    local options=key-secret=s,iter-time=10
    [[ $1 == luks ]] || options=encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10
    printf %s "$3" >"$WORK/passphrase"
    for _ in $(seq 50); do
        qemu-img create -q -f "$1" --object "secret,id=s,file=$WORK/passphrase" -o "$options" "$2" "${4:-8M}" 2>"$WORK/qemu-img" && return
    done
    fail "qemu-img: $(<"$WORK/qemu-img")"
}
# A zombie is, too.
is_dead() { ! grep -q '^State:[[:space:]][^Z]' "/proc/$1/status" 2>/dev/null; }
is_gone() { [[ ! -d /proc/$1 ]]; }
# is_listening PATH: the socket is there a moment before anybody may connect to it, between its server's bind() and listen().
is_listening() { awk -v path="$1" '$8 == path && $4 == "00010000" { n = 1 } END { exit !n }' /proc/net/unix; }
# slay PID...: what they held, a lock for instance, is free when it returns.
slay() {
    local pid
    kill -KILL "$@"
    for pid; do
        while ! is_dead "$pid"; do sleep 0.005; done
    done
}
skip() {
    echo "$*" >"$WORK/skip"
    exit 77
}
need_root() { [[ $(id -u) == 0 ]] || skip "needs root"; }

# template [LINES...]: writes $ROOT/$VM.tmpl of a guest that boots the test kernel; further lines are added
template() {
    TEMPLATE=$ROOT/$VM.tmpl
    {
        cat <<END
NAME = "$VM"
MEMORY = "256"
CPU = "1"
ACCEL = "tcg"
CPU_MODEL = [ MODEL = "qemu64" ]
OS = [ MACHINE = "${MACHINE:-q35}", KERNEL = "$GUEST/vmlinuz", INITRD = "$GUEST/initrd.img",
       KERNEL_CMD = "$GUEST_CMDLINE ${CMDLINE:-}" ]
END
        printf '%s\n' "$@"
    } >"$TEMPLATE"
}
# fake_template [LINES...]: of a VM of the stand-in, with further lines; $MANNER are words on its command line
fake_template() {
    [[ -e $ROOT/fake-qemu ]] || install -m 755 "$TOP/build/tests/fake_qemu" "$ROOT/fake-qemu"
    CMDLINE=${MANNER:-} template "EMULATOR = \"$ROOT/fake-qemu\"" "$@"
}
# small_template [LINES...]: a template without an agent or anything to boot
small_template() {
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "64"' 'ACCEL = "tcg"' 'FEATURES = [ GUEST_AGENT = "no" ]' "$@" >"$TEMPLATE"
}

status_of() { ask_status "$1" vml -o json status "$VM"; }
status_is() { [[ $(status_of "$1") == "$2" ]]; }
status_is_not() { [[ $(status_of "$1") != "$2" ]]; }
story() { status_of 'story[].text'; }
story_has() { [[ $(story) == *"$1"* ]]; }
# in_status ID JQ-FILTER VALUE: of the VM's list of devices
in_status() { assert_eq "$(status_of "devices[] | select(.id == \"$1\") | $2")" "$3" "status of $1: $2"; }
# helper ID MEMBER: of the program that the VM has for this device
helper() { status_of "helpers[] | select(.id == \"$1\") | .$2"; }
log_of() { cat "$ROOT/var/log/vmlaunch/$VM.log"; }
# adopted_after PID: another supervisor than this one has taken over
adopted_after() {
    local pid
    pid=$(status_of supervisor_pid)
    [[ $pid != "$1" && $pid != null && $(log_of) == *"adopted by supervisor pid $pid:"* ]]
}
keeper_of() { awk '/^PPid:/ { print $2 }' "/proc/$(status_of supervisor_pid)/status"; }
# slay_vm: keeper, supervisor and QEMU; nobody is left who would undo the start but reconcile
slay_vm() {
    local qemu
    qemu=$(status_of pid)
    slay "$(keeper_of)" "$(status_of supervisor_pid)" "$qemu"
    # Its first thread may be a zombie while others have not ended.
    await 10 is_gone "$qemu"
}
now_ms() { echo $((${EPOCHREALTIME/./} / 1000)); }
# hold_until WORD: passes its stdin on, and the end of it when $WORK/said has the word, where the peer's answers go. A peer may
# drop what it has not done or answered when it is hung up on.
hold_until() {
    : >"$WORK/said"
    cat
    await 20 grep -q "$1" "$WORK/said"
}
# make_ready [IMAGE [PREPARE]]: the guest of the template will go on from where a guest of the same argv was saved, in
# 0.3 s instead of the 3 s of a boot. The first one of its kind boots until its agent answers (or, without one, it is
# READY), is prepared by the function PREPARE, and is saved in build/guest/saved. IMAGE is a writable disk of the template's:
# it gets the content that goes with it.
make_ready() {
    local image=${1:-} prepare=${2:-} key saved
    key=$(
        {
            vml plan "$TEMPLATE" --format argv | sed -E "s#$WORK#WORK#g; s#$VM#VM#g; s#[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}#UUID#g; s#52:54:00(:[0-9a-f]{2}){3}#MAC#g"
            cat "$GUEST/stamp"
            qemu-system-x86_64 --version
            [[ -z $prepare ]] || declare -f "$prepare"
        } | sha256sum | cut -c 1-16
    )
    saved=$GUEST/saved/$key
    mkdir -p "$GUEST/saved"
    (
        flock 9
        [[ -e $saved/done ]] || save_guest "$saved" "$image" "$prepare"
        touch "$saved"
    ) 9>"$GUEST/saved/lock-$key" || fail "no guest could be saved"
    # QEMU's uid may not search the way to build/.
    mountpoint -q /mnt || mount --bind "$GUEST/saved" /mnt
    cat >"$ROOT/ready-qemu" <<END
#!/bin/bash
case " \$* " in *"-machine none"*) exec /usr/bin/qemu-system-x86_64 "\$@" ;; esac
exec 99</mnt/$key/state
exec /usr/bin/qemu-system-x86_64 "\$@" -incoming fd:99
END
    chmod 755 "$ROOT/ready-qemu"
    [[ -z $image ]] || cp --sparse=always "$saved/image" "$image"
    sed -i "\$a EMULATOR = \"$ROOT/ready-qemu\"" "$TEMPLATE"
}
# start_ready [IMAGE [PREPARE]]: make_ready, start, and the agent answers (without one: the guest runs)
start_ready() {
    make_ready "$@"
    expect 0 vml start "$TEMPLATE"
    if grep -q guest.noagent "$TEMPLATE"; then
        await 20 guest_runs
    else
        expect 0 vml --timeout 60 wait "$VM" --for=agent
    fi
}
# qemu_says QUERY [ARGUMENTS]: QEMU's answer, as the verb prints it. A question may be asked again: half a second, a query's
# deadline, is short on a machine that does much else.
qemu_says() {
    local said status=0 end=$((SECONDS + 30))
    while said=$(vml qmp "$VM" "{\"execute\":\"$1\"${2:+,\"arguments\":$2}}"); status=$?; ((status == 7 && SECONDS < end)); do :; done
    printf '%s\n' "$said"
    return "$status"
}
# way_out: a default route of this file's network namespace by 10.78.0.1, which passt wants; to its guest $GATEWAY is the host.
GATEWAY=10.78.0.254
way_out() {
    ip link show uplink >/dev/null 2>&1 || ip link add uplink type veth peer name uplink-peer
    ip link set uplink-peer up
    ip link set uplink up
    ip addr replace 10.78.0.1/24 dev uplink
    ip route replace default via "$GATEWAY" dev uplink
}
no_way_out() { ip link del uplink 2>/dev/null || true; }
guest_runs() { [[ $(vml qmp "$VM" '{"execute":"query-status"}' | jq -r .return.status) == running ]]; }
save_guest() { # DIRECTORY IMAGE PREPARE
    local saved=$1 image=$2 prepare=$3 receiver SAVING=yes
    # Those of argvs that are no more.
    find "$GUEST/saved" -mindepth 1 -maxdepth 1 -mmin +2880 -exec rm -rf {} +
    rm -rf "$saved"
    mkdir -p "$saved" "$WORK/save"
    chmod 777 "$WORK/save"
    expect 0 vml start "$TEMPLATE"
    watch_console
    if grep -q guest.noagent "$TEMPLATE"; then
        await 90 ready_times 1
    else
        expect 0 vml --timeout 90 wait "$VM" --for=agent
    fi
    kill "$CONSOLE"
    [[ -z $prepare ]] || "$prepare"
    socat -u "UNIX-LISTEN:$WORK/save/socket,mode=777" "OPEN:$saved/state,creat" 9>&- &
    receiver=$!
    await 5 is_listening "$WORK/save/socket"
    # Of one that writes all the time there is always more to save: it stands still for as long as that takes.
    expect 0 vml qmp "$VM" '{"execute":"migrate-set-parameters","arguments":{"downtime-limit":600000}}'
    expect 0 vml qmp "$VM" "{\"execute\":\"migrate\",\"arguments\":{\"uri\":\"unix:$WORK/save/socket\"}}"
    # What QEMU could not send anywhere it never ends to send.
    await 60 is_dead "$receiver"
    await 10 is_saved
    expect 0 vml destroy "$VM"
    [[ -z $image ]] || cp --sparse=always "$image" "$saved/image"
    chmod -R a+rX "$saved"
    touch "$saved/done"
    rm -rf "$WORK/save" "$ROOT/var/log"
}
is_saved() { [[ $(vml qmp "$VM" '{"execute":"query-migrate"}' | jq -r .return.status) == completed ]]; }

console_socket() { echo "$ROOT/run/vmlaunch/$VM/private/console.sock"; }
# watch_console: collects in $WORK/console what the guest writes from now on; its end is the end of process $CONSOLE
watch_console() {
    heard
    : >"$WORK/console"
    socat -u "UNIX-CONNECT:$(console_socket)" "OPEN:$WORK/console,append" 9>&- &
    CONSOLE=$!
    # It opens the file when it is connected; what the guest says before that is lost.
    await 10 has_open "$CONSOLE" "$WORK/console"
}
has_open() { [[ -n $(find "/proc/$1/fd" -lname "$2") ]]; }
ready_times() { (($(grep -c '^READY ' "$WORK/console") >= $1)); }
# tell_guest COMMAND...: types them on the console, which nobody else may watch then, and waits until the guest's shell has
# done them; what they print is in $SAID
tell_guest() {
    local byte pid end=$((SECONDS + 60))
    heard
    SAID=''
    # bash warns of a second coproc, which a test may have; each keeps its fds.
    { coproc TERMINAL { exec socat - "UNIX-CONNECT:$(console_socket)"; }; } 2>/dev/null
    pid=$TERMINAL_PID
    # A shell that is not there yet throws away what was typed before: it is asked for its prompt until it comes.
    until [[ $SAID == *'guest# ' ]]; do
        ((SECONDS < end)) || fail "the guest's shell has no prompt: '$SAID'"
        echo >&"${TERMINAL[1]}"
        while [[ $SAID != *'guest# ' ]] && IFS= read -r -t 2 -n 1 -d '' byte <&"${TERMINAL[0]}"; do
            SAID+=$byte
        done
    done
    SAID=''
    printf '%s\n' "$@" "echo ALL''SAID" >&"${TERMINAL[1]}"
    while [[ $SAID != *ALLSAID* ]]; do
        IFS= read -r -t 60 -n 1 -d '' byte <&"${TERMINAL[0]}" || fail "the guest's shell said nothing but '$SAID'"
        SAID+=$byte
    done
    SAID=${SAID//$'\r'/}
    kill "$pid"
    wait "$pid" || true
}
# tell_guest_last COMMAND: what its shell or the guest does not survive. That it was told is heard before it is done, however
# slow the guest is.
tell_guest_last() { tell_guest "echo ALL''SAID; usleep 100000; $1"; }

# One connection to the control socket per VM: a client that ends its side early loses its replies.
qmp_open() {
    coproc SOCAT { socat - "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/control.sock" 2>/dev/null; }
    exec {QMP_IN}<&"${SOCAT[0]}" {QMP_OUT}>&"${SOCAT[1]}"
    QMP_ID=0
    qmp qmp_capabilities
}
qmp_close() {
    exec {QMP_IN}<&- {QMP_OUT}>&-
    # It may have ended by itself: bash forgets it then.
    [[ -z ${SOCAT_PID:-} ]] || kill "$SOCAT_PID" 2>/dev/null || true
    [[ -z ${SOCAT_PID:-} ]] || wait "$SOCAT_PID" 2>/dev/null || true
}
# qmp COMMAND [ARGUMENTS]: leaves the value of "return" in $REPLY_JSON
qmp() {
    local line
    QMP_ID=$((QMP_ID + 1))
    printf '{"execute":"%s","arguments":%s,"id":%d}\n' "$1" "${2:-{\}}" "$QMP_ID" >&"$QMP_OUT"
    while read -r -t 10 line <&"$QMP_IN"; do
        [[ $(jq -r '.id // empty' <<<"$line") == "$QMP_ID" ]] || continue
        # A question may be asked again: half a second is short on a machine that does much else.
        if [[ $line == *'"DeadlinePassed"'* && $1 =~ ^(query-|qom-get|qom-list) ]] && ((${3:-0} < 20)); then
            qmp "$1" "${2:-{\}}" $((${3:-0} + 1))
            return
        fi
        REPLY_JSON=$(jq -c 'if has("return") then .return else error(.error.desc) end' <<<"$line") ||
            fail "$1 ${2:-}: $line"
        return
    done
    fail "$1: no reply"
}
# reply_is JQ-FILTER VALUE: of the last reply
reply_is() { assert_eq "$(jq -cr "$1" <<<"$REPLY_JSON")" "$2" "$1"; }
# qom PATH PROPERTY VALUE: PATH below /machine
qom() {
    qmp qom-get "{\"path\":\"/machine${1:+/$1}\",\"property\":\"$2\"}"
    assert_eq "$(jq -cr . <<<"$REPLY_JSON")" "$3" "${1:-machine} $2"
}
# device ID PROPERTY VALUE
device() { qom "peripheral/$1" "$2" "$3"; }
# qom_child NAME: is there a device of this id?
qom_child() {
    qmp qom-list '{"path":"/machine/peripheral"}'
    jq -e --arg name "$1" 'any(.[]; .name == $name)' <<<"$REPLY_JSON" >/dev/null
}
# chardev ID JQ-FILTER VALUE
chardev() {
    qmp query-chardev
    assert_eq "$(jq -cr --arg id "$1" ".[] | select(.label == \$id) | $2" <<<"$REPLY_JSON")" "$3" "chardev $1: $2"
}
# disk N JQ-FILTER VALUE: of query-block's entry
disk() {
    qmp query-block
    assert_eq "$(jq -cr ".[] | select(.qdev | test(\"(^|/)disk$1(/|$)\")) | $2" <<<"$REPLY_JSON")" "$3" "disk $1: $2"
}
# node NAME JQ-FILTER VALUE
node() {
    qmp query-named-block-nodes
    assert_eq "$(jq -cr --arg name "$1" ".[] | select(.\"node-name\" == \$name) | $2" <<<"$REPLY_JSON")" "$3" "$1: $2"
}
# cache_is N (direct|cached) (flush|noflush) (on|off): of both nodes, and the write cache that the device shows
cache_is() {
    local kind
    for kind in file format; do
        node "disk$1-$kind" .cache.direct "$([[ $2 == direct ]] && echo true || echo false)"
        node "disk$1-$kind" '.cache."no-flush"' "$([[ $3 == noflush ]] && echo true || echo false)"
    done
    qom "peripheral/disk$1" write-cache "$4"
}
# fd_flags FILE: the flags that QEMU has it open with, one line per fd, octal
fd_flags() {
    local fd
    for fd in /proc/"$PID"/fd/*; do
        [[ $(readlink "$fd") == "$1" ]] && sed -n 's/^flags:[[:space:]]*//p' "/proc/$PID/fdinfo/${fd##*/}"
    done
    return 0
}
O_DIRECT=040000
# open_as FILE (rw|ro) (direct|cached): every fd that QEMU has of it
open_as() {
    local flags all
    all=$(fd_flags "$1")
    [[ -n $all ]] || fail "QEMU has not opened $1"
    for flags in $all; do
        assert_eq "$((flags & 3))" "$([[ $2 == rw ]] && echo 2 || echo 0)" "access to $1"
        assert_eq "$(((flags & O_DIRECT) != 0))" "$([[ $3 == direct ]] && echo 1 || echo 0)" "O_DIRECT of $1"
    done
}
# Not out of a pipe: what still writes when grep -q has found it is killed, and that is the pipe's status.
has_argument() { grep -zqxF -- "$1" "/proc/$PID/cmdline"; }

# cpu_is MODEL: the type of the first vCPU
cpu_is() {
    qmp query-cpus-fast
    qmp qom-get "{\"path\":\"$(jq -r '.[0]."qom-path"' <<<"$REPLY_JSON")\",\"property\":\"type\"}"
    assert_eq "$REPLY_JSON" "\"$1-x86_64-cpu\"" "the vCPU"
}

started() {
    expect 0 vml start "$TEMPLATE"
    PID=$(status_of pid)
    qmp_open
}
ended() {
    qmp_close
    expect 0 vml destroy "$VM"
}

# said TAG VALUE: the guest printed TAG=VALUE
said() { assert_eq "$(sed -n "s/^\(guest# \)*$1=//p" <<<"$SAID" | tail -1)" "$2" "the guest's $1"; }

# have_groups: those of $OPERATOR_GID and $MONITOR_GID; the file's mount namespace is its own, the groups are nobody else's
have_groups() {
    need_root
    [[ $(getent group vmlaunch) != *":$OPERATOR_GID:" ]] || return 0
    {
        grep -vE '^vmlaunch(-monitor)?:' /etc/group # a host that has them already
        echo "vmlaunch:x:$OPERATOR_GID:"
        echo "vmlaunch-monitor:x:$MONITOR_GID:"
    } >"$WORK/group"
    mount --bind "$WORK/group" /etc/group || skip "/etc/group cannot be covered"
}
group_dirs() { find /sys/fs/cgroup -maxdepth 4 -type d -name "vmlaunch-$VM" 2>/dev/null || true; }

# Everything a VM may leave: said by kind, empty when the host is clean.
leftovers() {
    ip -o link show 2>/dev/null | grep -E ': (vl-|'"$VM"')' | sed 's/^/tap: /'
    group_dirs | sed 's/^/cgroup: /'
    find "$ROOT/run" -mindepth 1 \( -type s -o -name lock -o -name live.tmpl -o -name leases -o -name private -o -path '*/images/*' -o -path '*/uids/*' -o -path '*/ports/*' \) 2>/dev/null | sed 's/^/file: /'
    find "$ROOT/var/lib/vmlaunch" -path '*/overlays/*' \( -name '*-dropped*' -o -name '*.new.*' \) 2>/dev/null | sed 's/^/file: /'
    find "$ROOT/run" -name journal -size +0 2>/dev/null | sed 's/^/journal: /'
    pgrep -f "guest=$VM," 2>/dev/null | sed 's/^/process: /'
    pgrep -f "(__keeper|__adopt) .*$VM\$" 2>/dev/null | sed 's/^/keeper: /'
    return 0
}
assert_clean() {
    local left end=$((SECONDS + 15))
    while left=$(leftovers) && [[ -n $left ]]; do
        ((SECONDS < end)) || fail "left behind: $left"
        sleep 0.05
    done
}

# What the host's QEMU can do is asked once for all tests; a cache of another QEMU is not read.
FACTS=$GUEST/facts
take_facts() {
    mkdir -p "$FACTS" "$ROOT/var/cache/vmlaunch"
    cp "$FACTS"/qemu-*.facts "$ROOT/var/cache/vmlaunch/" 2>/dev/null || true
}
keep_facts() { # EMULATOR
    local file
    file=$(find "$ROOT/var/cache/vmlaunch" -name "qemu-*-$(stat -c '%i-%s' "$1")-*.facts" | head -1)
    [[ -z $file || -e $FACTS/${file##*/} ]] || { cp "$file" "$FACTS/.new.$UNIQUE" && mv "$FACTS/.new.$UNIQUE" "$FACTS/${file##*/}"; }
}

run_one_test() { # NAME
    WORK=$(mktemp -d /tmp/vmltest.XXXXXX)
    ROOT=$WORK/root
    VM=t$UNIQUE-${RANDOM}
    export BRIDGE=vbr0
    export VMLAUNCH_ROOT=$ROOT
    mkdir -p "$ROOT"
    : >"$WORK/starts"
    take_facts
    # QEMU and stand-ins run under uids of their own.
    chmod 755 "$WORK" "$ROOT"
    local begin=$EPOCHREALTIME status line
    (
        set -e
        "$1"
        assert_clean
    )
    status=$?
    write_starts "${1#test_}" "$status"
    keep_facts /usr/bin/qemu-system-x86_64
    # A failed test must not disturb the next one. What it has stopped hears nothing else.
    ((status == 0)) || pgrep -f "guest=$VM,|${ROOT}[ /]" | while read -r line; do
        kill -CONT "$line" 2>/dev/null
    done
    "$VMLAUNCH" --root "$ROOT" -o json list 2>/dev/null | jq -r '.[].name' 2>/dev/null | while read -r line; do
        "$VMLAUNCH" --root "$ROOT" destroy "$line" >/dev/null 2>&1
    done
    ((status == 0)) || pgrep -f "guest=$VM," | while read -r line; do
        kill -KILL "$line" 2>/dev/null
    done
    local took
    took=$(awk -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "%.1f", b - a }')
    if ((status == 77)); then
        echo "skip ${1#test_}: $(<"$WORK/skip")"
    elif ((status == 0)); then
        echo "ok ${1#test_} ($took s)"
    else
        # Of tests with many VMs those that wrote last; run.sh shows the end of all this.
        # shellcheck disable=SC2012 # the names are ours
        ls -tr "$ROOT"/var/log/vmlaunch/*.log 2>/dev/null | tail -2 | while read -r line; do
            grep -v ' debug: ' "$line" | sed 's/^/    log: /' | tail -15
        done
        [[ ! -s $WORK/why ]] || sed 's/^/    /' "$WORK/why"
        echo "not ok ${1#test_} ($took s)"
        FAILED=1
    fi
    rm -rf "$WORK"
}

run_tests() { # [NAME...]
    FAILED=0
    local names=("$@") name
    ((${#names[@]})) || mapfile -t names < <(declare -F | sed -n 's/^declare -f test_//p')
    ip link set lo up 2>/dev/null
    ip link add vbr0 type bridge 2>/dev/null && ip link set vbr0 up && ip addr add 10.77.0.1/24 dev vbr0
    for name in "${names[@]}"; do
        run_one_test "test_$name"
    done
    exit "$FAILED"
}
