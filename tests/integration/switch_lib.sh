#!/usr/bin/env bash
# An Open vSwitch of the file that sources it, which switches in user space: in its network and mount namespaces.

OVS=/run/openvswitch
has_switch() { command -v ovs-vswitchd >/dev/null; }
database_begin() { ovsdb-server "$OVS/conf.db" --remote="punix:$OVS/db.sock" --pidfile="$OVS/db.pid" --unixctl="$OVS/db.ctl" --detach --no-chdir 9>&-; }
# Its end: it has let go of the database, and its socket is gone.
database_end() {
    local pid
    pid=$(<"$OVS/db.pid")
    kill "$pid"
    await 10 is_dead "$pid"
    await 10 test ! -e "$OVS/db.sock"
}
vsctl() { ovs-vsctl --timeout=30 "$@"; }
# Bridges ovs0 and ovs1.
switch_begin() {
    mkdir -p "$OVS"
    mount -t tmpfs none "$OVS"
    {
        ovsdb-tool create "$OVS/conf.db" /usr/share/openvswitch/vswitch.ovsschema
        database_begin
        ovs-vsctl --no-wait init
        ovs-vswitchd "unix:$OVS/db.sock" --pidfile="$OVS/switch.pid" --unixctl="$OVS/switch.ctl" --detach --no-chdir 9>&-
        vsctl add-br ovs0 -- set bridge ovs0 datapath_type=netdev -- add-br ovs1 -- set bridge ovs1 datapath_type=netdev
    } >"$OVS/log" 2>&1 || fail "no Open vSwitch: $(<"$OVS/log")"
}
