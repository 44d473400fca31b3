#!/usr/bin/env bash
# status --compare: QEMU, the template and what is written down of the run, held against each other on real guests.
. "$(dirname "$0")/lib.sh"

compare() { vml -o json status "$VM" --compare; }
# differs JQ...: what the last comparison found, one "kind id member" a line
differences() { compare | jq -r '.differences[] | [.kind, .id, .member // "-"] | join(" ")'; }
same() { [[ -z $(differences) ]]; }
recorded() { jq -c '.differences' "$ROOT/run/vmlaunch/$VM/record.json"; }
copy_is_ready() { compare | jq -e 'any(.differences[]; .id == "copy" and (.qemu | contains("ready")))'; }
recorded_is() { [[ $(recorded) == "$1" ]]; }
raw() { expect 0 vml qmp "$VM" "$1"; }
# kill_supervisor: and wait for the next one
kill_supervisor() {
    local old
    old=$(status_of supervisor_pid)
    kill -9 "$old"
    await 5 adopted_after "$old"
    await 5 status_is_not compared null
}
images() {
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 16M
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$ROOT/top.qcow2"
    qemu-img create -q -f qcow2 "$ROOT/plain.qcow2" 16M
    truncate -s 8M "$ROOT/one.raw" "$ROOT/two.raw" "$ROOT/three.raw"
    truncate -s 1M "$ROOT/cd.iso"
}

test_each_kind_of_machine_is_as_its_template_says() {
    need_root
    images
    local machine disk
    for machine in q35 pc; do
        [[ $machine == q35 ]] && disk=sdc || disk=hdd
        MACHINE=$machine template 'FEATURES = [ GUEST_AGENT = "yes" ]' 'PANIC = [ MODEL = "pci" ]' 'VCPU = "2"' \
            'DISK = [ SOURCE = "top.qcow2", TARGET = "vda", CACHE = "writeback", IO = "threads" ]' \
            'DISK = [ SOURCE = "plain.qcow2", TARGET = "sdb", READONLY = "yes" ]' \
            'DISK = [ SOURCE = "cd.iso", TYPE = "CDROM", TARGET = "hda" ]' \
            "DISK = [ SOURCE = \"one.raw\", TARGET = \"$disk\" ]" \
            "NIC = [ BRIDGE = \"$BRIDGE\" ]" 'NIC = [ BRIDGE_TYPE = "user", MODEL = "e1000" ]' \
            'NIC = [ BRIDGE_TYPE = "user", MODEL = "rtl8139" ]' 'SERIAL = [ TYPE = "socket" ]'
        expect 0 vml start "$TEMPLATE"
        # The firmware has not looked at the devices yet: that makes no difference.
        expect 0 vml status "$VM" --compare
        assert_contains "$OUT" "$VM  running: same as its template"
        expect 0 vml destroy "$VM"
        rm -r "$ROOT/var/lib/vmlaunch"
    done
    template
    expect 0 vml start "$TEMPLATE"
    same || fail "the smallest template: $(differences)"
    assert_eq "$(recorded)" '[]'
    expect 0 vml suspend "$VM"
    same || fail "a paused guest: $(differences)"
    expect 0 vml destroy "$VM"
    expect 3 vml status "$VM" --compare
    expect 2 vml status "$VM" --timeout 3
}

