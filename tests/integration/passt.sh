#!/usr/bin/env bash
# User-mode networking by passt: a process beside QEMU, with the VM's uid, group and fate. It wants a way out of the host.
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

passt_works() {
    command -v passt >/dev/null || skip "needs passt"
    way_out
}
helper_is() { [[ $(helper "$1" "$2") == "$3" ]]; }
nobody_has_passt() { ! pgrep -x 'passt(.avx2)?' >/dev/null; }
netdev_type() { # N
    tr '\0' '\n' <"/proc/$(status_of pid)/cmdline" | grep -F "\"id\":\"net$1\"" | jq -r 'select(.netdev == null).type'
}
# A guest that nobody asks for anything.
# What the guest says to port 8099 of the host is in $WORK/heard, and it gets an answer.
listen() {
    # shellcheck disable=SC2016 # the script's own
    printf '#!/bin/sh\nread -r line\necho "$line" >>%s/heard\necho "answer to $line"\n' "$WORK" >"$WORK/answer"
    chmod 755 "$WORK/answer"
    : >"$WORK/heard"
    socat TCP-LISTEN:8099,bind=127.0.0.1,reuseaddr,fork "EXEC:$WORK/answer" 9>&- &
    LISTENER=$!
    await 5 listens
}
listens() { [[ -n $(ss -Hltn src 127.0.0.1:8099) ]]; }
talk() { # WORD
    # Not until the end of the connection, which passt of 2023 tells nobody who has ended its own side.
    tell_guest "(echo $1 | nc -w 20 $GATEWAY 8099 >/tmp/$1) &" "until grep -q answer /tmp/$1; do sleep 0.1; done" "cat /tmp/$1; pkill nc"
    assert_contains "$SAID" "answer to $1" "what the guest hears"
    grep -qx "$1" "$WORK/heard" || fail "the host has heard: $(<"$WORK/heard")"
}

test_a_guest_talks_through_passt() {
    need_root
    passt_works
    local pid uid supervisor
    CMDLINE="guest.dhcp guest.noagent" template 'FEATURES = [ GUEST_AGENT = "no" ]' 'NIC = [ BRIDGE_TYPE = "user" ]'
    listen
    expect 0 vml start "$TEMPLATE"
    pid=$(helper nic0 pid) uid=$(status_of uid)
    assert_eq "$(netdev_type 0)" stream "the kind of net0"
    assert_eq "$(helper nic0 program) $(helper nic0 state)" "passt running" "helper"
    # Its confinement: nothing of ours but the socket, no way to the host's files, and QEMU's group.
    assert_match "$(</proc/"$pid"/status)" "Uid:[[:space:]]${uid}[[:space:]]${uid}[[:space:]]${uid}[[:space:]]" "uids of passt"
    assert_match "$(</proc/"$pid"/status)" $'\nCapEff:\t0+\n' "capabilities of passt"
    assert_match "$(</proc/"$pid"/status)" $'\nNoNewPrivs:\t1\n' "passt"
    assert_match "$(</proc/"$pid"/status)" $'\nSeccomp:\t2\n' "passt"
    assert_eq "$(cat "/proc/$pid/cgroup")" "$(cat "/proc/$(status_of pid)/cgroup")" "group of passt"
    assert_eq "$(ls -A "/proc/$pid/root/")" "" "files that passt sees"
    # The guest has the host's own address, by DHCP, and reaches the host.
    # shellcheck disable=SC2016 # the guest's shell expands it
    tell_guest 'until ip -4 -o addr show eth0 | grep -q inet; do sleep 0.2; done' \
        'echo address=$(ip -4 -o addr show eth0 | sed "s/.*inet //; s/ .*//")' 'echo route=$(ip route | sed -n "s/^default via //p" | cut -d" " -f1)'
    said address 10.78.0.1/24
    said route "$GATEWAY"
    talk first
    # It is QEMU's, not the supervisor's.
    supervisor=$(status_of supervisor_pid)
    kill -KILL "$supervisor"
    await 20 status_is_not supervisor_pid "$supervisor"
    await 20 status_is state running
    assert_eq "$(helper nic0 pid) $(helper nic0 state)" "$pid running" "passt of the next supervisor"
    expect 0 vml reexec "$VM"
    talk second
    same=$(vml -o json status "$VM" --compare | jq -c .differences)
    assert_eq "$same" '[]' "what differs"
    assert_eq "$(status_of 'pending | length')" 0 "pending"
    kill "$LISTENER"
    expect 0 vml destroy "$VM"
    await 5 is_gone "$pid"
}

