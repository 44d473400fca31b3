#!/usr/bin/env bash
# The control socket on a real QEMU: several clients at once, roles, raw commands, the flight recorder.
. "$(dirname "$0")/lib.sh"

OPERATOR_GID=1900000018 MONITOR_GID=1900000019

start_vm() {
    need_root
    # shellcheck disable=SC2119 # no further lines
    template
    expect 0 vml start "$TEMPLATE"
    SOCKET=$(find "$ROOT/run" -name control.sock)
}
# talk [PREFIX COMMAND...]: what a plain QMP client gets for the lines on stdin, and for one more that it waits for
talk() {
    local heard=$WORK/heard.$BASHPID
    : >"$heard"
    has_last() { grep -q '"last"' "$heard"; }
    {
        echo '{"execute":"qmp_capabilities"}'
        cat
        echo '{"execute":"query-name","id":{"last":true}}'
        await 30 has_last
    } | "$@" socat - "UNIX-CONNECT:$SOCKET" >"$heard"
    cat "$heard"
}
wire_has() { # CHANNEL TEXT
    [[ $(vml -o json log --wire "$VM" | grep "\"channel\":\"$1") == *"$2"* ]]
}
# hears FILE: an event of this moment arrives there
hears() {
    expect 0 vml suspend "$VM"
    expect 0 vml resume "$VM"
    sleep 0.1
    grep -q '"RESUME"' "$1"
}
resumes() { grep -c '"RESUME"' "$WORK/events"; }
more_resumes_than() { (($(resumes) > $1)); }
as() { # UID GROUPS: the words before a command
    echo setpriv --reuid "$1" --regid 65534 --groups "$2"
}

test_three_clients_at_once_get_each_its_own_answers() {
    start_vm
    local i pids=()
    vml -o json --timeout 120 events "$VM" >"$WORK/events" &
    local events=$!
    # Who listens has negotiated before anything happens.
    await 5 hears "$WORK/events"
    local before
    before=$(resumes)
    for i in 1 2; do
        for n in $(seq 50); do echo "{\"execute\":\"query-name\",\"id\":{\"client\":$i,\"n\":$n}}"; done |
            talk >"$WORK/client$i" &
        pids+=($!)
    done
    expect 0 vml qmp "$VM" '{"execute":"stop","id":"mine"}'
    assert_eq "$(jq -r .id <<<"$OUT")" mine
    expect 0 vml qmp "$VM" '{"execute":"cont"}'
    wait "${pids[@]}"
    for i in 1 2; do
        assert_eq "$(jq -r 'select(.id.client) | .id.client' "$WORK/client$i" | sort | uniq -c | tr -s ' ')" " 50 $i"
        assert_eq "$(jq -r 'select(.id.n and .return.name) | .id.n' "$WORK/client$i" | sort -n | tail -1)" 50
        assert_eq "$(head -1 "$WORK/client$i" | jq -c .QMP.capabilities)" '[]'
    done
    await 3 more_resumes_than "$before"
    # For people: a time as the log has it.
    vml --timeout 120 events "$VM" >"$WORK/lines" &
    local lines=$!
    talks() { vml qmp "$VM" '{"execute":"stop"}' >/dev/null && vml qmp "$VM" '{"execute":"cont"}' >/dev/null && grep -q STOP "$WORK/lines"; }
    await 20 talks
    assert_match "$(grep -m 1 STOP "$WORK/lines")" "^$(date -u +%Y)-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{3}Z STOP"
    expect 0 vml destroy "$VM"
    wait "$events" "$lines"
}

# until PATTERN: the next line that an ordinary client reads and that matches
until_line() {
    local line
    while read -r -t 20 -u "${QMP[0]}" line; do
        [[ $line == *$1* ]] && LINE=$line && return
    done
    fail "no line with $1"
}

test_an_ordinary_qmp_client_knows_nothing_of_us() {
    start_vm
    coproc QMP { socat - "UNIX-CONNECT:$SOCKET"; }
    until_line '"QMP"'
    jq -e '.QMP.version.qemu.major >= 5 and .QMP.capabilities == []' <<<"$LINE" >/dev/null || fail "greeting: $LINE"
    # As on QEMU's own monitor: nothing but the negotiation is taken before it.
    echo '{"execute":"query-status","id":1}' >&"${QMP[1]}"
    until_line '"id":1'
    assert_contains "$LINE" CommandNotFound
    echo '{"execute":"qmp_capabilities","id":{"any":["json",2.5]}}' >&"${QMP[1]}"
    until_line '"return"'
    assert_eq "$(jq -c .id <<<"$LINE")" '{"any":["json",2.5]}'
    # A client of ours meanwhile, and one more: the answers of neither reach it, the events of both do.
    expect 0 vml suspend "$VM"
    until_line '"STOP"'
    echo '{"execute":"query-status","id":"mine"}' >&"${QMP[1]}"
    until_line '"mine"'
    assert_eq "$(jq -r .return.status <<<"$LINE")" paused
    echo '{"execute":"cont"}' | talk >/dev/null
    until_line '"RESUME"'
    echo '{"execute":"no-such-command","id":7}' >&"${QMP[1]}"
    until_line '"id":7'
    assert_eq "$(jq -r .error.class <<<"$LINE")" CommandNotFound
    # shellcheck disable=SC2153 # of the coproc QMP
    kill "$QMP_PID"
    expect 0 vml destroy "$VM"
}

