#!/usr/bin/env bash
# What each attribute does to a running machine: asked from QEMU over the control socket, from /proc, or from the guest.
. "$(dirname "$0")/lib.sh"

# number of the IDE controller among the devices without an id
ide_controller() {
    qmp qom-list '{"path":"/machine/unattached"}'
    jq -r '.[] | select(.type | test("piix.-ide")) | .name' <<<"$REPLY_JSON" | tr -dc 0-9
}
# has_map WORDS: does QEMU have a mapping of that name? Rings of asynchronous I/O are mappings.
has_map() { grep -qF "$1" "/proc/$PID/maps"; }

# Minutes of the day of the machine's clock, against MINUTES from UTC.
clock_is() {
    local now clock difference
    qmp qom-get '{"path":"/machine","property":"rtc-time"}'
    clock=$(jq '.tm_hour * 60 + .tm_min' <<<"$REPLY_JSON")
    now=$(($(date -u '+10#%H * 60 + 10#%M') + $1))
    difference=$(((now - clock + 1440 + 2) % 1440))
    ((difference <= 4)) || fail "the machine's clock is $((difference - 2)) minutes off"
}

# What writes its text to COM1 once, and leaves the rest to what boots next:
# ds = 0; dx = COM1; si = text; each byte: out; int 18h
SPEAKER='\x31\xc0\x8e\xd8\xba\xf8\x03\xbe\x14\x7c\xac\x84\xc0\x74\x03\xee\xeb\xf8\xcd\x18%s\n\0'
boot_sector() { # FILE TEXT
    # shellcheck disable=SC2059 # the format is the code
    printf "$SPEAKER" "$2" >"$1"
    truncate -s 510 "$1"
    printf '\x55\xaa' >>"$1"
    truncate -s 1M "$1"
}
boot_cd() { # FILE TEXT: El Torito without emulation
    truncate -s 64K "$1"
    # sector 16: a primary volume; 17: the boot record, which names sector 19; 18: the end of the list
    printf '\x01CD001\x01' | dd of="$1" bs=2048 seek=16 conv=notrunc status=none
    printf '\0CD001\x01EL TORITO SPECIFICATION' | dd of="$1" bs=2048 seek=17 conv=notrunc status=none
    printf '\x13' | dd of="$1" bs=1 seek=$((17 * 2048 + 0x47)) conv=notrunc status=none
    printf '\xffCD001\x01' | dd of="$1" bs=2048 seek=18 conv=notrunc status=none
    # 19: the catalogue: checksum, then one entry: bootable, four sectors of 512 bytes from sector 20 on
    printf '\x01\0\0\0%024d\xaa\x55\x55\xaa' 0 | tr 0 '\0' | dd of="$1" bs=2048 seek=19 conv=notrunc status=none
    printf '\x88\0\0\0\0\0\x04\0\x14' | dd of="$1" bs=1 seek=$((19 * 2048 + 32)) conv=notrunc status=none
    # shellcheck disable=SC2059 # the format is the code
    printf "$SPEAKER" "$2" | dd of="$1" bs=2048 seek=20 conv=notrunc status=none
}
# boots WORDS: what has written to the serial port's file since the start, in this order
has_said() { [[ $(grep -ao '^from the [a-zA-Z ]*' "$ROOT/port.txt" | paste -sd,) == "$1" ]]; }
boots() {
    heard
    (await 30 has_said "$1") || fail "booted: '$(grep -ao '^from the .*' "$ROOT/port.txt" | paste -sd,)', expected '$1'"
}

