#!/usr/bin/env bash
# VMs that are no units: started by hand, by a user, and where systemd cannot be talked to.
# Tests of systemd.sh, which sources this file in its guest; run by itself it has them run there, or those that are named.

test_vm_that_is_started_by_hand_has_a_scope_that_goes_with_it() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    # With something to say at once.
    echo 'SLICE = "brass.slice"' >>/root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    await 20 scope_says "nobody has defined 'brass.slice'"
    await 20 scope_says "web: the guest runs"
    expect 0 vmlaunch destroy web
    await 20 scope_says "web: everything its start did is undone"
    assert_eq "$(journalctl -b -u vmlaunch-web.scope -t vmlaunch -p err -o cat)" "" "errors in the journal of what ended as asked"
    sed -i '/SLICE/d' /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web unit)" vmlaunch-web.scope "unit"
    assert_every_limit vmlaunch-web.scope
    assert_contains "$(systemctl status vmlaunch-web.scope)" "guest=web" "systemctl status"
    assert_contains "$(journalctl -b -o cat "VMLAUNCH_VM=web" "VMLAUNCH_GENERATION=$(status_of web generation)")" \
        "web: the guest runs" "journal by VM and generation"
    await 20 is_registered web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(status_of web supervisor_pid)
    kill -KILL "$supervisor"
    await 20 has_other_supervisor web "$supervisor"
    assert_eq "$(status_of web pid)" "$qemu" "QEMU of the next supervisor"
    # Its guest has time: the whole scope is told, and only the supervisor listens.
    expect 0 systemctl stop vmlaunch-web.scope
    assert_eq "$(status_of web verdict)" guest-off "verdict of systemctl stop"
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 vmlaunch destroy web
    # The last scope may not be gone yet.
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 vmlaunch shutdown web
}
scope_says() { [[ $(journalctl -b -u vmlaunch-web.scope -o cat) == *"$1"* ]]; }
has_other_supervisor() { [[ $(status_of "$1" 'state + " \(.supervisor_pid)"') =~ ^running\ [0-9]+$ && ${BASH_REMATCH[0]} != "running $2" ]]; }
status_says() { [[ $(status_of "$1" "$2") == "$3" ]]; }

test_without_d_bus_the_vm_runs_without_group_and_with_one_warning() {
    define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 unshare --mount -- bash -c 'mount -t tmpfs none /run/dbus && exec vmlaunch start /root/web.tmpl'
    assert_contains "$(status_of web 'warnings[0]')" "systemd cannot be talked to, there is no D-Bus" "warning"
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    expect 0 vmlaunch destroy web
    # A unit whose limits systemd has read needs nobody to talk to; one whose limits it has not is told what to do.
    mv /root/web.tmpl "$VMS/web.tmpl"
    web_has Service 'TemporaryFileSystem=/run/dbus'
    expect 0 vmlaunch start web
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' "$VMS/web.tmpl"
    expect 10 vmlaunch start web
    assert_match "$ERR" "'systemctl daemon-reload', and cannot be told: .*there is no D-Bus" "error"
    systemctl daemon-reload
    expect 0 vmlaunch start web
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 300 "limit"
    expect 0 vmlaunch destroy web
}

