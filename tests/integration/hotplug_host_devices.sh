#!/usr/bin/env bash
# Devices of the host and shared directories that come to a VM and go: attach and detach of pci, usb and fs. There is no
# vfio and no USB device on test machines: sysfs and the nodes are made up (in this file's own mount namespace), the
# sequence of commands is held against the scripted peer, and the real QEMU shows its real errors. A share is real.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"
# shellcheck source=tests/integration/made_up_devices.sh
. "$(dirname "$0")/made_up_devices.sh"

# A host with two network cards bound to vfio-pci, one in a group with a sound card of the host, a mediated device, and
# two USB devices. Nodes of vfio are /dev/null; what is read of /dev/zero is a device 0000:0000.
host_with_devices() {
    need_root
    # Other tests of this file have the host's own again.
    trap 'umount -l /dev /sys/bus 2>/dev/null' EXIT
    made_up_host || skip "nothing can be mounted over /dev and /sys/bus here"
    vfio_group 31
    vfio_group 27
    vfio_group 41
    pci_device 0000:5e:00.0 8086 1563 0200 vfio-pci 31
    pci_device 0000:5e:00.1 8086 1563 0200 vfio-pci 31
    pci_device 0000:3b:00.0 10de 1eb8 0300 vfio-pci 27
    pci_device 0000:3b:00.1 10de 10f8 0403 snd_hda_intel 27
    usb_device 1 1.2 4 0000 0000
    usb_device 1 1.3 5 0951 1625
}
# The supervisor dies, and its successor has found QEMU.
next_supervisor() {
    SUPERVISOR=$(status_of supervisor_pid)
    kill -KILL "$SUPERVISOR"
    await 20 is_adopted
}
is_adopted() { [[ $(status_of supervisor_pid) != "$SUPERVISOR" && $(status_of state) == running ]] && grep -q "QEMU is as its template says" "$ROOT/var/log/vmlaunch/$VM.log"; }
# What changes QEMU, as it was sent since this was called last: a command and its arguments a line. The numbers of sets are
# names hashed.
RECORDED=0
sent() {
    local wire last
    wire=$(vml -o json log --wire "$VM")
    last=$(tail -1 <<<"$wire" | jq .number)
    jq -r --argjson from "$RECORDED" 'select(.number > $from and .channel == "qmp" and .direction == "sent") | .text | fromjson |
        select(.execute | test("^(query-|qom-list)") | not) | "\(.execute) \(.arguments | tojson)"' <<<"$wire" |
        sed -E 's/fdset-id":[0-9]+/fdset-id":SET/; s#/dev/fdset/[0-9]+#/dev/fdset/SET#'
    RECORDED=$last
}
# sent_is LINES: exactly this was sent
sent_is() { # WHAT LINES
    sent >"$WORK/sent"
    [[ $(<"$WORK/sent") == "$2" ]] || fail "$1: sent were
$(<"$WORK/sent")
instead of
$2"
}
# What is recorded is counted in this shell.
recorded() { RECORDED=$(vml -o json log --wire "$VM" | tail -1 | jq .number); }

