#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2154 # variables of the files that source it
# A host with devices that it has not: sysfs and the nodes, in this file's own mount namespace. Nodes of vfio are /dev/null;
# what is read of /dev/zero is a USB device 0000:0000.

# False: it cannot be made up here.
made_up_host() {
    local upper=$WORK/dev
    mkdir -p "$upper/changed/vfio" "$upper/changed/bus/usb/001" "$upper/work"
    mknod -m 666 "$upper/changed/vfio/vfio" c 1 3
    mount -t overlay overlay -o "lowerdir=/dev,upperdir=$upper/changed,workdir=$upper/work" /dev 2>/dev/null && mount -t tmpfs tmpfs /sys/bus
}
vfio_group() { mknod -m 600 "/dev/vfio/$1" c 1 3; }
# pci_device ADDRESS VENDOR DEVICE CLASS DRIVER GROUP, below the made-up /sys/bus
pci_device() {
    local directory=/sys/bus/pci/devices/$1
    mkdir -p "$directory"
    echo "0x$2" >"$directory/vendor"
    echo "0x$3" >"$directory/device"
    echo "0x${4}00" >"$directory/class"
    ln -s "../drivers/$5" "$directory/driver"
    ln -s "../../kernel/iommu_groups/$6" "$directory/iommu_group"
}
usb_device() { # BUS PORT NUMBER VENDOR PRODUCT
    local directory=/sys/bus/usb/devices/$1-$2
    mkdir -p "$directory"
    echo "$1" >"$directory/busnum"
    echo "$3" >"$directory/devnum"
    echo "$4" >"$directory/idVendor"
    echo "$5" >"$directory/idProduct"
    echo 00 >"$directory/bDeviceClass"
    mknod -m 664 "/dev/bus/usb/00$1/00$3" c 1 5
}
owner() { stat -c %u "$1"; }
# vmlaunch of a host that lets it raise limits of locked memory, which are told in a file instead.
unlimited() {
    VMLAUNCH=$TOP/build/tests/vmlaunch_unlimited
    : >/dev/memlock
    chmod 666 /dev/memlock
}
# The limit of locked memory that QEMU was given last.
memlock() { awk -v pid="$QEMU" '$1 == pid { last = $2 } END { print last }' /dev/memlock; }