test_attributes_of_a_q35_guest() {
    need_root
    local uuid=6ba7b810-9dad-11d1-80b4-00c04fd430c8
    mkdir -p "$ROOT/var/lib/vmlaunch/images"
    dd if=/dev/urandom of="$ROOT/unmap.raw" bs=1M count=4 status=none
    cp "$ROOT/unmap.raw" "$ROOT/ignore.raw"
    qemu-img create -q -f qcow2 "$ROOT/read.qcow2" 24M
    truncate -s 17M "$ROOT/var/lib/vmlaunch/images/image.raw"
    truncate -s 3M "$ROOT/unsafe.raw"
    # LOCALTIME and EMULATOR: a program of the template's, in a place nine hours east.
    printf '#!/bin/sh\nTZ=EAST-9 STAND_IN=yes exec /usr/bin/qemu-system-x86_64 "$@"\n' >"$ROOT/east-qemu"
    chmod 755 "$ROOT/east-qemu"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
UUID = "$uuid"
CPU = "2"
VCPU = "2"
MEMORY = "200"
ACCEL = "tcg"
EMULATOR = "$ROOT/east-qemu"
OS = [ ARCH = "x86_64", MACHINE = "q35", KERNEL = "$GUEST/vmlinuz", INITRD = "$GUEST/initrd.img",
       KERNEL_CMD = "${GUEST_CMDLINE/ guest.small/} guest.ip=10.77.0.2/24", ROOT = "vda", BOOT = "nic0, disk1" ]
FEATURES = [ ACPI = "yes", GUEST_AGENT = "yes", LOCALTIME = "yes" ]
CPU_MODEL = [ MODEL = "qemu64" ]
PANIC = [ MODEL = "pci" ]
DISK = [ SOURCE = "unmap.raw", TYPE = "file", FORMAT = "raw", TARGET = "vda", CACHE = "none", IO = "native", DISCARD = "unmap" ]
DISK = [ SOURCE = "$ROOT/ignore.raw", DRIVER = "raw", TARGET = "vdc", CACHE = "writeback", IO = "threads", DISCARD = "ignore" ]
DISK = [ SOURCE = "read.qcow2", READONLY = "yes", CACHE = "directsync" ]
DISK = [ IMAGE = "image.raw", DEV_PREFIX = "vd", CACHE = "writethrough" ]
DISK = [ SOURCE = "unsafe.raw", TARGET = "sdf", CACHE = "unsafe" ]
NIC = [ BRIDGE = "$BRIDGE", BRIDGE_TYPE = "linux", MAC = "02:00:0a:4d:00:02", MODEL = "virtio", TARGET = "vl-$$" ]
NIC = [ BRIDGE_TYPE = "user" ]
SERIAL = [ TYPE = "socket" ]
END
    started
    # NAME UUID CPU VCPU MEMORY ACCEL
    qmp query-name
    reply_is .name "$VM"
    qmp query-uuid
    reply_is .UUID "$uuid"
    if [[ -d /sys/fs/cgroup/cpu ]]; then
        assert_eq "$(cat /sys/fs/cgroup/cpu/machine.slice/vmlaunch-"$VM"/cpu.shares)" 2048 "cpu.shares"
    fi
    qmp query-cpus-fast
    reply_is length 2
    cpu_is qemu64
    qmp query-memory-size-summary
    reply_is '."base-memory"' $((200 << 20))
    qmp query-kvm
    reply_is .enabled false
    # EMULATOR
    grep -zqx STAND_IN=yes "/proc/$PID/environ" || fail "QEMU is not the template's EMULATOR"
    # OS
    qmp query-target
    reply_is .arch x86_64
    qmp qom-get '{"path":"/machine","property":"type"}'
    assert_match "$REPLY_JSON" '^"pc-q35-[0-9.]+-machine"$' "machine"
    assert_eq "$(fd_flags "$(realpath "$GUEST/vmlinuz")" | wc -l)" 1 "fds of the kernel"
    assert_eq "$(fd_flags "$(realpath "$GUEST/initrd.img")" | wc -l)" 1 "fds of the initrd"
    qom peripheral/nic0 bootindex 1
    qom peripheral/disk1 bootindex 2
    qom peripheral/disk0 bootindex -1
    # FEATURES
    qom "" acpi auto
    qom peripheral/agent0 type virtserialport
    clock_is 540
    # PANIC
    qom peripheral/panic0 type pvpanic-pci
    # DISK: SOURCE, IMAGE, FORMAT, TARGET, DEV_PREFIX
    qom peripheral/disk0 type virtio-blk-pci
    qom peripheral/disk1 type virtio-blk-pci
    qom peripheral/disk2 type scsi-hd
    qom peripheral/disk2 scsi-id 0
    qom peripheral/disk3 type virtio-blk-pci
    qom peripheral/disk4 scsi-id 5
    qom peripheral/scsi0 type virtio-scsi-pci
    node disk0-format .drv raw
    node disk2-format .drv qcow2
    disk 2 '.inserted.image."virtual-size"' $((24 << 20))
    disk 3 '.inserted.image."virtual-size"' $((17 << 20))
    # CACHE, READONLY
    cache_is 0 direct flush on
    cache_is 1 cached flush on
    cache_is 2 direct flush off
    cache_is 3 cached flush off
    cache_is 4 cached noflush on
    disk 2 .inserted.ro true
    disk 0 .inserted.ro false
    open_as "$ROOT/unmap.raw" rw direct
    open_as "$ROOT/ignore.raw" rw cached
    open_as "$ROOT/read.qcow2" ro direct
    open_as "$ROOT/var/lib/vmlaunch/images/image.raw" rw cached
    open_as "$ROOT/unsafe.raw" rw cached
    # IO
    has_map '[aio]' || fail "no ring of Linux AIO for IO native"
    # NIC
    assert_contains "$(ip -o link show "vl-$$")" "master $BRIDGE"
    qom peripheral/nic0 type virtio-net-pci
    qom peripheral/nic0 mac 02:00:0a:4d:00:02
    qom peripheral/nic1 netdev net1
    # SERIAL
    qom peripheral/serial0 type isa-serial
    qom peripheral/serial0 chardev serial0
    qmp query-chardev
    reply_is '[.[].label] | sort | join(" ")' "agent0 mon0 serial0"

    # The same from inside.
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest \
        'echo UUID=$(cat /sys/class/dmi/id/product_uuid)' \
        'echo VCPU=$(grep -c ^processor /proc/cpuinfo)' \
        'echo MODEL=$(sed -n "s/^model name.*: //p" /proc/cpuinfo | head -n 1 | cut -c 1-16)' \
        'awk "/^MemTotal/ { print \"MEMORY=\" (\$2 > 120000 && \$2 < 200 * 1024) }" /proc/meminfo' \
        'echo ARCH=$(uname -m)' \
        'echo CMDLINE=$(cut -c 1-27 /proc/cmdline)' \
        'echo ACPI=$(ls -d /sys/firmware/acpi)' \
        'echo PANIC=$(ls /sys/bus/pci/drivers/pvpanic-pci | grep -c 0000)' \
        'show() { echo $1=$(cat $2/size),$(cat $2/ro),$(cat $2/queue/write_cache); }' \
        'for d in vda vdb vdc; do show $d /sys/block/$d; done' \
        'for t in 0 5; do show id$t /sys/bus/scsi/devices/*:0:$t:0/block/sd*; done' \
        'd=$(ls /sys/bus/scsi/devices/*:0:0:0/block); dd if=/dev/zero of=/dev/$d bs=512 count=1 2>/dev/null && echo WRITES=yes || echo WRITES=no' \
        'blkdiscard /dev/vda && echo DISCARD=done; blkdiscard /dev/vdb && echo DISCARD1=done; sync' \
        'echo MAC=$(cat /sys/class/net/eth0/address)' \
        'ping -c 1 -W 20 10.77.0.1 >/dev/null && echo PING=yes' \
        'ip link set eth1 up; udhcpc -n -q -f -S -t 10 -i eth1 -s /sbin/dhcp >/dev/null 2>&1; echo DHCP=$(ip -o -4 addr show eth1 | grep -o 10.0.2.15)'
    said UUID "$uuid"
    said VCPU 2
    said MODEL "QEMU Virtual CPU"
    said MEMORY 1
    said ARCH x86_64
    said CMDLINE "root=/dev/vda console=ttyS0"
    said ACPI /sys/firmware/acpi
    said PANIC 1
    # In the guest the virtio disks are named in the order of their places: disk 0, 1, 3.
    said vda "$((4 << 11)),0,write back"
    said vdb "$((4 << 11)),0,write back"
    said vdc "$((17 << 11)),0,write through"
    said id0 "$((24 << 11)),1,write through"
    said id5 "$((3 << 11)),0,write back"
    said WRITES no
    said DISCARD "done"
    said DISCARD1 "done"
    assert_eq "$(stat -c %b "$ROOT/unmap.raw")" 0 "blocks of the file after a discard with DISCARD unmap"
    assert_eq "$(stat -c %b "$ROOT/ignore.raw")" $((4 << 11)) "blocks of the file after a discard with DISCARD ignore"
    said MAC 02:00:0a:4d:00:02
    said PING yes
    said DHCP 10.0.2.15
    ended
}

