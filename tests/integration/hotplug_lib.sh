#!/usr/bin/env bash
# shellcheck disable=SC2034 # variables of the files that source it
# What the files about changes of a running VM share: a guest that answers, what it sees, and what a change could leave.

# A guest that runs and answers; $RUN_DIR and its QEMU.
running() { # [LINES...]
    need_root
    template "$@"
    start_ready
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
}
# The same with the scripted peer, whose guest obeys but for what $SCENARIO says.
faked() { # [LINES...]
    need_root
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    [[ -z ${SCENARIO:-} ]] || printf '%s\n' "$SCENARIO" >"$ROOT/fake-qemu.scenario.json"
    template "EMULATOR = \"$ROOT/fake-qemu\"" "$@"
    expect 0 vml start "$TEMPLATE"
    expect 0 vml --timeout 30 wait "$VM" --for=agent
    RUN_DIR=$ROOT/run/vmlaunch/$VM
    QEMU=$(status_of pid)
}
ended() { expect 0 vml destroy "$VM"; }
in_guest() { vml agent "$VM" raw "$@"; }
# What QEMU, live.tmpl and the record say of each other.
all_agree() {
    local differences
    differences=$(vml -o json status "$VM" --compare | jq -c .differences)
    [[ $differences == '[]' ]] || fail "after $1: $differences"
}
# The supervisor has no connection of a client any more, accepted or waiting: its fds are those of the VM. Its socket's name is
# the one that it was bound by, below /proc/self/fd.
no_client_is_left() { ! grep -q '/control\.sock' <<<"$(ss -xH)"; }
# Everything that a change could leave behind.
holdings() {
    local supervisor
    qemu_says query-named-block-nodes | jq -r '.return[]."node-name"' | sort
    qemu_says query-fdsets | jq -c '[.return[].fds | length]'
    qemu_says query-chardev | jq -r '.return[].label' | sort
    qemu_says qom-list '{"path":"/machine/peripheral"}' | jq -r '.return[].name' | sort
    qemu_says qom-list '{"path":"/objects"}' | jq -r '.return[].name' | sort
    supervisor=$(status_of supervisor_pid)
    await 10 no_client_is_left
    find "/proc/$QEMU/fd" -type l -printf '%l\n' | sed -E 's/:\[[0-9]+\]//' | sort | uniq -c
    find "/proc/$supervisor/fd" -type l -printf '%l\n' | sed -E 's/:\[[0-9]+\]//' | sort | uniq -c
    ip -o link show | awk -F': ' '{ print $2 }' | sort
    find "$ROOT/run/vmlaunch/images" -type f 2>/dev/null | sort
    group_dirs | sort
    wc -l <"$RUN_DIR/journal"
    # What was plugged and is no more is a row with 0.
    grep -vE '^(#|(VCPU|MEMORY)_PLUGGED = "0)' "$RUN_DIR/live.tmpl"
}
disks_in_guest() { in_guest '{"execute":"guest-get-disks"}' | jq -r '.. | .name? // empty' | sort -u; }
has_disk() { grep -qx "/dev/$1" <<<"$(disks_in_guest)"; }
has_no_disk() { ! has_disk "$1"; }
macs_in_guest() { in_guest '{"execute":"guest-network-get-interfaces"}' | jq -r '.. | ."hardware-address"? // empty'; }
has_mac() { grep -qx "$1" <<<"$(macs_in_guest)"; }
has_no_mac() { ! has_mac "$1"; }
vcpus_in_guest() { in_guest '{"execute":"guest-get-vcpus"}' | jq length; }
has_vcpus() { [[ $(vcpus_in_guest) == "$1" ]]; }
# Pieces of 128 MiB that it uses.
blocks_in_guest() { in_guest '{"execute":"guest-get-memory-blocks"}' | jq '[.[] | select(.online)] | length'; }
has_blocks() { [[ $(blocks_in_guest) == "$1" ]]; }
device_state() { vml -o json status "$VM" | jq -r --arg id "$1" '.devices[] | select(.id == $id).state'; }
device_is_gone() { [[ $(vml -o json status "$VM" | jq --arg id "$1" '[.devices[] | select(.id == $id)] | length') == 0 ]]; }
# The backend of a disk is there.
has_backend() { [[ $(qemu_says query-named-block-nodes) == *"$1-format"* ]] || fail "the backend of $1 was lost"; }