test_what_an_admin_does_by_hand_is_told_and_found_again_by_the_next_supervisor() {
    need_root
    images
    # With the driver of the balloon.
    GUEST_CMDLINE=${GUEST_CMDLINE/guest.small/} template 'FEATURES = [ GUEST_AGENT = "yes" ]' \
        'DISK = [ SOURCE = "one.raw", TARGET = "vda" ]' \
        'DISK = [ SOURCE = "plain.qcow2", TARGET = "vdb" ]'
    expect 0 vml start "$TEMPLATE"
    expect 0 vml wait "$VM" --for=agent
    same || fail "before: $(differences)"
    assert_eq "$(status_of changed_by_hand)" false
    raw '{"execute": "device_del", "arguments": {"id": "disk1"}}'
    raw '{"execute": "device_add", "arguments": {"driver": "virtio-rng-pci", "id": "rng9", "bus": "rp12", "addr": "0x0"}}'
    raw '{"execute": "balloon", "arguments": {"value": 134217728}}'
    raw '{"execute": "netdev_add", "arguments": {"type": "user", "id": "spare"}}'
    # The guest lets go of the disk, and gives memory, in its own time.
    local want=$'machine balloon -\ndevice disk1 -\ndevice rng9 -\nnetdev spare -'
    differences_are() { [[ $(differences | sort) == "$(sort <<<"$want")" ]]; }
    await 60 differences_are
    assert_eq "$(status_of changed_by_hand)" true
    assert_contains "$(vml status "$VM" --compare)" "device   disk1    -       virtio-blk-pci  none"
    # Work that nobody follows.
    raw '{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "a", "size": 65536}}'
    raw '{"execute": "blockdev-add", "arguments": {"driver": "null-co", "node-name": "b", "size": 65536}}'
    raw '{"execute": "blockdev-mirror", "arguments": {"device": "a", "target": "b", "sync": "full", "job-id": "copy"}}'
    want+=$'\nnode a -\nnode b -\njob copy -'
    await 5 differences_are
    # Its state is part of what is compared.
    await 20 copy_is_ready
    local before
    before=$(compare | jq -c '[.differences[] | select(.id != "balloon")]')
    kill_supervisor
    assert_eq "$(status_of changed_by_hand)" true
    assert_eq "$(jq -c '[.differences[] | select(.id != "balloon")]' "$ROOT/run/vmlaunch/$VM/record.json")" "$before"
    assert_contains "$(status_of 'story[].text')" "differs: device disk1: template virtio-blk-pci, QEMU none"
    assert_contains "$(vml status "$VM")" "differs"
    # The guest was stopped while nobody looked after it.
    local supervisor keeper
    supervisor=$(status_of supervisor_pid)
    keeper=$(keeper_of)
    kill -STOP "$keeper"
    kill -9 "$supervisor"
    await 5 is_dead "$supervisor"
    printf '%s\n' '{"execute": "qmp_capabilities"}' '{"execute": "stop"}' | hold_until '"STOP"' |
        socat - "UNIX-CONNECT:$ROOT/run/vmlaunch/$VM/private/qmp.sock" >>"$WORK/said" || fail "stop by hand: $(<"$WORK/said")"
    kill -CONT "$keeper"
    await 5 adopted_after "$supervisor"
    await 5 status_is_not compared null
    assert_contains "$(status_of 'story[].text')" "differs: state guest: QEMU paused, record running"
    await 5 status_is state paused
    expect 0 vml destroy "$VM"
}

test_template_and_journal_that_are_lost_are_told() {
    need_root
    template 'FEATURES = [ GUEST_AGENT = "no" ]' "NIC = [ BRIDGE = \"$BRIDGE\" ]"
    expect 0 vml start "$TEMPLATE"
    local live=$ROOT/run/vmlaunch/$VM/live.tmpl
    cp "$live" "$WORK/live"
    sed 's/^MEMORY = .*/MEMORY = "512"/; s/MODEL = "virtio"/MODEL = "e1000e"/' "$WORK/live" >"$live"
    assert_eq "$(differences)" $'machine memory -\ndevice nic0 type'
    echo 'MEMORY = "lots"' >"$live"
    assert_eq "$(differences)" 'template live.tmpl -'
    assert_contains "$(vml status "$VM" --compare)" "lots"
    cp "$WORK/live" "$live"
    # A stopped QEMU is not waited for without end.
    kill -STOP "$(status_of pid)"
    expect 7 vml --timeout 0.5 status "$VM" --compare
    kill -CONT "$(status_of pid)"
    await 5 same
    expect 0 vml destroy "$VM"
}

run_tests "$@"
