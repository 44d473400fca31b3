#!/usr/bin/env bash
# What each attribute of NIC does to a running machine: asked from QEMU, from the host's interfaces, or from the guest.
. "$(dirname "$0")/lib.sh"

# link NAME JQ-FILTER VALUE: of a host's interface
link() { assert_eq "$(ip -d -j link show "$1" | jq -cr ".[0]$2")" "$3" "$1: $2"; }
# queues NAME N: fds that QEMU has of a tap; the kernel lists a queue only once the guest uses it
queues() { assert_eq "$(grep -lx "iff:[[:space:]]*$1" "/proc/$PID"/fdinfo/* | wc -l)" "$2" "queues of $1"; }
# nic N PROPERTY VALUE
nic() { qom "peripheral/nic$1" "$2" "$3"; }
# pairs N QUEUES: of the netdev, as QEMU has them
pairs() {
    qmp human-monitor-command '{"command-line":"info network"}'
    assert_eq "$(jq -r . <<<"$REPLY_JSON" | grep -c " net$1: index=")" "$2" "queues of net$1"
}
offers() { # N FEATURE
    qmp x-query-virtio-status "{\"path\":\"/machine/peripheral/nic$1/virtio-backend\"}"
    jq -e --arg name "$2" '."host-features" | (."dev-features" + .transports) | any(startswith($name))' <<<"$REPLY_JSON" >/dev/null
}

# A script that writes down its arguments, and fails while a file is there.
nic_script() {
    mkdir -p "$ROOT/etc/vmlaunch"
    printf '%s\n' '#!/bin/sh' "echo \"\$# \$1 \$(id -u) \$(ip -o link show \$1 | grep -c UP)\" >$WORK/script-said" \
        "[ ! -e $WORK/script-fails ] || { echo no route today >&2; exit 3; }" >"$ROOT/script"
    chmod 755 "$ROOT/script"
}

