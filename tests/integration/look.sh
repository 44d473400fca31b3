#!/usr/bin/env bash
# What dump shows of a running VM, and what can be waited for beside its states.
. "$(dirname "$0")/lib.sh"

fake_vm() {
    need_root
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$ROOT/fake-qemu"
    truncate -s 1M "$ROOT/disk.img"
    template "EMULATOR = \"$ROOT/fake-qemu\"" \
        "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\", NETWORK = \"inner\", IP = \"${IP:-192.0.2.7}\" ]" \
        "DISK = [ SOURCE = \"$ROOT/disk.img\", FORMAT = \"raw\", TARGET = \"vda\" ]"
    expect 0 vml start "$TEMPLATE"
    expect 0 vml --timeout 60 wait "$VM" --for=agent
}
took_at_most() { # MILLISECONDS COMMAND...
    local limit=$1 begin=${EPOCHREALTIME/./} took
    shift
    "$@"
    took=$(((${EPOCHREALTIME/./} - begin) / 1000))
    ((took <= limit)) || fail "'$*' took $took ms, more than $limit"
}

test_dump_shows_template_command_line_differences_and_what_is_kept() {
    fake_vm
    expect 0 vml dump "$VM"
    assert_eq "$OUT" "$(<"$ROOT/run/vmlaunch/$VM/live.tmpl")" "dump"
    echo "$OUT" >"$WORK/dumped.tmpl"
    expect 0 vml validate "$WORK/dumped.tmpl"
    expect 0 vml dump "$VM" --argv
    assert_eq "$OUT" "$(tr '\0' '\n' <"/proc/$(status_of pid)/cmdline")" "dump --argv"
    expect 0 vml -o json dump "$VM" --argv
    assert_eq "$(jq -r '.argv[]' <<<"$OUT")" "$(tr '\0' '\n' <"/proc/$(status_of pid)/cmdline")" "dump --argv as JSON"
    expect 0 vml dump "$VM" --metadata
    assert_match "$OUT" "generation +$(status_of generation)"
    assert_match "$OUT" "NIC 0 NETWORK +inner"
    [[ $OUT != *MODEL* ]] || fail "what the guest is told is no metadata: $OUT"
    expect 0 vml dump "$VM" --diff
    assert_contains "$OUT" "as the template says"
    sed -i 's/IP = "192.0.2.7"/IP = "192.0.2.8"/; s/^MEMORY.*/MEMORY = "512"/' "$TEMPLATE"
    expect 0 vml dump "$VM" --diff
    assert_match "$OUT" "MEMORY +256 MiB +256 MiB +512 MiB +next start"
    # What somebody has done by hand is neither intended nor of the next start.
    expect 0 vml qmp "$VM" '{"execute":"object-add","arguments":{"qom-type":"iothread","id":"stray"}}'
    expect 0 vml dump "$VM" --diff
    assert_match "$OUT" "object stray +none +iothread +none +QEMU is not as intended"
    expect 0 vml -o json dump "$VM" --diff
    assert_eq "$(jq -c '.differences[] | select(.attribute == "object stray") | [.intended, .running, .template]' <<<"$OUT")" '["none","iothread","none"]' "the stray object"
    expect 2 vml dump "$VM" --diff --argv
    expect 0 vml destroy "$VM"
    expect 3 vml dump "$VM"
    expect 3 vml dump "$VM" --argv
}

tries_port() { [[ -n $(ss -Htn state syn-sent dst "$1" dport = "$2") ]]; }

