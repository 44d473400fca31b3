#!/usr/bin/env bash
# VMs as units of a real systemd, in a test guest (tests/guest/systemd.sh) in which this file runs itself: on cgroup v2, and
# after a reboot on a hybrid host with v1's controllers. A test is a function test_WORDS as in the other files; after the
# reboot it is named v1_WORDS. test_v2_WORDS is of v2 alone; test_after_a_reboot_WORDS comes after the reboot only.
#   systemd.sh [TEST...]
# Without names those of CHECK_TESTS below; with SYSTEMD=1 all on v2, and on v1 those of V1_TESTS, or all with SYSTEMD_V1=all.
set -uo pipefail

# --- in the guest ----------------------------------------------------------------------------------------------------

VMS=/etc/vmlaunch/vms
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
# v1's blkio has no weight where its scheduler is not loaded; soft limit and swap are no properties there.
# shellcheck disable=SC2034 # by name, in assert_every_limit
EVERY_FILE_v2=("cpu cpu.weight 150" "cpu cpu.max 30000 20000" "pids pids.max 200" "memory memory.max $((200 << 20))"
    "memory memory.high $((150 << 20))" "memory memory.swap.max $((100 << 20))" "io io.weight default 300")
# shellcheck disable=SC2034
EVERY_FILE_v1=("cpu cpu.shares 1536" "cpu cpu.cfs_quota_us 30000" "cpu cpu.cfs_period_us 20000" "pids pids.max 200"
    "memory memory.limit_in_bytes $((200 << 20))" "memory memory.soft_limit_in_bytes $((150 << 20))"
    "memory memory.memsw.limit_in_bytes $((300 << 20))")
group_of() { # UNIT CONTROLLER
    if [[ $HIERARCHY == v2 ]]; then echo "/sys/fs/cgroup/machine.slice/$1"; else echo "/sys/fs/cgroup/$2/machine.slice/$1"; fi
}
limit() { # UNIT CONTROLLER FILE
    cat "$(group_of "$1" "$2")/$3"
}
# by_version V2 V1: the words for this one
by_version() { if [[ $HIERARCHY == v2 ]]; then echo "$1"; else echo "$2"; fi; }
assert_every_limit() { # UNIT
    local -n rows=EVERY_FILE_$HIERARCHY
    local row controller file value
    for row in "${rows[@]}"; do
        read -r controller file value <<<"$row"
        assert_eq "$(limit "$1" "$controller" "$file")" "$value" "$file of $1"
    done
    [[ $HIERARCHY == v1 ]] || assert_eq "$(limit "$1" cpu cgroup.subtree_control)" "" "controllers enabled below $1"
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
    [[ ! -e /run/vmlaunch/crash-at ]] || echo "file: crash-at"
    busctl list --no-legend --no-pager | awk '$3 == "vmlaunch" { print "on D-Bus: " $0 }'
    find /run/systemd/system.control /run/systemd/transient -name '*vmlaunch*' 2>/dev/null | sed 's/^/of systemd: /'
    [[ $(property systemd-machined ActiveState) != active ]] || machinectl list --no-legend | sed 's/^/machine: /'
    ps -eo pid,comm,args --no-headers | awk '$2 ~ /^(fake_qemu|qemu-system-x86|vmlaunch.*)$/ { print "process: " $0 }'
    return 0
}
is_clean() { [[ -z $(leftovers) ]]; }

