#!/usr/bin/env bash
# Fifty VMs of the stand-in as units of one systemd, started at once, against fifty of the same unit in which
# tests/bench/bare.c starts the stand-in: what systemd costs is in both. In the guest of tests/integration/booted.sh, on
# two CPUs that TCG makes. Prints "OURS BARE" in microseconds, a line a round.
set -euo pipefail
N=50

all() { # PREFIX: units of that name
    local i
    for ((i = 0; i < N; i++)); do printf '%s%d.service ' "$1" "$i"; done
}
storm() { # TARGET: microseconds until all of it is active
    local begin=${EPOCHREALTIME/./}
    # One that hangs is seen by must_run.
    timeout 60 systemctl start "$1.target" || true
    echo $((${EPOCHREALTIME/./} - begin))
}
must_run() { # PATTERN
    local n
    n=$(systemctl list-units --no-legend --plain --state=active "$1" | wc -l)
    ((n == N)) || echo "only $n of $N units of $1 are active: $(systemctl list-units --no-legend --plain --all "$1" | awk '{ print $3, $4 }' | sort | uniq -c | xargs)"
}
in_guest() { # ROUNDS
    local at i ours bare
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
    for ((i = 0; i < $1; i++)); do
        ours=$(storm ours)
        must_run 'vmlaunch@m*'
        timeout 60 systemctl stop ours.target 'vmlaunch@m*'
        bare=$(storm bare)
        must_run 'bare@*'
        timeout 60 systemctl stop bare.target 'bare@*'
        rm -f /run/bare/*/pid
        echo "$ours $bare"
    done
}
if [[ ${1:-} == in-guest ]]; then
    in_guest "$2"
    exit
fi

# shellcheck source=tests/integration/booted.sh
. "$(dirname "$0")/../integration/booted.sh"
guest_begin "$0" "$BUILD/tests/bare"
restore_guest
ask 500 "date -s @$EPOCHSECONDS >/dev/null; bash tests.sh in-guest ${1:-3}"