test_nics_of_a_q35_guest() {
    need_root
    ip link add jumbo type bridge
    ip link add jumbo-port type veth peer name jumbo-far
    ip link set jumbo-port mtu 4000 master jumbo
    ip link set jumbo up
    nic_script
    echo "NIC_SCRIPTS = \"/bin/other $ROOT/script\"" >"$ROOT/etc/vmlaunch/host.conf"
    cat >"$ROOT/$VM.tmpl" <<END
NAME = "$VM"
MEMORY = "64"
VCPU = "2"
ACCEL = "tcg"
FEATURES = [ GUEST_AGENT = "no" ]
NIC_DEFAULT = [ BRIDGE = "jumbo" ]
NIC = [ TARGET = "vl-a", ORDER = "2" ]
NIC = [ TARGET = "vl-b", VIRTIO_QUEUES = "4", MTU = "1400", ORDER = "1", MAC = "02:00:00:00:00:0b" ]
NIC = [ TARGET = "vl-c", MODEL = "virtio-transitional", GUEST_MTU = "1300" ]
NIC = [ TARGET = "vl-d", MODEL = "e1000", MTU = "1280" ]
NIC = [ TARGET = "vl-e", NETWORK_MODE = "dummy", MODEL = "virtio-non-transitional", VIRTIO_QUEUES = "1" ]
NIC = [ BRIDGE = "$BRIDGE", MODEL = "e1000e", NIC_ID = "9", NETWORK = "private", NETWORK_ID = "7", IP = "192.168.0.7",
        IP6 = "2001:db8::7", IP6_GLOBAL = "2001:db8::8", IP6_ULA = "fd00::7", IP6_LINK = "fe80::7", METHOD = "static",
        IP6_METHOD = "auto", METRIC = "10", IP6_METRIC = "20", NETWORK_ADDRESS = "192.168.0.0", NAME = "NIC9",
        NETWORK_MASK = "255.255.255.0", PREFIX_LENGTH = "64", GATEWAY = "192.168.0.1", GATEWAY6 = "fe80::1",
        DNS = "9.9.9.9", SEARCH_DOMAIN = "example.org", ROUTES = "10.0.0.0/8 via 192.168.0.2",
        VROUTER_IP = "192.168.0.9", VROUTER_IP6 = "fd00::9", VROUTER_IP6_GLOBAL = "2001:db8::9",
        VROUTER_MANAGEMENT = "no", EXTERNAL = "yes" ]
NIC = [ BRIDGE_TYPE = "user", MODEL = "rtl8139", BACKEND = "slirp" ]
NIC = [ BRIDGE = "$BRIDGE", TARGET = "vl-q", VIRTIO_QUEUES = "256", NIC_ID = "20" ]
NIC = [ BRIDGE = "", TARGET = "vl-s", SCRIPT = "$ROOT/script", NIC_ID = "21" ]
END
    TEMPLATE=$ROOT/$VM.tmpl
    if command -v passt >/dev/null; then
        way_out
        echo 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "passt", NIC_ID = "22" ]' >>"$TEMPLATE"
    fi
    # Many queues need many files: as many as the hard limit allows.
    (
        ulimit -Sn 64
        expect 0 vml start "$TEMPLATE"
    ) || exit 1
    PID=$(status_of pid)
    qmp_open
    assert_contains "$(<"$WORK/err")" "kept, and the guest is not told: NIC/IP," "warning"

    nic 0 type virtio-net-pci
    nic 0 mq true
    pairs 0 2
    queues "vl-a" 2
    link "vl-a" .mtu 4000
    link "vl-a" .master jumbo
    nic 0 bootindex 2
    offers 0 VIRTIO_NET_F_MTU && fail "nic0 tells an MTU"

    pairs 1 4
    nic 1 vectors 10
    queues "vl-b" 4
    link "vl-b" .mtu 1400
    nic 1 host_mtu 1400
    offers 1 VIRTIO_NET_F_MTU || fail "nic1 tells no MTU"
    offers 1 VIRTIO_NET_F_MQ || fail "nic1 has no queues"
    nic 1 bootindex 1
    nic 1 mac 02:00:00:00:00:0b
    qmp query-rx-filter '{"name":"nic1"}'
    reply_is '.[0]."main-mac"' 02:00:00:00:00:0b

    nic 2 type virtio-net-pci-transitional
    nic 2 parent_bus /machine/peripheral/pci1/pci1
    nic 2 host_mtu 1300
    # The bridge takes the least MTU of its ports, and the next tap the bridge's.
    link vl-c .mtu 1400
    link jumbo .mtu 1280
    offers 2 VIRTIO_F_VERSION_1 || fail "nic2 is not of version 1"

    nic 3 type e1000
    nic 3 parent_bus /machine/peripheral/pci1/pci1
    link "vl-d" .mtu 1280
    queues "vl-d" 1

    nic 4 type virtio-net-pci-non-transitional
    link "vl-e" .master null
    nic 4 mq false
    pairs 4 1

    nic 9 type e1000e
    link "$(status_of 'devices[] | select(.id == "nic9") | .target')" .master "$BRIDGE"
    nic 5 type rtl8139
    qmp human-monitor-command '{"command-line":"info network"}'
    assert_match "$REPLY_JSON" 'net5: index=0,type=user' "netdev of nic5"
    if command -v passt >/dev/null; then
        assert_match "$REPLY_JSON" 'net22: index=0,type=stream,unix:' "netdev of nic22"
        assert_eq "$(status_of 'helpers | map(.id + " " + .program + " " + .state) | join(",")')" "nic22 passt running" "helpers"
    fi

    pairs 20 256
    queues vl-q 256

    assert_match "$(<"$WORK/script-said")" '^1 vl-s 0 1$' "what the script got"
    link vl-s .master null

    in_status nic9 '.metadata.IP' 192.168.0.7
    in_status nic9 '.metadata | length' 25
    in_status nic0 '.queues' 2
    in_status nic0 '.metadata' null
    assert_contains "$(<"$ROOT/run/vmlaunch/$VM/live.tmpl")" 'IP6_GLOBAL = "2001:db8::8"' live.tmpl
    assert_eq "$(vml -o json status --compare "$VM" | jq -c .differences)" "[]" "what template and QEMU say"
    ended
    no_way_out
    ip link del jumbo-port
    ip link del jumbo
}

