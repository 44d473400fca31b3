#!/usr/bin/env bash
# VMs as units of a real systemd, on cgroup v2 with real controllers, and after a reboot on v1: in a test guest
# (tests/guest/systemd.sh), which this file boots once for each, and in which it runs itself. There every test is a
# function test_WORDS, as in the other files; those of test_v1_WORDS run after the reboot.
#   systemd.sh [TEST...]
set -uo pipefail

# --- in the guest ----------------------------------------------------------------------------------------------------

VMS=/etc/vmlaunch/vms
GROUPS_AT=/sys/fs/cgroup/machine.slice
SELF=${BASH_SOURCE[0]}

fail() {
    printf '%s\n' "$*" >>"$WORK/why"
    exit 1
}
assert_eq() { [[ $1 == "$2" ]] || fail "${3:-value}: got '$1', expected '$2'"; }
assert_match() { [[ $1 =~ $2 ]] || fail "${3:-text}: '$1' does not match '$2'"; }
assert_contains() { [[ $1 == *"$2"* ]] || fail "${3:-text}: '$1' does not contain '$2'"; }
expect() { # STATUS COMMAND...
    local want=$1 got=0
    shift
    "$@" >"$WORK/out" 2>"$WORK/err" || got=$?
    OUT=$(<"$WORK/out") ERR=$(<"$WORK/err")
    ((got == want)) || fail "'$*' ended with $got, expected $want: $OUT $ERR"
}
await() { # SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "'$*' did not become true"
        sleep 0.1
    done
}

# define NAME [LINES...]: the template of a VM of the stand-in, which $MANNER tells what to do
define() {
    local name=$1
    shift
    {
        printf '%s\n' "NAME = \"$name\"" 'MEMORY = "64"' 'ACCEL = "tcg"' "EMULATOR = \"${EMULATOR:-/usr/bin/fake_qemu}\""
        [[ -z ${MANNER:-} ]] || printf '%s\n' "OS = [ KERNEL = \"/etc/hostname\", KERNEL_CMD = \"$MANNER\" ]"
        printf '%s\n' "$@"
    } >"$VMS/$name.tmpl"
}
# What every limit is, as define takes it.
EVERY_LIMIT=('CPU = "1.5"' 'CPUTUNE = [ QUOTA = "30000", PERIOD = "20000" ]' 'PIDS_LIMIT = "200"'
    'MEMTUNE = [ HARD_LIMIT = "200", SOFT_LIMIT = "150", SWAP_HARD_LIMIT = "300" ]' 'BLKIOTUNE = [ WEIGHT = "300" ]')
assert_every_limit() { # GROUP
    local row
    for row in "cpu.weight=150" "cpu.max=30000 20000" "pids.max=200" "memory.max=$((200 << 20))" \
        "memory.high=$((150 << 20))" "memory.swap.max=$((100 << 20))" "io.weight=default 300"; do
        assert_eq "$(<"$GROUPS_AT/$1/${row%%=*}")" "${row#*=}" "${row%%=*} of $1"
    done
    assert_eq "$(<"$GROUPS_AT/$1/cgroup.subtree_control")" "" "controllers enabled below $1"
}
status_of() { vmlaunch -o json status "$1" | jq -r ".$2"; }
property() { systemctl show -p "$2" --value "$1"; }
is_active() { [[ $(property "vmlaunch@$1" ActiveState) == "${2:-active}" ]]; }
main_pid() { property "vmlaunch@$1" MainPID; }
work() { vmlaunch qmp "$1" '{"execute":"inject-nmi"}' >/dev/null || true; }
# A guest in 512 bytes: it powers off when the button is pressed; of one that is "deaf" nothing is heard.
#   mov dx,0x602; mov ax,0x100; out dx,ax    PM1_EN: the power button
# l: mov dx,0x600; in ax,dx; test ah,1; jz l; mov dx,0x604; mov ax,0x2000; out dx,ax; hlt    PM1_STS; PM1_CNT: S5
boot_sector() { # FILE [deaf]
    {
        [[ ${2:-} == deaf ]] || printf '\xba\x02\x06\xb8\x00\x01\xef\xba\x00\x06\xed\xf6\xc4\x01\x74\xf7\xba\x04\x06\xb8\x00\x20\xef'
        printf '\xf4\xeb\xfd'
        head -c 512 /dev/zero
    } | head -c 510 >"$1"
    printf '\x55\xaa' >>"$1"
    truncate -s 1M "$1"
}
# real NAME IMAGE [LINES...]: of the real QEMU
real() {
    local name=$1 image=$2
    shift 2
    EMULATOR=/usr/bin/qemu-system-x86_64 define "$name" "DISK = [ SOURCE = \"$image\", FORMAT = \"raw\", TARGET = \"vda\" ]" \
        'OS = [ MACHINE = "pc" ]' 'FEATURES = [ GUEST_AGENT = "no" ]' "$@"
}
kvmrc() { printf '%s\n' "$@" >/etc/vmlaunch/kvmrc; }

