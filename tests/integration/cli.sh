#!/usr/bin/env bash
# The command line as its users meet it: names, formats, messages, Ctrl-C, the console on a terminal.
. "$(dirname "$0")/lib.sh"

# is_json_error STATUS COMMAND...: ends so, and stderr is one JSON document that says the same status
is_json_error() {
    local status=$1
    expect "$@"
    assert_eq "$OUT" "" "stdout"
    jq -es --argjson status "$status" 'length == 1 and .[0].schema == 1 and .[0].errors[0].exit_status == $status' \
        <<<"$ERR" >/dev/null || fail "stderr is no error document of status $status: $ERR"
}

test_errors_of_every_exit_status_are_one_json_document() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    # A warning of the site may not spoil the document.
    echo 'NO_SUCH_VARIABLE=1' >"$ROOT/etc/vmlaunch/kvmrc"
    template
    is_json_error 1 vml -o json validate "$ROOT/nothing.tmpl"
    is_json_error 2 vml -o json frobnicate
    is_json_error 2 vml --frob -o json
    is_json_error 2 vml list --output=json surplus
    is_json_error 4 vml -o json status nobody
    chmod -R a+rX "$WORK"
    is_json_error 5 setpriv --reuid 65534 --regid 65534 --clear-groups "$VMLAUNCH" --root "$ROOT" --system -o json reconcile
    is_json_error 5 setpriv --reuid 65534 --regid 65534 --clear-groups "$VMLAUNCH" --root "$ROOT" --system -o json start "$TEMPLATE"
    sed 's/^MEMORY/MEMROY/' "$TEMPLATE" >"$ROOT/wrong.tmpl"
    is_json_error 6 vml -o json validate "$ROOT/wrong.tmpl"
    sed 's/^ACCEL.*/EMULATOR = "\/nowhere\/qemu"/' "$TEMPLATE" >"$ROOT/wrong.tmpl"
    is_json_error 10 vml -o json validate "$ROOT/wrong.tmpl"
    echo 'FEATURES = [ ACPI = "no", GUEST_AGENT = "no" ]' >>"$TEMPLATE"
    expect 0 vml -o json start "$TEMPLATE"
    is_json_error 7 vml -o json --timeout 0.2 wait "$VM" --for=paused
    is_json_error 8 vml -o json shutdown "$VM"
    is_json_error 9 vml -o json start "$TEMPLATE"
    chmod -R a+rX "$ROOT"
    is_json_error 5 setpriv --reuid 65534 --regid 65534 --clear-groups "$VMLAUNCH" --root "$ROOT" --system -o json destroy "$VM"
    expect 0 vml -o json destroy "$VM"
    assert_eq "$(jq -r .result <<<"$OUT")" gone
    is_json_error 3 vml -o json shutdown "$VM"
}

test_warnings_are_said_once() {
    need_root
    mkdir -p "$ROOT/etc/vmlaunch"
    echo 'NO_SUCH_VARIABLE=1' >"$ROOT/etc/vmlaunch/kvmrc"
    template 'SCHED_RANK = "FREE_CPU"'
    local verb
    for verb in validate plan explain; do
        expect 0 vml "$verb" "$TEMPLATE"
        assert_eq "$(grep -c NO_SUCH_VARIABLE <<<"$OUT$ERR")" 1 "warnings of the site by $verb"
        assert_eq "$(grep -c SCHED_RANK <<<"$ERR")" "$([[ $verb == plan ]] && echo 0 || echo 1)" "warnings on stderr by $verb"
    done
    expect 0 vml -o json validate "$TEMPLATE"
    jq -e '.warnings[0].message | contains("NO_SUCH_VARIABLE")' <<<"$ERR" >/dev/null || fail "stderr: $ERR"
    jq -e '[.warnings[] | select(.message | contains("SCHED_RANK")) | select(.line == 8)] | length == 1' <<<"$OUT" >/dev/null || fail "$OUT"
    expect 0 vml -q validate "$TEMPLATE"
    assert_eq "$OUT$ERR" "" "output with -q"
}