run_one_test() { # FUNCTION NAME
    local begin=$EPOCHREALTIME status
    WORK=$(mktemp -d)
    (
        set -e
        "$1"
        await 20 is_clean
    )
    status=$?
    ((status == 0)) || {
        sed 's/^/    /' "$WORK/why" 2>/dev/null
        leftovers | cut -c 1-200 | sed 's/^/    left: /'
        journalctl -b -n 25 -o cat --no-pager | cut -c 1-200 | sed 's/^/    /'
        systemctl stop 'vmlaunch*' >/dev/null 2>&1
        vmlaunch -o json list 2>/dev/null | jq -r '.[].name' | while read -r one; do vmlaunch destroy "$one" >/dev/null 2>&1; done
    }
    systemctl reset-failed 'vmlaunch*' 2>/dev/null
    rm -rf /etc/systemd/system/vmlaunch*.d "$WORK" "${VMS:?}"/* /etc/vmlaunch/kvmrc /var/log/vmlaunch/*
    if ((status == 0)); then echo -n "ok"; else echo -n "not ok"; fi
    awk -v name="$2" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf " %s (%.1f s)\n", name, b - a }'
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
    # Of all that was asked for, v1 here has no file for the weight of io.
    assert_eq "$(status_of web 'warnings | length')" "$(by_version 0 1)" "warnings"
    assert_contains "$(systemctl status vmlaunch@web)" "Status: \"running\"" "systemctl status"
    assert_contains "$(systemd-cgls "/machine.slice/vmlaunch@web.service")" "guest=web" "cgls"
    assert_contains "$(journalctl -b -o cat "VMLAUNCH_VM=web" "VMLAUNCH_GENERATION=$(status_of web generation)")" \
        "web: the guest runs" "journal by VM and generation"
    assert_contains "$(journalctl -b -o cat -u vmlaunch@web)" "web: the guest runs" "journal by unit"
    assert_contains "$(vmlaunch log web)" "the guest runs" "log"
    await 20 is_registered web
    assert_eq "$(machinectl show web -p Leader -p Class -p Unit | sort | xargs)" \
        "Class=vm Leader=$(status_of web pid) Unit=vmlaunch@web.service" "machinectl show"
    assert_eq "$(property vmlaunch@web MainPID)" "$(status_of web supervisor_pid)" "supervisor"
    expect 9 vmlaunch start web
    systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict)" guest-off "verdict of systemctl stop"
    assert_eq "$(property vmlaunch@web Result)" success "result of the unit"
    ! is_registered web || fail "machinectl lists a VM that is gone"
}
is_registered() { grep -q "^$1 *vm *vmlaunch" <<<"$(machinectl list --no-legend)"; }

# A machine whose unit is inactive is one that systemd-machined ends, by stopping that unit: perhaps its next run.
test_machine_is_gone_before_its_unit_is_and_only_ours() {
    local foreign
    define web
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nExecStopPost=/usr/bin/bash -c "machinectl list --no-legend >/run/machines-at-stop"\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    await 20 is_registered web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(</run/machines-at-stop)" "" "machines when the unit was about to end"
    # Neither is there one when QEMU and the supervisor are killed, and both are started again.
    expect 0 systemctl start vmlaunch@web
    await 20 is_registered web
    rm /run/machines-at-stop
    kill -KILL "$(status_of web pid)" "$(main_pid web)"
    await 20 test -e /run/machines-at-stop
    await 20 is_registered web
    assert_eq "$(</run/machines-at-stop)" "" "machines when the killed unit was about to end"
    expect 0 systemctl stop vmlaunch@web
    # Of that name, but not ours.
    systemd-run --quiet --unit foreign sleep 1000
    foreign=$(property foreign MainPID)
    busctl --quiet call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager RegisterMachine sayssus \
        web 0 someone container "$foreign" ''
    expect 0 systemctl start vmlaunch@web
    await 20 journal_has_told web "register with systemd-machined: "
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(machinectl show web -p Leader)" "Leader=$foreign" "somebody else's machine"
    systemctl stop foreign
    await 20 machine_is_gone web
}
journal_has_told() { [[ $(journalctl -b -o cat -u "vmlaunch@$1") == *"$2"* ]]; }
machine_is_gone() { ! machinectl show "$1"; }

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
    # Of a scope nobody would be left to undo the start.
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 systemctl stop vmlaunch-web.scope
    assert_eq "$(status_of web state) $(status_of web verdict)" "stopped asked" "state, verdict"
    assert_contains "$(status_of web 'story[].text')" "shutdown asked for by systemd" "story"
}

test_killed_supervisor_comes_back_to_the_same_qemu_and_limits() {
    define web "${EVERY_LIMIT[@]}"
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(main_pid web)
    assert_eq "$(property vmlaunch@web NFileDescriptorStore)" 2 "fds that systemd keeps"
    await 20 is_registered web
    kill -KILL "$supervisor"
    # Whoever comes meanwhile waits for the next one.
    assert_eq "$(status_of web pid)" "$qemu" "QEMU in the status of the gap"
    await 30 is_active web
    assert_eq "$(status_of web pid)" "$qemu" "QEMU"
    [[ $(main_pid web) != "$supervisor" ]] || fail "the supervisor is the same"
    assert_eq "$(property vmlaunch@web NFileDescriptorStore)" 2 "fds that systemd keeps"
    is_registered web || fail "machinectl does not list the VM any more"
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
    assert_match "$(journalctl -b -t vmlaunch-generator -o cat)" '/broken.tmpl:[0-9]+:[0-9]+: ' "what is said of it"
    expect 6 vmlaunch start broken
    # Its unit's journal says why, as an error, and has no line that says nothing by itself.
    expect 1 systemctl start vmlaunch@broken
    assert_match "$(journalctl -b -u vmlaunch@broken -t vmlaunch -o cat)" "^$VMS/broken.tmpl:[0-9]+:[0-9]+: [^"$'\n'"]+$" "journal"
    assert_contains "$(journalctl -b -u vmlaunch@broken -p err -o cat)" "$VMS/broken.tmpl" "errors in the journal"
    # Who looks at a VM that runs hears that it would not do so again.
    cp "$VMS/web.tmpl" "$WORK/good"
    echo 'MEMORY = [' >>"$VMS/web.tmpl"
    assert_contains "$(status_of web template_error) $(vmlaunch status web)" "the next start fails: $(status_of web template_error)" "status"
    mv "$WORK/good" "$VMS/web.tmpl"
    expect 0 systemctl stop vmlaunch@web
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(limit vmlaunch@web.service memory "$(by_version memory.max memory.limit_in_bytes)")" $((160 << 20)) "limit of the next start"
    expect 0 vmlaunch destroy web
}

test_vm_that_is_started_by_hand_has_a_scope_that_goes_with_it() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web unit)" vmlaunch-web.scope "unit"
    assert_every_limit vmlaunch-web.scope
    assert_contains "$(systemctl status vmlaunch-web.scope)" "guest=web" "systemctl status"
    assert_contains "$(journalctl -b -o cat "VMLAUNCH_VM=web" "VMLAUNCH_GENERATION=$(status_of web generation)")" \
        "web: the guest runs" "journal by VM and generation"
    await 20 is_registered web
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
    # A unit whose limits systemd has read needs nobody to talk to; one whose limits it has not is told what to do.
    mv /root/web.tmpl "$VMS/web.tmpl"
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nTemporaryFileSystem=/run/dbus\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 vmlaunch start web
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' "$VMS/web.tmpl"
    expect 10 vmlaunch start web
    assert_match "$ERR" "'systemctl daemon-reload', and cannot be told: .*there is no D-Bus" "error"
    systemctl daemon-reload
    expect 0 vmlaunch start web
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 300 "limit"
    expect 0 vmlaunch destroy web
}

# without FILES COMMAND...: where these are not
without() {
    local files=$1
    shift
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount -- bash -c 'for at in $1; do mount --bind /dev/null "$at"; done; shift; exec "$@"' - "$files" "$@"
}
test_busctl_stands_in_for_libsystemd_and_neither_is_said() {
    local library
    library=$(readlink -f /usr/lib/*/libsystemd.so.0)
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 without "$library" vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web unit)" vmlaunch-web.scope "unit"
    assert_every_limit vmlaunch-web.scope
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' /root/web.tmpl
    expect 0 vmlaunch update web --file /root/web.tmpl
    assert_eq "$(limit vmlaunch-web.scope pids pids.max) $(property vmlaunch-web.scope TasksMax)" "300 300" "limit, property"
    expect 0 vmlaunch destroy web
    # Neither: one warning, and no group.
    expect 0 without "$library /usr/bin/busctl" vmlaunch start /root/web.tmpl
    assert_contains "$(status_of web 'warnings[0]')" "systemd cannot be talked to, there is neither libsystemd nor busctl" "warning"
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    expect 0 vmlaunch destroy web
    # A unit has its limits all the same, and a change of them is refused.
    mv /root/web.tmpl "$VMS/web.tmpl"
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nInaccessiblePaths=%s\n' "$library" /usr/bin/busctl >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "400"/' "$VMS/web.tmpl"
    expect 10 vmlaunch update web --file "$VMS/web.tmpl"
    assert_contains "$ERR" "neither libsystemd nor busctl can talk to D-Bus" "error"
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 300 "limit"
    assert_eq "$(status_of web 'pending | join(" ")')" PIDS_LIMIT "what is pending"
    expect 0 vmlaunch destroy web
}

