#!/usr/bin/env bash
# What else comes to a running VM: disks with secrets or from a server, a NIC with a script, the one of a VM XML.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

node_is() { # NODE FILTER VALUE
    assert_eq "$(qemu_says query-named-block-nodes | jq -r --arg node "$1" ".return[] | select(.\"node-name\" == \$node) | $2")" "$3" "$1 $2"
}

test_encrypted_disk_comes_and_its_secret_is_written_nowhere() {
    local before after secret=plug-Secret-77 encoded
    running
    printf '%s\n' "$secret" >"$ROOT/pass"
    chmod 600 "$ROOT/pass"
    encrypted luks "$ROOT/a.luks" "$secret" 4M
    before=$(holdings)
    # The plan has a stand-in.
    expect 0 vml attach disk "$VM" --plan --disk "SOURCE=$ROOT/a.luks,FORMAT=luks,LUKS_SECRET=$ROOT/pass,TARGET=vdb"
    assert_contains "$OUT" '"data":"@secret:raw:disk0-luks"'
    expect 0 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.luks,FORMAT=luks,LUKS_SECRET=$ROOT/pass,TARGET=vdb"
    await 30 has_disk vda
    node_is disk0-format .drv luks
    all_agree "an encrypted disk"
    tell_guest "dd if=/dev/urandom of=/dev/vda bs=64k count=1 conv=fsync 2>/dev/null && echo 'writ''ten'"
    assert_contains "$SAID" written
    encoded=$(printf %s "$secret" | base64)
    if grep -rlaF -e "$secret" -e "$encoded" "$ROOT/run" "$ROOT/var"; then fail "the secret is in a file"; fi
    if grep -zqF -e "$secret" -e "$encoded" "/proc/$QEMU/cmdline"; then fail "it is in QEMU's argv"; fi
    # A wrong one changes nothing, and is not told either.
    expect 0 vml detach disk "$VM" vdb
    printf wrong-Secret >"$ROOT/pass"
    expect 1 vml attach disk "$VM" --disk "SOURCE=$ROOT/a.luks,FORMAT=luks,LUKS_SECRET=$ROOT/pass,TARGET=vdb"
    assert_contains "$ERR" "Invalid password"
    if grep -qF wrong-Secret <<<"$ERR"; then fail "it tells the secret"; fi
    if grep -rlaF -e wrong-Secret -e "$(printf wrong-Secret | base64)" "$ROOT/run" "$ROOT/var"; then fail "a refused secret is in a file"; fi
    vml log --wire "$VM" >"$WORK/wire"
    grep -q disk0-luks "$WORK/wire" || fail "the recorder has nothing of it"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    all_agree "a wrong secret"
    ended
}

test_disk_of_a_server_comes_and_goes() {
    local before after server refused
    truncate -s 4M "$ROOT/one.raw"
    qemu-nbd -t -f raw -x "disk 1" -k "$ROOT/nbd.sock" "$ROOT/one.raw" &
    server=$!
    # shellcheck disable=SC2064 # that one
    trap "kill $server 2>/dev/null || true" EXIT
    await 10 is_listening "$ROOT/nbd.sock"
    # QEMU's uid may not connect there: it is given the connection.
    chmod 600 "$ROOT/nbd.sock"
    running
    mkdir -p "$ROOT/run/vmlaunch/images"
    before=$(holdings)
    expect 0 vml attach disk "$VM" --disk "TYPE=nbd,NBD_SOCKET=$ROOT/nbd.sock,SOURCE=\"disk 1\",TARGET=vdb"
    await 30 has_disk vda
    node_is disk0-file .drv nbd
    all_agree "a disk of a server"
    tell_guest "printf nbd-was-here | dd of=/dev/vda conv=fsync 2>/dev/null && echo 'writ''ten'"
    assert_contains "$SAID" written
    assert_eq "$(head -c 12 "$ROOT/one.raw")" nbd-was-here "what the server has"
    expect 0 vml detach disk "$VM" vdb
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    expect 1 vml attach disk "$VM" --disk "TYPE=nbd,NBD_SOCKET=$ROOT/nbd.sock,SOURCE=other,TARGET=vdb"
    kill "$server" 2>/dev/null || true
    wait "$server" || true
    refused=0
    vml attach disk "$VM" --disk "TYPE=nbd,NBD_SOCKET=$ROOT/nbd.sock,SOURCE=\"disk 1\",TARGET=vdb" 2>"$WORK/err" || refused=$?
    ((refused == 1 || refused == 6)) || fail "a dead server: status $refused"
    assert_contains "$(<"$WORK/err")" "$ROOT/nbd.sock"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    ended
}