test_attributes_of_a_pc_guest() {
    need_root
    local uuid=6ba7b811-9dad-11d1-80b4-00c04fd430c8 machine day
    # An older one by its full name.
    machine=$(qemu-system-x86_64 -machine help | awk '/^pc-i440fx-/ && !/deprecated/ { print $1 }' | sort -V | tail -2 | head -1)
    echo "these words are on the CD" >"$ROOT/cd.iso"
    truncate -s 1M "$ROOT/cd.iso"
    truncate -s 5M "$ROOT/second.raw"
    # A place where QEMU's user may not read: it gets the bytes all the same.
    install -d -m 700 "$ROOT/private"
    install -m 600 "$GUEST/initrd.img" "$ROOT/private/initrd.img"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "192 MiB"
ACCEL = "tcg"
OS = [ MACHINE = "$machine", UUID = "$uuid", KERNEL = "$GUEST/vmlinuz", INITRD = "private/initrd.img",
       KERNEL_CMD = "${GUEST_CMDLINE/ guest.small/}" ]
FEATURES = [ ACPI = "no" ]
CPU_MODEL = [ MODEL = "Nehalem" ]
PANIC = [ MODEL = "isa" ]
DISK = [ SOURCE = "cd.iso", TYPE = "cdrom" ]
DISK = [ SOURCE = "second.raw", TARGET = "hdd", CACHE = "default" ]
NIC = [ BRIDGE = "", MODEL = "e1000", TARGET = "vl-$$" ]
NIC = [ BRIDGE_TYPE = "user", MODEL = "rtl8139" ]
END
    started
    qmp query-uuid
    reply_is .UUID "$uuid"
    qmp query-cpus-fast
    reply_is length 1
    cpu_is Nehalem
    qmp query-memory-size-summary
    reply_is '."base-memory"' $((192 << 20))
    assert_match "$(readlink "/proc/$PID/exe")" '/qemu-(kvm|kvm-one|system-x86_64)$' "the emulator found on this host"
    qom "" type "$machine-machine"
    qom "" acpi off
    clock_is 0
    # ISA devices have no id of their own in every version; this one has ours.
    qom peripheral/panic0 type pvpanic
    qom peripheral/disk0 type ide-cd
    qom peripheral/disk0 unit 0
    disk 0 .inserted.ro true
    disk 0 .removable true
    open_as "$ROOT/cd.iso" ro direct
    # hdd: the second channel's second place
    qom peripheral/disk1 type ide-hd
    qom peripheral/disk1 unit 1
    qom peripheral/disk1 parent_bus "/machine/unattached/device[$(ide_controller)]/ide.1"
    open_as "$ROOT/second.raw" rw cached
    qom peripheral/disk1 bootindex -1
    # NIC: a tap in no bridge
    assert_match "$(ip -o link show "vl-$$")" "vl-$$: "
    [[ $(ip -o link show "vl-$$") != *master* ]] || fail "BRIDGE empty: the tap is in a bridge"
    qom peripheral/nic0 type e1000
    qom peripheral/nic1 type rtl8139
    qmp query-pci
    reply_is '[.[].devices[] | select(.qdev_id == "nic0" or .qdev_id == "nic1") | .id.device] | sort | join(" ")' "4110 33081"
    # Without ACPI nobody hears the button.
    expect 8 vml shutdown --mode acpi "$VM"

    expect 0 vml --timeout 60 wait "$VM" --for=agent
    day=$(date -u +%Y-%m-%d)
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest \
        'echo UUID=$(cat /sys/class/dmi/id/product_uuid)' \
        'echo MODEL=$(sed -n "s/^model name.*: //p" /proc/cpuinfo)' \
        'echo ACPI=$(ls -d /sys/firmware/acpi 2>/dev/null)' \
        'echo CD=$(head -n 1 /dev/sr0)' \
        'for d in sr0 sda; do echo $d=$(cat /sys/block/$d/size),$(cat /sys/block/$d/ro); done' \
        'date -u +CLOCK=%Y-%m-%d' \
        'echo NICS=$(cat /sys/bus/pci/devices/*/device | grep -c -e 0x100e -e 0x8139)'
    said UUID "$uuid"
    said MODEL "Intel Core i7 9xx (Nehalem Class Core i7)"
    said ACPI ""
    said CD "these words are on the CD"
    said sda "$((5 << 11)),0"
    # Or it was asked before midnight.
    [[ $SAID == *"CLOCK=$day"* ]] || said CLOCK "$(date -u +%Y-%m-%d)"
    said NICS 2
    ended
}