test_an_operator_asks_the_agent_no_more_than_the_list_lets_him() {
    need_root
    have_groups
    template 'FEATURES = [ GUEST_AGENT = "yes" ]' 'AGENT_ALLOW = "guest-exec"'
    expect 0 vml start "$TEMPLATE"
    SOCKET=$(find "$ROOT/run" -name control.sock)
    local operator
    read -ra operator <<<"$(as 65534 "$OPERATOR_GID")"
    operator+=("$VMLAUNCH" --root "$ROOT" --system agent "$VM" raw)
    expect 5 "${operator[@]}" guest-exec '{"path":"/bin/true"}'
    expect 5 "${operator[@]}" '{"execute":"guest-exec","arguments":{"path":"/bin/true"}}'
    expect 5 "${operator[@]}" guest-set-user-password '{}'
    expect 5 "${operator[@]}" guest-fsfreeze-freeze
    # Allowed, and there is nobody yet to ask: so it is for an admin with what the template names.
    expect 8 "${operator[@]}" guest-ping
    expect 8 vml agent "$VM" raw guest-exec '{"path":"/bin/true"}'
    expect 5 vml agent "$VM" raw guest-file-open '{"path":"/etc/shadow"}'
    expect 0 vml destroy "$VM"
}

test_a_client_that_does_not_read_is_dropped_and_others_are_served() {
    start_vm
    is_cut_off() { grep -q 'is cut off: it does not read' "$ROOT/var/log/vmlaunch/$VM.log"; }
    # Answers that do not wait for QEMU, and a peer that reads none of them: more than socket and queue hold.
    {
        echo '{"execute":"qmp_capabilities"}'
        for _ in $(seq 3000); do echo '{"execute":"vmlaunch-status"}'; done
        # It must not be gone before it is dropped.
        await 10 is_cut_off
    } 2>/dev/null | socat -u - "UNIX-CONNECT:$SOCKET" 2>/dev/null &
    local stalled=$!
    await 10 is_cut_off
    await 5 vml qmp "$VM" '{"execute":"query-status"}'
    kill "$stalled" 2>/dev/null || true
    expect 0 vml destroy "$VM"
}

test_an_operator_has_power_and_a_monitor_only_looks() {
    need_root
    have_groups
    start_vm
    local operator monitor
    read -ra operator <<<"$(as 65534 "$OPERATOR_GID")"
    read -ra monitor <<<"$(as 65534 "$MONITOR_GID")"
    echo '{"execute":"stop"}{"execute":"device_del","arguments":{"id":"x"},"id":2}{"execute":"cont"}' |
        talk "${operator[@]}" >"$WORK/operator"
    assert_eq "$(jq -r 'select(.id == 2) | .error.class' "$WORK/operator")" NotPermitted
    grep -q '"RESUME"' "$WORK/operator" || fail "the operator could not cont: $(<"$WORK/operator")"
    echo '{"execute":"query-status","id":1}{"execute":"stop","id":2}' | talk "${monitor[@]}" >"$WORK/monitor"
    assert_eq "$(jq -r 'select(.id == 1) | .return.running' "$WORK/monitor")" true
    assert_eq "$(jq -r 'select(.id == 2) | .error.class' "$WORK/monitor")" NotPermitted
    assert_eq "$(status_of changed_by_hand)" false
    expect 0 vml destroy "$VM"
}

test_qemus_uid_and_strangers_are_refused() {
    need_root
    have_groups
    start_vm
    local who
    for who in "$(status_of uid) $OPERATOR_GID,$MONITOR_GID" "65534 65534"; do
        read -ra who <<<"$(as "${who% *}" "${who#* }")"
        assert_eq "$("${who[@]}" socat -t 20 - "UNIX-CONNECT:$SOCKET" </dev/null | jq -r .error.class)" NotPermitted
        expect 5 "${who[@]}" "$VMLAUNCH" --root "$ROOT" --system qmp "$VM" '{"execute":"query-status"}'
    done
    grep -q "it has the uid of the VM's QEMU" "$ROOT/var/log/vmlaunch/$VM.log" || fail "the log does not say it"
    expect 0 vml destroy "$VM"
}

test_a_raw_command_marks_the_vm() {
    start_vm
    assert_eq "$(status_of changed_by_hand)" false
    expect 1 vml qmp "$VM" '{"execute":"device_del","arguments":{"id":"nothing"}}'
    assert_contains "$OUT" DeviceNotFound
    assert_eq "$(status_of changed_by_hand)" true
    assert_contains "$(vml status "$VM")" "device_del by uid 0"
    expect 0 vml destroy "$VM"
}

test_the_recorder_outlives_the_vm_and_keeps_no_secret() {
    start_vm
    vml qmp "$VM" '{"execute":"object-add","arguments":{"qom-type":"secret","id":"s1","data":"swordfish"}}' >/dev/null
    kill -9 "$(status_of pid)"
    await 10 status_is state stopped
    expect 0 vml log --wire "$VM"
    assert_contains "$OUT" '"execute":"cont"'
    assert_contains "$OUT" '"execute":"object-add"'
    assert_contains "$OUT" 'QEMU has ended, killed'
    [[ $OUT != *swordfish* ]] || fail "the secret is in the recording"
    ! grep -rq swordfish "$ROOT/var/log" || fail "the secret is in a log"
    expect 0 vml -o json log --wire -n 1 "$VM"
    jq -e '.number > 1 and .time and .channel' <<<"$OUT" >/dev/null || fail "no JSON: $OUT"
    assert_eq "$(stat -c %a "$ROOT/var/log/vmlaunch/$VM.wire")" 600
}

run_tests "$@"
