#!/usr/bin/env bash
# What each attribute of DISK does to a running machine: asked from QEMU, from the host's files, or from the guest.
. "$(dirname "$0")/lib.sh"

# dev N PROPERTY VALUE: of a disk's device
dev() { qom "peripheral/disk$1" "$2" "$3"; }
# wwn N VALUE: jq has no numbers of 64 bits
wwn() { assert_contains "$(qemu_says qom-get "{\"path\":\"/machine/peripheral/disk$1\",\"property\":\"wwn\"}")" "$2" "wwn of disk$1"; }
# limits N JQ-FILTER VALUE: of a disk's throttle group
limits() {
    qmp qom-get "{\"path\":\"/objects/disk$1-limits\",\"property\":\"limits\"}"
    reply_is "$2" "$3"
}
overlays() { echo "$ROOT/var/lib/vmlaunch/$VM/overlays"; }
# header: the lines that every VM here has
header() {
    cat <<END
NAME = "$VM"
MEMORY = "64"
ACCEL = "tcg"
FEATURES = [ GUEST_AGENT = "no" ]
END
}
# secret NAME CONTENT: a file of ETC/secrets
secret() {
    install -d -m 700 "$ROOT/etc/vmlaunch/secrets"
    printf '%s\n' "$2" >"$ROOT/etc/vmlaunch/secrets/$1"
}
# The largest piece of private memory that QEMU may write to, bytes.
largest_memory() {
    local range access rest largest=0
    while read -r range access rest; do
        [[ $access != rw-p ]] || ((0x${range#*-} - 0x${range%-*} <= largest)) || largest=$((0x${range#*-} - 0x${range%-*}))
    done <"/proc/$PID/maps"
    echo "$largest"
}
blocks_of() { stat -c %b "$1"; }

test_formats_clones_and_what_is_made() {
    need_root
    local base
    qemu-img create -q -f vmdk "$ROOT/a.vmdk" 8M
    qemu-img create -q -f vdi "$ROOT/a.vdi" 9M
    qemu-img create -q -f vpc "$ROOT/a.vpc" 8M
    qemu-img create -q -f vhdx "$ROOT/a.vhdx" 8M
    encrypted luks "$ROOT/a.luks" one
    encrypted qcow2 "$ROOT/b.luks" two
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 4T
    qemu-img create -q -f qcow2 -b base.qcow2 -F qcow2 "$ROOT/top.qcow2"
    truncate -s 8M "$ROOT/plain.raw"
    secret one one
    printf two >"$ROOT/two"
    TEMPLATE=$ROOT/$VM.tmpl
    {
        header
        cat <<END
DISK = [ SOURCE = "a.vmdk", FORMAT = "vmdk", TARGET = "vda" ]
DISK = [ SOURCE = "a.vdi", FORMAT = "vdi", TARGET = "vdb", SIZE = "9" ]
DISK = [ SOURCE = "a.vpc", DRIVER = "vpc", TARGET = "vdc" ]
DISK = [ SOURCE = "a.vhdx", FORMAT = "vhdx", TARGET = "vdd" ]
DISK = [ SOURCE = "a.luks", FORMAT = "luks", LUKS_SECRET = "one", TARGET = "vde" ]
DISK = [ SOURCE = "b.luks", FORMAT = "qcow2", LUKS_SECRET = "$ROOT/two", TARGET = "vdf" ]
DISK = [ SOURCE = "base.qcow2", CLONE = "yes", TARGET = "vdg", L2_CACHE_SIZE = "auto", SIZE = "5 TiB" ]
DISK = [ SOURCE = "plain.raw", PERSISTENT = "no", TARGET = "vdh" ]
DISK = [ SOURCE = "top.qcow2", COPY_ON_READ = "yes", TARGET = "vdi", DETECT_ZEROES = "on" ]
DISK = [ TYPE = "fs", SIZE = "16", FS = "ext4", PERSISTENT = "yes", TARGET = "vdj", SERIAL = "auto" ]
DISK = [ TYPE = "fs", SIZE = "17", FORMAT = "qcow2", FILESYSTEM = "ext2", TARGET = "vdk", DETECT_ZEROES = "unmap" ]
DISK = [ TYPE = "fs", SIZE = "18", DISK_TYPE = "file", TARGET = "vdl", DETECT_ZEROES = "off" ]
DISK = [ TYPE = "swap", SIZE = "19", TARGET = "vdm" ]
END
    } >"$TEMPLATE"
    started
    node disk0-format .drv vmdk
    node disk1-format .drv vdi
    disk 1 '.inserted.image."virtual-size"' $((9 << 20))
    node disk2-format .drv vpc
    node disk3-format .drv vhdx
    node disk4-format .drv luks
    # The passphrase opened it: the size is that of what is inside.
    disk 4 '.inserted.image."virtual-size"' $((8 << 20))
    node disk5-format .encrypted true
    node disk5-format '.image."format-specific".data.encrypt.format' luks
    # A clone: its own overlay, and the image below read-only.
    disk 6 '.inserted.image."virtual-size"' $((5 << 40))
    node disk6-format .drv qcow2
    node disk6-format .ro false
    node disk6-base1-format .ro true
    open_as "$(overlays)/disk6.qcow2" rw direct
    open_as "$ROOT/base.qcow2" ro direct
    # auto: an 8192th of 5 TiB, all of it in one piece of memory.
    (($(largest_memory) >= 640 << 20)) || fail "the L2 tables have no 640 MiB: $(largest_memory)"
    open_as "$(overlays)/disk7-dropped.qcow2" rw direct
    open_as "$ROOT/plain.raw" ro direct
    node disk8-cor .drv copy-on-read
    disk 8 '.inserted."node-name"' disk8-cor
    node disk8-format .detect_zeroes on
    node disk10-format .detect_zeroes unmap
    node disk11-format .detect_zeroes off
    # What was made, with what is in it.
    disk 9 '.inserted.image."virtual-size"' $((16 << 20))
    dev 9 serial "$(status_of uuid | cut -c 1-8)-9"
    disk 10 '.inserted.image."virtual-size"' $((17 << 20))
    assert_eq "$(blkid -p -o value -s TYPE "$(overlays)/disk9.raw")" ext4 "file system"
    node disk10-format .drv qcow2
    qemu-img convert -U -O raw "$(overlays)/disk10-dropped.qcow2" "$WORK/inside"
    assert_eq "$(blkid -p -o value -s TYPE "$WORK/inside")" ext2 "file system in a qcow2 image"
    assert_eq "$(stat -c '%s %b' "$(overlays)/disk11-dropped.raw")" "$((18 << 20)) 0" "size and blocks of an empty disk"
    assert_eq "$(blkid -p -o value -s TYPE "$(overlays)/disk12-dropped.raw")" swap "swap"
    in_status disk7 .source "$(overlays)/disk7-dropped.qcow2"
    in_status disk7 .format qcow2
    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" "[]" "differences"
    base=$(stat -c %i "$(overlays)/disk6.qcow2")
    ended
    assert_eq "$(cd "$(overlays)" && echo *)" "disk6.qcow2 disk9.raw" "what is kept"

    # It is used again; over another image it is not.
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(stat -c %i "$(overlays)/disk6.qcow2")" "$base" "the clone"
    expect 0 vml destroy "$VM"
    sed -i "s/base.qcow2\", CLONE/top.qcow2\", CLONE/; s/, SIZE = \"5 TiB\"//; s/DISK = .*COPY_ON_READ.*//" "$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "was made over '$ROOT/base.qcow2', not over '$ROOT/top.qcow2'"
    assert_eq "$(cd "$(overlays)" && echo *)" "disk6.qcow2 disk9.raw" "what is kept after a failed start"
}

test_a_start_that_fails_leaves_nothing_that_it_made() {
    need_root
    TEMPLATE=$ROOT/$VM.tmpl
    {
        header
        cat <<END
DISK = [ TYPE = "fs", SIZE = "1", TARGET = "vda" ]
DISK = [ TYPE = "fs", SIZE = "1", PERSISTENT = "yes", FORMAT = "qcow2", TARGET = "vdb" ]
DISK = [ TYPE = "nbd", NBD_SOCKET = "nobody.sock", TARGET = "vdc" ]
END
    } >"$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "connect to '$ROOT/nobody.sock'"
    [[ ! -e $ROOT/var/lib/vmlaunch/$VM ]] || fail "left: $(find "$ROOT/var/lib/vmlaunch/$VM")"
    # A file system that does not fit is mkfs's to say.
    sed -i '/nbd/d; s/TARGET = "vdb"/FS = "ext4", TARGET = "vdb"/; s/SIZE = "1", PERS/SIZE = "10 KiB", PERS/' "$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "make the image '$(overlays)/disk1.qcow2'"
    [[ ! -e $ROOT/var/lib/vmlaunch/$VM ]] || fail "left: $(find "$ROOT/var/lib/vmlaunch/$VM")"
}

# Everything a QEMU can be asked about devices, controllers, limits and boot order, without a guest.
test_devices_controllers_and_limits() {
    need_root
    local name
    for name in a b c d e f g; do truncate -s 8M "$ROOT/$name.raw"; done
    truncate -s 1440K "$ROOT/floppy.img"
    TEMPLATE=$ROOT/$VM.tmpl
    {
        header | grep -v FEATURES
        cat <<END
VCPU = "3"
FEATURES = [ GUEST_AGENT = "no", IOTHREADS = "2", VIRTIO_SCSI_QUEUES = "4", VIRTIO_BLK_QUEUES = "auto" ]
DISK = [ SOURCE = "a.raw", TARGET = "vda", SERIAL = "WD-0123456789", LOGICAL_BLOCK_SIZE = "4096", PHYSICAL_BLOCK_SIZE = "8192",
  ORDER = "2", ERROR_POLICY = "stop", TOTAL_BYTES_SEC = "1000000", TOTAL_BYTES_SEC_MAX = "4000000", TOTAL_BYTES_SEC_MAX_LENGTH = "10",
  TOTAL_IOPS_SEC = "300", TOTAL_IOPS_SEC_MAX = "400", TOTAL_IOPS_SEC_MAX_LENGTH = "5", SIZE_IOPS_SEC = "4096" ]
DISK = [ SOURCE = "b.raw", TARGET = "vdb", IOTHREAD = "2", VIRTIO_BLK_QUEUES = "1", ORDER = "1", SHAREABLE = "yes",
  READ_BYTES_SEC = "10", READ_BYTES_SEC_MAX = "20", READ_BYTES_SEC_MAX_LENGTH = "3",
  WRITE_BYTES_SEC = "30", WRITE_BYTES_SEC_MAX = "40", WRITE_BYTES_SEC_MAX_LENGTH = "4",
  READ_IOPS_SEC = "50", READ_IOPS_SEC_MAX = "60", READ_IOPS_SEC_MAX_LENGTH = "5",
  WRITE_IOPS_SEC = "70", WRITE_IOPS_SEC_MAX = "80", WRITE_IOPS_SEC_MAX_LENGTH = "6" ]
DISK = [ SOURCE = "c.raw", TARGET = "vdc", PERSISTENT_TYPE = "immutable", RERROR_POLICY = "report" ]
DISK = [ SOURCE = "d.raw", TARGET = "sda", SERIAL = "123456789012345678901234567890123456", WWN = "5000c50015ea71ad",
  VENDOR = "ACMECORP", PRODUCT = "SUPERFAST", ROTATION_RATE = "7200", ERROR_POLICY = "ignore", RERROR_POLICY = "stop" ]
DISK = [ SOURCE = "e.raw", TARGET = "sdc", ERROR_POLICY = "enospace", PERSISTENT_TYPE = "shareable" ]
DISK = [ SOURCE = "f.raw", TARGET = "hdc", WWN = "0x5000c50015ea71ae", ROTATION_RATE = "1", ERROR_POLICY = "report" ]
DISK = [ TYPE = "cdrom", SERIAL = "CD" ]
DISK = [ TYPE = "floppy", SOURCE = "floppy.img", READONLY = "yes" ]
DISK = [ TYPE = "floppy", TARGET = "fdb", ORDER = "3" ]
DISK = [ SOURCE = "g.raw", TYPE = "disk", CLONE = "no", PERSISTENT = "yes", TARGET = "vdd" ]
END
    } >"$TEMPLATE"
    started
    dev 0 serial WD-0123456789
    dev 0 logical_block_size 4096
    dev 0 physical_block_size 8192
    dev 0 num-queues 3
    dev 0 bootindex 2
    dev 0 werror stop
    dev 0 rerror stop
    dev 0 iothread /objects/iothread1
    dev 1 iothread /objects/iothread2
    dev 1 num-queues 1
    dev 1 bootindex 1
    dev 1 share-rw true
    dev 2 iothread /objects/iothread2
    dev 2 rerror report
    disk 2 .inserted.ro true
    open_as "$ROOT/c.raw" ro direct
    # Turns: disk0 and disk2 the first and the second, disk9 the first again, then the controller.
    dev 9 iothread /objects/iothread1
    open_as "$ROOT/g.raw" rw direct
    qom peripheral/scsi0 iothread /objects/iothread2
    qom peripheral/scsi0 num_queues 4
    qmp query-iothreads
    reply_is length 2
    dev 3 serial 123456789012345678901234567890123456
    wwn 3 $((0x5000c50015ea71ad))
    dev 3 vendor ACMECORP
    dev 3 product SUPERFAST
    dev 3 rotation_rate 7200
    dev 3 werror ignore
    dev 3 rerror stop
    dev 4 werror enospc
    dev 4 rerror report
    dev 4 share-rw true
    dev 4 scsi-id 2
    dev 5 type ide-hd
    wwn 5 $((0x5000c50015ea71ae))
    dev 5 rotation_rate 1
    dev 5 werror report
    dev 6 serial CD
    disk 6 'has("inserted")' false
    qom peripheral/fdc0 type isa-fdc
    qom peripheral/fdc0 bootindexB 3
    dev 7 type floppy
    dev 7 unit 0
    disk 7 .inserted.ro true
    dev 8 unit 1
    disk 8 'has("inserted")' false
    # Each limit with its burst and length, of an object of its own.
    node disk0-throttle .drv throttle
    disk 0 '.inserted."node-name"' disk0-throttle
    limits 0 '[."bps-total", ."bps-total-max", ."bps-total-max-length"]' "[1000000,4000000,10]"
    limits 0 '[."iops-total", ."iops-total-max", ."iops-total-max-length", ."iops-size"]' "[300,400,5,4096]"
    limits 1 '[."bps-read", ."bps-read-max", ."bps-read-max-length"]' "[10,20,3]"
    limits 1 '[."bps-write", ."bps-write-max", ."bps-write-max-length"]' "[30,40,4]"
    limits 1 '[."iops-read", ."iops-read-max", ."iops-read-max-length"]' "[50,60,5]"
    limits 1 '[."iops-write", ."iops-write-max", ."iops-write-max-length"]' "[70,80,6]"
    # They can be changed while it runs: what update does.
    qmp qom-set '{"path":"/objects/disk1-limits","property":"limits","value":{"bps-read":11,"bps-read-max":21}}'
    limits 1 '[."bps-read", ."bps-read-max", ."bps-write"]' "[11,21,30]"
    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" "[]" "differences"
    assert_eq "$(jq -r 'select(.effect == "image-open" and (.args.path | endswith("/b.raw"))).args.lock' "$ROOT/run/vmlaunch/$VM/journal")" shared "lock of a shareable image"
    ended
}

# What block devices become, and drives of a PC.
test_block_devices_and_a_pcs_floppy() {
    need_root
    truncate -s 8M "$ROOT/block.raw" "$ROOT/cd.raw"
    truncate -s 1440K "$ROOT/floppy.img"
    # Not local: the trap comes after the function.
    one=$(losetup -f --show "$ROOT/block.raw" 2>/dev/null) || skip "no loop devices here"
    two=$(losetup -f --show "$ROOT/cd.raw")
    trap 'losetup -d "$one" "$two"' EXIT
    TEMPLATE=$ROOT/$VM.tmpl
    {
        header
        cat <<END
OS = [ MACHINE = "pc" ]
DISK = [ TYPE = "block", SOURCE = "$one", TARGET = "vda" ]
DISK = [ TYPE = "block_cdrom", SOURCE = "$two" ]
DISK = [ TYPE = "floppy", SOURCE = "floppy.img" ]
END
    } >"$TEMPLATE"
    started
    node disk0-file .drv host_device
    node disk0-format .drv raw
    disk 0 '.inserted.image."virtual-size"' $((8 << 20))
    open_as "$one" rw direct
    dev 1 type ide-cd
    node disk1-file .drv host_device
    disk 1 .inserted.ro true
    dev 2 type floppy
    dev 2 unit 0
    disk 2 '.inserted."node-name"' disk2-format
    ended
    # It is no file.
    sed "s/TYPE = \"block\"/TYPE = \"file\"/" "$TEMPLATE" >"$ROOT/file.tmpl"
    expect 6 vml start "$ROOT/file.tmpl"
    assert_contains "$ERR" "block device"
    # DISK_TYPE says it where TYPE does not; a LUN is a SCSI device, which a loop device is not.
    sed -i "s/TYPE = \"block\"/DISK_TYPE = \"block\"/" "$TEMPLATE"
    expect 0 vml plan "$TEMPLATE" --format argv
    assert_contains "$OUT" '"driver":"host_device","node-name":"disk0-file"'
    sed -i "s/DISK_TYPE = \"block\", SOURCE = \"\([^\"]*\)\", TARGET = \"vda\"/TYPE = \"lun\", SOURCE = \"\1\", TARGET = \"sda\"/" "$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "scsi-block"
}

# A real NBD server, by its socket and over the network; a real iSCSI target with CHAP, as disk, LUN and CD.
test_network_disks() {
    need_root
    local control=$((1000 + $$ % 30000)) lines=() iscsi='' lun
    truncate -s 8M "$ROOT/one.raw"
    truncate -s 9M "$ROOT/two.raw"
    qemu-nbd -t -e 2 -f raw -x "disk 1" -k "$ROOT/nbd.sock" "$ROOT/one.raw" &
    nbd1=$!
    qemu-nbd -t -e 2 -f raw -x two -b 127.0.0.1 -p 10809 "$ROOT/two.raw" &
    nbd2=$!
    tgtd=
    # shellcheck disable=SC2086 # may be none
    trap 'kill -KILL $nbd1 $nbd2 $tgtd 2>/dev/null' EXIT # tgtd minds no other while it has targets
    await 10 is_listening "$ROOT/nbd.sock"
    await 10 qemu-img info nbd://127.0.0.1:10809/two
    # The path of the socket is for root alone.
    chmod 600 "$ROOT/nbd.sock"
    if command -v tgtd >/dev/null && compgen -G "/usr/lib/*/qemu/block-iscsi.so" >/dev/null; then
        iscsi=yes
        truncate -s 10M "$ROOT/lun.raw"
        tgtd -f -C "$control" --iscsi portal=127.0.0.1:3261 >"$WORK/tgtd" 2>&1 &
        tgtd=$!
        await 10 tgtadm -C "$control" --lld iscsi --op show --mode target
        tgtadm -C "$control" --lld iscsi --op new --mode target --tid 1 -T iqn.2026-11.test:disk
        for lun in 1 2 3; do
            tgtadm -C "$control" --lld iscsi --op new --mode logicalunit --tid 1 --lun "$lun" -b "$ROOT/lun.raw"
        done
        tgtadm -C "$control" --lld iscsi --op bind --mode target --tid 1 -I ALL
        tgtadm -C "$control" --lld iscsi --op new --mode account --user chapuser --password canarychap12
        tgtadm -C "$control" --lld iscsi --op bind --mode account --tid 1 --user chapuser
        secret chap canarychap12
        lines=(
            'DISK = [ TYPE = "iscsi", ISCSI_HOST = "127.0.0.1:3261", ISCSI_IQN = "iqn.2026-11.test:disk/1", ISCSI_USER = "chapuser", ISCSI_USAGE = "chap", TARGET = "vdc" ]'
            'DISK = [ TYPE = "lun", DISK_TYPE = "iscsi", ISCSI_HOST = "127.0.0.1:3261", SOURCE = "iqn.2026-11.test:disk/2", ISCSI_USER = "chapuser", ISCSI_USAGE = "chap", TARGET = "sda" ]'
            'DISK = [ TYPE = "cdrom", DISK_TYPE = "iscsi", ISCSI_HOST = "127.0.0.1:3261", SOURCE = "iqn.2026-11.test:disk/3", ISCSI_USER = "chapuser", ISCSI_USAGE = "chap" ]'
        )
    fi
    TEMPLATE=$ROOT/$VM.tmpl
    {
        header
        cat <<END
DISK = [ TYPE = "nbd", NBD_SOCKET = "nbd.sock", SOURCE = "disk 1", TARGET = "vda", TOTAL_IOPS_SEC = "1000" ]
DISK = [ TYPE = "file", DISK_TYPE = "nbd", NBD_HOST = "127.0.0.1", SOURCE = "two", READONLY = "yes", TARGET = "vdb" ]
END
        printf '%s\n' "${lines[@]}"
    } >"$TEMPLATE"
    started
    node disk0-file .drv nbd
    disk 0 '.inserted.image."virtual-size"' $((8 << 20))
    disk 0 '.inserted."node-name"' disk0-throttle
    node disk1-file .drv nbd
    disk 1 '.inserted.image."virtual-size"' $((9 << 20))
    disk 1 .inserted.ro true
    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" "[]" "differences"
    if [[ -n $iscsi ]]; then
        node disk2-file .drv iscsi
        disk 2 '.inserted.image."virtual-size"' $((10 << 20))
        dev 3 type scsi-block
        disk 3 '.inserted.image."virtual-size"' $((10 << 20))
        dev 4 type ide-cd
        disk 4 .inserted.ro true
        assert_contains "$(tgtadm -C "$control" --lld iscsi --op show --mode conn --tid 1)" Session "connections of the target"
    fi
    ended
    [[ -n $iscsi ]] || skip "no iSCSI here: tgt and qemu-block-extra; NBD was seen"
    secret chap wrongwrong12
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "Authentication failure"
}

# What only a guest sees, of processors, memory and disks: one boot for all of them.
test_a_guests_nodes_balloon_and_disks() {
    need_root
    local before i2 worked first both
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 8M
    before=$(sha256sum <"$ROOT/base.qcow2")
    dd if=/dev/urandom of="$ROOT/zeroes.raw" bs=1M count=4 status=none
    truncate -s 64M "$ROOT/slow.raw"
    truncate -s 8M "$ROOT/scsi.raw" "$ROOT/large.raw"
    TEMPLATE=$ROOT/$VM.tmpl
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/} # for drivers of SCSI
    template 'VCPU = "3"' 'VCPU_MAX = "4"' 'MEMORY_MAX = "320"' \
        'TOPOLOGY = [ SOCKETS = "2", CORES = "1", THREADS = "2" ]' \
        'NUMA_NODE = [ TOTAL_CPUS = "2", MEMORY = "192", DISTANCE = "1:25" ]' \
        'NUMA_NODE = [ TOTAL_CPUS = "2", MEMORY = "128", DISTANCE = "0:35" ]' \
        'BALLOON = [ STATS_PERIOD = "1" ]' \
        'FEATURES = [ IOTHREADS = "2", VIRTIO_SCSI_QUEUES = "2", VIRTIO_BLK_QUEUES = "auto" ]' \
        'DISK = [ SOURCE = "base.qcow2", CLONE = "yes", TARGET = "vda", SERIAL = "WD-01", IOTHREAD = "2" ]' \
        'DISK = [ SOURCE = "base.qcow2", PERSISTENT = "no", TARGET = "vdb", VIRTIO_BLK_QUEUES = "1", IOTHREAD = "1" ]' \
        'DISK = [ TYPE = "fs", SIZE = "16", FS = "ext4", PERSISTENT = "yes", TARGET = "vdc" ]' \
        'DISK = [ TYPE = "swap", SIZE = "16", TARGET = "vdd" ]' \
        'DISK = [ SOURCE = "slow.raw", TARGET = "vde", WRITE_BYTES_SEC = "1000000", WRITE_BYTES_SEC_MAX = "8000000", WRITE_BYTES_SEC_MAX_LENGTH = "1" ]' \
        'DISK = [ SOURCE = "large.raw", TARGET = "vdf", LOGICAL_BLOCK_SIZE = "4096", PHYSICAL_BLOCK_SIZE = "4096" ]' \
        'DISK = [ SOURCE = "zeroes.raw", TARGET = "vdg", DETECT_ZEROES = "unmap" ]' \
        'DISK = [ SOURCE = "scsi.raw", TARGET = "sda", WWN = "5000c50015ea71ad", VENDOR = "ACMECORP", PRODUCT = "SUPERFAST", ROTATION_RATE = "1", SERIAL = "S1" ]'
    # AMD's models have one thread a core.
    sed -i 's/qemu64/Nehalem/' "$TEMPLATE"
    start_ready
    PID=$(status_of pid)
    qmp_open
    # The balloon takes what is above MEMORY, and tells.
    balloon_is() { qmp query-balloon && [[ $(jq .actual <<<"$REPLY_JSON") == "$1" ]]; }
    has_stats() { qmp qom-get '{"path":"/machine/peripheral/balloon0","property":"guest-stats"}' && jq -e '."last-update" > 0' <<<"$REPLY_JSON"; }
    await 30 balloon_is $((256 << 20))
    await 30 has_stats
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest \
        'cd /sys/devices/system/node; echo NODES=$(cat online)' \
        'echo CPUS=$(cat node0/cpulist),$(cat node1/cpulist)' \
        'echo DISTANCES=$(cat node0/distance node1/distance)' \
        'awk "/MemTotal/ { n = n (\$4 > 60000 && \$4 < 320 * 1024 ? 1 : 0) } END { print \"MEMORY=\" n }" node0/meminfo node1/meminfo' \
        'cd ../cpu; echo POSSIBLE=$(cat possible),$(cat online)' \
        'echo SOCKETS=$(cat cpu*/topology/physical_package_id | sort -u | wc -l)' \
        'echo THREADS=$(cat cpu0/topology/thread_siblings_list)' \
        'awk "/^MemTotal/ { print \"TOTAL=\" (\$2 > 150000 && \$2 < 256 * 1024) }" /proc/meminfo'
    said NODES 0-1
    said CPUS 0-1,2
    said DISTANCES "10 25 35 10"
    said MEMORY 11
    said POSSIBLE 0-3,0-2
    said SOCKETS 2
    said THREADS 0-1
    said TOTAL 1
    qmp query-iothreads
    i2=$(jq '.[] | select(.id == "iothread2")."thread-id"' <<<"$REPLY_JSON")
    worked=$(cut -d' ' -f1 "/proc/$PID/task/$i2/schedstat")
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest \
        'queues() { echo $1=$(ls /sys/block/$1/mq | wc -l); }; queues vda; queues vdb; queues sda' \
        'echo SERIAL=$(cat /sys/block/vda/serial)' \
        'echo LOGICAL=$(cat /sys/block/vdf/queue/logical_block_size) PHYSICAL=$(cat /sys/block/vdf/queue/physical_block_size)' \
        'echo SCSI=$(cat /sys/block/sda/device/vendor /sys/block/sda/device/model /sys/block/sda/queue/rotational)' \
        'echo WWID=$(cat /sys/block/sda/device/wwid)' \
        'mount -t ext4 /dev/vdc /mnt && echo kept >/mnt/kept && umount /mnt && echo FS=written' \
        'swapon /dev/vdd && echo SWAP=$(grep -c vdd /proc/swaps)' \
        'echo cloned | dd of=/dev/vda bs=512 conv=sync 2>/dev/null; echo dropped | dd of=/dev/vdb bs=512 conv=sync 2>/dev/null' \
        'dd if=/dev/vda of=/dev/null bs=1M 2>/dev/null; dd if=/dev/zero of=/dev/vda bs=1M seek=1 count=6 conv=fsync 2>/dev/null' \
        'dd if=/dev/zero of=/dev/vdg bs=1M count=4 conv=fsync 2>/dev/null; sync' \
        'spent() { a=$(cut -d" " -f1 /proc/uptime | tr -d .); first=${first:-$a}; for i in 0 1 2 3 4 5; do dd if=/dev/urandom of=/dev/vde bs=64k count=16 seek=$(($2 + i * 16)) conv=fsync 2>/dev/null; done; b=$(cut -d" " -f1 /proc/uptime | tr -d .); echo $1=$((b - a)) BOTH=$((b - first)); }' \
        'dd if=/dev/urandom of=/dev/null bs=64k count=96 2>/dev/null; spent BURST 0; spent BASE 96'
    said vda 3
    said vdb 1
    said sda 2
    said SERIAL WD-01
    said LOGICAL "4096 PHYSICAL=4096"
    said SCSI "ACMECORP SUPERFAST 0"
    said WWID naa.5000c50015ea71ad
    said FS written
    said SWAP 1
    # 6 MiB each, one by one: QEMU makes one request of all that come together, and a request that has begun is not held
    # up. The first go with the burst: 1 MB/s alone would make 6.3 s of them. Both together are 4.6 MB more than the burst
    # can take, of which the last is not waited for.
    first=$(sed -n 's/^\(guest# \)*BURST=\([0-9]*\) .*/\2/p' <<<"$SAID" | tail -1)
    both=$(sed -n 's/^\(guest# \)*BASE=.* BOTH=\([0-9]*\)/\2/p' <<<"$SAID" | tr -d '\r' | tail -1)
    ((first < 550)) || fail "6 MiB took $first hundredths of a second, no burst"
    ((both > 300)) || fail "12 MiB took $both hundredths of a second, no limit"
    # The thread of the disk that has it did the work.
    (($(cut -d' ' -f1 "/proc/$PID/task/$i2/schedstat") > worked + 1000000)) || fail "iothread2 did nothing"
    assert_eq "$(blocks_of "$ROOT/zeroes.raw")" 0 "blocks of a file that zeroes were written to, with DETECT_ZEROES unmap"
    ended
    assert_eq "$(sha256sum <"$ROOT/base.qcow2")" "$before" "the image below the clones"
    assert_eq "$(cd "$(overlays)" && echo *)" "disk0.qcow2 disk2.raw" "what is kept"
    qemu-img convert -f qcow2 -O raw "$(overlays)/disk0.qcow2" "$WORK/inside"
    assert_eq "$(head -c 6 "$WORK/inside")" cloned "what the guest wrote to its clone"
    assert_eq "$(debugfs -R 'cat /kept' "$(overlays)/disk2.raw" 2>/dev/null)" kept "what the guest wrote to a disk that is kept"
}

run_tests "$@"