test_boot_order_and_the_start_from_live_tmpl() {
    need_root
    boot_sector "$ROOT/first.raw" "from the first disk"
    boot_sector "$ROOT/second.raw" "from the second disk"
    boot_cd "$ROOT/cd.iso" "from the CD"
    truncate -s 1M "$ROOT/port.raw"
    local io=
    if grep -qE '[ _]io_uring_setup$' /proc/kallsyms && [[ $(cat /proc/sys/kernel/io_uring_disabled 2>/dev/null) =~ ^0?$ ]]; then
        io=', IO = "io_uring"'
    fi
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
CPU_MODEL = [ MODEL = "host-model" ]
OS = [ BOOT = "disk2,disk1,nic4,disk0" ]
FEATURES = [ GUEST_AGENT = "no" ]
DISK = [ SOURCE = "first.raw", TARGET = "vda"$io ]
DISK = [ SOURCE = "second.raw", TARGET = "vdb" ]
DISK = [ SOURCE = "cd.iso", TYPE = "cdrom" ]
DISK = [ SOURCE = "port.raw", DEV_PREFIX = "hd", DISK_ID = "17" ]
NIC = [ BRIDGE = "$BRIDGE", NIC_ID = "4" ]
SERIAL = [ TYPE = "file", PATH = "port.txt" ]
END
    started
    qom peripheral/disk2 bootindex 1
    qom peripheral/disk1 bootindex 2
    qom peripheral/nic4 bootindex 3
    qom peripheral/disk0 bootindex 4
    cpu_is max
    ! qom_child agent0 || fail "GUEST_AGENT no: there is an agent port"
    qmp query-chardev
    reply_is '[.[].label] | sort | join(" ")' "mon0 serial0"
    # What nobody said: MAC and TARGET by rule.
    assert_contains "$(ip -o link show "$(vml -o json status "$VM" | jq -r '.devices[] | select(.id == "nic4").target')")" "master $BRIDGE"
    qmp qom-get '{"path":"/machine/peripheral/nic4","property":"mac"}'
    assert_match "$REPLY_JSON" '"52:54:00:' "MAC"
    [[ -z $io ]] || has_map 'anon_inode:[io_uring]' || fail "no ring for IO io_uring"
    qom peripheral/disk2 type ide-cd
    disk 2 .inserted.ro true
    qom peripheral/disk17 type ide-hd
    boots "from the CD,from the second disk"
    # live.tmpl says the same machine, whatever becomes of machine.lock.
    cp "$ROOT/run/vmlaunch/$VM/live.tmpl" "$ROOT/again.tmpl"
    tr '\0' '\n' <"/proc/$PID/cmdline" | sed "s/process=$VM-[0-9a-f]*/process=GENERATION/" >"$WORK/argv.first"
    ended
    rm "$ROOT/var/lib/vmlaunch/$VM/machine.lock"
    : >"$ROOT/port.txt"
    TEMPLATE=$ROOT/again.tmpl
    started
    tr '\0' '\n' <"/proc/$PID/cmdline" | sed "s/process=$VM-[0-9a-f]*/process=GENERATION/" >"$WORK/argv.again"
    diff "$WORK/argv.first" "$WORK/argv.again" >"$WORK/diff" || fail "another argv from live.tmpl: $(cat "$WORK/diff")"
    boots "from the CD,from the second disk"
    cmp -s "$ROOT/again.tmpl" "$ROOT/run/vmlaunch/$VM/live.tmpl" || fail "live.tmpl: $(diff "$ROOT/again.tmpl" "$ROOT/run/vmlaunch/$VM/live.tmpl")"
    ended
}

