#!/usr/bin/env bash
# Taps as ports of a real Open vSwitch, whose bridges switch in user space: in the network and mount namespace of this file.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

# shellcheck source=tests/integration/switch_lib.sh
. "$(dirname "$0")/switch_lib.sh"

switched() {
    need_root
    has_switch || skip "needs openvswitch-switch"
    [[ ! -e $OVS/db.sock ]] || return 0
    switch_begin
    # The host's end of VLAN 20.
    vsctl add-port ovs0 host20 tag=20 -- set Interface host20 type=internal
    ip link set host20 up
    ip addr add 192.0.2.1/24 dev host20
}
# "tag trunks vlan_mode", "" for none
vlans_of() { vsctl get Port "$1" tag trunks vlan_mode | tr '\n' ' '; }
bridge_of() {
    vsctl port-to-br "$1" 2>/dev/null || ip -j -d link show "$1" | jq -r '.[0].master // "none"'
}
no_ports() {
    local ports
    ports=$(vsctl list-ports ovs0 | grep -v '^host20$' || true)$(vsctl list-ports ovs1)
    [[ -z $ports ]] || fail "ports after $1: $ports"
}
reaches() { # yes|no
    tell_guest "ping -c 1 -W $([[ $1 == yes ]] && echo 20 || echo 1) 192.0.2.1 >/dev/null && echo reach''ed yes || echo reach''ed no"
    assert_contains "$SAID" "reached $1"
}

