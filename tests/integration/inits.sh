#!/usr/bin/env bash
# VMs under inits other than systemd: what dist/ has for OpenRC, runit, s6 and BusyBox, run by Debian's own programs of them.
# Each test has this machine's root with those programs laid over it (tests/guest/inits.sh), in namespaces of its own, where
# vmlaunch finds its usual directories.
. "$(dirname "$0")/lib.sh"

# a_host: $R, a root with empty directories of vmlaunch's
a_host() {
    need_root
    grep -qw overlay /proc/filesystems || skip "no overlay file system here"
    [[ -e $GUEST/inits/done ]] || skip "make guest has not unpacked the inits"
    unset VMLAUNCH_ROOT
    local at
    # In this file's own mount namespace, and never below $WORK, which is removed with all that is in it.
    umount -R -l /mnt 2>/dev/null || true
    mount -t tmpfs none /mnt
    R=/mnt/root
    mkdir "$R" /mnt/upper /mnt/work
    # Layers may not lie in each other.
    cp -a "$GUEST/inits" /mnt/
    mount -t overlay none -o lowerdir=/mnt/inits:/,upperdir=/mnt/upper,workdir=/mnt/work "$R"
    for at in /proc /sys /dev /tmp; do mount --rbind "$at" "$R$at"; done
    mount -t tmpfs none "$R/run"
    for at in /etc/init.d /var/lib /var/log /var/cache; do
        mkdir -p "$R$at"
        mount -t tmpfs none "$R$at"
    done
    mkdir -p "$R/etc/vmlaunch/vms" "$R/var/cache/vmlaunch" "$R/etc/runlevels"/{sysinit,boot,default,shutdown} "$R/run/openrc"
    cp "$FACTS"/qemu-*.facts "$R/var/cache/vmlaunch/" 2>/dev/null || true
    install -m 755 "$VMLAUNCH" "$R/usr/bin/vmlaunch"
    install -m 755 "$TOP/build/tests/fake_qemu" "$R/usr/local/bin/fake_qemu"
}
THERE=(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
# there COMMAND...: on that host
there() { "${THERE[@]}" chroot "$R" "$@"; }
define() { # SUFFIX [LINES...]
    local name=$VM$1
    shift
    printf '%s\n' "NAME = \"$name\"" 'MEMORY = "64"' 'ACCEL = "tcg"' 'EMULATOR = "/usr/local/bin/fake_qemu"' "$@" \
        >"$R/etc/vmlaunch/vms/$name.tmpl"
}
of() { ask_status "$2" there vmlaunch -o json status "$VM$1"; }
of_is() { [[ $(of "$1" "$2") == "$3" ]]; }
of_is_not() { [[ $(of "$1" "$2") != "$3" ]]; }
# Of one that does not run, as it is still starting, its state too.
running() { there vmlaunch -o json list | jq -r '.[] | .name + (if .state == "running" then "" else ":" + .state end)' | sort | sed "s/^$VM//" | xargs; }
running_is() { [[ $(running) == "$1" ]]; }
# The order of ends and starts is that of the logs' lines.
when() { sed -n "s/^\([^ ]*\) [a-z]*: .*$2.*/\1/p" "$R/var/log/vmlaunch/$VM$1.log" | tail -1; }
three_in_order() {
    define a 'START_ORDER = "2"' 'START_DELAY = "1"'
    define b 'START_ORDER = "1"' 'START_DELAY = "1"'
    define c
    local one
    for one in a b c; do expect 0 there vmlaunch enable "$VM$one"; done
}
started_in_order() {
    [[ $(when b "QEMU started") < $(when a "QEMU started") && $(when a "QEMU started") < $(when c "QEMU started") ]] ||
        fail "not started in their order"
}
ended_in_order() {
    [[ $(when c "QEMU has ended") < $(when a "QEMU has ended") && $(when a "QEMU has ended") < $(when b "QEMU has ended") ]] ||
        fail "not shut down in the reverse order"
    assert_eq "$(of a verdict) $(of b verdict) $(of c verdict)" "guest-off guest-off guest-off" "verdicts"
}
# survives SUFFIX: its supervisor is killed, and another has the same QEMU
survives() {
    local qemu supervisor
    qemu=$(of "$1" pid) supervisor=$(of "$1" supervisor_pid)
    kill -KILL "$supervisor"
    await 30 is_taken_over "$1" "$supervisor"
    assert_eq "$(of "$1" pid)" "$qemu" "QEMU after its supervisor was killed"
}
is_taken_over() { [[ $(of "$1" state) == running && $(of "$1" supervisor_pid) != "$2" ]]; }
left_there() {
    find "$R/run/vmlaunch" -mindepth 2 ! -name record.json
    find /sys/fs/cgroup -type d -name "vmlaunch-$VM*"
    pgrep -ax fake_qemu
    return 0
}
host_is_clean() {
    local left end=$((SECONDS + 15))
    while left=$(left_there) && [[ -n $left ]]; do
        ((SECONDS < end)) || fail "left: $left"
        sleep 0.05
    done
}

test_openrc_starts_and_stops_vms_in_order_and_one_by_one() {
    a_host
    install -m 755 "$TOP/dist/openrc/vmlaunch" "$TOP/dist/openrc/vmlaunch.vm" "$R/etc/init.d/"
    three_in_order
    touch "$R/run/openrc/softlevel"
    expect 0 there rc-update add vmlaunch default
    # Boot, and shutdown.
    expect 0 there openrc default
    assert_eq "$(running)" "a b c" "running after boot"
    started_in_order
    survives a
    expect 0 there rc-service vmlaunch status
    expect 0 there rc-service vmlaunch stop
    assert_eq "$(running)" "" "running after shutdown"
    ended_in_order
    # A bad one keeps no other from it, and the service can be stopped.
    define a 'CPU = "nonsense"'
    expect 0 there rc-service vmlaunch start
    assert_eq "$(running)" "b c" "running beside a bad one"
    assert_contains "$OUT$ERR" "Not all of them were started"
    expect 0 there rc-service vmlaunch stop
    # One VM.
    ln -s vmlaunch.vm "$R/etc/init.d/vmlaunch.${VM}b"
    expect 0 there rc-service "vmlaunch.${VM}b" start
    assert_eq "$(running)" "b" "running"
    expect 0 there rc-service "vmlaunch.${VM}b" status
    local qemu
    qemu=$(of b pid)
    expect 0 there rc-service "vmlaunch.${VM}b" restart
    [[ $(of b pid) != "$qemu" ]] || fail "it was not started again"
    # One that has ended by itself is started by restart.
    kill -KILL "$(of b pid)"
    await 20 running_is ""
    expect 3 there rc-service "vmlaunch.${VM}b" status
    expect 0 there rc-service "vmlaunch.${VM}b" restart
    assert_eq "$(running)" "b" "running"
    expect 0 there rc-service "vmlaunch.${VM}b" stop
    host_is_clean
}

# a_service KIND SUFFIX: dist's directory of one VM; prints where it is on the host
a_service() {
    mkdir -p "$R/srv/sv" "$R/srv/scan"
    cp -r "$TOP/dist/$1/vmlaunch-NAME" "$R/srv/sv/vmlaunch-$VM$2"
    ln -s "/srv/sv/vmlaunch-$VM$2" "$R/srv/scan/"
}
log_says() { grep -q "$2" "$R/var/log/vmlaunch/$VM$1.log"; }

test_runit_supervises_a_vm_and_starts_all_in_order() {
    a_host
    local sv=/srv/scan qemu
    define web
    a_service runit web
    "${THERE[@]}" chroot "$R" runsvdir -P "$sv" >"$WORK/runsvdir" 2>&1 &
    local runsvdir=$!
    await 20 of_is web state running
    expect 0 there sv status "$sv/vmlaunch-${VM}web"
    survives web
    # Down is the guest's own end, up another start; restart is both.
    qemu=$(of web pid)
    expect 0 there sv -w 60 restart "$sv/vmlaunch-${VM}web"
    await 20 of_is web state running
    [[ $(of web pid) != "$qemu" ]] || fail "it was not started again"
    expect 0 there sv -w 60 down "$sv/vmlaunch-${VM}web"
    assert_eq "$(of web verdict)" guest-off "verdict of sv down"
    # A VM that crashes is not started again by runsv: ON_CRASH is what says so.
    expect 0 there sv up "$sv/vmlaunch-${VM}web"
    await 20 of_is web state running
    kill -SEGV "$(of web pid)"
    await 20 of_is web verdict crashed
    await 20 service_is_down "$sv/vmlaunch-${VM}web"
    rm "$R$sv/vmlaunch-${VM}web"
    # All of them.
    three_in_order
    cp -r "$TOP/dist/runit/vmlaunch" "$R/srv/sv/"
    ln -s /srv/sv/vmlaunch "$R$sv/"
    await 30 running_is "a b c"
    started_in_order
    survives b
    expect 0 there sv -w 60 down "$sv/vmlaunch"
    assert_eq "$(running)" "" "running after down"
    ended_in_order
    # The end of runsvdir is that of its services.
    expect 0 there sv up "$sv/vmlaunch"
    await 30 running_is "a b c"
    kill -HUP "$runsvdir"
    wait "$runsvdir" || true
    await 30 running_is ""
    host_is_clean
}
service_is_down() { [[ $(there sv status "$1") == down:* ]]; }

test_s6_supervises_a_vm_and_starts_all_in_order() {
    a_host
    local sv=/srv/scan qemu
    define web
    a_service s6 web
    "${THERE[@]}" chroot "$R" s6-svscan "$sv" >"$WORK/svscan" 2>&1 &
    local svscan=$!
    await 20 of_is web state running
    survives web
    qemu=$(of web pid)
    expect 0 there s6-svc -wD -T 60000 -d "$sv/vmlaunch-${VM}web"
    assert_eq "$(of web verdict)" guest-off "verdict of s6-svc -d"
    expect 0 there s6-svc -u "$sv/vmlaunch-${VM}web"
    await 20 of_is web state running
    [[ $(of web pid) != "$qemu" ]] || fail "it was not started again"
    # s6-svc -r signals, and the guest's end is a verdict: down for good until it is told otherwise.
    kill -SEGV "$(of web pid)"
    await 20 of_is web verdict crashed
    await 20 s6_is_down "$sv/vmlaunch-${VM}web"
    rm "$R$sv/vmlaunch-${VM}web"
    three_in_order
    cp -r "$TOP/dist/s6/vmlaunch" "$R/srv/sv/"
    ln -s /srv/sv/vmlaunch "$R$sv/"
    expect 0 there s6-svscanctl -an "$sv"
    await 30 running_is "a b c"
    started_in_order
    survives b
    expect 0 there s6-svc -wD -T 60000 -d "$sv/vmlaunch"
    assert_eq "$(running)" "" "running after down"
    ended_in_order
    expect 0 there s6-svc -u "$sv/vmlaunch"
    await 30 running_is "a b c"
    expect 0 there s6-svscanctl -t "$sv"
    wait "$svscan" || true
    await 30 running_is ""
    host_is_clean
}
s6_is_down() { [[ $(there s6-svstat "$1") == "down "* ]]; }

test_busybox_init_starts_and_shuts_down_in_order() {
    a_host
    local init
    three_in_order
    printf '%s\n' '::sysinit:/bin/true' >"$R/etc/inittab"
    cat "$TOP/dist/busybox/inittab" >>"$R/etc/inittab"
    sh -n "$TOP/dist/busybox/S90vmlaunch" || fail "the script of rcS"
    # It is the first process of a namespace, whose power-off is its end.
    # shellcheck disable=SC2016 # for the inner shell
    "${THERE[@]}" unshare --pid --fork --mount -- bash -c \
        'mount -t proc proc "$1/proc" && exec chroot "$1" busybox init' - "$R" >"$WORK/init" 2>&1 &
    init=$!
    await 30 running_is "a b c"
    started_in_order
    kill -USR2 "$(pgrep -P "$init" -f 'busybox init|^init')"
    wait "$init" || true
    assert_eq "$(running)" "" "running after power-off"
    ended_in_order
    expect 0 there sh /"${TOP#/}/dist/busybox/S90vmlaunch" start
    assert_eq "$(running)" "a b c" "running by the script of rcS"
    expect 0 there sh /"${TOP#/}/dist/busybox/S90vmlaunch" stop
    host_is_clean
}

run_tests "$@"
