#!/usr/bin/env bash
# Changes of a running VM, vmlaunch-apply: a cgroup write, a tap with its NIC, a disk on a passed fd. All of a change or
# nothing, whoever fails or dies in the middle. One real guest; the rest with vmlaunch-fake-qemu.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/fragments.sh"

FAKE_QEMU=${FAKE_QEMU:-$TOP/build/vmlaunch-fake-qemu}

# fake_vm [SCENARIO]: the template of a VM whose QEMU does as it is told
fake_vm() {
    need_root
    mkdir -p "$WORK/emulator"
    [[ -e $WORK/emulator/fake ]] || install -m 755 "$FAKE_QEMU" "$WORK/emulator/fake"
    rm -f "$WORK"/emulator/*.scenario.json
    [[ -z ${1:-} ]] || printf '%s\n' "$1" >"$WORK/emulator/fake.scenario.json"
    template "EMULATOR = \"$WORK/emulator/fake\"" 'FEATURES = [ GUEST_AGENT = "no" ]'
}
start_vm() {
    expect 0 vml start "$TEMPLATE"
    RUN_DIR=$(dirname "$(find "$ROOT/run" -name record.json -path "*/$VM/*")")
    read -r QEMU SUPERVISOR GROUP < <(jq -r '"\(.pid) \(.supervisor_pid) \(.uid)"' "$RUN_DIR/record.json")
    [[ -n ${CPU:-} ]] || CPU=$(vml -o json plan "$TEMPLATE" | jq -c '[.steps[] | select(.effect == "cgroup-write") | .args][0]')
    [[ $CPU =~ \"file\":\"([a-z.]*)\" ]]
    CPU_FILE=$(group_dirs | while read -r dir; do find "$dir" -maxdepth 1 -name "${BASH_REMATCH[1]}"; done)
    TAP=${VM}n
}

# apply STATUS FRAGMENT [ARGUMENT...]
apply() {
    local want=$1
    printf '%s\n' "$2" >"$WORK/fragment"
    shift 2
    expect "$want" vml __apply "$VM" "$WORK/fragment" "$@"
}
# begin NAME FRAGMENT [ARGUMENT...]: a client that has a change done and waits for a word on fd 9; its pid in $CLIENT
begin() {
    local name=$1
    printf '%s\n' "$2" >"$WORK/fragment.$name"
    shift 2
    mkfifo "$WORK/word.$name"
    "$VMLAUNCH" --root "$ROOT" __apply --ask "$VM" "$WORK/fragment.$name" "$@" <"$WORK/word.$name" >"$WORK/told.$name" 2>&1 9>&- &
    CLIENT=$!
    exec 9>"$WORK/word.$name"
    await 10 grep -q . "$WORK/told.$name"
    assert_eq "$(<"$WORK/told.$name")" "done" "$name"
}

# All that a change changes, as the host and QEMU see it.
now() {
    echo "cpu $(<"$CPU_FILE")"
    ip -o link show | sed -nE "s/^[0-9]+: (${VM}[^:@]*).*/link \1/p"
    qemu_says qom-list '{"path":"/machine/peripheral"}' | jq -r '.return[] | select(.type | startswith("child")) | "device \(.name)"' | sort
    qemu_says query-named-block-nodes '{"flat":true}' | jq -r '.return[]."node-name"' | sort
    qemu_says query-fdsets | jq -r '.return[]."fdset-id"' | sort
    jq -r '.devices[] | "record \(.id)"' "$RUN_DIR/record.json"
    grep -E '^ *(TARGET|CPU) =' "$RUN_DIR/live.tmpl"
}
nothing_changed() { # WHERE
    assert_eq "$(now)" "$BEFORE" "$1"
    if grep -q '"apply"' "$RUN_DIR/journal"; then fail "$1: the journal has a change: $(<"$RUN_DIR/journal")"; fi
    assert_eq "$(wc -l <"$RUN_DIR/journal")" "$JOURNAL" "$1: lines of the journal"
}
is_unchanged() {
    ! grep -q '"apply"' "$RUN_DIR/journal" && [[ $(wc -l <"$RUN_DIR/journal") == "$JOURNAL" && $(now) == "$BEFORE" ]]
}
remember() {
    BEFORE=$(now)
    JOURNAL=$(wc -l <"$RUN_DIR/journal")
}