# A helper that does not end by itself, nor when it is asked to, and has a child like that: bash with swtpm's name, whose
# first argument is "socket".
stubborn_helper() {
    cp /bin/bash /usr/bin/swtpm
    printf '%s\n' "trap '' TERM" 'sleep 1000' : >/socket
}
no_process() {
    local pid
    for pid; do [[ ! -e /proc/$pid ]] || return 1; done
}
test_helpers_have_the_vms_group_and_fate() {
    local qemu helper child
    stubborn_helper
    define web 'TPM = [ MODEL = "tpm-crb" ]'
    cp "$VMS/web.tmpl" /root/hand.tmpl
    sed -i 's/"web"/"hand"/' /root/hand.tmpl
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    qemu=$(status_of web pid) helper=$(status_of web 'helpers[0].pid')
    await 20 pgrep -P "$helper"
    child=$(pgrep -P "$helper")
    assert_eq "$(<"/proc/$helper/cgroup")" "$(<"/proc/$qemu/cgroup")" "the helper's groups"
    assert_contains "$(<"/proc/$qemu/cgroup")" "/machine.slice/vmlaunch@web.service$(by_version /vm "")" "QEMU's group"
    kill -KILL "$(main_pid web)"
    await 30 is_replaced web 0
    await 30 is_active web
    assert_eq "$(status_of web 'helpers[0].pid')" "$helper" "the helper of a successor"
    expect 0 systemctl stop vmlaunch@web
    await 20 no_process "$helper" "$child"
    # QEMU's death is theirs.
    expect 0 vmlaunch start /root/hand.tmpl
    qemu=$(status_of hand pid) helper=$(status_of hand 'helpers[0].pid')
    await 20 pgrep -P "$helper"
    child=$(pgrep -P "$helper")
    assert_eq "$(<"/proc/$helper/cgroup")" "$(<"/proc/$qemu/cgroup")" "the helper's groups"
    kill -KILL "$qemu"
    await 30 status_says hand state stopped
    await 20 no_process "$helper" "$child"
    rm /usr/bin/swtpm /socket
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

test_limits_of_a_running_vm_change_with_its_template() {
    local unit
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    sed 's/"web"/"hand"/' "$VMS/web.tmpl" >/root/hand.tmpl
    systemctl daemon-reload
    expect 0 vmlaunch start web
    expect 0 vmlaunch start /root/hand.tmpl
    sed -i 's/"200"/"250"/; s/^CPU = .*/CPU = "3"/; /^CPUTUNE/d' "$VMS/web.tmpl" /root/hand.tmpl
    expect 0 vmlaunch update web --file "$VMS/web.tmpl"
    expect 0 vmlaunch update hand --file /root/hand.tmpl
    for unit in vmlaunch@web.service vmlaunch-hand.scope; do
        assert_eq "$(some_limits $unit)" "$(by_version "300 max 100000" "3072 -1") 250 $((250 << 20))" "limits of $unit"
        assert_eq "$(property $unit TasksMax) $(property $unit MemoryMax)" "250 $((250 << 20))" "properties of $unit"
    done
    assert_eq "$(status_of web 'pending | length')" 0 "what is pending"
    # A reload is no way back, nor is the supervisor's death.
    systemctl daemon-reload
    kill -KILL "$(main_pid web)"
    await 30 is_replaced web "$(main_pid web)"
    await 30 is_active web
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 250 "limit after a reload"
    expect 0 vmlaunch destroy hand
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    # Nothing of it is left for the next start of another template.
    define web
    systemctl daemon-reload
    expect 0 vmlaunch start web
    assert_eq "$(some_limits vmlaunch@web.service)" "$(by_version "100 max 100000 max max" "1024 -1 max $V1_UNLIMITED")" "limits of the next start"
    expect 0 vmlaunch destroy web
}
# The largest multiple of a page.
V1_UNLIMITED=9223372036854771712
some_limits() { # UNIT
    local file
    for file in $(by_version "cpu.weight cpu.max pids.max memory.max" "cpu.shares cpu.cfs_quota_us pids.max memory.limit_in_bytes"); do
        limit "$1" "${file%%.*}" "$file"
    done | xargs
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
    assert_eq "$(limit machine-gold.slice memory "$(by_version memory.max memory.limit_in_bytes)")" $((500 << 20)) "limit of the slice"
    assert_eq "$(status_of web 'warnings | length')" 0 "warnings"
    assert_contains "$(status_of new 'warnings[0]')" "nobody has defined 'brass.slice'" "warning"
    assert_eq "$(journalctl -b -u vmlaunch@new -p warning -o cat | grep -c "nobody has defined 'brass.slice'")" 1 "times that the journal has it"
    expect 0 systemctl stop vmlaunch@web vmlaunch@new
    # By hand.
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web cgroup) $(property vmlaunch-web.scope Slice)" \
        "machine.slice/machine-gold.slice/vmlaunch-web.scope machine-gold.slice" "group, slice"
    expect 0 vmlaunch destroy web
    rm /etc/systemd/system/machine-gold.slice
}

