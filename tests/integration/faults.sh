#!/usr/bin/env bash
# Every fault of vmlaunch-fake-qemu, once while the VM starts and once while it runs: each verb ends in its time, the
# verdict is right, nothing is left, and the supervisor stays small.
. "$(dirname "$0")/lib.sh"

FAKE_QEMU=${FAKE_QEMU:-$TOP/build/vmlaunch-fake-qemu}
RSS_MAX_KIB=20480

# fake NAME [SCENARIO]: an EMULATOR of its own for the VM NAME, and its template
fake() {
    local name=$1 scenario=${2:-}
    mkdir -p "$WORK/emulators"
    ln -sf "$WORK/fake" "$WORK/emulators/$name"
    [[ -z $scenario ]] || printf '%s\n' "$scenario" >"$WORK/emulators/$name.scenario.json"
    cat >"$ROOT/$name.tmpl" <<END
NAME = "$name"
MEMORY = "64"
CPU = "1"
ACCEL = "tcg"
EMULATOR = "$WORK/emulators/$name"
FEATURES = [ GUEST_AGENT = "yes", ACPI = "yes" ]
END
}

# timed MILLISECONDS NAME VERB...: its exit status in $STATUS, output in $OUT; over the limit is a finding
timed() {
    local limit=$1 what=$2 begin=$EPOCHREALTIME took
    shift 2
    STATUS=0
    OUT=$(timeout 60 "$VMLAUNCH" --root "$ROOT" "$@" 2>&1) || STATUS=$?
    took=$(((${EPOCHREALTIME/./} - ${begin/./}) / 1000))
    LINE+=" $what=$STATUS"
    ((took <= limit)) || LINE+=" ($what took $took ms, more than $limit)"
}
field() { ask_status "$2" vml -o json status "$1" 2>/dev/null; }

# The largest RSS that the supervisor had.
look_at_rss() {
    local pid rss
    pid=$(field "$1" supervisor_pid)
    rss=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status" 2>/dev/null)
    ((${rss:-0} <= RSS_MAX_KIB)) || LINE+=" (the supervisor had $rss KiB)"
}

# one_fault VM SECONDS: start, status, list, shutdown within SECONDS, destroy; what they gave as one line. MODE: of the
# shutdown.
one_fault() {
    local vm=$1 shutdown_s=$2
    LINE=$vm
    # 10 s for the greeting or 5 s for a command, then 5 s for quit before SIGKILL. What is looked for is a wait without
    # end: some seconds more leave room for a machine where all of them run at once.
    timed 27000 start start "$ROOT/$vm.tmpl"
    if ((STATUS == 0)); then
        look_at_rss "$vm"
        timed 5000 status status "$vm"
        timed 5000 list list
        timed 20000 shutdown --timeout "$shutdown_s" shutdown --mode "${MODE:-acpi}" "$vm"
        timed 5000 status status "$vm"
        look_at_rss "$vm"
        timed 21000 destroy destroy "$vm"
    fi
    LINE+=" $(field "$vm" verdict)"
    echo "$LINE"
}

prepare() {
    need_root
    install -m 755 "$FAKE_QEMU" "$WORK/fake"
    # The facts of the real QEMU are read once: all links are the same file.
    fake warm
    expect 0 vml plan "$ROOT/warm.tmpl"
}
export -f ask_status timed field look_at_rss one_fault vml

