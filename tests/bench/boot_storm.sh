#!/usr/bin/env bash
# Fifty VMs of the stand-in as units of one systemd, started at once, against fifty of the same unit in which
# tests/bench/bare.c starts the stand-in: what systemd costs is in both. In the guest of tests/integration/booted.sh, on
# two CPUs that TCG makes. Prints "OURS BARE", a line a round: the CPU time in microseconds that QEMU took for a storm,
# from systemctl's start until all units are active. A storm keeps both CPUs busy, so that it is what the storm takes; and
# what else the host does is not in it, which the guest's clock cannot tell from work.
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
    # TCG translates a program anew at each address that it is found at: with random ones most of a storm is QEMU's own
    # work, and more of it the larger the program. A CPU has no such cost.
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
    systemctl start vmlaunch@m0
    systemctl stop vmlaunch@m0
    vmlaunch plan --format json /etc/vmlaunch/vms/m0.tmpl >/run/plan.json
}
if [[ ${1:-} == in-guest ]]; then
    shift
    "$@"
    exit
fi

# shellcheck source=tests/integration/booted.sh
. "$(dirname "$0")/../integration/booted.sh"
guest_begin "$0" "$BUILD/tests/bare"
restore_guest
cpu() { # microseconds of QEMU
    local -a stat
    read -ra stat <"/proc/$QEMU/stat"
    echo $(((stat[13] + stat[14]) * (1000000 / $(getconf CLK_TCK))))
}
storm() { # TARGET PATTERN
    local begin
    begin=$(cpu)
    # One that hangs is seen by must_run.
    ask 150 "timeout 120 systemctl start $1.target"
    took=$(($(cpu) - begin))
    ask 60 "bash tests.sh in-guest must_run '$2'"
    ask 250 "timeout 240 systemctl stop $1.target '$2' || echo '$2 do not stop'; rm -f /run/bare/*/pid"
}
ask 250 "date -s @$EPOCHSECONDS >/dev/null; bash tests.sh in-guest prepare"
for ((i = 0; i < ${1:-3}; i++)); do
    storm ours 'vmlaunch@m*'
    ours=$took
    storm bare 'bare@*'
    echo "$ours $took"
done