test_start_that_somebody_asks_for_is_not_counted_and_what_systemd_refuses_is_said() {
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Unit]\nStartLimitBurst=1\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    define web
    # It counts as long as systemd has the unit in memory.
    expect 0 vmlaunch enable web
    expect 0 vmlaunch start web
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    expect 0 vmlaunch start web
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    expect 0 vmlaunch disable web
    systemctl mask --runtime --quiet vmlaunch@web
    expect 1 vmlaunch start web
    assert_contains "$ERR" "vmlaunch@web.service is masked" "error"
    systemctl unmask --runtime --quiet vmlaunch@web
    # What has no end in time goes on.
    EMULATOR=/usr/bin/qemu-system-x86_64 define web 'NOTIFY_READY = "agent"'
    systemctl daemon-reload
    expect 7 vmlaunch --timeout 0 start web
    assert_contains "$ERR" "start 'web': it is not ready after 2 s" "error"
    await 60 status_says web state running
    expect 0 vmlaunch destroy web
}

test_template_whose_vm_has_another_unit_is_refused_by_this_one() {
    define web
    mv "$VMS/web.tmpl" "$VMS/other.tmpl"
    cp "$VMS/other.tmpl" "$VMS/a b.tmpl"
    cp "$VMS/other.tmpl" "$VMS/.#other.tmpl"
    journalctl --rotate -q && journalctl --vacuum-time=1s -q
    systemctl daemon-reload
    await 20 generator_says "$VMS/other.tmpl: NAME is not the file's name"
    await 20 generator_says "$VMS/a b.tmpl: has no unit"
    ! generator_says '#' || fail "an editor's file is complained of"
    expect 1 systemctl start vmlaunch@other
    assert_contains "$(journalctl -b -u vmlaunch@other -p err -o cat)" \
        "NAME: 'web' has the unit vmlaunch@web.service, and this one is vmlaunch@other.service" "journal"
    expect 4 vmlaunch start 'a b'
    assert_contains "$ERR" "a VM's name has letters" "hint"
}
generator_says() { journalctl -b -t vmlaunch-generator -o cat | grep -qF -- "$1"; }

