#!/usr/bin/env bash
# shellcheck disable=SC2034,SC2153 # variables of the files that source it
# Changes of a running VM for vmlaunch-apply, for the files that send some: a cgroup write, a tap with its NIC, a disk on
# a passed fd.

# The three changes; each a JSON object in a variable. $CPU is a cgroup-write of the plan, $GROUP the link group, $IMAGE the
# disk's file (absent: $WORK/extra.img).
# shellcheck disable=SC2034,SC2153 # given to and taken from who sources this
fragments() {
    CGROUP=$(jq -c '{what: "weight", steps: [{effect: "cgroup-write", args: (. + {value: "512"})}]}' <<<"$CPU")
    NIC=$(jq -nc --arg tap "$TAP" --arg bridge "$BRIDGE" --arg alias "vmlaunch:$VM:@GENERATION@" --argjson group "$GROUP" '
        {what: "attach \($tap)",
         steps: [
           {effect: "net", args: {op: "tap-create", ifname: $tap, queues: 1, "vnet-hdr": true}},
           {effect: "net", args: {op: "link-set", ifname: $tap, group: $group, alias: $alias, mac: "fe:54:00:12:34:56"}},
           {effect: "net", args: {op: "bridge-join", ifname: $tap, bridge: $bridge}},
           {effect: "net", args: {op: "link-up", ifname: $tap}},
           {effect: "qmp", args: {execute: "getfd", arguments: {fdname: "nic9-tap"}}, fd: "tap:\($tap):0"},
           {effect: "qmp", args: {execute: "netdev_add", arguments: {type: "tap", id: "net9", fd: "nic9-tap", vhost: false}}},
           {effect: "qmp", args: {execute: "device_add", arguments:
             {driver: "virtio-net-pci", id: "nic9", netdev: "net9", mac: "52:54:00:12:34:56", bus: "'"${PORT:-rp6}"'", addr: "0x0", romfile: ""}}}],
         live: {set: [{vector: "NIC", attributes: {BRIDGE: $bridge, BRIDGE_TYPE: "linux", TARGET: $tap, MAC: "52:54:00:12:34:56", MODEL: "virtio", NIC_ID: "9", ADDRESS: "'"${PORT:-rp6}"':0x0"}}]},
         devices: {set: [{id: "nic9", kind: "nic", target: $tap, model: "virtio", bridge: $bridge, address: "'"${PORT:-rp6}"':0x0"}]}}')
    DISK=$(jq -nc --arg image "${IMAGE:-$WORK/extra.img}" '
        {what: "attach vdz",
         steps: [
           {effect: "qmp", args: {execute: "add-fd", arguments: {"fdset-id": 900, opaque: "disk9-file"}}, fd: "image"},
           {effect: "qmp", args: {execute: "blockdev-add", arguments:
             {driver: "file", "node-name": "disk9-file", filename: "/dev/fdset/900", "read-only": false}}},
           {effect: "qmp", args: {execute: "blockdev-add", arguments:
             {driver: "raw", "node-name": "disk9-format", file: "disk9-file", "read-only": false}}},
           {effect: "qmp", args: {execute: "device_add", arguments:
             {driver: "virtio-blk-pci", id: "disk9", drive: "disk9-format", bus: "'"${DISK_PORT:-rp7}"'", addr: "0x0"}}}],
         live: {set: [{vector: "DISK", attributes: {SOURCE: $image, TYPE: "file", FORMAT: "raw", TARGET: "vdz", DISK_ID: "9", ADDRESS: "'"${DISK_PORT:-rp7}"':0x0"}}]},
         devices: {set: [{id: "disk9", kind: "disk", target: "vdz", bus: "virtio", source: $image, address: "'"${DISK_PORT:-rp7}"':0x0"}]}}')
    truncate -s 4M "${IMAGE:-$WORK/extra.img}"
}
# Its first N steps, without what they would leave unfinished, and a last one that QEMU refuses.
cut_after() { # FRAGMENT N
    jq -c --argjson n "$2" '.steps = .steps[:$n] + [{effect: "qmp", args: {execute: "device_del", arguments: {id: "nosuch"}}, undo: []}]' <<<"$1"
}