leftovers() {
    systemctl list-units --all --plain --no-legend 'vmlaunch*' | awk '$3 != "inactive" && $3 != "failed" { print "unit: " $0 }'
    find /sys/fs/cgroup -type d -name 'vmlaunch*' ! -path '*system.slice*' | sed 's/^/group: /'
    find /run/vmlaunch -mindepth 1 \( -type s -o -name lock -o -name live.tmpl -o -name private -o -name leases -o -path '*/uids/*' -o -path '*/images/*' \) 2>/dev/null | sed 's/^/file: /'
    find /run/vmlaunch -name journal -size +0 2>/dev/null | sed 's/^/journal: /'
    find /run/systemd/system.control /run/systemd/transient -name '*vmlaunch*' 2>/dev/null | sed 's/^/of systemd: /'
    [[ $(property systemd-machined ActiveState) != active ]] || machinectl list --no-legend | sed 's/^/machine: /'
    pgrep -a '^(fake_qemu|qemu-system-x86|vmlaunch.*)$' | sed 's/^/process: /'
    return 0
}
is_clean() { [[ -z $(leftovers) ]]; }

run_one_test() {
    local begin=$EPOCHREALTIME status
    WORK=$(mktemp -d)
    rm -f "$VMS"/*
    kvmrc
    (
        set -e
        "$1"
        await 20 is_clean
    )
    status=$?
    ((status == 0)) || {
        sed 's/^/    /' "$WORK/why" 2>/dev/null
        leftovers | sed 's/^/    left: /'
        journalctl -b -n 25 -o cat --no-pager | cut -c 1-200 | sed 's/^/    /'
    }
    systemctl stop 'vmlaunch*' >/dev/null 2>&1
    vmlaunch -o json list 2>/dev/null | jq -r '.[].name' | while read -r one; do vmlaunch destroy "$one" >/dev/null 2>&1; done
    systemctl reset-failed 'vmlaunch*' 2>/dev/null
    rm -rf /etc/systemd/system/vmlaunch*.d "$WORK"
    systemctl daemon-reload
    if ((status == 0)); then echo -n "ok"; else echo -n "not ok"; fi
    awk -v name="${1#test_}" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf " %s (%.1f s)\n", name, b - a }'
}

# --- the tests -------------------------------------------------------------------------------------------------------

test_unit_is_active_when_its_vm_runs_and_everybody_shows_it() {
    boot_sector /root/disk
    real web /root/disk "${EVERY_LIMIT[@]}"
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(status_of web state)" running "state"
    assert_eq "$(status_of web unit)" vmlaunch@web.service "unit"
    is_active web || fail "the unit is not active"
    assert_every_limit vmlaunch@web.service
    assert_contains "$(systemctl status vmlaunch@web)" "Status: \"running\"" "systemctl status"
    assert_contains "$(systemd-cgls "/machine.slice/vmlaunch@web.service")" "guest=web" "cgls"
    assert_contains "$(journalctl -b -o cat "VMLAUNCH_VM=web" "VMLAUNCH_GENERATION=$(status_of web generation)")" \
        "web: the guest runs" "journal by VM and generation"
    assert_contains "$(journalctl -b -o cat -u vmlaunch@web)" "web: the guest runs" "journal by unit"
    assert_contains "$(vmlaunch log web)" "the guest runs" "log"
    await 20 is_registered web
    assert_eq "$(property vmlaunch@web MainPID)" "$(status_of web supervisor_pid)" "supervisor"
    expect 9 vmlaunch start web
    systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict)" guest-off "verdict of systemctl stop"
    assert_eq "$(property vmlaunch@web Result)" success "result of the unit"
    ! is_registered web || fail "machinectl lists a VM that is gone"
}
is_registered() { machinectl list --no-legend | grep -q "^$1 *vm *vmlaunch"; }

test_guest_that_stays_is_destroyed_inside_the_units_deadline() {
    kvmrc FORCE_DESTROY=yes
    boot_sector /root/disk deaf
    real web /root/disk 'SHUTDOWN_TIMEOUT = "3"'
    systemctl daemon-reload
    assert_eq "$(property vmlaunch@web TimeoutStopUSec)" 33s "TimeoutStopSec"
    expect 0 systemctl start vmlaunch@web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict) $(property vmlaunch@web Result)" "asked success" "verdict, result"
    # Without FORCE_DESTROY the guest runs on, until systemd loses its patience: nothing of it may stay then.
    kvmrc
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nTimeoutStopSec=5\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict) $(property vmlaunch@web Result)" "asked timeout" "verdict, result"
}

test_killed_supervisor_comes_back_to_the_same_qemu_and_limits() {
    define web "${EVERY_LIMIT[@]}"
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(main_pid web)
    kill -KILL "$supervisor"
    # Whoever comes meanwhile waits for the next one.
    assert_eq "$(status_of web pid)" "$qemu" "QEMU in the status of the gap"
    await 30 is_active web
    assert_eq "$(status_of web pid)" "$qemu" "QEMU"
    [[ $(main_pid web) != "$supervisor" ]] || fail "the supervisor is the same"
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    assert_eq "$(property vmlaunch@web Result) $(status_of web verdict)" "success guest-off" "result, verdict"
}

test_hung_supervisor_is_replaced_by_the_watchdog() {
    define web
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nWatchdogSec=4\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(main_pid web)
    sleep 5
    assert_eq "$(main_pid web)" "$supervisor" "a supervisor that is well"
    kill -STOP "$supervisor"
    await 60 is_replaced web "$supervisor"
    await 30 is_active web
    assert_eq "$(status_of web pid)" "$qemu" "QEMU"
    expect 0 vmlaunch destroy web
}
is_replaced() { [[ $(main_pid "$1") != "$2" && $(main_pid "$1") != 0 ]]; }

test_crashed_qemu_follows_on_crash() {
    define web 'PANIC = [ MODEL = "pci" ]'
    define again 'PANIC = [ MODEL = "pci" ]' 'ON_CRASH = "restart"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web vmlaunch@again
    local qemu
    qemu=$(status_of again pid)
    kill -SEGV "$(status_of web pid)" "$qemu"
    await 20 is_active web failed
    assert_eq "$(status_of web verdict) $(property vmlaunch@web ExecMainStatus)" "crashed 12" "verdict, exit status"
    await 30 has_other_qemu again "$qemu"
    assert_eq "$(property vmlaunch@again ActiveState)" active "the unit that starts it again"
    expect 0 systemctl stop vmlaunch@again
}
has_other_qemu() { [[ $(status_of "$1" state) == running && $(status_of "$1" pid) != "$2" ]]; }

test_changed_template_is_pending_and_a_bad_one_disturbs_nobody() {
    define web "${EVERY_LIMIT[@]}"
    define other 'CPU = "3"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    sed -i 's/HARD_LIMIT = "200"/HARD_LIMIT = "160"/' "$VMS/web.tmpl"
    echo 'NAME = [' >"$VMS/broken.tmpl"
    systemctl daemon-reload
    assert_every_limit vmlaunch@web.service
    assert_eq "$(status_of web 'pending | join(" ")')" MEMTUNE/HARD_LIMIT "what is pending"
    assert_contains "$(vmlaunch status web)" "pending" "status"
    assert_eq "$(property vmlaunch@other CPUWeight)" 300 "weight of a VM beside the broken one"
    assert_match "$(journalctl -b -o cat _TRANSPORT=kernel + _COMM=vmlaunch-generator | tail -20)" 'broken.tmpl:[0-9]+:[0-9]+: ' "what is said of it"
    expect 6 vmlaunch start broken
    expect 0 systemctl stop vmlaunch@web
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(<$GROUPS_AT/vmlaunch@web.service/memory.max)" $((160 << 20)) "limit of the next start"
    expect 0 vmlaunch destroy web
}

test_vm_that_is_started_by_hand_has_a_scope_that_goes_with_it() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web unit)" vmlaunch-web.scope "unit"
    assert_every_limit vmlaunch-web.scope
    local qemu
    qemu=$(status_of web pid)
    kill -KILL "$(status_of web supervisor_pid)"
    await 20 status_says web pid "$qemu"
    # Its guest has time: the whole scope is told, and only the supervisor listens.
    expect 0 systemctl stop vmlaunch-web.scope
    assert_eq "$(status_of web verdict)" guest-off "verdict of systemctl stop"
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 vmlaunch destroy web
    # The last scope may not be gone yet.
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 vmlaunch shutdown web
}
status_says() { [[ $(status_of "$1" "$2") == "$3" ]]; }

test_without_d_bus_the_vm_runs_without_group_and_with_one_warning() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 unshare --mount -- bash -c 'mount -t tmpfs none /run/dbus && exec vmlaunch start /root/web.tmpl'
    assert_contains "$(status_of web 'warnings[0]')" "systemd cannot be talked to, there is no D-Bus" "warning"
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    expect 0 vmlaunch destroy web
}

test_limits_that_systemd_does_not_know_yet_are_set_at_the_start() {
    define web "${EVERY_LIMIT[@]}"
    # No daemon-reload: its unit has no drop-in.
    expect 0 vmlaunch start web
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    [[ ! -e /run/systemd/system.control ]] || fail "left: $(find /run/systemd/system.control)"
}

test_slice_is_the_templates() {
    mkdir -p /etc/systemd/system
    printf '[Slice]\nMemoryMax=500M\n' >/etc/systemd/system/machine-gold.slice
    define web 'SLICE = "machine-gold.slice"'
    define new 'SLICE = "brass.slice"'
    systemctl daemon-reload
    expect 0 vmlaunch start web
    expect 0 vmlaunch start new
    assert_eq "$(status_of web cgroup)" "machine.slice/machine-gold.slice/vmlaunch@web.service" "group"
    assert_eq "$(<"$GROUPS_AT/machine-gold.slice/memory.max")" $((500 << 20)) "limit of the slice"
    assert_eq "$(status_of web 'warnings | length')" 0 "warnings"
    assert_contains "$(status_of new 'warnings[0]')" "nobody has defined 'brass.slice'" "warning"
    expect 0 systemctl stop vmlaunch@web vmlaunch@new
    rm /etc/systemd/system/machine-gold.slice
}

test_unit_waits_for_the_agent_where_the_template_says_so() {
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web 'NOTIFY_READY = "agent"'
    systemctl daemon-reload
    assert_eq "$(property vmlaunch@web TimeoutStartUSec)" 7min "TimeoutStartSec"
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(status_of web agent)" answering "agent of a unit that is active"
    expect 0 systemctl stop vmlaunch@web
}

test_order_and_delay_are_the_units() {
    define first 'START_ORDER = "1"' 'START_DELAY = "3"'
    define second 'START_ORDER = "2"'
    define last
    expect 0 vmlaunch enable first
    assert_eq "$(systemctl is-enabled vmlaunch@first)" enabled "systemctl is-enabled"
    assert_eq "$(status_of first autostart)" true "autostart"
    expect 0 systemctl disable vmlaunch@first
    assert_eq "$(status_of first autostart)" false "autostart"
    systemctl daemon-reload
    assert_match " $(property vmlaunch@second After) " ' vmlaunch@first.service .*' "after"
    assert_match " $(property vmlaunch@last After) " ' vmlaunch@second.service ' "after"
    # As at boot: all of them in one transaction.
    expect 0 systemctl start vmlaunch@last vmlaunch@second vmlaunch@first
    local first second last
    first=$(property vmlaunch@first ActiveEnterTimestampMonotonic)
    second=$(property vmlaunch@second ExecMainStartTimestampMonotonic)
    last=$(property vmlaunch@last ExecMainStartTimestampMonotonic)
    ((second - first >= 3000000)) || fail "the second VM was started $((second - first)) us after the first one ran"
    ((last > second)) || fail "the last VM was not started last"
    expect 0 systemctl stop 'vmlaunch@*'
    (($(property vmlaunch@first InactiveEnterTimestampMonotonic) > $(property vmlaunch@second InactiveEnterTimestampMonotonic))) ||
        fail "the first VM was not stopped last"
}

test_vm_that_needs_more_than_its_limit_is_oom_killed() {
    MANNER=fake.eat=400 define web 'MEMTUNE = [ HARD_LIMIT = "100", SWAP_HARD_LIMIT = "100" ]'
    systemctl daemon-reload
    expect 0 vmlaunch start web
    work web
    await 30 is_active web failed
    assert_eq "$(status_of web verdict) $(property vmlaunch@web ExecMainStatus)" "oom-killed 13" "verdict, exit status"
    assert_eq "$(status_of web oom.kills) $(status_of web oom.limit) $(status_of web oom.at_limit)" "1 $((100 << 20)) true" \
        "kills, limit, at the limit"
}

test_two_busy_vms_share_a_cpu_as_their_templates_say() {
    local a b ratio begun=()
    MANNER=fake.spin define one
    MANNER=fake.spin define two 'CPU = "2"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@one vmlaunch@two
    taskset -p -c 1 "$(status_of one pid)" >/dev/null
    taskset -p -c 1 "$(status_of two pid)" >/dev/null
    work one
    work two
    begun=("$(cpu_of one)" "$(cpu_of two)")
    await 60 has_computed $((begun[0] + begun[1] + 2000000))
    a=$(($(cpu_of one) - begun[0])) b=$(($(cpu_of two) - begun[1]))
    ratio=$((b * 100 / a))
    ((ratio >= 180 && ratio <= 220)) || fail "shares of 1 and 2 became 1 : $ratio/100 (CPU time $a and $b us)"
    expect 0 vmlaunch destroy one
    expect 0 vmlaunch destroy two
}
cpu_of() { awk '/^usage_usec/ { print $2 }' "$GROUPS_AT/vmlaunch@$1.service/cpu.stat"; }
has_computed() { (($(cpu_of one) + $(cpu_of two) >= $1)); }

test_frozen_guest_thaws_though_its_unit_is_not_started_again() {
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nRestart=no\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    expect 0 vmlaunch --timeout 30 wait web --for=agent
    expect 0 vmlaunch --timeout 600 agent web freeze --detach
    assert_eq "$(status_of web frozen)" true "frozen"
    kill -KILL "$(main_pid web)"
    await 40 is_active web failed
    assert_eq "$(jq .frozen /run/vmlaunch/web/record.json)" false "frozen, in the record"
    [[ -d /proc/$(jq .pid /run/vmlaunch/web/record.json) ]] || fail "QEMU is gone"
    systemctl reset-failed vmlaunch@web
    expect 0 systemctl start vmlaunch@web
    expect 0 vmlaunch destroy web
}

test_own_groups_on_v2_where_no_systemd_is() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 unshare --mount -- bash -c 'mount -t tmpfs none /run/systemd && exec vmlaunch start /root/web.tmpl'
    assert_eq "$(status_of web cgroup)" machine.slice/vmlaunch-web "group"
    assert_every_limit vmlaunch-web
    assert_contains "$(<$GROUPS_AT/vmlaunch-web/cgroup.procs)" "$(status_of web pid)" "processes of the group"
    expect 0 unshare --mount -- bash -c 'mount -t tmpfs none /run/systemd && exec vmlaunch destroy web'
    [[ ! -e $GROUPS_AT/vmlaunch-web ]] || fail "the group is still there"
}

run_tests_in_guest() { # v1|v2 [NAME...]
    local which=$1 names=() name begin=$SECONDS
    shift
    mapfile -t names < <(declare -F | sed -n 's/^declare -f test_//p')
    for name in "${names[@]}"; do
        [[ $which == v1 && $name == v1_* ]] || [[ $which == v2 && $name != v1_* ]] || continue
        (($# == 0)) || [[ " $* " == *" $name "* ]] || continue
        run_one_test "test_$name"
    done
    echo "the tests in the guest took $((SECONDS - begin)) s"
}
set_up_guest() {
    local at
    for at in vmlaunch vmlaunch-fake-qemu fake_qemu; do install -m 755 "bin/$at" "/usr/bin/$at"; done
    tar -xf install.tar -C /
    mkdir -p "$VMS" /run/vmlaunch
    systemctl daemon-reload
}
case ${1:-} in
in-guest)
    shift
    set_up_guest
    run_tests_in_guest "$@"
    exit
    ;;
esac

# --- on the host -----------------------------------------------------------------------------------------------------

TOP=$(cd "$(dirname "$SELF")/../.." && pwd)
GUEST=$TOP/build/guest
BUILD=${BUILD:-$TOP/build}
[[ $(id -u) == 0 ]] || {
    echo "skip systemd: needs root"
    exit 77
}
"$TOP/tests/guest/systemd.sh" "$GUEST" || exit 1
DIR=$(mktemp -d /tmp/vmltest.XXXXXX)
QEMU=
trap 'kill $QEMU 2>/dev/null; rm -rf "$DIR"' EXIT

pack() {
    mkdir -p "$DIR/payload/bin" "$DIR/root"
    cp "$BUILD/vmlaunch" "$BUILD/vmlaunch-fake-qemu" "$BUILD/tests/fake_qemu" "$DIR/payload/bin/"
    make -s -C "$TOP" B="$BUILD" DESTDIR="$DIR/root" PREFIX=/usr install-units
    tar -cf "$DIR/payload/install.tar" -C "$DIR/root" .
    cp "$SELF" "$DIR/payload/systemd.sh"
    tar -cf "$DIR/payload.disk" -C "$DIR/payload" .
    truncate -s 64M "$DIR/payload.disk"
}
boot() { # KERNEL-WORDS
    rm -f "$DIR/talk"
    qemu-system-x86_64 -nodefaults -no-user-config -display none -machine q35,accel=tcg -cpu qemu64 -smp 2 -m 1024 \
        -no-reboot -kernel "$GUEST/vmlinuz" -initrd "$GUEST/systemd-initrd.img" \
        -append "rdinit=/sinit console=ttyS0 quiet panic=-1 tsc=reliable no_timer_check nokaslr cryptomgr.notests mitigations=off audit=0 8250.nr_uarts=1 i8042.noaux $1" \
        -drive "if=none,id=d0,file=$DIR/disk,format=qcow2,cache=unsafe" -device virtio-blk-pci,drive=d0 \
        -drive "if=none,id=d1,file=$DIR/payload.disk,format=raw,readonly=on" -device virtio-blk-pci,drive=d1 \
        -device virtio-serial-pci -chardev "socket,id=talk,path=$DIR/talk,server=on,wait=off" -device virtconsole,chardev=talk \
        -chardev "file,id=console,path=$DIR/console" -serial chardev:console 9>&- &
    QEMU=$!
    while [[ ! -S $DIR/talk ]]; do sleep 0.05; done
    coproc TALK { exec socat - "UNIX-CONNECT:$DIR/talk"; }
    hear READY 120
}
# hear WORD SECONDS: what the guest says up to this word; the tests' lines are ours too
hear() {
    local line end=$((SECONDS + $2))
    while ((SECONDS < end)) && IFS= read -r -t $((end - SECONDS)) -u "${TALK[0]}" line; do
        line=${line%$'\r'}
        [[ $line != "$1"* ]] || return 0
        printf '%s\n' "$line"
    done
    echo "    the guest has not said $1 in $2 s:"
    tail -5 "$DIR/console" | sed 's/^/    /'
    echo "not ok guest"
    exit 1
}
tell() { printf '%s\n' "$*" >&"${TALK[1]}"; }

begin=$SECONDS
pack
qemu-img create -q -f qcow2 -b "$GUEST/systemd.img" -F raw "$DIR/disk"
boot cgroup_no_v1=all
echo "the guest is up after $((SECONDS - begin)) s"
tell "bash systemd.sh in-guest v2 $*"
hear DONE 400
tell "poweroff"
wait "$QEMU"
echo "all of it took $((SECONDS - begin)) s"