test_unit_waits_for_the_agent_where_the_template_says_so() {
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web 'NOTIFY_READY = "agent"'
    systemctl daemon-reload
    assert_eq "$(property vmlaunch@web TimeoutStartUSec)" 7min "TimeoutStartSec"
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(status_of web agent)" answering "agent of a unit that is active"
    expect 0 systemctl stop vmlaunch@web
}

test_order_and_delay_are_the_units() {
    define first 'START_ORDER = "1"' 'START_DELAY = "2"'
    define second 'START_ORDER = "2"'
    define last
    expect 0 vmlaunch enable first
    assert_eq "$(systemctl is-enabled vmlaunch@first)" enabled "systemctl is-enabled"
    assert_eq "$(status_of first autostart)" true "autostart"
    expect 0 systemctl disable vmlaunch@first
    assert_eq "$(status_of first autostart)" false "autostart"
    printf '[Unit]\nWants=vmlaunch@last.service vmlaunch@second.service vmlaunch@first.service\n' >/etc/systemd/system/all.target
    printf '[Unit]\nConflicts=vmlaunch@last.service vmlaunch@second.service vmlaunch@first.service\nAfter=vmlaunch@first.service\n' >/etc/systemd/system/none.target
    systemctl daemon-reload
    assert_match " $(property vmlaunch@second After) " ' vmlaunch@first.service .*' "after"
    assert_match " $(property vmlaunch@last After) " ' vmlaunch@second.service ' "after"
    # As at boot and at shutdown: all of them in one transaction.
    expect 0 systemctl start all.target
    local first second last
    first=$(property vmlaunch@first ActiveEnterTimestampMonotonic)
    second=$(property vmlaunch@second ExecMainStartTimestampMonotonic)
    last=$(property vmlaunch@last ExecMainStartTimestampMonotonic)
    ((second - first >= 2000000)) || fail "the second VM was started $((second - first)) us after the first one ran"
    ((last > second)) || fail "the last VM was not started last"
    expect 0 systemctl start none.target
    (($(property vmlaunch@first InactiveEnterTimestampMonotonic) > $(property vmlaunch@second InactiveEnterTimestampMonotonic))) ||
        fail "the first VM was not stopped last"
    systemctl stop none.target
    rm /etc/systemd/system/{all,none}.target
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
    local begun=() now=() a b ratio end=$((SECONDS + 120))
    MANNER=fake.spin define one
    MANNER=fake.spin define two 'CPU = "2"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@one vmlaunch@two
    taskset -p -c 1 "$(status_of one pid)" >/dev/null
    taskset -p -c 1 "$(status_of two pid)" >/dev/null
    work one
    work two
    mapfile -t begun < <(cpu_of_both)
    # CPU time, not the clock's: others may use the CPU.
    while mapfile -t now < <(cpu_of_both) && a=$((now[0] - begun[0])) b=$((now[1] - begun[1])) && ((a + b < 5000000)); do
        ((SECONDS < end)) || fail "no CPU time: $a and $b us"
        sleep 0.5
    done
    ratio=$((b * 100 / a))
    ((ratio >= 180 && ratio <= 220)) || fail "shares of 1 and 2 became 1 : $ratio/100 (CPU time $a and $b us)"
    expect 0 vmlaunch destroy one
    expect 0 vmlaunch destroy two
}
# In one look, or the second one has had more time.
cpu_of_both() {
    local groups=("$(group_of vmlaunch@one.service cpu)" "$(group_of vmlaunch@two.service cpu)")
    if [[ $HIERARCHY == v2 ]]; then
        awk '/^usage_usec/ { print $2 }' "${groups[@]/%//cpu.stat}"
    else
        awk '{ print int($1 / 1000) }' "${groups[@]/%//cpuacct.usage}"
    fi
}

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