test_template_may_come_from_stdin_by_name_and_with_carriage_returns() {
    need_root
    template 'DISK = [ SOURCE = "disk.qcow2", TARGET = "vda" ]'
    mkdir -p "$ROOT/etc/vmlaunch/vms" "$ROOT/elsewhere"
    qemu-img create -q -f qcow2 "$ROOT/elsewhere/disk.qcow2" 16M
    sed 's/$/\r/' "$TEMPLATE" >"$ROOT/elsewhere/crlf.tmpl"
    expect 0 vml -o json plan "$ROOT/elsewhere/crlf.tmpl"
    jq -e --arg disk "$ROOT/elsewhere/disk.qcow2" 'any(.devices[]; .source == $disk)' <<<"$OUT" >/dev/null ||
        fail "the image beside the template was not taken"
    sed -i '/^DISK/d' "$TEMPLATE"
    sed '/^NAME/d' "$TEMPLATE" >"$ROOT/etc/vmlaunch/vms/one-77.tmpl"
    expect 6 vml validate - <"$ROOT/etc/vmlaunch/vms/one-77.tmpl"
    assert_contains "$ERR" "NAME"
    expect 0 vml validate - <"$TEMPLATE"
    assert_contains "$OUT" "VM '$VM'"
    expect 0 vml validate one-77
    assert_contains "$OUT" "VM 'one-77'"
    expect 0 vml validate 77
    assert_contains "$OUT" "VM 'one-77'"
}

test_vm_is_found_by_name_uuid_and_number_before_during_and_after_its_run() {
    need_root
    VM=one-$UNIQUE
    template
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    mv "$TEMPLATE" "$ROOT/etc/vmlaunch/vms/$VM.tmpl"
    expect 0 vml -o json status "$UNIQUE"
    assert_eq "$(jq -r .state <<<"$OUT")" defined
    expect 3 vml shutdown "$UNIQUE"
    assert_contains "$ERR" "vmlaunch start $VM"
    expect 0 vml wait "$UNIQUE" --for=stopped
    expect 0 vml start "$UNIQUE"
    local uuid name
    uuid=$(status_of uuid)
    for name in "$UNIQUE" "$VM" "$uuid" "${uuid^^}"; do
        expect 0 vml -o json status "$name"
        assert_eq "$(jq -r .name <<<"$OUT")" "$VM"
        expect 0 vml log -n 1 "$name"
        assert_match "$OUT" "$VM: the guest runs"
    done
    expect 0 vml destroy "$uuid"
    expect 0 vml status "$uuid"
    assert_contains "$OUT" "stopped: asked"
}

test_name_that_was_started_from_a_file_says_which() {
    need_root
    template
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    expect 4 vml start "$VM"
    assert_contains "$ERR" "vmlaunch start $TEMPLATE"
}

test_reader_that_has_gone_is_no_news() {
    local status=0
    vml describe 2>"$WORK/err" | head -1 >/dev/null || status=$?
    assert_eq "$(<"$WORK/err")" "" "stderr"
    expect 1 bash -c "'$VMLAUNCH' describe >/dev/full"
    assert_contains "$ERR" "No space left"
}

test_wait_for_a_vm_that_nobody_knows_ends_at_once() {
    local goal
    for goal in started agent ip port:22 paused stopped unplugged:x job:x; do
        expect 4 timeout 60 "$VMLAUNCH" --root "$ROOT" wait nobody --for="$goal"
        assert_contains "$ERR" "no VM 'nobody'"
    done
    # A defined one may be started yet.
    template
    mkdir -p "$ROOT/etc/vmlaunch/vms"
    mv "$TEMPLATE" "$ROOT/etc/vmlaunch/vms/$VM.tmpl"
    expect 7 vml --timeout 0.2 wait "$VM" --for=started
}

# Between fork and exec it is still the shell, which catches them for its own trap.
catches_interrupts() { [[ /proc/$1/exe -ef $VMLAUNCH ]] && ((0x$(sed -n 's/^SigCgt:\t//p' "/proc/$1/status") & 1 << SIGINT - 1)); }
SIGINT=$(kill -l INT)
# interrupted VERB...: as soon as it has told what an interrupt leaves, or when $WHEN is so; until then it ignores it here, as
# what a script has put into the background does
interrupted() {
    local status=0 verb
    "$VMLAUNCH" --root "$ROOT" "$@" >"$WORK/out" 2>"$WORK/err" &
    verb=$!
    await 10 catches_interrupts "$verb"
    [[ -z ${WHEN:-} ]] || await 10 "$WHEN"
    kill -INT "$verb"
    wait "$verb" || status=$?
    ERR=$(<"$WORK/err")
    assert_eq "$status" 1 "exit status of $* that was interrupted"
}
test_ctrl_c_of_a_wait_says_what_was_left() {
    need_root
    CMDLINE="guest.noacpi guest.noagent" template
    start_ready
    interrupted wait "$VM" --for=paused
    assert_contains "$ERR" "wait for '$VM' to be paused: interrupted"
    # Before that it is a change like others; when it looks how far the guest is, it waits.
    is_looked_at() {
        vml -o json log --wire "$VM" | jq -r 'select(.channel == "qmp" and .direction == "sent") | .text | fromjson.execute' >"$WORK/sent"
        grep -A 100 -x balloon "$WORK/sent" | grep -qx query-balloon
    }
    WHEN=is_looked_at interrupted --timeout 60 balloon "$VM" 100
    assert_contains "$ERR" "not waiting for the guest, which was told 100 MiB"
    expect 0 vml attach nic "$VM" --nic BRIDGE_TYPE=user
    expect 0 vml suspend "$VM"
    # A paused guest is waited for a second only, unless one says how long.
    interrupted --timeout 60 detach nic "$VM" 0
    assert_contains "$ERR" "detach nic 0 of '$VM': interrupted"
    assert_contains "$ERR" "the guest may still let it go"
    expect 0 vml resume "$VM"
    interrupted --timeout 60 shutdown "$VM"
    assert_contains "$ERR" "its deadline runs on"
    assert_eq "$(status_of state)" stopping
    expect 0 vml destroy "$VM"
}