test_three_changes_are_seen_by_a_real_guest_and_go_with_it() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    start_vm
    fragments
    expect 0 vml --timeout 90 wait "$VM" --for=agent
    remember
    guest_nics() { vml agent "$VM" raw '{"execute":"guest-network-get-interfaces"}' | jq -r '.. | ."hardware-address"? // empty'; }
    sees_nic() { [[ $(guest_nics) == *52:54:00:12:34:56* ]]; }
    sees_no_nic() { ! sees_nic; }

    # 1: a cgroup write, aborted and done.
    begin one "$CGROUP"
    assert_eq "$(<"$CPU_FILE")" 512 "$CPU_FILE before the commit"
    echo abort >&9
    wait "$CLIENT" || fail "abort: $(<"$WORK/told.one")"
    nothing_changed "an aborted write"
    apply 0 "$CGROUP"
    assert_eq "$(<"$CPU_FILE")" 512 "$CPU_FILE"

    # 2: a NIC; first with a step that fails behind it.
    remember
    apply 1 "$(cut_after "$NIC" 7)"
    assert_contains "$ERR" "step 8 (qmp device_del)"
    nothing_changed "a failed NIC"
    apply 0 "$NIC"
    await 10 sees_nic
    assert_contains "$(ip -d link show "$TAP")" "alias vmlaunch:$VM:$(status_of generation)"
    assert_contains "$(ip -d link show "$TAP")" "master $BRIDGE"
    assert_eq "$(ip -o link show group "$GROUP" | wc -l)" 2 "taps of the VM's group"

    # 3: a disk on a passed fd, which QEMU alone has then.
    apply 0 "$DISK" "image=$WORK/extra.img"
    qemu_says query-block | jq -e 'any(.return[]; .inserted."node-name"? == "disk9-format")' >/dev/null || fail "QEMU has no disk9"
    sees_disk() { [[ $(vml agent "$VM" raw '{"execute":"guest-get-disks"}') == */dev/vd* ]]; }
    await 10 sees_disk
    assert_eq "$(find /proc/[0-9]*/fd -lname "$WORK/extra.img" 2>/dev/null | cut -d/ -f3 | sort -u)" "$QEMU" "who has the image open"
    local after
    after=$(now)
    assert_contains "$after" "record nic9"
    assert_contains "$after" "TARGET = \"vdz\""
    [[ $after != "$BEFORE" ]] || fail "nothing has changed"
    if grep -q '"apply"' "$RUN_DIR/journal"; then fail "a settled change in the journal: $(<"$RUN_DIR/journal")"; fi
    vml validate "$RUN_DIR/live.tmpl" >/dev/null || fail "live.tmpl is no template"

    # It is the run's now: a successor of the supervisor keeps it, the end undoes it.
    kill -9 "$SUPERVISOR"
    await 5 adopted_after "$SUPERVISOR"
    await 5 status_is state running
    assert_eq "$(now)" "$after" "after an adoption"
    sees_nic || fail "the guest has lost its NIC"
    expect 0 vml shutdown "$VM"
    assert_clean
}