test_reconcile_gives_a_vm_its_unit_again() {
    local qemu
    define web
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '[Service]\nRestart=no\n' >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    qemu=$(status_of web pid)
    kill -KILL "$(main_pid web)"
    await 30 is_active web failed
    expect 0 vmlaunch reconcile web
    assert_contains "$OUT" "adopted: its unit, vmlaunch@web.service, " "what is said"
    is_active web || fail "the unit is $(property vmlaunch@web ActiveState)"
    assert_eq "$(status_of web pid) $(status_of web supervisor_pid)" "$qemu $(main_pid web)" "QEMU, supervisor"
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict)" guest-off "verdict"
}

no_systemd() { unshare --mount -- bash -c 'mount -t tmpfs none /run/systemd && exec "$@"' - "$@"; }
test_v2_own_groups_where_no_systemd_is() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 no_systemd vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web cgroup)" machine.slice/vmlaunch-web "group"
    assert_every_limit vmlaunch-web
    assert_contains "$(limit vmlaunch-web pids cgroup.procs)" "$(status_of web pid)" "processes of the group"
    # Whoever is in the group goes with it.
    bash -c 'trap "" TERM; exec sleep 1000' &
    local stranger=$! row
    echo "$stranger" >"$(group_of vmlaunch-web pids)/cgroup.procs"
    expect 0 no_systemd vmlaunch destroy web
    [[ ! -e $(group_of vmlaunch-web cpu) ]] || fail "the group is still there"
    ! kill -0 "$stranger" 2>/dev/null || fail "a process of the group is still there"
    for row in 0.001=1 0.1=10 0.5=50 4=400 100=10000 200=10000; do
        define web "CPU = \"${row%=*}\""
        expect 0 no_systemd vmlaunch start web
        assert_eq "$(limit vmlaunch-web cpu cpu.weight)" "${row#*=}" "weight of CPU = ${row%=*}"
        expect 0 no_systemd vmlaunch destroy web
    done
    # What a host does not let anybody write, and a configuration for another version, are one warning each.
    expect 0 no_systemd bash -c 'mount -o remount,bind,ro /sys/fs/cgroup && exec vmlaunch start web'
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    assert_contains "$(status_of web 'warnings[0]')" "CPU: has no effect on this host, which has read-only control groups" "warning"
    expect 0 no_systemd vmlaunch destroy web
    echo 'CGROUPS_VERSION = "1"' >/etc/vmlaunch/host.conf
    expect 0 no_systemd vmlaunch start web
    rm /etc/vmlaunch/host.conf
    assert_eq "$(status_of web 'warnings | length') $(limit vmlaunch-web cpu cpu.weight)" "1 10000" "warnings, weight"
    assert_contains "$(status_of web 'warnings[0]')" "CGROUPS_VERSION: is 1 and this host has version 2" "warning"
    expect 0 no_systemd vmlaunch destroy web
}