test_log_follows_through_a_rotation() {
    need_root
    local log=$ROOT/var/log/vmlaunch/$VM.log follower
    mkdir -p "${log%/*}"
    printf 'one\ntwo\nthree\n' >"$log"
    expect 0 vml log -n 2 "$VM"
    assert_eq "$OUT" $'two\nthree'
    expect 0 vml log -n 0 "$VM"
    assert_eq "$OUT" ""
    expect 2 vml log --timeout 1 "$VM"
    vml log -fn1 "$VM" --timeout 120 >"$WORK/followed" &
    follower=$!
    await 5 grep -q three "$WORK/followed"
    mv "$log" "$log.1"
    echo four >>"$log.1"
    echo five >"$log"
    await 5 grep -q five "$WORK/followed"
    : >"$log"
    sleep 0.2
    echo six >>"$log"
    await 5 grep -q six "$WORK/followed"
    assert_eq "$(<"$WORK/followed")" $'three\nfour\nfive\nsix'
    kill "$follower"
    wait "$follower" 2>/dev/null || true
    # The log outlives the VM's directory; assert_clean looks for files of a run.
    rm "$log" "$log.1"
}

test_console_on_a_terminal_is_left_with_its_key_and_refuses_a_second() {
    need_root
    command -v script >/dev/null || skip "needs script(1)"
    template
    start_ready
    mkfifo "$WORK/keys"
    exec 7<>"$WORK/keys"
    script -qefc "stty -a >$WORK/before; '$VMLAUNCH' --root '$ROOT' console $VM; stty -a >$WORK/after" /dev/null \
        <&7 >"$WORK/screen" 2>&1 7>&- &
    local terminal=$!
    await 10 grep -q 'leaves' "$WORK/screen"
    # shellcheck disable=SC2016 # the guest's shell computes it
    printf 'echo "sum $((40 + 2))"\r' >&7
    await 20 grep -q 'sum 42' "$WORK/screen"
    expect 9 vml console "$VM"
    assert_match "$ERR" "in use by process [0-9]+"
    printf '\035' >&7
    await 5 test -s "$WORK/after"
    wait "$terminal" || true
    exec 7>&-
    cmp "$WORK/before" "$WORK/after" || fail "the terminal was left in another mode"
    expect 0 vml destroy "$VM"
}

# QEMU holds back the guest's console when its client does not read, and with it the guest.
test_console_whose_reader_stops_does_not_stop_the_guest() {
    need_root
    template
    start_ready
    mkfifo "$WORK/unread" "$WORK/keys"
    exec 7<>"$WORK/keys" 8<>"$WORK/unread"
    "$VMLAUNCH" --root "$ROOT" console "$VM" <&7 >"$WORK/unread" 7>&- 8>&- &
    local console=$!
    # More than QEMU's socket (208 KiB) and the pipe (64 KiB) hold.
    printf 'dd if=/dev/zero bs=1024 count=400 2>/dev/null | tr "\\0" x; poweroff -f\n' >&7
    expect 0 vml --timeout 90 wait "$VM" --for=stopped
    assert_eq "$(status_of verdict)" guest-off
    kill "$console" 2>/dev/null || true
    wait "$console" 2>/dev/null || true
    exec 7>&- 8>&-
}

test_start_with_a_deadline_takes_itself_back() {
    need_root
    template
    cat >"$ROOT/slow-qemu" <<'END'
#!/bin/sh
case " $* " in *"-machine none"*) exec /usr/bin/qemu-system-x86_64 "$@" ;; esac
exec sleep 60
END
    chmod +x "$ROOT/slow-qemu"
    echo "EMULATOR = \"$ROOT/slow-qemu\"" >>"$TEMPLATE"
    expect 7 vml --timeout 1 start "$TEMPLATE"
    assert_contains "$ERR" "start '$VM'"
}

run_tests "$@"
