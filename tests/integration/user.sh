#!/usr/bin/env bash
# The instance of an ordinary user: XDG directories, the user's own uid, no taps; and what is said of what only root can.
. "$(dirname "$0")/lib.sh"

# Nobody has it, so whatever runs under it is the test's.
USER_ID=61234

# own COMMAND...: as that user, with nothing of root's environment
own() {
    (cd / && exec setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups \
        env -i PATH="$PATH" HOME="$HOME_DIR" XDG_RUNTIME_DIR="$HOME_DIR/run" "$@")
}
ovml() { own "$VMLAUNCH" "$@"; }
own_status() { ask_status "$1" ovml -o json status "$VM"; }
own_is() { [[ $(own_status "$1") == "$2" ]]; }
own_is_not() { [[ $(own_status "$1") != "$2" ]]; }
a_user() {
    need_root
    unset VMLAUNCH_ROOT
    HOME_DIR=$WORK/home
    mkdir -p "$HOME_DIR/run" "$HOME_DIR/.config/vmlaunch/vms" "$HOME_DIR/.cache/vmlaunch"
    cp "$ROOT"/var/cache/vmlaunch/* "$HOME_DIR/.cache/vmlaunch/" 2>/dev/null || true
    install -m 755 "$TOP/build/tests/fake_qemu" "$WORK/fake-qemu"
    chmod 700 "$HOME_DIR/run"
    chown -R "$USER_ID:$USER_ID" "$HOME_DIR"
}
user_template() {
    template "EMULATOR = \"$WORK/fake-qemu\"" "$@"
    sed -i '/^CPU = /d' "$TEMPLATE"
}
guest_has_address() { [[ $(ovml agent "$VM" raw '{"execute":"guest-network-get-interfaces"}') == *"\"$1\""* ]]; }
nothing_runs() {
    ! pgrep -u "$USER_ID" >/dev/null && [[ -z $(find "$HOME_DIR/run" -path "*/$VM/*" ! -name record.json) ]]
}

test_a_user_has_vms_of_its_own_from_start_to_shutdown() {
    a_user
    local qemu supervisor passt=''
    # By passt, which wants a way out of the host; without it by slirp.
    way_out
    CMDLINE=guest.dhcp template 'NIC = [ BRIDGE_TYPE = "user" ]' 'PIDS_LIMIT = "300"'
    expect 0 ovml start "$TEMPLATE"
    assert_contains "$ERR" "CPU: has no effect: an ordinary user has control groups from a systemd of its own"
    assert_contains "$ERR" "; nor has PIDS_LIMIT"
    qemu=$(own_status pid)
    assert_eq "$(own_status 'warnings | length')" 1 "warnings"
    assert_eq "$(own_status cgroup)" null "group"
    grep -qx "Uid:	$USER_ID	$USER_ID	$USER_ID	$USER_ID" "/proc/$qemu/status" || fail "QEMU's uid: $(grep Uid "/proc/$qemu/status")"
    grep -qx "CapEff:	0000000000000000" "/proc/$qemu/status" || fail "QEMU has capabilities"
    grep -qx "NoNewPrivs:	1" "/proc/$qemu/status" || fail "QEMU may get privileges"
    grep -qx "Seccomp:	2" "/proc/$qemu/status" || fail "QEMU has no seccomp filter"
    # Where everything is; root's own instance knows nothing of it.
    [[ -S $HOME_DIR/run/vmlaunch/$VM/control.sock ]] || fail "no control socket in XDG_RUNTIME_DIR"
    [[ -s $HOME_DIR/.local/share/vmlaunch/$VM/machine.lock ]] || fail "no machine.lock in XDG_DATA_HOME"
    [[ -s $HOME_DIR/.local/state/vmlaunch/$VM.log ]] || fail "no log in XDG_STATE_HOME"
    assert_eq "$(ovml -o json list | jq -r '.[].name')" "$VM" "the user's VMs"
    expect 4 vml status "$VM"
    expect 0 ovml --timeout 90 wait "$VM" --for=agent
    if command -v passt >/dev/null; then
        passt=$(own_status 'helpers[0].pid')
        grep -qx "Uid:	$USER_ID	$USER_ID	$USER_ID	$USER_ID" "/proc/$passt/status" || fail "passt's uid: $(grep Uid "/proc/$passt/status")"
        await 30 guest_has_address 10.78.0.1
    else
        await 30 guest_has_address 10.0.2.15
    fi
    # Its keeper finds the same directories again.
    supervisor=$(own_status supervisor_pid)
    kill -KILL "$supervisor"
    await 20 own_is_not supervisor_pid "$supervisor"
    await 20 own_is state running
    assert_eq "$(own_status pid)" "$qemu" "QEMU after its supervisor was killed"
    supervisor=$(own_status supervisor_pid)
    expect 0 ovml reexec "$VM"
    assert_eq "$(own_status pid)" "$qemu" "QEMU after reexec"
    expect 0 ovml shutdown "$VM"
    assert_eq "$(own_status verdict)" guest-off "verdict"
    await 10 nothing_runs
    no_way_out
}

test_what_needs_root_is_said_before_anything_starts() {
    a_user
    user_template "NIC = [ BRIDGE = \"$BRIDGE\" ]"
    expect 5 ovml start "$TEMPLATE"
    assert_match "$ERR" "$TEMPLATE:[0-9]+:[0-9]+: NIC\[0\]/BRIDGE: a tap needs root, and this VM is an ordinary user's"
    assert_contains "$ERR" 'BRIDGE_TYPE = "user"'
    user_template
    expect 5 ovml --system start "$TEMPLATE"
    assert_contains "$ERR" "starting a VM of the system's instance needs root"
    expect 5 ovml --system enable "$VM"
    expect 5 ovml --system reconcile
    expect 2 vml --user list
    expect 2 ovml --user --system list
    # No place for what runs.
    expect 10 own env -u XDG_RUNTIME_DIR "$VMLAUNCH" list
    assert_contains "$ERR" "'/run/user/$USER_ID' is no directory of yours"
    expect 10 own env XDG_RUNTIME_DIR=/tmp "$VMLAUNCH" list
    [[ ! -e $HOME_DIR/run/vmlaunch/$VM ]] || fail "something was begun"
    # A relative one is to be ignored.
    expect 0 own env XDG_CONFIG_HOME=elsewhere "$VMLAUNCH" list
}

test_a_users_autostart_and_reconcile_are_its_own() {
    a_user
    local vms=$HOME_DIR/.config/vmlaunch/vms qemu
    user_template
    cp "$TEMPLATE" "$vms/$VM.tmpl"
    expect 0 ovml enable "$VM"
    assert_eq "$(readlink -f "$HOME_DIR/.config/vmlaunch/autostart/$VM.tmpl")" "$vms/$VM.tmpl" "what enable links"
    expect 0 ovml start --autostart
    assert_eq "$(own_status state) $(own_status autostart)" "running true" "state, autostart"
    assert_eq "$(own_status 'warnings | length')" 0 "warnings of a VM that asks for nothing"
    qemu=$(own_status pid)
    # Keeper and supervisor gone: reconcile has it adopted.
    slay "$(pgrep -u "$USER_ID" -f "__keeper .*$VM\$")" "$(own_status supervisor_pid)"
    expect 0 ovml reconcile
    assert_contains "$OUT" "adopted"
    assert_eq "$(own_status pid)" "$qemu" "QEMU"
    expect 0 ovml shutdown --all
    await 10 nothing_runs
    # One directory for all of it.
    install -d -o "$USER_ID" "$HOME_DIR/below"
    expect 0 ovml --root "$HOME_DIR/below" start "$TEMPLATE"
    expect 0 ovml --root "$HOME_DIR/below" destroy "$VM"
}

# In a copy of its own: what is built there already is not built again.
test_make_demo_as_an_ordinary_user() {
    a_user
    local copy=$HOME_DIR/vmlaunch
    mkdir "$copy"
    (cd "$TOP" && git -c safe.directory='*' ls-files -z | cpio --quiet -0pdm "$copy" && find build -path build/guest -prune -o \
        -type d \( -name tests -o -name docs -o -name 'lint-*' -o -name asan -o -name fuzz -o -name '*.??????' \) -prune -o -type f -print0 |
        cpio --quiet -0pdm "$copy")
    mkdir -p "$copy/build/guest"
    cp -p "$GUEST"/{bzImage,vmlinuz,initrd.img,stamp} "$copy/build/guest/"
    chown -R "$USER_ID:$USER_ID" "$copy"
    expect 0 own make -s -C "$copy" BUILD=build demo
    assert_contains "$OUT" "As an ordinary user: a network in user mode instead of the template's tap"
    assert_contains "$OUT" 'NIC = [ BRIDGE_TYPE = "user"'
    assert_contains "$OUT" "no CPU control group that this user may use"
    assert_contains "$OUT" "verdict: guest-off"
    await 10 nothing_runs
}

test_a_user_places_the_threads_of_its_own_vm() {
    a_user
    [[ $(cat /sys/devices/system/cpu/online) == 0-1 ]] || skip "needs a host with the CPUs 0 and 1"
    local qemu
    TEMPLATE=$ROOT/$VM.tmpl
    printf '%s\n' "NAME = \"$VM\"" 'MEMORY = "32"' 'VCPU = "1"' 'VCPU_MAX = "2"' 'ACCEL = "tcg"' 'CPU_MODEL = [ MODEL = "qemu64" ]' \
        'FEATURES = [ GUEST_AGENT = "no" ]' 'CPUTUNE = [ VCPUPIN = "0-1:1", EMULATORPIN = "0" ]' \
        'NUMATUNE = [ MODE = "restrictive", NODESET = "0" ]' >"$TEMPLATE"
    expect 0 ovml start "$TEMPLATE"
    qemu=$(own_status pid)
    expect 0 ovml resize "$VM" --vcpu 2
    assert_eq "$(grep -h -E '^(Name|Cpus_allowed_list)' "/proc/$qemu/task"/*/status | paste - - | sed -nE 's/.*(CPU [0-9]).*:[^0-9]*([0-9].*)/\1 \2/p' | sort | tr '\n' ' ')" \
        'CPU 0 1 CPU 1 1 ' "CPUs of the vCPUs"
    assert_eq "$(awk '/^Cpus_allowed_list/ { print $2 }' "/proc/$qemu/status")" 0 "CPUs of the emulator"
    ! grep -v ' bind:0' "/proc/$qemu/numa_maps" || fail "memory of QEMU comes from elsewhere"
    expect 0 ovml destroy "$VM"
    await 5 nothing_runs
}

run_tests "$@"