# as_user COMMAND...: as uid 1000, in a service of its own systemd, as anything of a session is
as_user() {
    setpriv --reuid 1000 --regid 1000 --init-groups env -i HOME=/home/user PATH="$PATH" XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
test_v2_users_start_has_a_scope_of_the_users_own_systemd() {
    local group qemu
    mkdir -p /home/user
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "200" ]'
    mv "$VMS/web.tmpl" /home/user/
    chown -R 1000:1000 /home/user
    systemctl start user@1000.service
    await 30 test -S /run/user/1000/bus
    expect 0 as_user systemd-run --user --quiet --pipe --wait vmlaunch start /home/user/web.tmpl
    qemu=$(user_status pid)
    group=$(user_status cgroup)
    assert_match "$group" '^user.slice/user-1000.slice/user@1000.service/.*\.scope$' "group"
    assert_contains "$(cat "/proc/$qemu/cgroup")" "0::/$group" "QEMU's group"
    assert_eq "$(cat "/sys/fs/cgroup/$group"/{pids.max,memory.max} | xargs)" "200 $((200 << 20))" "limits"
    assert_eq "$(as_user systemctl --user show -p ActiveState --value "${group##*/}")" active "scope"
    sed -i 's/"200"/"250"/' /home/user/web.tmpl
    expect 0 as_user vmlaunch update web --file /home/user/web.tmpl
    assert_eq "$(cat "/sys/fs/cgroup/$group"/{pids.max,memory.max} | xargs)" "250 $((250 << 20))" "limits after the change"
    kill -KILL "$(user_status supervisor_pid)"
    await 30 user_pid_is "$qemu"
    expect 0 as_user vmlaunch shutdown web
    await 20 test ! -e "/sys/fs/cgroup/$group"
    systemctl stop user@1000.service
}
user_status() { as_user vmlaunch -o json status web | jq -r ".$1"; }
user_pid_is() { [[ $(user_status pid) == "$1" ]]; }

# dies_at MOMENT COMMAND...: whoever comes to it is killed, and the command may fail
dies_at() {
    local moment=$1
    shift
    rm -f /run/vmlaunch/crash-reached
    echo "$moment 1 kill" >/run/vmlaunch/crash-at
    timeout 60 "$@" >"$WORK/out" 2>&1 || true
    await 30 test -e /run/vmlaunch/crash-reached
    echo "$moment" >>"$WORK/reached"
}
is_settled() { # UNIT STATES
    [[ " $2 " == *" $(property "$1" ActiveState) "* && -z $(systemctl list-jobs --no-legend "$1") ]]
}
# What systemd and machined are asked for, and the way back: with CRASH=all each moment, else one of each kind.
test_who_dies_while_systemd_is_asked_leaves_nothing() {
    local moment moments
    # Its unit has no drop-in yet, so that there is something to set.
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    sed 's/"web"/"hand"/' "$VMS/web.tmpl" >/root/hand.tmpl
    moments="unit-set:done"
    [[ ${CRASH:-} != all ]] || moments="unit-set:do unit-set:done machined:do machined:done machined-asked"
    for moment in $moments; do
        dies_at "$moment" systemctl start vmlaunch@web
        await 60 is_settled vmlaunch@web.service "active"
        [[ $moment != machined* ]] || await 20 is_registered web
        assert_every_limit vmlaunch@web.service
        expect 0 systemctl stop vmlaunch@web
        await 30 is_clean
    done
    moments="unit-set:undo"
    [[ ${CRASH:-} != all ]] || moments="unit-set:undo unit-set:undone machined:undo machined:undone"
    for moment in $moments; do
        expect 0 systemctl start vmlaunch@web
        dies_at "$moment" systemctl stop vmlaunch@web
        await 60 is_settled vmlaunch@web.service "inactive failed"
        await 30 is_clean
        systemctl reset-failed vmlaunch@web 2>/dev/null || true
    done
    moments="scope:done"
    [[ ${CRASH:-} != all ]] || moments="scope:do scope:done machined:do machined:done machined-asked"
    for moment in $moments; do
        dies_at "$moment" vmlaunch start /root/hand.tmpl
        await 60 has_ended_or_runs hand
        vmlaunch destroy hand >/dev/null 2>&1 || true
        await 30 is_clean
    done
    # A change: its limit is set or not, and nothing of it is kept.
    moments="unit-set:done"
    [[ ${CRASH:-} != all ]] || moments="unit-set:do unit-set:done"
    for moment in $moments; do
        expect 0 systemctl start vmlaunch@web
        sed 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' "$VMS/web.tmpl" >"$WORK/more.tmpl"
        dies_at "$moment" vmlaunch update web --file "$WORK/more.tmpl"
        await 30 limit_is_pids_of_live
        expect 0 systemctl stop vmlaunch@web
        await 30 is_clean
    done
}
has_ended_or_runs() { [[ $(status_of "$1" state) =~ ^(running|stopped)$ ]] || ! vmlaunch status "$1"; }
limit_is_pids_of_live() {
    [[ $(limit vmlaunch@web.service pids pids.max) == "$(sed -nE 's/^PIDS_LIMIT *= *"(.*)"/\1/p' /run/vmlaunch/web/live.tmpl)" ]]
}

# See prepare_reboot.
test_after_a_reboot_vms_run_in_order() {
    local name ends=() first second last
    # Before it: each guest had its time, and the first VM was the last to be told.
    for name in last second first; do
        ends+=("$(awk '/shutdown asked for by SIGTERM/ { asked = $1 } /has ended, guest-off/ { print asked, $1; exit }' "/var/log/vmlaunch/$name.log")")
    done
    [[ ${ends[2]% *} > ${ends[1]#* } && ${ends[1]% *} > ${ends[0]#* } && ${ends[0]} ]] ||
        fail "asked to end, ended: last ${ends[0]}, second ${ends[1]}, first ${ends[2]}"
    # Each that is enabled runs, but for the broken one.
    for name in first second last; do
        is_active "$name" || fail "$name does not run: $(systemctl status "vmlaunch@$name")"
        assert_eq "$(status_of "$name" state)" running "state of $name"
    done
    is_active broken failed || fail "the broken one is $(property vmlaunch@broken ActiveState)"
    is_active idle inactive || fail "what is not enabled is $(property vmlaunch@idle ActiveState)"
    first=$(property vmlaunch@first ActiveEnterTimestampMonotonic)
    second=$(property vmlaunch@second ExecMainStartTimestampMonotonic)
    last=$(property vmlaunch@last ExecMainStartTimestampMonotonic)
    ((second - first >= 2000000)) || fail "the second VM was started $((second - first)) us after the first one ran"
    ((last > second)) || fail "the last VM was not started last"
    for name in first second last broken; do vmlaunch -q disable "$name"; done
    systemctl stop 'vmlaunch@*'
}

# v1 is nothing that systemd gives to users.
test_after_a_reboot_what_a_user_starts_has_no_group_on_v1() {
    mkdir -p /home/user
    define web 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "200" ]'
    mv "$VMS/web.tmpl" /home/user/
    chown -R 1000:1000 /home/user
    systemctl start user@1000.service
    await 30 test -S /run/user/1000/bus
    expect 0 as_user vmlaunch start /home/user/web.tmpl
    assert_eq "$(user_status 'warnings | length') $(user_status cgroup)" "1 null" "warnings, group"
    assert_contains "$(user_status 'warnings[0]')" "an ordinary user has control groups from a systemd of its own, on cgroup v2" "warning"
    expect 0 as_user vmlaunch shutdown web
    systemctl stop user@1000.service
}

# Before the reboot: what the tests after it look at.
prepare_reboot() {
    local name
    define first 'START_ORDER = "1"' 'START_DELAY = "2"'
    define second 'START_ORDER = "2"'
    define last
    define idle
    systemctl daemon-reload
    for name in first second last; do vmlaunch -q enable "$name"; done
    systemctl start vmlaunch@first vmlaunch@second vmlaunch@last vmlaunch@idle
    # One whose template has become bad meanwhile.
    define broken
    vmlaunch -q enable broken
    echo 'NAME = [' >"$VMS/broken.tmpl"
    echo "before: $(vmlaunch list | xargs)"
    systemctl reboot
}
V1_TESTS=(after_a_reboot_vms_run_in_order after_a_reboot_what_a_user_starts_has_no_group_on_v1 unit_is_active_when_its_vm_runs_and_everybody_shows_it
    killed_supervisor_comes_back_to_the_same_qemu_and_limits limits_of_a_running_vm_change_with_its_template
    vm_that_needs_more_than_its_limit_is_oom_killed)
names_to_run() { # NAME...
    local name
    for name in $(declare -F | sed -n 's/^declare -f test_//p'); do
        if [[ $HIERARCHY == v2 ]]; then
            [[ $name != after_a_reboot_* ]] || continue
            (($# == 0)) || [[ " $* " == *" $name "* ]] || continue
        else
            [[ $name != v2_* ]] || continue
            (($# > 0)) || [[ ${SYSTEMD_V1:-} == all || " ${V1_TESTS[*]} " == *" $name "* ]] || continue
            # The one that ends what runs since the boot is always the first.
            (($# == 0)) || [[ $name == after_a_reboot_* || " $* " == *" v1_$name "* ]] || continue
        fi
        echo "$name"
    done
}
run_tests_in_guest() { # [NAME...]
    local name begin=$SECONDS
    # Of one that comes after the reboot the name says so.
    for name in $(names_to_run "$@"); do
        if [[ $HIERARCHY == v2 || $name == after_a_reboot_* ]]; then
            run_one_test "test_$name" "$name"
        else
            run_one_test "test_$name" "v1_$name"
        fi
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
    HIERARCHY=$2
    shift 2
    case $HIERARCHY in
    v1) run_tests_in_guest "$@" ;;
    again) HIERARCHY=v2 run_one_test test_after_a_reboot_vms_run_in_order after_a_reboot_vms_run_in_order_on_v2 ;;
    reboot) set_up_guest && prepare_reboot ;;
    *) set_up_guest && run_tests_in_guest "$@" ;;
    esac
    exit
    ;;
esac

# --- on the host -----------------------------------------------------------------------------------------------------

# shellcheck source=tests/integration/booted.sh
. "$(dirname "$SELF")/booted.sh"
[[ $(id -u) == 0 ]] || {
    echo "skip systemd: needs root"
    exit 77
}
# What `make check` has time for: a minute.
CHECK_TESTS=(unit_is_active_when_its_vm_runs_and_everybody_shows_it killed_supervisor_comes_back_to_the_same_qemu_and_limits
    changed_template_is_pending_and_a_bad_one_disturbs_nobody limits_of_a_running_vm_change_with_its_template
    limits_that_systemd_does_not_know_yet_are_set_at_the_start slice_is_the_templates
    vm_that_is_started_by_hand_has_a_scope_that_goes_with_it)
(($# > 0)) || [[ ${SYSTEMD:-} ]] || set -- "${CHECK_TESTS[@]}"
begin=$SECONDS
guest_begin "$SELF"
restore_guest
run="date -s @$EPOCHSECONDS >/dev/null; CRASH=${CRASH:-} SYSTEMD_V1=${SYSTEMD_V1:-} bash tests.sh in-guest"
ask 1200 "$run v2 $*"
echo "v2 took $((SECONDS - begin)) s"
if (($# == 0)) || [[ " $* " == *" after_a_reboot_"* || " $* " == *" v1_"* ]]; then
    guest_ends 300 "$run reboot"
    boot_guest "$V2"
    ask 300 "$run again"
    guest_ends 300 "$run reboot"
    boot_guest "$V1"
    ask 1200 "$run v1 $*"
fi
echo "all of it took $((SECONDS - begin)) s"