test_a_port_is_waited_for_at_the_address_of_the_template_or_of_the_agent() {
    IP=192.0.2.7 fake_vm
    # The template's word counts; nobody is there yet.
    ip addr add 192.0.2.7/32 dev lo
    took_at_most 5000 expect 7 vml --timeout 1 wait "$VM" --for=port:2222
    assert_contains "$ERR" "to answer at port 2222"
    "$VMLAUNCH" --root "$ROOT" --timeout 60 wait "$VM" --for=port:2222 >"$WORK/waited" 2>&1 &
    local waiter=$! listener
    socat TCP-LISTEN:2222,bind=192.0.2.7,fork /dev/null &
    listener=$!
    wait "$waiter" || fail "wait: $(<"$WORK/waited")"
    assert_eq "$(<"$WORK/waited")" 192.0.2.7
    kill "$listener"
    expect 0 vml wait "$VM" --for=ip
    # The fake agent's own.
    assert_eq "$OUT" 192.0.2.10
    expect 0 vml -o json wait "$VM" --for=ip
    assert_eq "$(jq -r '.reached + " " + .address' <<<"$OUT")" "ip 192.0.2.10"
    ip addr del 192.0.2.7/32 dev lo
    # The end of the VM ends the wait, also when it was told while another question was on its way. One that comes when the
    # VM has ended waits for its next start: this one has heard where the guest is. Nobody has the address, or refuses it.
    ip route add 192.0.2.7/32 dev "$BRIDGE"
    "$VMLAUNCH" --root "$ROOT" wait "$VM" --for=port:2222 >"$WORK/waited" 2>&1 &
    waiter=$!
    await 20 tries_port 192.0.2.7 2222
    kill -STOP "$waiter"
    expect 0 vml destroy "$VM"
    kill -CONT "$waiter"
    local status=0
    wait "$waiter" || status=$?
    assert_eq "$status" 3 "wait for a port of a VM that ends"
    ip route del 192.0.2.7/32 dev "$BRIDGE"
}

is_connected() { [[ -n $(find "/proc/$1/fd" -lname 'socket:*') ]]; }

test_a_wait_goes_on_with_the_next_supervisor() {
    fake_vm
    # Nobody has the address, or refuses it.
    ip route add 192.0.2.7/32 dev "$BRIDGE"
    local goal waiters=() supervisor status
    for goal in stopped paused port:2222; do
        "$VMLAUNCH" --root "$ROOT" --timeout 60 wait "$VM" "--for=$goal" >"$WORK/waited" 2>&1 &
        waiters+=($!)
    done
    for goal in "${waiters[@]}"; do await 10 is_connected "$goal"; done
    # It has seen the VM run: one that only comes when the VM has ended waits for its next start.
    await 20 tries_port 192.0.2.7 2222
    supervisor=$(status_of supervisor_pid)
    kill -KILL "$supervisor"
    await 10 adopted_after "$supervisor"
    expect 0 vml suspend "$VM"
    wait "${waiters[1]}" || fail "wait for a paused VM ended with $?"
    ! is_dead "${waiters[0]}" || fail "the wait for its end is over"
    expect 0 vml destroy "$VM"
    wait "${waiters[0]}" || fail "wait for a stopped VM ended with $?"
    status=0
    wait "${waiters[2]}" || status=$?
    assert_eq "$status" 3 "wait for a port of a VM that ends"
    ip route del 192.0.2.7/32 dev "$BRIDGE"
}

test_jobs_and_devices_of_a_real_guest_are_waited_for_and_its_address() {
    need_root
    truncate -s 1M "$WORK/disk.img"
    CMDLINE="guest.ip=10.77.0.9/24" template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]" \
        "DISK = [ SOURCE = \"$WORK/disk.img\", FORMAT = \"raw\", TARGET = \"vda\" ]"
    start_ready "$WORK/disk.img"
    expect 0 vml --timeout 60 wait "$VM" --for=ip
    assert_eq "$OUT" 10.77.0.9
    tell_guest "nc -l -p 2222 >/dev/null &"
    expect 0 vml --timeout 60 wait "$VM" --for=port:2222
    assert_eq "$OUT" 10.77.0.9
    # A job that fails, one that was never there.
    expect 0 vml qmp "$VM" '{"execute":"blockdev-create","arguments":{"job-id":"make","options":{"driver":"qcow2","file":"disk0-file","size":1}}}'
    expect 1 vml --timeout 20 wait "$VM" --for=job:make
    assert_contains "$ERR" "the job has failed"
    expect 0 vml wait "$VM" --for=job:nosuch
    # The guest lets go of it a moment after it was asked to.
    expect 7 vml --timeout 0.3 wait "$VM" --for=unplugged:nic0
    "$VMLAUNCH" --root "$ROOT" --timeout 30 wait "$VM" --for=unplugged:nic0 >"$WORK/waited" 2>&1 &
    local waiter=$!
    expect 0 vml detach nic "$VM" "vl-$$"
    wait "$waiter" || fail "wait: $(<"$WORK/waited")"
    expect 0 vml wait "$VM" --for=unplugged:nic0
    expect 0 vml destroy "$VM"
}

run_tests "$@"
