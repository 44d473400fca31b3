#!/usr/bin/env bash
# Fifty VMs of the stand-in as units of one systemd, started at once, against fifty of the same unit in which
# tests/bench/bare.c starts the stand-in: what systemd costs is in both. In the guest of tests/integration/booted.sh, under
# QEMU's -icount: a nanosecond of the guest's clock is an instruction that it has executed, or one that it was idle. What TCG
# needs to translate, and what else the host does, is not in it. (With sleep=off the clock of a guest that waits for its disk
# would be put forward to its next deadline, which would then have passed.)
#   boot_storm.sh [ROUNDS]
# Prints a line a storm, "ours all N GROUP N ... rest N later N" or "bare all N ...", in thousands of instructions of the
# guest outside idle. "all" is from systemctl's start until all units are active: the time that run queues have given to
# tasks, in /proc/schedstat, which is exact (the root group's cpu.stat is sampled at ticks). Then what of it was in which
# control group, and the rest, kernel threads and systemctl. "later", not in it, are the two seconds that follow: machined
# hears of the VMs then, and logs are written.
# Each storm begins in the same state, saved after one of ours and one of bare that are not counted: the first of them
# reads programs and libraries from the disk, and systemd, D-Bus and journald grow to what fifty units need.
set -euo pipefail
N=50

all() { # PREFIX: units of that name
    local i
    for ((i = 0; i < N; i++)); do printf '%s%d.service ' "$1" "$i"; done
}
must_run() { # PATTERN
    local n
    n=$(systemctl list-units --no-legend --plain --state=active "$1" | wc -l)
    ((n == N)) || echo "only $n of $N units of $1 are active: $(systemctl list-units --no-legend --plain --all "$1" | awk '{ print $3, $4 }' | sort | uniq -c | xargs)"
}
prepare() {
    local at i
    # TCG translates a program anew at each address that it is found at. Instructions are as many, and a storm takes less long.
    echo 0 >/proc/sys/kernel/randomize_va_space
    for at in vmlaunch fake_qemu bare; do install -m 755 "bin/$at" "/usr/bin/$at"; done
    tar -xmf install.tar -C /
    mkdir -p /etc/vmlaunch/vms /run/vmlaunch
    for ((i = 0; i < N; i++)); do
        printf '%s\n' "NAME = \"m$i\"" 'MEMORY = "64"' 'ACCEL = "tcg"' 'EMULATOR = "/usr/bin/fake_qemu"' >"/etc/vmlaunch/vms/m$i.tmpl"
        mkdir -p "/run/bare/$i"
    done
    systemctl daemon-reload
    # Systemd's own cost is that of our unit, its limits included, with another program in it.
    sed -E '/^(Documentation|ExecStopPost)=/d
        s#^ExecStart=.*#ExecStart=/usr/bin/bare run /run/plan.json /run/bare/%i\nExecStop=/usr/bin/bare quit /run/bare/%i#' "$(systemctl show -P FragmentPath vmlaunch@m0)" >/etc/systemd/system/bare@.service
    for ((i = 0; i < N; i++)); do
        mkdir -p "/etc/systemd/system/bare@$i.service.d"
        cp "/run/systemd/generator/vmlaunch@m$i.service.d/"*.conf "/etc/systemd/system/bare@$i.service.d/"
    done
    printf '[Unit]\nWants=%s\n' "$(all vmlaunch@m)" >/etc/systemd/system/ours.target
    printf '[Unit]\nWants=%s\n' "$(all bare@)" >/etc/systemd/system/bare.target
    systemctl daemon-reload
    # A start writes the cache of the stand-in's facts.
    systemctl start vmlaunch@m0 || journalctl --no-pager -n 5 -u vmlaunch@m0
    systemctl stop vmlaunch@m0
    vmlaunch plan --format json /etc/vmlaunch/vms/m0.tmpl >/run/plan.json
}

GROUPS_OF_STORM=(init.scope machine.slice system.slice/dbus.service system.slice/systemd-journald.service
    system.slice/systemd-machined.service)
all_cpus() { # into $used: thousands of instructions
    local -a word
    used=0
    while read -ra word; do
        [[ ${word[0]} != cpu* ]] || used=$((used + word[7]))
    done </proc/schedstat
    used=$((used / 1000))
}
group() { # GROUP, into $used
    local word
    used=0
    [[ ! -e /sys/fs/cgroup/$1/cpu.stat ]] || read -r word used <"/sys/fs/cgroup/$1/cpu.stat"
}
storm() { # TARGET PATTERN
    local used begin end rest line group
    local -A before
    ! systemctl -q is-active "$1.target" "$2" || echo "$2 run already"
    sleep 2
    for group in "${GROUPS_OF_STORM[@]}"; do
        group "$group"
        before[$group]=$used
    done
    all_cpus
    begin=$used
    # One that hangs is seen by must_run.
    timeout 120 systemctl start "$1.target" || true
    all_cpus
    end=$used rest=$((used - begin)) line="$1 all $((used - begin))"
    for group in "${GROUPS_OF_STORM[@]}"; do
        group "$group"
        used=$((used - before[$group])) rest=$((rest - used))
        line+=" ${group##*/} $used"
    done
    sleep 2
    all_cpus
    echo "$line rest $rest later $((used - end))"
    must_run "$2"
}
# Both of them once, and nothing of it runs any more. To stop the slice is one job, where one for each unit has systemctl
# ask about each of them.
warm() {
    storm ours 'vmlaunch@m*'
    timeout 240 systemctl stop ours.target machine.slice
    storm bare 'bare@*'
    timeout 240 systemctl stop bare.target machine.slice
    rm -f /run/bare/*/pid
    sync
}
if [[ ${1:-} == in-guest ]]; then
    shift
    "$@"
    exit
fi

# shellcheck source=tests/integration/booted.sh
. "$(dirname "$0")/../integration/booted.sh"
monitor() { # COMMAND: its end is that of the connection
    local said
    said=$(printf '%s\n' "$1" | socat -t 120 - "UNIX-CONNECT:$DIR/monitor")
    [[ $said != *Error* ]] || { echo "$1: $said" && exit 1; }
}
# Here the TSC counts instructions.
KERNEL_WORDS=${KERNEL_WORDS/clocksource=acpi_pm tsc=unstable/clocksource=tsc tsc=reliable}
guest_begin "$0" "$BUILD/tests/bare"
# What was saved of a guest without -icount does not go with it. A second CPU would count the instructions of the first.
new_disk
boot_guest "$V2" -smp 1 -icount shift=0
ask 250 "bash tests.sh in-guest prepare"
ask 500 "bash tests.sh in-guest warm" >"$DIR/warm"
! grep -v '^\(ours\|bare\) all ' "$DIR/warm" || exit 1
monitor "savevm warm"
for ((i = 0; i < ${1:-3}; i++)); do
    ((i == 0)) || monitor "loadvm warm"
    ask 250 "bash tests.sh in-guest storm ours 'vmlaunch@m*'"
    monitor "loadvm warm"
    ask 250 "bash tests.sh in-guest storm bare 'bare@*'"
done