# without FILES COMMAND...: where these are not
without() {
    local files=$1
    shift
    # shellcheck disable=SC2016 # for the inner shell
    unshare --mount -- bash -c 'for at in $1; do mount --bind /dev/null "$at"; done; shift; exec "$@"' - "$files" "$@"
}
test_busctl_stands_in_for_libsystemd_and_neither_is_said() {
    local library
    library=$(readlink -f /usr/lib/*/libsystemd.so.0)
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 without "$library" vmlaunch start /root/web.tmpl
    assert_eq "$(status_of web unit)" vmlaunch-web.scope "unit"
    assert_every_limit vmlaunch-web.scope
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' /root/web.tmpl
    expect 0 vmlaunch update web --file /root/web.tmpl
    assert_eq "$(limit vmlaunch-web.scope pids pids.max) $(property vmlaunch-web.scope TasksMax)" "300 300" "limit, property"
    expect 0 vmlaunch destroy web
    # Neither: one warning, and no group.
    expect 0 without "$library /usr/bin/busctl" vmlaunch start /root/web.tmpl
    assert_contains "$(status_of web 'warnings[0]')" "systemd cannot be talked to, there is neither libsystemd nor busctl" "warning"
    assert_eq "$(status_of web 'warnings | length') $(status_of web cgroup)" "1 null" "warnings, group"
    expect 0 vmlaunch destroy web
    # A unit has its limits all the same, and a change of them is refused.
    mv /root/web.tmpl "$VMS/web.tmpl"
    web_has Service "InaccessiblePaths=$library" InaccessiblePaths=/usr/bin/busctl
    expect 0 systemctl start vmlaunch@web
    sed -i 's/^PIDS_LIMIT.*/PIDS_LIMIT = "400"/' "$VMS/web.tmpl"
    expect 10 vmlaunch update web --file "$VMS/web.tmpl"
    assert_contains "$ERR" "neither libsystemd nor busctl can talk to D-Bus" "error"
    assert_eq "$(limit vmlaunch@web.service pids pids.max)" 300 "limit"
    assert_eq "$(status_of web 'pending | join(" ")')" PIDS_LIMIT "what is pending"
    expect 0 vmlaunch destroy web
}

# as_user COMMAND...: as uid 1000, in a service of its own systemd, as anything of a session is
as_user() {
    setpriv --reuid 1000 --regid 1000 --init-groups env -i HOME=/home/user PATH="$PATH" XDG_RUNTIME_DIR=/run/user/1000 \
        DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/1000/bus "$@"
}
test_v2_users_start_has_a_scope_of_the_users_own_systemd() {
    local group qemu
    mkdir -p /home/user
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "200" ]'
    mv "$VMS/web.tmpl" /home/user/
    chown -R 1000:1000 /home/user
    systemctl start user@1000.service
    await 30 test -S /run/user/1000/bus
    expect 0 as_user systemd-run --user --quiet --pipe --wait vmlaunch start /home/user/web.tmpl
    qemu=$(user_status pid)
    group=$(user_status cgroup)
    assert_match "$group" '^user.slice/user-1000.slice/user@1000.service/.*\.scope$' "group"
    assert_contains "$(cat "/proc/$qemu/cgroup")" "0::/$group" "QEMU's group"
    assert_eq "$(cat "/sys/fs/cgroup/$group"/{pids.max,memory.max} | xargs)" "200 $((200 << 20))" "limits"
    assert_eq "$(as_user systemctl --user show -p ActiveState --value "${group##*/}")" active "scope"
    sed -i 's/"200"/"250"/' /home/user/web.tmpl
    expect 0 as_user vmlaunch update web --file /home/user/web.tmpl
    assert_eq "$(cat "/sys/fs/cgroup/$group"/{pids.max,memory.max} | xargs)" "250 $((250 << 20))" "limits after the change"
    kill -KILL "$(user_status supervisor_pid)"
    await 30 user_pid_is "$qemu"
    expect 0 as_user vmlaunch shutdown web
    await 20 test ! -e "/sys/fs/cgroup/$group"
    systemctl stop user@1000.service
}
user_status() { as_user vmlaunch -o json status web | jq -r ".$1"; }
user_pid_is() { [[ $(user_status pid) == "$1" ]]; }

# v1 is nothing that systemd gives to users.
test_after_a_reboot_what_a_user_starts_has_no_group_on_v1() {
    mkdir -p /home/user
    define web 'PIDS_LIMIT = "200"' 'MEMTUNE = [ HARD_LIMIT = "200" ]'
    mv "$VMS/web.tmpl" /home/user/
    chown -R 1000:1000 /home/user
    systemctl start user@1000.service
    await 30 test -S /run/user/1000/bus
    expect 0 as_user vmlaunch start /home/user/web.tmpl
    assert_eq "$(user_status 'warnings | length') $(user_status cgroup)" "1 null" "warnings, group"
    assert_contains "$(user_status 'warnings[0]')" "an ordinary user has control groups from a systemd of its own, on cgroup v2" "warning"
    expect 0 as_user vmlaunch shutdown web
    systemctl stop user@1000.service
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || {
    # shellcheck disable=SC2046 # a word each
    (($# > 0)) || set -- $(declare -F | sed -n 's/^declare -f test_//p')
    exec bash "$(dirname "$0")/systemd.sh" "$@"
}