pci_devices_come_and_go() { # FIRST-PLACE SECOND-PLACE
    host_with_devices
    unlimited
    faked
    local before after uid first=$1 second=$2
    uid=$(vml -o json plan "$TEMPLATE" | jq .confine.uid)
    before=$(holdings)
    recorded

    # The plan shows all of it and does nothing.
    expect 0 vml attach pci "$VM" --pci "ADDRESS=0000:5e:00.0" --plan
    assert_eq "$OUT" "memory-lock   {\"bytes\":\"1342177280\"}
device-grant  {\"path\":\"/dev/vfio/31\",\"uid\":$uid}
qmp           device_add {\"driver\":\"vfio-pci\",\"id\":\"hostdev0\",\"host\":\"0000:5e:00.0\",$first}" "plan"
    assert_eq "$(owner /dev/vfio/31)" 0 "owner of the group before"

    expect 0 vml attach pci "$VM" --pci "ADDRESS=0000:5e:00.0"
    assert_match "$OUT" "attached hostdev0 of '$VM' at" "attach"
    sent_is attach "device_add {\"driver\":\"vfio-pci\",\"id\":\"hostdev0\",\"host\":\"0000:5e:00.0\",$first}"
    assert_eq "$(owner /dev/vfio/31)" "$uid" "owner of the group"
    assert_eq "$(memlock)" 1342177280 "memory that QEMU may lock"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'ADDRESS = "0000:5e:00.0"'
    all_agree "attach of a PCI device"

    # Another one of the same group brings nothing but itself.
    recorded
    expect 0 vml attach pci "$VM" --pci "SHORT_ADDRESS=5e:00.1"
    sent_is "attach of the second" "device_add {\"driver\":\"vfio-pci\",\"id\":\"hostdev1\",\"host\":\"0000:5e:00.1\",$second}"
    all_agree "attach of the second"

    # The group stays for the second when the first one goes.
    recorded
    expect 0 vml detach pci "$VM" 0000:5e:00.0
    sent_is detach 'device_del {"id":"hostdev0"}'
    assert_eq "$(owner /dev/vfio/31)" "$uid" "owner of the group, one device left"
    assert_eq "$(memlock)" 1342177280 "memory that QEMU may lock, one device left"
    all_agree "detach of the first"
    expect 0 vml detach pci "$VM" 1
    assert_eq "$(owner /dev/vfio/31)" 0 "owner of the group, none left"
    assert_eq "$(memlock)" 8388608 "memory that QEMU may lock, none left"
    all_agree "detach of all"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    ended
}
test_pci_devices_come_and_go_on_q35() { pci_devices_come_and_go '"bus":"rp3","addr":"0x0"' '"bus":"rp4","addr":"0x0"'; }
test_pci_devices_come_and_go_on_pc() {
    MACHINE=pc
    pci_devices_come_and_go '"bus":"pci.0","addr":"0x5"' '"bus":"pci.0","addr":"0x6"'
}

# A start with devices of the host, a mediated one among them, and its end; the supervisor has another one.
test_pci_devices_of_a_start_are_given_back_at_the_end() {
    host_with_devices
    unlimited
    mkdir -p /sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
    ln -s ../../types/nvidia-35 /sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/mdev_type
    ln -s ../../iommu_groups/41 /sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001/iommu_group
    faked 'PCI = [ ADDRESS = "0000:5e:00.0" ]' 'PCI = [ UUID = "83b8f4f2-509f-382f-3c1e-e6bfe0fa1001", PROFILE = "nvidia-35" ]'
    local uid
    uid=$(awk '/^Uid:/ { print $2 }' "/proc/$QEMU/status")
    assert_eq "$(owner /dev/vfio/31) $(owner /dev/vfio/41)" "$uid $uid" "owners of the groups"
    assert_eq "$(owner /dev/vfio/vfio)" 0 "owner of what is everybody's"
    assert_contains "$(tr '\0' ' ' <"/proc/$QEMU/cmdline")" '"sysfsdev":"/sys/bus/mdev/devices/83b8f4f2-509f-382f-3c1e-e6bfe0fa1001"'
    all_agree "start"
    # Another VM cannot have it.
    sed "s/$VM/other-$VM/" "$TEMPLATE" >"$ROOT/other.tmpl"
    expect 9 vml plan "$ROOT/other.tmpl"
    assert_contains "$ERR" "its group (/dev/vfio/31) is in use by VM '$VM'"
    # One of a start goes as one that came later.
    expect 0 vml detach pci "$VM" 83b8f4f2-509f-382f-3c1e-e6bfe0fa1001
    assert_eq "$(owner /dev/vfio/31) $(owner /dev/vfio/41)" "$uid 0" "owners of the groups, one left"
    next_supervisor
    all_agree "a successor"
    # Another device of the host is another device, whatever place it has in the guest.
    sed -e '/UUID = /d' -e 's/0000:5e:00.0/0000:5e:00.1/' "$TEMPLATE" >"$ROOT/wanted.tmpl"
    expect 0 vml update "$VM" --file "$ROOT/wanted.tmpl"
    assert_match "$OUT" "PCI 0000:5e:00.1 +none +there +done" "update"
    assert_match "$OUT" "PCI 0000:5e:00.0 +there +none +done" "update"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'ADDRESS = "0000:5e:00.1"'
    all_agree "an update"
    ended
    assert_eq "$(owner /dev/vfio/31)" 0 "owner of the group at the end"
}

test_guest_that_keeps_a_pci_device_is_asked_again() {
    local SCENARIO='{"faults":[{"fault":"unplug-refused","times":1}]}'
    host_with_devices
    unlimited
    faked
    expect 0 vml attach pci "$VM" --pci "ADDRESS=0000:5e:00.0"
    local uid
    uid=$(owner /dev/vfio/31)
    expect 8 vml detach pci "$VM" hostdev0
    assert_contains "$ERR" "the guest does not give 'hostdev0' back"
    assert_eq "$(device_state hostdev0)" unplug-refused "state"
    [[ $uid != 0 && $(owner /dev/vfio/31) == "$uid" ]] || fail "the group was taken from a device that is there"
    all_agree "a refusal"
    expect 0 vml detach pci "$VM" hostdev0
    assert_eq "$(owner /dev/vfio/31)" 0 "owner of the group"
    all_agree "the second time"
    ended
}

usb_devices_come_and_go() { # PLACE
    host_with_devices
    faked
    local before after
    before=$(holdings)
    recorded
    # The first one brings the controller.
    expect 0 vml attach usb "$VM" --usb "VENDOR=0000,PRODUCT=0000"
    sent_is attach "add-fd {\"fdset-id\":SET,\"opaque\":\"usbhost0\"}
device_add {\"driver\":\"qemu-xhci\",\"id\":\"usb0\",$1,\"p2\":15,\"p3\":15}
device_add {\"driver\":\"usb-host\",\"id\":\"usbhost0\",\"hostdevice\":\"/dev/fdset/SET\",\"bus\":\"usb0.0\",\"port\":\"15\"}"
    # QEMU has it by the fd alone: the node is root's.
    assert_eq "$(owner /dev/bus/usb/001/004)" 0 "owner of the node"
    [[ -n $(find "/proc/$QEMU/fd" -lname /dev/bus/usb/001/004) ]] || fail "QEMU has not got the device"
    assert_contains "$(<"$RUN_DIR/live.tmpl")" 'PORT = "1.2"'
    all_agree "attach of a USB device"
    # It is pulled out: the VM can be changed still.
    rm -r /sys/bus/usb/devices/1-1.2 /dev/bus/usb/001/004
    recorded
    expect 0 vml detach usb "$VM" 1-1.2
    sent_is detach "device_del {\"id\":\"usbhost0\"}
device_del {\"id\":\"usb0\"}
remove-fd {\"fdset-id\":SET}"
    all_agree "detach of a USB device"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    ended
}
test_usb_devices_come_and_go_on_q35() { usb_devices_come_and_go '"bus":"rp3","addr":"0x0"'; }
test_usb_devices_come_and_go_on_pc() {
    MACHINE=pc
    usb_devices_come_and_go '"bus":"pci.0","addr":"0x5"'
}

holds() { [[ $(holdings) == "$1" ]]; }
# refused STATUS WORDS VERB...: and nothing has changed
refused() {
    local before status=$1 words=$2
    shift 2
    before=$(holdings)
    expect "$status" vml "$@"
    assert_contains "$ERR" "$words"
    # The supervisor may still have the connection of a client that has just ended.
    await 3 holds "$before"
    [[ $(owner /dev/vfio/31)$(owner /dev/vfio/27) == 00 ]] || fail "'$*' left a group with $(owner /dev/vfio/31)"
}
test_what_the_host_has_not_is_not_attached() {
    host_with_devices
    unlimited
    faked
    refused 10 "there is no PCI device 0000:ff:00.0 on this host" attach pci "$VM" --pci "ADDRESS=0000:ff:00.0"
    refused 10 "0000:3b:00.1 is not bound to vfio-pci: its driver is snd_hda_intel" attach pci "$VM" --pci "ADDRESS=0000:3b:00.1"
    refused 10 "shares IOMMU group 27 with 0000:3b:00.1" attach pci "$VM" --pci "ADDRESS=0000:3b:00.0"
    refused 10 "2 PCI devices of this host have these ids" attach pci "$VM" --pci "VENDOR=8086"
    refused 6 "PCI/ADDRESS: '5e' is no PCI address" attach pci "$VM" --pci "ADDRESS=5e"
    refused 10 "no USB device of this host fits" attach usb "$VM" --usb "VENDOR=dead"
    refused 1 "it has no pci 'hostdev0'; there is none" detach pci "$VM" hostdev0
    refused 2 "update usb: it is detached, and attached as it shall be" update usb "$VM" 0 --file /dev/null
    # By the time its node is opened another one is there.
    refused 10 "'/dev/bus/usb/001/005' is the USB device 0000:0000 by now, not 0951:1625" attach usb "$VM" --usb "VENDOR=0951"
    rm /dev/vfio/31
    mknod -m 600 /dev/vfio/31 b 1 3
    refused 10 "there is no /dev/vfio/31 on this host" attach pci "$VM" --pci "ADDRESS=0000:5e:00.0"
    ended
}

# The real QEMU, which finds no device behind the nodes: its words, and everything is as it was.
test_what_qemu_cannot_open_is_taken_back() {
    host_with_devices
    unlimited
    # It has a controller: one that came along would have to be given back by a guest that boots.
    CMDLINE="guest.noagent" template 'INPUT = [ TYPE = "tablet", BUS = "usb" ]'
    expect 0 vml start "$TEMPLATE"
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
    # Its drivers would open eventfds meanwhile, which are counted here.
    expect 0 vml suspend "$VM"
    rm /dev/bus/usb/001/004
    cp -a /dev/null /dev/bus/usb/001/004
    refused 10 "'/dev/bus/usb/001/004' is no USB device" attach usb "$VM" --usb "VENDOR=0000,PRODUCT=0000"
    # No more than a device's descriptor, of the right ids.
    printf '\x12\x01\x00\x02\x00\x00\x00\x40\x51\x09\x25\x16\x00\x01\x01\x02\x03\x01' >"$WORK/stick"
    truncate -s 512 "$WORK/stick"
    rm /dev/bus/usb/001/005
    if LOOP=$(losetup -f --show "$WORK/stick" 2>/dev/null); then
        trap 'losetup -d "$LOOP"; umount -l /dev /sys/bus 2>/dev/null' EXIT
        cp -a "$LOOP" /dev/bus/usb/001/005
        # QEMU 7.2 does not let go of the fd then; nothing of ours is left.
        local live
        live=$(<"$RUN_DIR/live.tmpl")
        expect 1 vml attach usb "$VM" --usb "VENDOR=0951,PRODUCT=1625"
        assert_contains "$ERR" "device_add: GenericError: failed to open host usb device /dev/fdset/"
        [[ $(<"$RUN_DIR/live.tmpl") == "$live" ]] || fail "live.tmpl has changed"
        all_agree "a USB device that QEMU does not take"
        # Another try is another try.
        expect 1 vml attach usb "$VM" --usb "VENDOR=0951,PRODUCT=1625"
        assert_contains "$ERR" "failed to open host usb device /dev/fdset/"
    fi
    refused 1 "device_add: GenericError: vfio 0000:5e:00.0:" attach pci "$VM" --pci "ADDRESS=0000:5e:00.0"
    assert_eq "$(memlock)" 8388608 "memory that QEMU may lock"
    all_agree "errors of QEMU"
    ended
}

# The limit is raised before QEMU is asked for the device.
test_limit_that_cannot_be_raised_is_said() {
    host_with_devices
    if prlimit --memlock=unlimited:unlimited true 2>/dev/null; then skip "this host lets vmlaunch raise limits"; fi
    faked
    refused 10 "QEMU's limit of locked memory: it needs CAP_SYS_RESOURCE" attach pci "$VM" --pci "ADDRESS=0000:5e:00.0"
    ended
}

helper_of() { vml -o json status "$VM" | jq -r --arg id "$1" '.helpers[] | select(.id == $id) | "\(.pid) \(.state)"'; }
helper_is_gone() { [[ -z $(helper_of "$1") && ! -e /proc/$2 ]]; }
shares_come_and_go() {
    need_root
    mkdir -m 755 "$ROOT/share" "$ROOT/other"
    echo "from the host" >"$ROOT/share/host.txt"
    running 'TOPOLOGY = [ MEMORY_ACCESS = "shared" ]'
    local before after pid state
    before=$(holdings)
    expect 0 vml attach fs "$VM" --fs "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"
    assert_match "$OUT" "attached fs0 share of '$VM' at" "attach"
    read -r pid state <<<"$(helper_of fs0)"
    assert_eq "$state" running "virtiofsd"
    all_agree "attach of a share"
    # It is used in the guest, once its kernel has found it, and what it writes is here.
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'modprobe virtiofs; mkdir -p /m; until mount -t virtiofs share /m 2>/dev/null; do sleep 0.2; done' \
        'echo "read=$(cat /m/host.txt)"' \
        'echo "from the guest" >/m/guest.txt; sync; umount /m'
    said read "from the host"
    assert_eq "$(<"$ROOT/share/guest.txt")" "from the guest" "what the guest wrote"
    # It survives a supervisor.
    next_supervisor
    assert_eq "$(helper_of fs0)" "$pid running" "virtiofsd of a successor"
    all_agree "a successor"
    # Its connection to the agent is one of what it holds.
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    expect 0 vml detach fs "$VM" share
    await 20 helper_is_gone fs0 "$pid"
    all_agree "detach of a share"
    after=$(holdings)
    [[ $after == "$before" ]] || fail "left behind: $(diff <(echo "$before") <(echo "$after"))"
    expect 0 vml log "$VM"
    if [[ $OUT == *"does not answer the guest any more"* ]]; then fail "the end of a virtiofsd that was let go is told as a mishap"; fi
    # What cannot be: a second one of the name, no directory, 9p.
    refused_share 6 "'share' is also the name" "SOURCE=$ROOT/other,TARGET=share,DRIVER=virtiofs" "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"
    refused_share 10 "there is no directory" "SOURCE=$ROOT/nowhere,TARGET=x,DRIVER=virtiofs"
    refused_share 6 "a share over 9p comes with a start only" "SOURCE=$ROOT/other,TARGET=x,ACCESSMODE=squash"
    ended
}
refused_share() { # STATUS WORDS KEYS [KEYS that are attached before]
    [[ -z ${4:-} ]] || expect 0 vml attach fs "$VM" --fs "$4"
    expect "$1" vml attach fs "$VM" --fs "$3"
    assert_contains "$ERR" "$2"
    [[ -z ${4:-} ]] || expect 0 vml detach fs "$VM" 0
    all_agree "a refused share"
}
test_shares_come_and_go_on_q35() { shares_come_and_go; }
test_shares_come_and_go_on_pc() {
    MACHINE=pc
    shares_come_and_go
}
test_share_of_a_guest_whose_memory_is_its_own_is_refused() {
    faked
    mkdir -m 755 "$ROOT/share"
    expect 6 vml attach fs "$VM" --fs "SOURCE=$ROOT/share,TARGET=share,ACCESSMODE=passthrough"
    assert_contains "$ERR" "virtiofs needs guest memory that is shared"
    assert_contains "$ERR" 'TOPOLOGY = [ MEMORY_ACCESS = "shared" ]'
    if pgrep -f "virtiofsd.*$VM" >/dev/null; then fail "a virtiofsd was started"; fi
    ended
}

run_tests "$@"
