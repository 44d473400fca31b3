#!/usr/bin/env bash
# The life of a real guest: start, agent, console, pause, reboot, and every way it can end.
. "$(dirname "$0")/lib.sh"

test_guest_boots_answers_and_powers_off_by_its_agent() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    expect 0 vml start "$TEMPLATE"
    assert_match "$OUT" "$VM is running, QEMU pid [0-9]+"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    assert_eq "$(status_of state)" running
    assert_eq "$(status_of agent)" answering
    assert_eq "$(cat /sys/fs/cgroup/cpu/machine.slice/vmlaunch-"$VM"/cpu.shares)" 1024 "cpu.shares"
    assert_contains "$(ip -o link show "vl-$$")" "master $BRIDGE" "the tap"
    expect 0 vml list
    assert_match "$OUT" "$VM +running"
    expect 0 vml shutdown "$VM"
    assert_contains "$OUT" guest-off
    expect 0 vml status "$VM"
    assert_contains "$OUT" "stopped: guest-off"
}

test_run_stays_in_the_foreground_and_ends_with_the_verdict_of_a_power_off() {
    need_root
    template "PANIC = [ MODEL = \"pci\" ]"
    make_ready
    vml run "$TEMPLATE" >"$WORK/run.out" 2>&1 &
    local run=$!
    await 20 vml status "$VM"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    printf 'poweroff -f\n' | vml --timeout 60 console "$VM" >/dev/null
    wait "$run" || fail "run ended with $?"
    assert_eq "$(status_of verdict)" guest-off
}

test_console_shows_what_the_guest_writes() {
    need_root
    template
    start_ready
    # shellcheck disable=SC2016 # the guest's shell computes it
    printf 'echo "sum $((40 + 2))"\n' | hold_until 'sum 42' | vml --timeout 1 console "$VM" >>"$WORK/said" ||
        fail "the console said: $(<"$WORK/said")"
    expect 0 vml destroy "$VM"
}

test_suspend_stops_the_guest_and_shutdown_wakes_it_first() {
    need_root
    template
    start_ready
    expect 0 vml suspend "$VM"
    expect 0 vml --timeout 30 wait "$VM" --for=paused
    assert_eq "$(status_of state)" paused
    expect 0 vml resume "$VM"
    await 5 status_is state running
    expect 0 vml suspend "$VM"
    expect 0 vml shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
}

test_reboot_and_reset_keep_the_same_qemu() {
    need_root
    template
    start_ready
    local pid
    pid=$(status_of pid)
    expect 0 vml --timeout 60 reboot "$VM"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    assert_eq "$(status_of pid)" "$pid" "pid after reboot"
    expect 0 vml reset "$VM"
    await 60 status_is_not agent answering
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    assert_eq "$(status_of pid)" "$pid" "pid after reset"
    expect 0 vml destroy "$VM"
    assert_eq "$(status_of verdict)" asked
}

test_killed_qemu_gives_verdict_killed_and_leaves_nothing() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    vml run "$TEMPLATE" 2>"$WORK/run.err" &
    local run=$! status=0
    await 20 vml status "$VM"
    expect 0 vml --timeout 60 wait "$VM" --for=started
    kill -9 "$(status_of pid)"
    wait "$run" || status=$?
    assert_eq "$status" 11 "exit status of run"
    assert_eq "$(status_of verdict)" killed
    assert_clean
}

panic_gives_verdict() { # MODEL
    template "PANIC = [ MODEL = \"$1\" ]"
    sed -i 's/ guest.small//' "$TEMPLATE"
    make_ready
    vml run "$TEMPLATE" 2>"$WORK/run.err" &
    local run=$! status=0
    await 20 vml status "$VM"
    expect 0 vml --timeout 90 wait "$VM" --for=agent
    printf 'echo c >/proc/sysrq-trigger\n' | vml --timeout 60 console "$VM" >/dev/null
    wait "$run" || status=$?
    assert_eq "$status" 14 "exit status of run"
    assert_eq "$(status_of verdict)" panicked
}
test_guest_panic_gives_verdict_panicked_by_the_pci_device() {
    need_root
    panic_gives_verdict pci
}
test_guest_panic_gives_verdict_panicked_by_the_isa_device() {
    need_root
    MACHINE=pc panic_gives_verdict isa
}

test_qemu_that_crashes_at_start_is_quoted() {
    need_root
    template
    cat >"$ROOT/broken-qemu" <<'END'
#!/bin/sh
case " $* " in *"-machine none"*) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac
echo "broken-qemu: the disk of cards is missing" >&2
exit 3
END
    chmod +x "$ROOT/broken-qemu"
    echo "EMULATOR = \"$ROOT/broken-qemu\"" >>"$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    assert_contains "$ERR" "the disk of cards is missing"
    expect 1 vml run "$TEMPLATE"
    assert_contains "$ERR" "the disk of cards is missing"
}

test_guest_that_ignores_acpi_is_running_again_at_the_deadline() {
    need_root
    CMDLINE="guest.noacpi guest.noagent" template
    start_ready
    expect 7 vml --timeout 2 shutdown "$VM"
    assert_eq "$(status_of state)" running
    assert_contains "$(vml status "$VM")" "power button"
    assert_contains "$(vml status "$VM")" "half of 2 s"
    expect 0 vml --timeout 2 shutdown --force "$VM"
    assert_eq "$(status_of verdict)" asked
}

test_force_destroy_of_kvmrc_ends_a_guest_that_ignores_acpi() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    printf 'FORCE_DESTROY=yes\nSHUTDOWN_TIMEOUT=2\n' >"$ROOT/etc/vmlaunch/kvmrc"
    CMDLINE="guest.noacpi guest.noagent" template
    start_ready
    expect 0 vml shutdown "$VM"
    assert_eq "$(status_of verdict)" asked
    assert_contains "$(vml status "$VM")" "destroying it"
}

test_vm_without_acpi_is_destroyed_at_once_with_cancel_no_acpi() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    printf 'CANCEL_NO_ACPI=yes\n' >"$ROOT/etc/vmlaunch/kvmrc"
    template 'FEATURES = [ ACPI = "no", GUEST_AGENT = "no" ]'
    expect 0 vml start "$TEMPLATE"
    local begin=$SECONDS
    expect 0 vml shutdown "$VM"
    # Without it the guest would have the 180 s of SHUTDOWN_TIMEOUT.
    ((SECONDS - begin < 30)) || fail "it took $((SECONDS - begin)) s"
    assert_eq "$(status_of verdict)" asked
    rm "$ROOT/etc/vmlaunch/kvmrc"
    expect 0 vml start "$TEMPLATE"
    expect 8 vml shutdown "$VM"
    expect 0 vml destroy "$VM"
}

test_sigterm_to_run_is_a_shutdown_of_the_guest() {
    need_root
    template
    make_ready
    vml run "$TEMPLATE" 2>"$WORK/run.err" &
    local run=$! status=0
    await 20 vml status "$VM"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
    kill -TERM "$(status_of supervisor_pid)"
    wait "$run" || status=$?
    assert_eq "$status" 0 "exit status of run"
    assert_eq "$(status_of verdict)" guest-off
}

run_tests "$@"