test_card_is_a_port_with_its_vlan_and_moves() {
    switched
    ip link set ovs1 mtu 1400
    running "NIC = [ BRIDGE = \"ovs0\", BRIDGE_TYPE = \"openvswitch\", VLAN_ID = \"20\", TARGET = \"${VM}n\", MAC = \"52:54:00:77:00:00\" ]"
    assert_eq "$(bridge_of "${VM}n") $(vlans_of "${VM}n")" "ovs0 20 [] [] " "bridge and VLAN"
    assert_eq "$(vsctl get Port "${VM}n" external_ids other_config)" "{vmlaunch=\"vmlaunch:$VM:$(status_of generation)\"}
{transient=\"true\"}"
    local uuid
    uuid=$(status_of uuid)
    assert_eq "$(vsctl get Interface "${VM}n" external_ids)" "{attached-mac=\"52:54:00:77:00:00\", iface-id=\"${uuid:0:24}525400770000\", iface-status=active, vm-id=\"$uuid\"}"
    tell_guest 'ip link set eth0 up; ip addr add 192.0.2.2/24 dev eth0'
    reaches yes

    # Another VLAN, and trunks.
    expect 0 vml update nic "$VM" 0 --nic VLAN_ID=30
    assert_eq "$(bridge_of "${VM}n") $(vlans_of "${VM}n")" "ovs0 30 [] [] " "another VLAN"
    reaches no
    expect 0 vml update nic "$VM" 0 --nic 'VLAN_ID=20,VLAN_TAGGED_ID="100,200-202"'
    assert_eq "$(vlans_of "${VM}n")" "20 [100, 200, 201, 202] native-untagged " "trunks"
    reaches yes
    # Another bridge, one of Linux, and back.
    expect 0 vml update nic "$VM" 0 --nic BRIDGE=ovs1
    assert_eq "$(bridge_of "${VM}n") $(ip -j link show "${VM}n" | jq '.[0].mtu')" "ovs1 1400" "another bridge and its MTU"
    expect 10 vml update nic "$VM" 0 --nic BRIDGE=nowhere
    assert_contains "$ERR" "Open vSwitch has no bridge 'nowhere' (bridges: ovs"
    expect 10 vml update nic "$VM" 0 --nic "BRIDGE=$BRIDGE"
    assert_contains "$ERR" "'$BRIDGE' is a Linux bridge (BRIDGE_TYPE = \"linux\"), not one of Open vSwitch"
    assert_eq "$(bridge_of "${VM}n") $(vlans_of "${VM}n")" "ovs1 20 [100, 200, 201, 202] native-untagged " "after one that is not there"
    expect 0 vml update nic "$VM" 0 --nic "BRIDGE=$BRIDGE,BRIDGE_TYPE=linux,VLAN_ID=\"\",VLAN_TAGGED_ID=\"\""
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "a bridge of Linux"
    no_ports "a move to a bridge of Linux"
    expect 10 vml update nic "$VM" 0 --nic BRIDGE=nowhere,BRIDGE_TYPE=openvswitch
    expect 10 vml update nic "$VM" 0 --nic BRIDGE=ovs0
    assert_contains "$ERR" 'BRIDGE_TYPE = "openvswitch"'
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "the bridge of Linux, still"
    expect 0 vml update nic "$VM" 0 --nic BRIDGE=ovs0,BRIDGE_TYPE=openvswitch,VLAN_ID=20
    reaches yes
    all_agree "moves"

    # One comes and goes; a successor knows it all.
    expect 0 vml attach nic "$VM" --nic "BRIDGE=ovs1,BRIDGE_TYPE=openvswitch,TARGET=${VM}m,VLAN_TAGGED_ID=1-4094"
    assert_eq "$(bridge_of "${VM}m") $(vlans_of "${VM}m" | cut -c 1-10)" "ovs1 [] [1, 2, " "trunks only"
    kill -9 "$(status_of supervisor_pid)"
    await 10 status_is state running
    expect 0 vml detach nic "$VM" "${VM}m"
    assert_eq "$(vsctl list-ports ovs1)" "" "ports after a detach"
    all_agree "a card that came and went"
    ended
    no_ports "the end"
}

test_nothing_is_left_of_starts_that_fail_and_of_runs_that_were_killed() {
    switched
    ovs() { echo "NIC = [ BRIDGE = \"${2:-ovs0}\", BRIDGE_TYPE = \"openvswitch\", TARGET = \"${VM}$1\" ]"; }
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$(ovs a)" "$(ovs b nowhere)"
    expect 10 vml start "$TEMPLATE"
    assert_contains "$ERR" "join '${VM}b' to bridge 'nowhere': Open vSwitch has no bridge 'nowhere'"
    no_ports "a start that failed"
    # Somebody else's port of that name.
    ovs-vsctl --no-wait add-port ovs1 "${VM}a"
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$(ovs c)" "$(ovs a)"
    expect 9 vml start "$TEMPLATE"
    assert_contains "$ERR" "'${VM}a' is a port of Open vSwitch already, and none of vmlaunch's"
    assert_eq "$(bridge_of "${VM}a")" ovs1 "somebody else's port"
    vsctl del-port "${VM}a"
    no_ports "a name that is taken"

    # A port that a run left whose journal is lost: the next start's, or an orphan.
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$(ovs a)" "$(ovs b)"
    expect 0 vml start "$TEMPLATE"
    local generation dead
    generation=$(status_of generation)
    dead=${generation:0:8}0123456789abcdef
    ovs-vsctl --no-wait -- add-port ovs1 "${VM}o" -- set Port "${VM}o" "external_ids:vmlaunch=\"vmlaunch:$VM-gone:$dead\"" \
        -- add-port ovs1 "${VM}f" -- set Port "${VM}f" "external_ids:vmlaunch=\"vmlaunch:$VM-gone:00000000fedcba98\""
    expect 0 vml reconcile --dry-run
    assert_contains "$OUT" "$VM-gone: would remove: port of Open vSwitch ${VM}o, of run $dead, which is over"
    expect 0 vml reconcile
    assert_eq "$(vsctl list-ports ovs1)" "${VM}f" "ports of others"
    assert_eq "$(vsctl list-ports ovs0 | sort | xargs)" "host20 ${VM}a ${VM}b" "ports of a run that goes on"
    vsctl del-port "${VM}f"
    # All of it killed: the journal's undo.
    slay_vm
    assert_eq "$(vsctl list-ports ovs0 | sort | xargs)" "host20 ${VM}a ${VM}b" "ports of a run that was killed"
    expect 0 vml reconcile
    no_ports "reconcile"
    ovs-vsctl --no-wait -- add-port ovs1 "${VM}a" -- set Port "${VM}a" "external_ids:vmlaunch=\"vmlaunch:$VM:$dead\""
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(bridge_of "${VM}a")" ovs0 "the port that an earlier run had left in another bridge"
    # The switch goes first: the end waits for nobody, and what its database keeps is an orphan when it is back.
    database_end
    expect 0 vml destroy "$VM"
    database_begin 2>/dev/null
    expect 0 vml reconcile
    assert_contains "$OUT" "removed: port of Open vSwitch ${VM}a"
    no_ports "a switch that was down"
    # The same of one that hangs; a start and reconcile go on beside it.
    # Of many cards not each one waits for it: all have 30 s.
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$(ovs a)" "$(ovs b)" "$(ovs c)" "$(ovs d)" "$(ovs e)" "$(ovs f)"
    expect 0 vml start "$TEMPLATE"
    kill -STOP "$(<"$OVS/db.pid")"
    expect 0 vml destroy "$VM"
    await 10 test ! -e "/sys/class/net/${VM}a"
    expect 0 vml reconcile
    assert_contains "$ERR" "Open vSwitch: an answer that is none"
    # And cards move from one bridge of Linux to another one.
    ip link add "${BRIDGE}o" type bridge
    template "EMULATOR = \"$ROOT/fake-qemu\"" "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]"
    expect 0 vml start "$TEMPLATE"
    expect 0 vml update nic "$VM" 0 --nic "BRIDGE=${BRIDGE}o"
    assert_eq "$(ip -j link show "${VM}n" | jq -r '.[0].master')" "${BRIDGE}o" "a bridge of Linux"
    expect 0 vml destroy "$VM"
    kill -CONT "$(<"$OVS/db.pid")"
    expect 0 vml reconcile
    assert_contains "$OUT" "removed: port of Open vSwitch ${VM}a"
    no_ports "a switch that did not answer"
    # And of one whose answers are none.
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$(ovs a)" "$(ovs b)"
    expect 0 vml start "$TEMPLATE"
    database_end
    socat "UNIX-LISTEN:$OVS/db.sock,fork" EXEC:'echo nonsense' 9>&- &
    local nonsense=$!
    await 10 is_listening "$OVS/db.sock"
    expect 0 vml destroy "$VM"
    await 10 test ! -e "/sys/class/net/${VM}a"
    expect 0 vml reconcile
    assert_contains "$ERR" "Open vSwitch: an answer that is none"
    assert_contains "$ERR" "ports of runs that are over stay until it answers"
    template "EMULATOR = \"$ROOT/fake-qemu\""
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    kill "$nonsense"
    await 10 test ! -e "$OVS/db.sock"
    database_begin 2>/dev/null
    expect 0 vml reconcile
    assert_contains "$OUT" "removed: port of Open vSwitch ${VM}a"
    no_ports "a switch whose answers were none"
}

run_tests "$@"