# And a CD before it, where that is said.
test_first_disk_boots_a_pc_when_nobody_says_what() {
    need_root
    boot_sector "$ROOT/first.raw" "from the first disk"
    boot_sector "$ROOT/second.raw" "from the second disk"
    boot_cd "$ROOT/cd.iso" "from the CD"
    qemu-img create -q -f qcow2 -b first.raw -F raw "$ROOT/top.qcow2"
    TEMPLATE=$ROOT/$VM.tmpl
    cat >"$TEMPLATE" <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
CPU_MODEL = [ MODEL = "none" ]
OS = [ MACHINE = "pc" ]
DISK = [ SOURCE = "top.qcow2", IO = "threads" ]
DISK = [ SOURCE = "second.raw", TARGET = "hda" ]
DISK = [ SOURCE = "cd.iso", TYPE = "cdrom" ]
SERIAL = [ TYPE = "file", PATH = "port.txt" ]
END
    started
    cpu_is qemu64
    qom peripheral/disk0 type scsi-hd
    qom peripheral/disk0 bootindex 1
    qom peripheral/disk1 bootindex -1
    # FORMAT by the suffix, the backing file by the header.
    node disk0-format .drv qcow2
    node disk0-format .ro false
    node disk0-base1-format .drv raw
    node disk0-base1-format .ro true
    open_as "$ROOT/top.qcow2" rw direct
    open_as "$ROOT/first.raw" ro direct
    qom peripheral/agent0 type virtserialport
    ! has_map '[aio]' || fail "a ring of Linux AIO without IO native"
    boots "from the first disk"
    ended
    sed -i 's/MACHINE = "pc"/&, BOOT = "disk2,disk0"/' "$TEMPLATE"
    : >"$ROOT/port.txt"
    started
    boots "from the CD,from the first disk"
    ended
}

test_host_passthrough_needs_kvm_and_says_so() {
    need_root
    template ""
    sed -i 's/qemu64/host-passthrough/' "$TEMPLATE"
    expect 10 vml start "$TEMPLATE"
    assert_contains "$ERR" "'host-passthrough' needs KVM"
}

run_tests "$@"