test_each_step_that_fails_undoes_exactly_the_steps_before_it() {
    fake_vm
    start_vm
    fragments
    remember
    local n
    for n in 0 1; do
        apply 1 "$(cut_after "$CGROUP" "$n")"
        assert_contains "$ERR" "step $((n + 1)) (qmp device_del)"
        nothing_changed "weight, $n steps"
    done
    # A tap is not half made: link-set belongs to it, and somebody who takes it.
    for n in 0 5 6 7; do
        apply 1 "$(cut_after "$NIC" "$n")"
        assert_contains "$ERR" "step $((n + 1)) (qmp device_del)"
        nothing_changed "NIC, $n steps"
    done
    # The host's own refusals: a bridge that is not there, a tap that is somebody's.
    apply 10 "$(jq -c '.steps[2].args.bridge = "nosuch"' <<<"$NIC")"
    assert_contains "$ERR" "step 3 (net bridge-join)"
    nothing_changed "NIC, no bridge"
    ip tuntap add "$TAP" mode tap
    apply 9 "$NIC"
    assert_contains "$ERR" "step 1 (net tap-create)"
    ip link del "$TAP"
    nothing_changed "NIC, name taken"
    for n in 1 2 3 4; do
        apply 1 "$(cut_after "$DISK" "$n")" "image=$WORK/extra.img"
        assert_contains "$ERR" "step $((n + 1)) (qmp device_del)"
        nothing_changed "disk, $n steps"
    done
    # What QEMU has already is not made, and not taken away by an undo.
    apply 0 "$DISK" "image=$WORK/extra.img"
    remember
    apply 1 "$(jq -c 'del(.live)' <<<"$DISK")" "image=$WORK/extra.img"
    assert_contains "$ERR" "has 'disk9' already"
    nothing_changed "a disk that is there"
    expect 0 vml destroy "$VM"
}

test_a_client_that_goes_before_its_commit_leaves_nothing() {
    fake_vm
    start_vm
    fragments
    remember
    local each
    for each in CGROUP NIC DISK; do
        local arguments=()
        [[ $each != DISK ]] || arguments=("image=$WORK/extra.img")
        begin "$each" "${!each}" "${arguments[@]}"
        [[ $(now) != "$BEFORE" ]] || fail "$each: nothing was done"
        kill -9 "$CLIENT"
        wait "$CLIENT" 2>/dev/null || true
        exec 9>&-
        await 5 is_unchanged
        await 5 story_has "is undone: the client has gone"
        nothing_changed "$each, client killed"
        vml __apply --ask "$VM" "$WORK/fragment.$each" "${arguments[@]}" </dev/null >/dev/null 2>&1 && fail "$each: end of file was a commit"
        await 5 is_unchanged
    done
    # Nobody says anything.
    printf '%s\n' "$CGROUP" >"$WORK/fragment"
    sleep 10 | vml --timeout 0.2 __apply --ask "$VM" "$WORK/fragment" >/dev/null 2>&1 &
    local waiting=$!
    await 5 story_has "no commit came in"
    await 5 is_unchanged
    nothing_changed "no commit"
    kill "$waiting" 2>/dev/null || true
    begin commit "$NIC"
    echo commit >&9
    wait "$CLIENT" || fail "commit: $(<"$WORK/told.commit")"
    assert_contains "$(now)" "record nic9"
    expect 0 vml destroy "$VM"
}

test_one_change_at_a_time_and_a_few_wait() {
    fake_vm
    start_vm
    fragments
    begin first "$CGROUP"
    local i refused=0
    for i in 1 2 3 4 5; do
        jq -c --arg v "$((i * 100 + 2))" '.steps[0].args.value = $v' <<<"$CGROUP" >"$WORK/fragment.$i"
        (
            vml __apply "$VM" "$WORK/fragment.$i" >"$WORK/waits.$i" 2>&1 && status=0 || status=$?
            echo "$status" >"$WORK/ended.$i"
        ) &
    done
    # Of five more one is told so, whichever comes last.
    one_is_refused() { grep -qx 9 "$WORK"/ended.*; }
    await 10 one_is_refused
    assert_eq "$(<"$CPU_FILE")" 512 "while the first waits for its commit"
    echo commit >&9
    wait
    for i in 1 2 3 4 5; do
        case $(<"$WORK/ended.$i") in
        0) ;;
        9)
            refused=$((refused + 1))
            assert_contains "$(<"$WORK/waits.$i")" "wait already"
            ;;
        *) fail "one that waited ended with $(<"$WORK/ended.$i"): $(cat "$WORK"/waits.*)" ;;
        esac
    done
    assert_eq "$refused" 1 "refused"
    [[ $(<"$CPU_FILE") =~ ^[1-5]02$ ]] || fail "none of them was last: $(<"$CPU_FILE")"
    expect 0 vml destroy "$VM"
}