test_script_of_a_nic_runs_when_it_comes() {
    local before after
    mkdir -p "$ROOT/etc/vmlaunch"
    # shellcheck disable=SC2016 # the script's own
    printf '#!/bin/sh\necho "$# $1 $(ip -o link show "$1" | wc -l)" >>%s/ran\n[ ! -e %s/fails ] || { echo no-such-luck >&2; exit 3; }\n' "$ROOT" "$ROOT" >"$ROOT/up.sh"
    chmod 755 "$ROOT/up.sh"
    echo "NIC_SCRIPTS = \"$ROOT/up.sh\"" >"$ROOT/etc/vmlaunch/host.conf"
    running
    before=$(holdings)
    expect 6 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,SCRIPT=/bin/true"
    assert_contains "$ERR" "is not on the NIC_SCRIPTS list"
    [[ ! -e $ROOT/ran ]] || fail "it has run"
    expect 0 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,SCRIPT=$ROOT/up.sh,TARGET=${VM}s"
    assert_match "$(<"$ROOT/ran")" "^1 ${VM}s 1"
    all_agree "a NIC with a script"
    expect 0 vml detach nic "$VM" "${VM}s"
    # One that fails takes its tap back.
    touch "$ROOT/fails"
    expect 1 vml attach nic "$VM" --nic "BRIDGE=$BRIDGE,SCRIPT=$ROOT/up.sh,TARGET=${VM}s"
    assert_contains "$ERR" no-such-luck
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    ended
}

# opennebula-driver 2: exactly one DISK or NIC has ATTACH=YES; its image is disk.N of the VM's directory.
test_vm_xml_says_which_one_is_attached() {
    mkdir -p "$ROOT/etc/vmlaunch" "$ROOT/ds/1/7"
    echo "DATASTORE_LOCATION = \"$ROOT/ds\"" >"$ROOT/etc/vmlaunch/host.conf"
    truncate -s 1M "$ROOT/ds/1/7/disk.1"
    running
    xml() { # DISK1-EXTRA NIC-EXTRA
        printf '<VM><ID>7</ID><NAME>%s</NAME><TEMPLATE><CPU>1</CPU><MEMORY>256</MEMORY><DISK><DISK_ID>0</DISK_ID><SOURCE>/d/0</SOURCE><TYPE>FILE</TYPE><TARGET>vda</TARGET></DISK><DISK>%s<DISK_ID>1</DISK_ID><SOURCE>/d/1</SOURCE><TYPE>FILE</TYPE><DRIVER>raw</DRIVER><TARGET>vdf</TARGET></DISK><NIC>%s<NIC_ID>3</NIC_ID><BRIDGE>%s</BRIDGE><MAC>02:00:00:00:00:09</MAC><TARGET>one-7-3</TARGET></NIC></TEMPLATE><HISTORY_RECORDS><HISTORY><DS_ID>1</DS_ID><HOSTNAME>h</HOSTNAME></HISTORY></HISTORY_RECORDS></VM>\n' "$VM" "${1:-}" "${2:-}" "$BRIDGE"
    }
    xml '' '' >"$ROOT/none.xml"
    expect 6 vml attach disk "$VM" -f "$ROOT/none.xml"
    assert_contains "$ERR" "one DISK with ATTACH = YES is wanted"
    xml '<ATTACH>YES</ATTACH>' '' >"$ROOT/disk.xml"
    expect 0 vml attach disk "$VM" -f "$ROOT/disk.xml"
    assert_contains "$OUT" "attached disk1 vdf"
    await 30 has_disk vda
    grep -q "SOURCE = \"$ROOT/ds/1/7/disk.1\"" "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    expect 6 vml attach nic "$VM" -f "$ROOT/disk.xml"
    xml '' '<ATTACH>YES</ATTACH>' >"$ROOT/nic.xml"
    expect 0 vml attach nic "$VM" --file - <"$ROOT/nic.xml"
    await 30 has_mac 02:00:00:00:00:09
    assert_contains "$(ip -d link show one-7-3)" "master $BRIDGE"
    all_agree "what the XML said"
    ended
}