# faults_are SCENARIO_REST: the faults on stdin, lines "FAULT PATTERN"; each has a VM of its own, all at the same time.
# PATTERN is a glob for what one_fault() says, with "up" for a start that went well.
faults_are() {
    local rest=$1 fault pattern got wrong=''
    local -A patterns=() seconds=()
    while read -r fault pattern; do
        [[ -n $fault ]] || continue
        patterns[$fault]=${pattern/#up/start=0 status=0 list=0}
        # One that is to succeed gets what it needs on a loaded machine.
        [[ $pattern == *shutdown=0* ]] && seconds[$fault]=15 || seconds[$fault]=2
        fake "$fault" "{\"faults\":[{\"fault\":\"$fault\"$rest}]}"
    done
    export WORK ROOT VMLAUNCH RSS_MAX_KIB MODE
    got=$(for fault in "${!patterns[@]}"; do echo "$fault ${seconds[$fault]}"; done |
        xargs -P 24 -L 1 bash -c 'one_fault "$@"' _)
    while read -r fault pattern; do
        # shellcheck disable=SC2053 # a glob
        [[ $pattern == ${patterns[$fault]} ]] || wrong+=$'\n'"    $fault: $pattern, expected ${patterns[$fault]}"
    done <<<"$got"
    [[ $(wc -l <<<"$got") == "${#patterns[@]}" ]] || wrong+=$'\n'"    not every fault was tried"
    [[ -z $wrong ]] || fail "$wrong"
    [[ -z $(find "$ROOT/run" -name journal -size +0) ]] || fail "a journal is left"
    [[ -z $(pgrep -f "$WORK/emulators/") ]] || fail "a fake is left: $(pgrep -af "$WORK/emulators/")"
}

END_OFF='shutdown=0 status=0 destroy=3 guest-off'
END_ASKED='status=0 destroy=0 asked'

test_every_fault_strikes_and_every_verb_ends_in_its_time() {
    prepare
    local table="$WORK/table"
    sed "s/OFF/$END_OFF/; s/ASKED/$END_ASKED/" >"$table" <<'END'
greeting-missing start=7 never-started
greeting-late up OFF
greeting-garbage start=1 never-started
greeting-twice up OFF
greeting-half start=7 never-started
greeting-other start=1 never-started
greeting-hang-up start=1 never-started
silence start=7 never-started
no-reply start=7 never-started
half-line start=7 never-started
byte-by-byte up OFF
wrong-id start=7 never-started
no-id start=7 never-started
id-other-type start=7 never-started
reply-twice up OFF
reply-late start=7 never-started
reordered up OFF
stray-reply up OFF
event-huge up OFF
event-flood up OFF
event-odd up OFF
events-after-reply up OFF
deep start=1 never-started
huge-reply start=1 never-started
blanks up OFF
hang-up up OFF
hang-up-before start=1 never-started
crash start=1 never-started
exit start=1 never-started
exit-clean start=1 never-started
stop start=7 never-started
error-class start=1 never-started
error-odd start=1 never-started
refused start=1 never-started
not-an-object start=1 never-started
return-odd up OFF
huge-integers up OFF
bad-utf8 start=1 never-started
nul-bytes start=1 never-started
duplicate-keys start=7 never-started
no-newline up OFF
never-reads start=7 never-started
slow-reader up OFF
quit-ignored up OFF
term-ignored up OFF
guest-ignores up shutdown=7 ASKED
guest-panics up shutdown=0 status=0 destroy=3 panicked
guest-resets up OFF
guest-off up shutdown=[03] status=0 destroy=3 guest-off
shutdown-twice up OFF
device-deleted-late up OFF
device-deleted-never up OFF
device-deleted-twice up OFF
unplug-refused up OFF
agent-absent up OFF
agent-silent up OFF
agent-late up OFF
agent-noise up OFF
agent-old-answer up OFF
agent-half up OFF
agent-no-ff up OFF
agent-wrong-sync up OFF
agent-closes up OFF
agent-flaps up OFF
agent-hangs-up up OFF
agent-huge up OFF
agent-deep up OFF
agent-flood up OFF
agent-byte-by-byte up OFF
agent-odd up OFF
agent-error up OFF
agent-never-reads up OFF
agent-stops-qemu up shutdown=7 ASKED
freeze-late up OFF
freeze-fails up OFF
thaw-fails up OFF
END
    diff <("$FAKE_QEMU" --list-faults | cut -f 1 | sort) <(cut -d ' ' -f 1 "$table" | sort) ||
        fail "the table and --list-faults differ"
    faults_are '' <"$table"
}

test_faults_of_a_running_qemu_leave_its_verdict_right() {
    prepare
    # The button has been pressed all the same where QEMU carries the command out.
    sed "s/OFF/$END_OFF/; s/ASKED/$END_ASKED/" >"$WORK/table" <<'END'
silence up shutdown=7 ASKED
no-reply up OFF
half-line up shutdown=7 ASKED
byte-by-byte up OFF
wrong-id up OFF
no-id up OFF
reply-twice up OFF
reply-late up shutdown=7 ASKED
event-huge up OFF
event-flood up OFF
deep up OFF
huge-reply up OFF
hang-up up OFF
hang-up-before up OFF
crash up shutdown=0 status=0 destroy=3 crashed
exit up shutdown=0 status=0 destroy=3 crashed
exit-clean up shutdown=0 status=0 destroy=3 killed
stop up shutdown=7 ASKED
error-odd up OFF
refused up OFF
not-an-object up OFF
bad-utf8 up OFF
nul-bytes up OFF
END
    faults_are ',"command":"system_powerdown"' <"$WORK/table"
    expect 0 vml status crash
    assert_contains "$OUT" "SIGSEGV"
    expect 0 vml status exit
    assert_contains "$OUT" "the disk of cards is missing"
}

test_faults_of_the_agent_end_in_an_answer_or_in_exit_7_or_8() {
    prepare
    cat >"$WORK/table" <<END
agent-noise up $END_OFF
agent-old-answer up $END_OFF
agent-flaps up $END_OFF
agent-flood up $END_OFF
agent-byte-by-byte up $END_OFF
agent-odd up $END_OFF
agent-error up $END_OFF
END
    MODE=agent faults_are '' <"$WORK/table"
    # 8 as long as nobody has opened the port, 7 of one that is silent or has not answered yet. One that strikes once
    # would leave an agent that answers.
    sed "s/NONE/shutdown=[78] $END_ASKED/" >"$WORK/table" <<'END'
agent-absent up NONE
agent-silent up NONE
agent-late up NONE
agent-half up NONE
agent-no-ff up NONE
agent-wrong-sync up NONE
agent-closes up NONE
agent-hangs-up up NONE
agent-huge up NONE
agent-deep up NONE
agent-never-reads up NONE
agent-stops-qemu up NONE
END
    MODE=agent faults_are ',"times":0' <"$WORK/table"
}

compared_too_large() { # VM
    vml --timeout 30 status "$1" --compare >"$WORK/compared" 2>&1
    grep -q "larger than" "$WORK/compared"
}
test_answers_that_are_wrong_again_and_again_fill_neither_memory_nor_log() {
    need_root
    local command faults='' stops='' i pid rss
    for command in qom-list query-name query-uuid qom-get query-memory-size-summary query-balloon query-cpus-fast \
        query-block query-named-block-nodes query-chardev human-monitor-command query-jobs query-block-exports; do
        faults+="{\"fault\":\"huge-reply\",\"command\":\"$command\",\"count\":12,\"times\":0},"
    done
    for ((i = 0; i < 400; i++)); do
        stops+="${stops:+,}{\"after\":\"system_wakeup\",\"event\":\"STOP\",\"data\":{}}"
        stops+=",{\"after\":\"system_wakeup\",\"event\":\"RTC_CHANGE\",\"data\":{\"offset\":$i}}"
    done
    install -m 755 "$FAKE_QEMU" "$WORK/fake"
    fake wild "{\"faults\":[$faults{\"fault\":\"return-odd\",\"command\":\"query-status\",\"times\":0}],\"events\":[$stops]}"
    echo 'CLOCK = [ OFFSET = "variable" ]' >>"$ROOT/wild.tmpl"
    expect 0 vml start "$ROOT/wild.tmpl"
    # What the guest makes of its clock cannot be kept.
    mkdir -p "$ROOT/var/lib/vmlaunch/wild/clock/in-the-way"
    pid=$(field wild supervisor_pid)
    expect 0 vml qmp wild '{"execute":"system_wakeup"}'
    await 10 grep -q "clock is not kept" "$ROOT/var/log/vmlaunch/wild.log"
    # Which of QEMU's wrong answers comes first is not said.
    await 20 compared_too_large wild
    rss=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$pid/status")
    # One answer of the largest size takes some of it, all that is kept of them no more.
    ((rss < 98304)) || fail "the supervisor had $rss KiB"
    i=$(wc -l <"$ROOT/var/log/vmlaunch/wild.log")
    ((i < 200)) || fail "the log has $i lines"
    expect 0 vml destroy wild
}

# hear SOCKET WORD: sends stdin there, and quit once WORD was heard; all that was heard is in $WORK/said
hear() {
    # It may not listen yet.
    { hold_until "$2" && echo '{"execute":"quit"}'; } |
        timeout 90 socat -t 20 - "UNIX-CONNECT:$1,retry=400,interval=0.05" >>"$WORK/said" 2>/dev/null
}
# talk FAULT LINES: what a fake with this fault answers on QMP until a job that was begun last has ended. That takes 50 ms, and
# a guest gives a device back in 20.
talk() {
    local sock=$WORK/talk.sock pid
    rm -f "$sock"
    "$FAKE_QEMU" --qmp "$sock" --agent "$WORK/talk-agent.sock" --fault "$1" &
    pid=$!
    printf '%s\n' '{"execute":"qmp_capabilities"}' "$2" '{"execute":"block-stream","arguments":{"device":"last"}}' |
        hear "$sock" concluded || kill "$pid"
    wait "$pid"
    cat "$WORK/said"
}
test_unplug_faults_show_on_the_wire() {
    local words='{"execute":"device_add","arguments":{"driver":"virtio-rng-pci","id":"rng7"}}
{"execute":"device_del","arguments":{"id":"rng7"}}'
    assert_eq "$(talk shutdown-twice "$words" | grep -c DEVICE_DELETED)" 1 "events of an ordinary unplug"
    assert_eq "$(talk device-deleted-twice "$words" | grep -c DEVICE_DELETED)" 2 "events"
    assert_eq "$(talk device-deleted-never "$words" | grep -c DEVICE_DELETED)" 0 "events"
    assert_eq "$(talk device-deleted-late "$words" | grep -c DEVICE_DELETED)" 0 "events"
    assert_eq "$(talk unplug-refused "$words" | grep -c DEVICE_UNPLUG_GUEST_ERROR)" 1 "refusals"
}

test_a_scenario_scripts_replies_events_and_expectations() {
    local sock=$WORK/talk.sock pid status=0
    cat >"$WORK/scenario.json" <<'END'
{ "replies": [ { "command": "query-pci", "return": ["scripted"], "times": 1 } ],
  "events":  [ { "after": "cont", "ms": 10, "event": "WATCHDOG", "data": { "action": "pause" } } ],
  "expect":  [ { "execute": "cont" }, { "execute": "balloon", "arguments": { "value": 7 } } ] }
END
    "$FAKE_QEMU" --qmp "$sock" -S --scenario "$WORK/scenario.json" 2>"$WORK/err" &
    pid=$!
    printf '{"execute":"%s"}\n' qmp_capabilities query-pci query-pci cont | hear "$sock" WATCHDOG || fail "no event"
    wait "$pid" || status=$?
    assert_eq "$status" 3 "exit status with an expectation unmet"
    assert_contains "$(<"$WORK/err")" "expectation 2 of 2 did not come: balloon"
    assert_eq "$(grep -c scripted "$WORK/said")" 1 "scripted replies"
    echo '{"fault":[]}' >"$WORK/scenario.json"
    expect 2 "$FAKE_QEMU" --qmp "$sock" --scenario "$WORK/scenario.json"
    assert_contains "$ERR" "no member 'fault'"
}

run_tests "$@"
