#!/usr/bin/env bash
# VMs as units of a real systemd, in a test guest (tests/guest/systemd.sh) in which this file runs itself: on cgroup v2, and
# after a reboot on a hybrid host with v1's controllers. The tests are in systemd_life.sh, systemd_limits.sh and
# systemd_scopes.sh, and what they share is here. A test is a function test_WORDS as in the other files; after the reboot it
# is named v1_WORDS. test_v2_WORDS is of v2 alone; test_after_a_reboot_WORDS comes after the reboot only.
#   systemd.sh [TEST...]
# Without names those of CHECK_TESTS below; with SYSTEMD=1 all on v2, and on v1 those of V1_TESTS, or all with SYSTEMD_V1=all.
set -uo pipefail

# --- in the guest ----------------------------------------------------------------------------------------------------

VMS=/etc/vmlaunch/vms
SELF=${BASH_SOURCE[0]}

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
# journald takes what it is told when it comes to it; here all of that is there.
journalctl() { command journalctl --sync && command journalctl "$@"; }
status_of() { ask_status "$2" vmlaunch -o json status "$1"; }
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
# web_has SECTION LINES...: in the unit of web, for this test
web_has() {
    mkdir -p /etc/systemd/system/vmlaunch@web.service.d
    printf '%s\n' "[$1]" "${@:2}" >/etc/systemd/system/vmlaunch@web.service.d/50-test.conf
    systemctl daemon-reload
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
    # shellcheck source=tests/integration/assert.sh
    . bin/assert.sh
    # shellcheck source=tests/integration/systemd_life.sh
    . bin/systemd_life.sh
    # shellcheck source=tests/integration/systemd_limits.sh
    . bin/systemd_limits.sh
    # shellcheck source=tests/integration/systemd_scopes.sh
    . bin/systemd_scopes.sh
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
guest_begin "$SELF" "$TOP/tests/integration/assert.sh" "${SELF%.sh}"_{life,limits,scopes}.sh
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