test_which_of_both_it_is() {
    need_root
    passt_works
    small_template 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "slirp" ]' 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "passt", MODEL = "e1000e" ]'
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(netdev_type 0) $(netdev_type 1)" "user stream" "the NICs"
    assert_eq "$(status_of 'helpers | map(.id) | join(" ")')" nic1 "helpers"
    assert_contains "$(tr '\0' ' ' <"/proc/$(helper nic1 pid)/cmdline")" "--mtu 1500" "what is told to a guest without virtio"
    expect 0 vml destroy "$VM"
    # explain names the attribute.
    expect 0 vml explain "$TEMPLATE"
    assert_match "$OUT" 'NIC\[1\]/BACKEND.*' "explain"
    # No way out of the host: passt cannot be.
    no_way_out
    expect 10 vml start "$TEMPLATE"
    assert_match "$ERR" "NIC\[1\]/BACKEND: passt does not work here: External interface not usable" "error"
    small_template 'NIC = [ BRIDGE_TYPE = "user" ]'
    expect 0 vml start "$TEMPLATE"
    assert_eq "$(netdev_type 0) $(status_of 'helpers | length')" "user 0" "the NIC without a way out"
    expect 0 vml plan "$TEMPLATE"
    assert_contains "$OUT" "slirp: passt does not work here: External interface not usable" "note"
    # It stays what it is, though passt works then.
    passt_works
    expect 0 vml attach nic "$VM" --nic "BRIDGE_TYPE=user,BACKEND=slirp"
    assert_eq "$(vml -o json status "$VM" --compare | jq -c .differences)" '[]' "what differs"
    expect 0 vml destroy "$VM"
    # Not installed.
    small_template 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "passt" ]'
    # shellcheck disable=SC2016 # the inner shell's
    expect 10 unshare --mount -- sh -c 'mount --bind /dev/null /usr/bin/passt && exec "$@"' sh "$VMLAUNCH" --root "$ROOT" start "$TEMPLATE"
    assert_contains "$ERR" "NIC[0]/BACKEND: there is no passt on this host" "error"
    assert_contains "$ERR" "apt-get install passt" "error"
}

test_a_passt_that_ends_is_told_and_one_that_hangs_ends_with_its_vm() {
    need_root
    passt_works
    local pid
    small_template 'NIC = [ BRIDGE_TYPE = "user", BACKEND = "passt" ]'
    expect 0 vml start "$TEMPLATE"
    pid=$(helper nic0 pid)
    kill -KILL "$pid"
    await 20 helper_is nic0 state ended
    expect 0 vml log "$VM"
    assert_contains "$OUT" "of nic0 (pid $pid) has ended by SIGKILL" "log"
    assert_eq "$(status_of state)" running "state of the VM"
    expect 0 vml destroy "$VM"
    # Nobody is left who would end it but reconcile.
    expect 0 vml start "$TEMPLATE"
    pid=$(helper nic0 pid)
    kill -STOP "$pid"
    slay_vm
    [[ -d /proc/$pid ]] || fail "passt is gone already"
    expect 0 vml reconcile "$VM"
    await 5 is_gone "$pid"
    # A start that fails.
    printf '#!/bin/sh\ncase " $* " in *"-machine none"*) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac\nexit 3\n' >"$ROOT/no-qemu"
    chmod 755 "$ROOT/no-qemu"
    echo "EMULATOR = \"$ROOT/no-qemu\"" >>"$TEMPLATE"
    expect 1 vml start "$TEMPLATE"
    await 5 nobody_has_passt
}

# QEMU 7.2 cannot have another passt later; one that it has can go.
test_a_card_on_passt_goes_and_another_one_is_slirp() {
    passt_works
    running 'NIC = [ BRIDGE_TYPE = "user" ]'
    local before pid
    pid=$(helper nic0 pid)
    before=$(holdings)
    expect 6 vml attach nic "$VM" --nic "BRIDGE_TYPE=user,BACKEND=passt"
    assert_contains "$ERR" "QEMU takes the socket of a passt at its start alone" "error"
    [[ $(holdings) == "$before" ]] || fail "left: $(diff <(echo "$before") <(holdings))"
    expect 0 vml attach nic "$VM" --nic "BRIDGE_TYPE=user,MAC=52:54:00:11:22:33"
    await 10 has_mac 52:54:00:11:22:33
    assert_contains "$(vml qmp "$VM" '{"execute":"human-monitor-command","arguments":{"command-line":"info network"}}')" "net1: index=0,type=user" "net1"
    all_agree "attach of a NIC beside passt"
    expect 0 vml detach nic "$VM" 0
    await 10 is_gone "$pid"
    helpers_are() { [[ $(status_of 'helpers | length') == "$1" ]]; }
    await 10 helpers_are 0
    all_agree "detach of a NIC on passt"
    # That is no end that anybody has to be told of.
    expect 0 vml log "$VM"
    [[ $OUT != *"of nic0 (pid $pid) has ended"* ]] || fail "log: $OUT"
    ended
}

run_tests "$@"