test_a_step_that_qemu_does_not_answer_is_owed_and_settled_later() {
    fake_vm '{"faults":[{"fault":"stop","command":"netdev_add","times":1}]}'
    start_vm
    fragments
    remember
    # 5 s for netdev_add and 0.5 s for the question whether it was done.
    local begin=$SECONDS
    apply 7 "$NIC"
    ((SECONDS - begin <= 15)) || fail "it took $((SECONDS - begin)) s"
    assert_contains "$ERR" "step 6 (qmp netdev_add)"
    assert_contains "$ERR" "not yet undone"
    # Who would change the same has to wait.
    expect 9 vml qmp "$VM" '{"execute":"netdev_del","arguments":{"id":"net9"}}'
    assert_contains "$OUT" Busy
    kill -CONT "$QEMU"
    await 10 is_unchanged
    nothing_changed "netdev_add answered late"
    apply 0 "$NIC"
    expect 0 vml destroy "$VM"
}

test_a_device_that_the_guest_gives_back_late_keeps_what_is_below_it() {
    fake_vm '{"faults":[{"fault":"device-deleted-late","command":"device_del","ms":12000,"nth":1,"times":1}]}'
    start_vm
    fragments
    remember
    apply 7 "$(jq -c '.steps += [{effect: "qmp", args: {execute: "netdev_del", arguments: {id: "nosuch"}}, undo: []}]' <<<"$NIC")"
    assert_contains "$ERR" "not given a device back"
    assert_contains "$(now)" "link $TAP"
    await 10 is_unchanged
    expect 0 vml destroy "$VM"
}

test_who_may_not_changes_nothing() {
    fake_vm
    # The operators' group is whatever has that name here.
    sed "/^vmlaunch:/d" /etc/group >"$WORK/group"
    echo "vmlaunch:x:64990:" >>"$WORK/group"
    mount --bind "$WORK/group" /etc/group || skip "/etc/group cannot be covered"
    start_vm
    umount /etc/group
    fragments
    remember
    chmod 755 "$WORK" "$ROOT"
    local each
    apply_as_operator() { # STATUS FRAGMENT
        printf '%s\n' "$2" >"$WORK/fragment"
        expect "$1" setpriv --reuid 65534 --regid 65534 --groups 64990 "$VMLAUNCH" --system --root "$ROOT" __apply "$VM" "$WORK/fragment"
    }
    for each in CGROUP NIC; do
        apply_as_operator 5 "${!each}"
        assert_contains "$ERR" "needs the role admin, and this connection's is operator" "$each"
        nothing_changed "$each by an operator"
    done
    apply_as_operator 5 '{"steps":[{"effect":"qmp","args":{"execute":"set_link","arguments":{"name":"nic0","up":false}},"undo":[{"execute":"device_del","arguments":{"id":"nic0"}}]}]}'
    assert_contains "$ERR" "set_link needs the role admin"
    nothing_changed "a command with an undo by an operator"
    # The whole is refused before its first step.
    for each in '{"effect":"file-open","args":{"path":"/etc/shadow"}}' '{"effect":"qmp","args":{"execute":"quit"},"undo":[]}'; do
        apply 5 "$(jq -c --argjson step "$each" '.steps += [$step]' <<<"$CGROUP")"
        assert_contains "$ERR" "step 2"
        nothing_changed "a step that nobody may"
    done
    expect 0 vml destroy "$VM"
}

run_tests "$@"
