#!/usr/bin/env bash
# Cards of a running VM: their link, as the guest sees it, and the bridge that their tap is in.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

second_bridge() {
    OTHER=${BRIDGE}o
    need_root
    ip link add "$OTHER" type bridge
    ip link set "$OTHER" up
    trap 'ip link del "$OTHER"' EXIT
}
bridge_of() { ip -j -d link show "$1" | jq -r '.[0].master // "none"'; }
# The carrier of the guest's first card; asked until the guest has seen the change.
carrier_is() { # VALUE
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'ip link set eth0 up; n=0; until [ "$(cat /sys/class/net/eth0/carrier)" = '"$1"' ] || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done; echo "carrier=$(cat /sys/class/net/eth0/carrier)"'
    assert_contains "$SAID" "carrier=$1"
}

link_and_bridge_of_a_card_change() {
    local before
    second_bridge
    ip link set "$OTHER" mtu 1400
    running "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\", MAC = \"52:54:00:77:00:00\" ]"
    before=$(holdings)
    carrier_is 1

    expect 0 vml update nic "$VM" "${VM}n" --plan --nic LINK=down
    assert_eq "$OUT" 'qmp           set_link {"name":"nic0","up":false}' "plan of a link"
    expect 0 vml update nic "$VM" "${VM}n" --nic LINK=down
    carrier_is 0
    all_agree "a link that is down"
    assert_eq "$(status_of 'devices[] | select(.id == "nic0").link')" down "link in status"
    expect 0 vml update nic "$VM" 52:54:00:77:00:00 --nic LINK=down
    assert_contains "$OUT" "it is so already"

    # Another bridge and the link at once.
    expect 0 vml update nic "$VM" 0 --nic "LINK=up,BRIDGE=$OTHER"
    carrier_is 1
    assert_eq "$(bridge_of "${VM}n")" "$OTHER" "bridge"
    assert_eq "$(ip -j link show "${VM}n" | jq '.[0].mtu')" 1400 "MTU, which is the bridge's"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" "BRIDGE = \"$OTHER\""
    all_agree "another bridge"
    # By way of that bridge the guest reaches who is there.
    ip addr add 192.0.2.1/24 dev "$OTHER"
    tell_guest 'ip addr add 192.0.2.2/24 dev eth0; ping -c 1 -W 20 192.0.2.1 >/dev/null && echo reach''ed'
    assert_contains "$SAID" reached

    # By way of a template, and with a bridge that is not there, which changes nothing.
    sed "s/^NIC = .*/NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\", MAC = \"52:54:00:77:00:00\", LINK = \"down\" ]/" "$TEMPLATE" >"$ROOT/other.tmpl"
    expect 0 vml update "$VM" -f "$ROOT/other.tmpl" --plan
    assert_match "$OUT" "NIC ${VM}n BRIDGE +$OTHER +$BRIDGE +update can do it now"
    expect 0 vml update "$VM" -f "$ROOT/other.tmpl"
    assert_match "$OUT" "NIC ${VM}n LINK +up +down +done"
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "bridge of the template"
    expect 10 vml update nic "$VM" 0 --nic "BRIDGE=nowhere,LINK=up"
    assert_contains "$ERR" "no bridge 'nowhere' on this host"
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "bridge, after one that is not there"
    all_agree "a bridge that is not there"

    # None, and back.
    expect 0 vml update nic "$VM" 0 --nic NETWORK_MODE=dummy
    assert_eq "$(bridge_of "${VM}n")" none "bridge of a dummy"
    expect 0 vml update nic "$VM" 0 --nic "NETWORK_MODE=auto,BRIDGE=$BRIDGE"
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "bridge, when it is no dummy any more"
    # A successor of the supervisor knows it all.
    kill -9 "$(status_of supervisor_pid)"
    await 10 status_is state running
    all_agree "a successor"
    expect 0 vml update nic "$VM" 0 --nic LINK=up
    carrier_is 1
    [[ $(holdings | grep -vE 'BRIDGE|NETWORK_MODE|LINK') == "$(grep -vE 'BRIDGE' <<<"$before")" ]] || fail "left behind: $(diff <(echo "$before") <(holdings))"

    # One that comes with its link down.
    expect 0 vml attach nic "$VM" --nic "BRIDGE=$OTHER,TARGET=${VM}m,MAC=52:54:00:77:00:01,LINK=down"
    await 30 has_mac 52:54:00:77:00:01
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'ip link set eth1 up; echo "carrier=$(cat /sys/class/net/eth1/carrier)"'
    assert_contains "$SAID" carrier=0
    expect 0 vml update nic "$VM" "${VM}m" --nic "BRIDGE=$BRIDGE"
    expect 0 vml detach nic "$VM" "${VM}m"
    all_agree "a card that came and went"
    ended
}
test_link_and_bridge_of_a_card_change_on_q35() { link_and_bridge_of_a_card_change; }
test_link_and_bridge_of_a_card_change_on_pc() {
    MACHINE=pc
    link_and_bridge_of_a_card_change
}

# Nothing of a change that fails later is left; a tap that is not this run's is not touched.
test_bridge_of_a_change_that_fails_is_the_old_one() {
    local i
    second_bridge
    faked "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]"
    move() { printf '{"effect":"net","args":{"op":"bridge-move","ifname":"%s","bridge":"%s"}}' "$1" "$2"; }
    fails='{"effect":"qmp","args":{"execute":"device_del","arguments":{"id":"nic9"}},"undo":[]}'
    printf '{"steps":[%s,%s,%s]}' "$(move "${VM}n" "$OTHER")" "$(move "${VM}n" "")" "$fails" >"$WORK/fragment"
    expect 1 vml __apply "$VM" "$WORK/fragment"
    assert_contains "$ERR" nic9
    assert_eq "$(bridge_of "${VM}n")" "$BRIDGE" "bridge"
    # Back is nowhere when the bridge is gone meanwhile.
    ip link add "${BRIDGE}g" type bridge
    ip link set "${VM}n" master "${BRIDGE}g"
    printf '{"steps":[%s]}' "$(move "${VM}n" "$OTHER")" >"$WORK/fragment"
    coproc ASKING { exec "$VMLAUNCH" --root "$ROOT" __apply --ask "$VM" "$WORK/fragment" 2>&1; }
    read -r -t 20 i <&"${ASKING[0]}"
    assert_eq "$i $(bridge_of "${VM}n")" "done $OTHER" "told, and the bridge"
    ip link del "${BRIDGE}g"
    i=$ASKING_PID
    echo abort >&"${ASKING[1]}"
    wait "$i" || true
    assert_eq "$(bridge_of "${VM}n")" none "bridge, the old one gone"
    ip link set "${VM}n" master "$BRIDGE"
    # Somebody else's, and one that is not there.
    ip tuntap add "${VM}x" mode tap
    printf '{"steps":[%s]}' "$(move "${VM}x" "$OTHER")" >"$WORK/fragment"
    expect 9 vml __apply "$VM" "$WORK/fragment"
    assert_contains "$ERR" "belongs to somebody else"
    assert_eq "$(bridge_of "${VM}x")" none "bridge of somebody else's tap"
    ip link del "${VM}x"
    expect 1 vml __apply "$VM" "$WORK/fragment"
    all_agree "what failed"
    ended
}

run_tests "$@"