# What each verb would send, sent by an operator: what he may change he asks for (operators.sh).
test_operator_may_send_no_kind_of_change_himself() {
    local before each words name files
    need_root
    sed "/^vmlaunch:/d" /etc/group >"$WORK/group"
    echo "vmlaunch:x:64990:" >>"$WORK/group"
    mount --bind "$WORK/group" /etc/group || skip "/etc/group cannot be covered"
    truncate -s 1M "$ROOT/own.raw" "$ROOT/more.raw" "$ROOT/one.iso" "$ROOT/two.iso"
    faked 'VCPU = "1"' 'VCPU_MAX = "2"' 'MEMORY_MAX = "512"' "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"${VM}n\" ]" \
        "DISK = [ SOURCE = \"$ROOT/own.raw\", TARGET = \"vdb\", TOTAL_IOPS_SEC = \"100\" ]" \
        "DISK = [ SOURCE = \"$ROOT/one.iso\", TYPE = \"cdrom\", TARGET = \"hdc\" ]"
    umount /etc/group
    as_operator() { setpriv --reuid 65534 --regid 65534 --groups 64990 "$VMLAUNCH" --system --root "$ROOT" "$@"; }
    chmod 666 "$ROOT"/*.raw "$ROOT"/*.iso
    before=$(holdings)
    for words in "attach disk $VM --disk SOURCE=$ROOT/more.raw,TARGET=vdc" "attach nic $VM --nic BRIDGE=$BRIDGE" "detach disk $VM vdb" \
        "detach nic $VM ${VM}n" "resize $VM --vcpu 2" "resize $VM --cpu 2" "balloon $VM 200" "update disk $VM vdb --disk TOTAL_IOPS_SEC=200" \
        "change-media $VM hdc $ROOT/two.iso" "change-media $VM hdc --eject" "resize-disk $VM vdb 2"; do
        # shellcheck disable=SC2086 # words
        expect 0 vml -o json $words --plan
        jq -c 'del(.schema)' <<<"$OUT" >"$WORK/fragment"
        files=()
        for name in $(jq -r '.steps[] | .fd? // empty | select(test("^(tap|vhost):") | not)' <<<"$OUT"); do files+=("$name=$ROOT/two.iso"); done
        if ((${#files[@]})); then
            # Nor may he pass a file to anybody.
            expect 1 as_operator __apply "$VM" "$WORK/fragment" "${files[@]}"
            assert_contains "$ERR" "the connection was closed" "$words"
        else
            expect 5 as_operator __apply "$VM" "$WORK/fragment"
            assert_contains "$ERR" "needs the role admin, and this connection's is operator" "$words"
        fi
        [[ $(holdings) == "$before" ]] || fail "'$words' by an operator: $(diff <(echo "$before") <(holdings))"
    done
    for each in '{"execute":"set_link","arguments":{"name":"nic0","up":false}}' \
        '{"execute":"block_set_io_throttle","arguments":{"id":"disk0","bps":0,"bps_rd":0,"bps_wr":0,"iops":50,"iops_rd":0,"iops_wr":0}}'; do
        printf '{"steps":[{"effect":"qmp","args":%s,"undo":[]}]}\n' "$each" >"$WORK/fragment"
        expect 5 as_operator __apply "$VM" "$WORK/fragment"
    done
    ended
}

run_tests "$@"
