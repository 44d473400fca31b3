#!/usr/bin/env bash
# What an operator may change of a running VM, and that it is no more than that.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

OPERATOR_GID=64990 MONITOR_GID=64991

as_group() { # GID WORDS...
    local gid=$1
    shift
    setpriv --reuid 65534 --regid 65534 --groups "$gid" "$VMLAUNCH" --system --root "$ROOT" "$@"
}
op() { as_group "$OPERATOR_GID" "$@"; }
media_lines() {
    truncate -s 1M "$ROOT/own.raw" "$ROOT/one.iso" "$ROOT/two.iso" "$ROOT/secret-place.iso"
    chmod 600 "$ROOT"/*.raw "$ROOT"/*.iso
    LINES_=("NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]"
        "DISK = [ SOURCE = \"$ROOT/own.raw\", TARGET = \"vda\", TOTAL_IOPS_SEC = \"100\" ]"
        "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\", TARGET = \"sdb\", MEDIA = \"$ROOT/one.iso $ROOT/two.iso\" ]")
}
limits() { qemu_says qom-get '{"path":"/objects/disk0-limits","property":"limits"}' | jq -c '.return | [."iops-total", ."iops-total-max"]'; }
medium() { qemu_says query-block | jq -r '.return[] | select(.qdev | test("disk1")) | .inserted."node-name" // "none"'; }
opens() { [[ -z $(find "/proc/$QEMU/fd" -lname "$ROOT/$1") ]] && echo no || echo yes; }

test_operator_changes_limits_links_and_media() {
    local before
    have_groups
    media_lines
    running "${LINES_[@]}"
    before=$(holdings)
    [[ $(stat -c %a "$RUN_DIR/live.tmpl") == 600 ]] || fail "live.tmpl is for others, too"

    expect 0 op update disk "$VM" vda --disk TOTAL_IOPS_SEC=50,TOTAL_IOPS_SEC_MAX=70
    assert_contains "$OUT" "updated vda of '$VM'"
    assert_eq "$(limits)" '[50,70]' "limits"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'TOTAL_IOPS_SEC_MAX = "70"'
    all_agree "an operator's limits"
    assert_contains "$(vml -o json status "$VM" | jq -r '.story[] | .text? // .')" "uid 65534"

    expect 0 op update nic "$VM" 0 --nic LINK=down
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'ip link set eth0 up; n=0; until [ "$(cat /sys/class/net/eth0/carrier)" = 0 ] || [ $n = 100 ]; do sleep 0.1; n=$((n + 1)); done; echo "carrier=$(cat /sys/class/net/eth0/carrier)"'
    assert_contains "$SAID" "carrier=0"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'LINK = "down"'
    assert_eq "$(status_of 'devices[] | select(.id == "nic0").link')" down "link in status"
    expect 0 op update nic "$VM" 0 --nic LINK=up

    expect 0 op change-media "$VM" sdb "$ROOT/two.iso"
    assert_eq "$(opens one.iso) $(opens two.iso)" "no yes" "media that QEMU has open"
    all_agree "an operator's medium"
    expect 0 op change-media "$VM" sdb --eject
    assert_eq "$(medium) $(opens two.iso)" "none no" "an empty drive"
    all_agree "an empty drive"
    # What is listed only, though a CD and root may read the other one.
    expect 5 op change-media "$VM" sdb "$ROOT/secret-place.iso"
    assert_contains "$ERR" "what the drive's MEDIA lists"
    expect 0 op change-media "$VM" sdb "$ROOT/one.iso"
    expect 0 op update disk "$VM" vda --disk TOTAL_IOPS_SEC=100,TOTAL_IOPS_SEC_MAX=0
    all_agree "all of it"
    [[ $(holdings | grep -vE '^  (TOTAL_IOPS_SEC_MAX = "0"|LINK = "up"),?$') == "$before" ]] || fail "left: $(diff <(echo "$before") <(holdings))"
    ended
}

test_operator_is_told_what_qemu_and_the_guest_refuse() {
    have_groups
    media_lines
    local SCENARIO='{"faults":[{"fault":"refused","command":"blockdev-open-tray","text":"Device is locked and force was not specified"},
        {"fault":"refused","command":"set_link","text":"it cannot open /srv/secret.img"}]}'
    faked "${LINES_[@]}"
    expect 1 op change-media "$VM" sdb --eject
    assert_contains "$ERR" "Device is locked and force was not specified"
    expect 0 op change-media "$VM" sdb --eject
    # But no path.
    expect 1 op update nic "$VM" 0 --nic LINK=down
    assert_contains "$ERR" "it could not be done; an admin sees why in the VM's log"
    assert_contains "$(<"$ROOT/var/log/vmlaunch/$VM.log")" "it cannot open /srv/secret.img"
    expect 0 op update nic "$VM" 0 --nic LINK=down
    all_agree "what was refused once"
    ended
}

# refused CLASS CHANGE: by a plain client of an operator's
refused() {
    local reply
    reply=$(op qmp "$VM" "$(jq -cn --argjson change "$2" '{execute: "vmlaunch-apply", arguments: {change: $change}}')" || true)
    assert_match "$(jq -r '.error.class // "done"' <<<"$reply")" "^($1)\$" "class of: $2: $reply"
    if grep -qF "$ROOT" <<<"$reply"; then fail "it tells a path: $reply"; fi
    [[ $(<"$RUN_DIR/live.tmpl") == "$LIVE" ]] || fail "live.tmpl after $2: $(diff <(echo "$LIVE") "$RUN_DIR/live.tmpl")"
}
one() { # VECTOR WHICH ATTRIBUTE VALUE
    jq -cn --arg v "$1" --arg w "$2" --arg a "$3" --arg x "$4" '{vector: $v, which: $w, set: [{attribute: $a, value: $x}]}'
}

test_operator_can_say_nothing_else() {
    local before each fragment
    have_groups
    media_lines
    truncate -s 1M "$ROOT/gone.raw"
    faked "${LINES_[@]}" "DISK = [ SOURCE = \"$ROOT/gone.raw\", TARGET = \"vdc\", IOTHREAD = \"1\" ]" 'FEATURES = [ IOTHREADS = "1" ]'
    before=$(holdings)
    LIVE=$(<"$RUN_DIR/live.tmpl")
    # What a row says is an admin's; each with a good one beside it.
    for each in "DISK vda SOURCE /etc/shadow" "DISK sdb SOURCE $ROOT/secret-place.iso" "DISK sdb MEDIA /etc/shadow" "DISK vda CACHE unsafe" \
        "DISK vda LUKS_SECRET /etc/shadow" "DISK vda READONLY no" "DISK vda TARGET vdz" "NIC 0 BRIDGE $BRIDGE" "NIC 0 SCRIPT /bin/true" "NIC 0 MODEL e1000" \
        "PCI 0 ADDRESS 0000:00:00.0" "RAW 0 DATA -snapshot" "OS 0 KERNEL /etc/shadow" "GRAPHICS 0 PASSWD guess"; do
        read -r vector which name value <<<"$each"
        refused 'NotPermitted|GenericError' "$(one "$vector" "$which" "$name" "$value")"
        refused 'NotPermitted|GenericError' "$(jq -cn --argjson one "$(one "$vector" "$which" "$name" "$value")" '$one | .set = [{attribute: "TOTAL_IOPS_SEC", value: "7"}] + .set')"
    done
    # Text that would be more than a value.
    # shellcheck disable=SC1003,SC2016 # as it is
    for each in $'300\nRAW = [ TYPE = "qemu", DATA = "-snapshot" ]' '300", SOURCE = "/etc/shadow' '300 ]' '300\' '$(id)' '3 4' '' '@secret:disk0-luks' '@GENERATION@'; do
        refused 'TemplateInvalid|GenericError' "$(one DISK vda TOTAL_IOPS_SEC "$each")"
    done
    for each in $'down"\n]' 'down, BRIDGE = br0' '"' 'up;'; do refused 'TemplateInvalid|GenericError' "$(one NIC 0 LINK "$each")"; done
    for each in "$ROOT/one.iso $ROOT/two.iso" "$ROOT/../$(basename "$ROOT")/two.iso" "$ROOT/two.iso"$'\n' "$ROOT/two.iso\"" " $ROOT/two.iso"; do
        refused 'NotPermitted|GenericError' "$(one DISK sdb SOURCE "$each")"
    done
    # A disk that is no drive, what is not there, and an image's name as a guess.
    refused GenericError "$(one DISK vda SOURCE '')"
    refused GenericError "$(one DISK vdq TOTAL_IOPS_SEC 5)"
    refused GenericError "$(one DISK "$ROOT/own.raw" TOTAL_IOPS_SEC 5)"
    # Together with a fragment, or a fragment of his own, harmless or not.
    fragment='{"steps":[{"effect":"qmp","args":{"execute":"set_link","arguments":{"name":"nic0","up":false}},"undo":[]}]}'
    for each in "{\"fragment\":$fragment}" "{\"fragment\":$fragment,\"change\":$(one NIC 0 LINK down)}" "{\"look\":true}" \
        '{"fragment":{"steps":[{"effect":"qmp","args":{"execute":"qom-set","arguments":{"path":"/objects/disk0-limits","property":"limits","value":{}}},"undo":[]}],"live":{"set":[{"attribute":"NAME","value":"x"}]}}}'; do
        assert_match "$(op qmp "$VM" "{\"execute\":\"vmlaunch-apply\",\"arguments\":$each}" | jq -r .error.class)" '^(NotPermitted|GenericError)$' "class of: $each"
        [[ $(<"$RUN_DIR/live.tmpl") == "$LIVE" ]] || fail "live.tmpl after $each"
    done
    # The plan and the file of the next start are an admin's, the change itself no monitor's.
    expect 5 op update disk "$VM" vda --disk TOTAL_IOPS_SEC=5 --plan
    expect 5 op change-media "$VM" sdb --eject --plan
    expect 5 as_group "$MONITOR_GID" update disk "$VM" vda --disk TOTAL_IOPS_SEC=5
    assert_contains "$ERR" "needs the role operator"
    expect 5 op update disk "$VM" vda --disk CACHE=unsafe
    assert_contains "$ERR" "DISK/CACHE of a running VM is for admins to change"
    expect 6 op update disk "$VM" vda --disk TOTAL_IOPS_SEC_MAX=5
    assert_eq "$ERR" "vmlaunch: update disk vda of '$VM': DISK/TOTAL_IOPS_SEC_MAX: 5 is less than TOTAL_IOPS_SEC, 100" "a value that is wrong"
    expect 1 op change-media "$VM" sdx --eject
    assert_eq "$ERR" "vmlaunch: change-media of '$VM': it has no disk 'sdx'; there are 0 (vda), 1 (sdb), 2 (vdc)" "a disk that is not there"
    expect 6 op update disk "$VM" vdc --disk TOTAL_IOPS_SEC=5
    assert_contains "$ERR" "come at the next start"
    # Of another disk's image he is not told.
    mv "$ROOT/gone.raw" "$ROOT/elsewhere"
    expect 1 op update disk "$VM" vda --disk TOTAL_IOPS_SEC=5
    assert_contains "$ERR" "an admin sees why in the VM's log"
    if grep -qF gone.raw <<<"$ERR"; then fail "it tells a path: $ERR"; fi
    grep -qF gone.raw "$ROOT/var/log/vmlaunch/$VM.log" || fail "the log does not say why: $(<"$ROOT/var/log/vmlaunch/$VM.log")"
    mv "$ROOT/elsewhere" "$ROOT/gone.raw"
    [[ $(holdings) == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(holdings))"
    # The recorder has the attributes that were asked for, and no values.
    vml -o json log --wire "$VM" >"$WORK/wire"
    grep -qF TOTAL_IOPS_SEC "$WORK/wire" || fail "the recorder has nothing of it"
    if grep -F -e guess -e secret-place "$WORK/wire" >"$WORK/told"; then fail "the recorder has a value: $(<"$WORK/told")"; fi
    ended
}

run_tests "$@"