test_a_limit_of_open_files_that_is_too_low_is_told() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", VIRTIO_QUEUES = \"256\" ]"
    (
        ulimit -Sn 64 && ulimit -Hn 200
        expect 10 vml start "$TEMPLATE"
        assert_contains "$ERR" "open files" "the limit"
    ) || exit 1
}

test_a_script_has_to_be_on_the_list_and_to_succeed() {
    need_root
    nic_script
    template "NIC = [ BRIDGE = \"\", TARGET = \"vl-s\", SCRIPT = \"$ROOT/script\" ]"
    expect 6 vml start "$TEMPLATE"
    assert_contains "$ERR" "is not on the NIC_SCRIPTS list of host.conf, which has none" "without a list"
    [[ ! -e $WORK/script-said ]] || fail "the script was run: $(<"$WORK/script-said")"
    echo "NIC_SCRIPTS = \"/bin/other $ROOT/script\"" >"$ROOT/etc/vmlaunch/host.conf"
    touch "$WORK/script-fails"
    expect 1 vml start "$TEMPLATE"
    assert_match "$(<"$WORK/script-said")" '^1 vl-s 0 1$' "what the script got"
    assert_contains "$ERR" "no route today" "a script that fails"
}

test_queues_and_mtu_are_seen_from_inside() {
    need_root
    CMDLINE=guest.ip=10.77.0.2/24
    template 'VCPU = "2"' "NIC = [ BRIDGE = \"$BRIDGE\", MTU = \"1400\" ]"
    start_ready
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'ls -d /sys/class/net/eth0/queues/rx-*; echo mtu=$(cat /sys/class/net/eth0/mtu)' \
        'echo vectors=$(grep -c "virtio.*-\(in\|out\)put" /proc/interrupts)' 'ping -c 1 -W 20 10.77.0.1 >/dev/null && echo ping=yes'
    said ping yes
    said mtu 1400
    said vectors 4
    assert_contains "$SAID" queues/rx-1 "the guest's queues"
    expect 0 vml destroy "$VM"
}

test_describe_lists_what_qemu_offers() {
    local types name what
    types=$(qemu-system-x86_64 -device help 2>&1)
    for row in NIC/MODEL VIDEO/TYPE SOUND/MODEL; do
        expect 0 vml -o json describe "$row"
        assert_eq "$(jq -r '.sections[0].attributes[0].offered.emulator' <<<"$OUT")" /usr/bin/qemu-system-x86_64 "$row"
        while read -r name what; do
            [[ -z $what || $types == *"name \"$what\""* ]] || fail "$row: $name is offered, and QEMU has no $what"
        done < <(jq -r '.sections[0].attributes[0].offered.values[] | .name + " " + .what' <<<"$OUT")
        assert_match "$(jq -r '.sections[0].attributes[0].offered.values | length' <<<"$OUT")" '^([5-9]|1[0-9])$' "$row"
    done
    expect 0 vml describe OS/MACHINE
    assert_match "$OUT" 'q35 +pc-q35-7\.2' OS/MACHINE
    expect 0 vml describe CPU_MODEL/MODEL
    assert_contains "$OUT" $'\n  qemu64\n' CPU_MODEL/MODEL
    expect 0 vml describe GRAPHICS/TYPE
    assert_contains "$OUT" $'\n  vnc\n  spice' GRAPHICS/TYPE
    # A QEMU that cannot be asked is no reason to say nothing.
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'EMULATOR = "/nowhere/qemu"' >"$ROOT/etc/vmlaunch/host.conf"
    expect 0 vml describe NIC/MODEL
    assert_match "$OUT" "What QEMU offers is not known: .*/nowhere/qemu" "without QEMU"
}

test_wrong_nics_are_told_by_place() {
    need_root
    template 'NIC = [ BRIDGE = "nobridge" ]'
    expect 10 vml start "$TEMPLATE"
    assert_contains "$ERR" "no bridge 'nobridge' on this host (bridges: $BRIDGE" "the bridge"
}

run_tests "$@"
