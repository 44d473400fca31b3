#!/usr/bin/env bash
# How a real guest is asked to power off or to reboot: by its agent, by the button, by one after the other.
. "$(dirname "$0")/lib.sh"

assert_story() { story_has "$1" || fail "no '$1' in the story: $(story)"; }
refute_story() { ! story_has "$1" || fail "'$1' is in the story: $(story)"; }

test_reboot_by_the_button_keeps_the_same_qemu_and_the_guest_comes_up_again() {
    need_root
    CMDLINE="guest.noagent" template
    start_ready
    watch_console
    local pid
    pid=$(status_of pid)
    expect 0 vml --timeout 90 reboot "$VM"
    assert_contains "$OUT" "has restarted"
    assert_story "pressing the power button (ACPI), so that the guest will reboot"
    assert_story "the guest is off, starting it again"
    assert_story "the guest has rebooted"
    await 60 ready_times 1
    assert_eq "$(status_of pid)" "$pid" "pid after the reboot"
    assert_eq "$(status_of state)" running
    kill "$CONSOLE" 2>/dev/null || true
    # The next power-off is one again.
    expect 0 vml --timeout 90 shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
}

test_reboot_that_the_guest_ignores_is_told_at_its_deadline() {
    need_root
    CMDLINE="guest.noagent guest.noacpi" template
    start_ready
    local begin=$SECONDS
    expect 7 vml --timeout 2 reboot "$VM"
    ((SECONDS - begin <= 20)) || fail "it took $((SECONDS - begin)) s"
    assert_story "the guest has not rebooted in 2 s and runs on"
    assert_eq "$(status_of state)" running
    expect 0 vml destroy "$VM"
}

test_agent_acknowledges_the_shutdown_it_dies_of() {
    need_root
    template
    start_ready
    expect 0 vml --timeout 90 shutdown --mode agent "$VM"
    assert_eq "$(status_of verdict)" guest-off
    assert_story "asking the guest by its agent to power off"
    refute_story "the agent did not take it"
    refute_story "power button"
}

test_guest_whose_agent_only_says_yes_is_asked_by_the_button_at_half_time() {
    need_root
    CMDLINE="guest.ignore_agent_shutdown" template
    start_ready
    local begin=$SECONDS
    expect 0 vml --timeout 14 shutdown "$VM"
    ((SECONDS - begin >= 6)) || fail "the guest was off after $((SECONDS - begin)) s"
    assert_eq "$(status_of verdict)" guest-off
    refute_story "the agent did not take it"
    assert_story "half of 14 s has passed"
    assert_story "pressing the power button (ACPI)"
}

test_guest_whose_agent_hangs_is_asked_by_the_button() {
    need_root
    template
    start_ready
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'kill -STOP $(pidof qemu-ga)'
    expect 0 vml --timeout 60 shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
    assert_story "the agent did not take it"
    refute_story "half of"
}

test_agent_that_is_killed_before_it_has_answered_gives_way_to_the_button() {
    need_root
    template
    start_ready
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'kill -STOP $(pidof qemu-ga); (sleep 1; kill -9 $(pidof qemu-ga)) &'
    expect 0 vml --timeout 60 shutdown "$VM"
    assert_eq "$(status_of verdict)" guest-off
    assert_story "pressing the power button (ACPI)"
}

run_tests "$@"
