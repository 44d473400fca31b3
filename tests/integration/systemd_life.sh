#!/usr/bin/env bash
# A VM as a unit: what is seen of it, how it ends, what becomes of it when its supervisor, systemd or the host goes, and in
# which order units start.
# Tests of systemd.sh, which sources this file in its guest; run by itself it has them run there, or those that are named.

test_unit_is_active_when_its_vm_runs_and_everybody_shows_it() {
    boot_sector /root/disk
    real web /root/disk "${EVERY_LIMIT[@]}"
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(status_of web state)" running "state"
    assert_eq "$(status_of web unit)" vmlaunch@web.service "unit"
    is_active web || fail "the unit is not active"
    assert_every_limit vmlaunch@web.service
    # Of all that was asked for, v1 here has no file for the weight of io.
    assert_eq "$(status_of web 'warnings | length')" "$(by_version 0 1)" "warnings"
    assert_contains "$(systemctl status vmlaunch@web)" "Status: \"running\"" "systemctl status"
    assert_contains "$(systemd-cgls "/machine.slice/vmlaunch@web.service")" "guest=web" "cgls"
    assert_contains "$(journalctl -b -o cat "VMLAUNCH_VM=web" "VMLAUNCH_GENERATION=$(status_of web generation)")" \
        "web: the guest runs" "journal by VM and generation"
    assert_contains "$(journalctl -b -o cat -u vmlaunch@web)" "web: the guest runs" "journal by unit"
    assert_contains "$(vmlaunch log web)" "the guest runs" "log"
    await 20 is_registered web
    assert_eq "$(machinectl show web -p Leader -p Class -p Unit | sort | xargs)" \
        "Class=vm Leader=$(status_of web pid) Unit=vmlaunch@web.service" "machinectl show"
    assert_eq "$(property vmlaunch@web MainPID)" "$(status_of web supervisor_pid)" "supervisor"
    expect 9 vmlaunch start web
    systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict)" guest-off "verdict of systemctl stop"
    assert_eq "$(property vmlaunch@web Result)" success "result of the unit"
    ! is_registered web || fail "machinectl lists a VM that is gone"
}
is_registered() { grep -q "^$1 *vm *vmlaunch" <<<"$(machinectl list --no-legend)"; }

# A machine whose unit is inactive is one that systemd-machined ends, by stopping that unit: perhaps its next run.
test_machine_is_gone_before_its_unit_is_and_only_ours() {
    local foreign
    define web
    web_has Service 'ExecStopPost=/usr/bin/bash -c "machinectl list --no-legend >/run/machines-at-stop"'
    expect 0 systemctl start vmlaunch@web
    await 20 is_registered web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(</run/machines-at-stop)" "" "machines when the unit was about to end"
    # Neither is there one when QEMU and the supervisor are killed, and both are started again.
    expect 0 systemctl start vmlaunch@web
    await 20 is_registered web
    rm /run/machines-at-stop
    kill -KILL "$(status_of web pid)" "$(main_pid web)"
    await 20 test -e /run/machines-at-stop
    await 20 is_registered web
    assert_eq "$(</run/machines-at-stop)" "" "machines when the killed unit was about to end"
    expect 0 systemctl stop vmlaunch@web
    # Of that name, but not ours.
    systemd-run --quiet --unit foreign sleep 1000
    foreign=$(property foreign MainPID)
    busctl --quiet call org.freedesktop.machine1 /org/freedesktop/machine1 org.freedesktop.machine1.Manager RegisterMachine sayssus \
        web 0 someone container "$foreign" ''
    expect 0 systemctl start vmlaunch@web
    await 20 journal_has_told web "register with systemd-machined: "
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(machinectl show web -p Leader)" "Leader=$foreign" "somebody else's machine"
    systemctl stop foreign
    await 20 machine_is_gone web
}
journal_has_told() { [[ $(journalctl -b -o cat -u "vmlaunch@$1") == *"$2"* ]]; }
machine_is_gone() { ! machinectl show "$1"; }

test_guest_that_stays_is_destroyed_inside_the_units_deadline() {
    kvmrc FORCE_DESTROY=yes
    boot_sector /root/disk deaf
    real web /root/disk 'SHUTDOWN_TIMEOUT = "3"'
    systemctl daemon-reload
    assert_eq "$(property vmlaunch@web TimeoutStopUSec)" 33s "TimeoutStopSec"
    expect 0 systemctl start vmlaunch@web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict) $(property vmlaunch@web Result)" "asked success" "verdict, result"
    # Without FORCE_DESTROY the guest runs on, until systemd loses its patience: nothing of it may stay then.
    kvmrc
    web_has Service 'TimeoutStopSec=5'
    expect 0 systemctl start vmlaunch@web
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict) $(property vmlaunch@web Result)" "asked timeout" "verdict, result"
    # Of a scope nobody would be left to undo the start.
    mv "$VMS/web.tmpl" /root/web.tmpl
    expect 0 vmlaunch start /root/web.tmpl
    expect 0 systemctl stop vmlaunch-web.scope
    assert_eq "$(status_of web state) $(status_of web verdict)" "stopped asked" "state, verdict"
    assert_contains "$(status_of web 'story[].text')" "shutdown asked for by systemd" "story"
}

test_killed_supervisor_comes_back_to_the_same_qemu_and_limits() {
    define web "${EVERY_LIMIT[@]}"
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(main_pid web)
    assert_eq "$(property vmlaunch@web NFileDescriptorStore)" 2 "fds that systemd keeps"
    await 20 is_registered web
    kill -KILL "$supervisor"
    # Whoever comes meanwhile waits for the next one.
    assert_eq "$(status_of web pid)" "$qemu" "QEMU in the status of the gap"
    await 30 is_replaced web "$supervisor"
    await 30 is_active web
    assert_eq "$(status_of web pid)" "$qemu" "QEMU"
    assert_eq "$(property vmlaunch@web NFileDescriptorStore)" 2 "fds that systemd keeps"
    is_registered web || fail "machinectl does not list the VM any more"
    assert_every_limit vmlaunch@web.service
    expect 0 vmlaunch shutdown web
    await 20 is_active web inactive
    assert_eq "$(property vmlaunch@web Result) $(status_of web verdict)" "success guest-off" "result, verdict"
}

test_hung_supervisor_is_replaced_by_the_watchdog() {
    define web
    web_has Service 'WatchdogSec=4'
    expect 0 systemctl start vmlaunch@web
    local qemu supervisor
    qemu=$(status_of web pid) supervisor=$(main_pid web)
    sleep 5
    assert_eq "$(main_pid web)" "$supervisor" "a supervisor that is well"
    kill -STOP "$supervisor"
    await 60 is_replaced web "$supervisor"
    await 30 is_active web
    assert_eq "$(status_of web pid)" "$qemu" "QEMU"
    expect 0 vmlaunch destroy web
}
is_replaced() { [[ $(main_pid "$1") != "$2" && $(main_pid "$1") != 0 ]]; }

test_crashed_qemu_follows_on_crash() {
    define web 'PANIC = [ MODEL = "pci" ]'
    define again 'PANIC = [ MODEL = "pci" ]' 'ON_CRASH = "restart"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web vmlaunch@again
    local qemu
    qemu=$(status_of again pid)
    kill -SEGV "$(status_of web pid)" "$qemu"
    await 20 is_active web failed
    assert_eq "$(status_of web verdict) $(property vmlaunch@web ExecMainStatus)" "crashed 12" "verdict, exit status"
    assert_contains "$(journalctl -b -u vmlaunch@web -p err -o cat)" "web: QEMU has ended, crashed: " "errors in the journal"
    await 30 has_other_qemu again "$qemu"
    assert_eq "$(property vmlaunch@again ActiveState)" active "the unit that starts it again"
    expect 0 systemctl stop vmlaunch@again
}
has_other_qemu() { [[ $(status_of "$1" state) == running && $(status_of "$1" pid) != "$2" ]]; }

test_changed_template_is_pending_and_a_bad_one_disturbs_nobody() {
    local said
    define web "${EVERY_LIMIT[@]}"
    define other 'CPU = "3"'
    systemctl daemon-reload
    expect 0 systemctl start vmlaunch@web
    sed -i 's/HARD_LIMIT = "200"/HARD_LIMIT = "160"/' "$VMS/web.tmpl"
    echo 'NAME = [' >"$VMS/broken.tmpl"
    systemctl daemon-reload
    assert_every_limit vmlaunch@web.service
    assert_eq "$(status_of web 'pending | join(" ")')" MEMTUNE/HARD_LIMIT "what is pending"
    assert_contains "$(vmlaunch status web)" "pending" "status"
    assert_eq "$(property vmlaunch@other CPUWeight)" 300 "weight of a VM beside the broken one"
    assert_match "$(journalctl -b -t vmlaunch-generator -o cat)" '/broken.tmpl:[0-9]+:[0-9]+: ' "what is said of it"
    expect 6 vmlaunch start broken
    # Its unit's journal says why, as an error, and has no line that says nothing by itself.
    said=$(journal_of_broken | wc -l)
    expect 1 systemctl start vmlaunch@broken
    assert_match "$(journal_of_broken | tail -n "+$((said + 1))")" "^$VMS/broken.tmpl:[0-9]+:[0-9]+: [^"$'\n'"]+$" "journal"
    assert_contains "$(journalctl -b -u vmlaunch@broken -p err -o cat)" "$VMS/broken.tmpl" "errors in the journal"
    # Who looks at a VM that runs hears that it would not do so again.
    cp "$VMS/web.tmpl" "$WORK/good"
    echo 'MEMORY = [' >>"$VMS/web.tmpl"
    assert_contains "$(status_of web template_error) $(vmlaunch status web)" "the next start fails: $(status_of web template_error)" "status"
    mv "$WORK/good" "$VMS/web.tmpl"
    expect 0 systemctl stop vmlaunch@web
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(limit vmlaunch@web.service memory "$(by_version memory.max memory.limit_in_bytes)")" $((160 << 20)) "limit of the next start"
    expect 0 vmlaunch destroy web
}

# Of this boot, at which it may have been started before.
journal_of_broken() { journalctl -b -u vmlaunch@broken -t vmlaunch -o cat; }

test_start_that_somebody_asks_for_is_not_counted_and_what_systemd_refuses_is_said() {
    web_has Unit 'StartLimitBurst=1'
    define web
    # It counts as long as systemd has the unit in memory.
    expect 0 vmlaunch enable web
    expect 0 vmlaunch start web
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    expect 0 vmlaunch start web
    expect 0 vmlaunch destroy web
    await 20 is_active web inactive
    expect 0 vmlaunch disable web
    systemctl mask --runtime --quiet vmlaunch@web
    expect 1 vmlaunch start web
    assert_contains "$ERR" "vmlaunch@web.service is masked" "error"
    systemctl unmask --runtime --quiet vmlaunch@web
    # What has no end in time goes on.
    EMULATOR=/usr/bin/qemu-system-x86_64 define web 'NOTIFY_READY = "agent"'
    systemctl daemon-reload
    expect 7 vmlaunch --timeout 0 start web
    assert_contains "$ERR" "start 'web': it is not ready after 2 s" "error"
    await 60 status_says web state running
    expect 0 vmlaunch destroy web
}

test_template_whose_vm_has_another_unit_is_refused_by_this_one() {
    define web
    mv "$VMS/web.tmpl" "$VMS/other.tmpl"
    cp "$VMS/other.tmpl" "$VMS/a b.tmpl"
    cp "$VMS/other.tmpl" "$VMS/.#other.tmpl"
    journalctl --rotate -q && journalctl --vacuum-time=1s -q
    systemctl daemon-reload
    await 20 generator_says "$VMS/other.tmpl:1:8: NAME: 'web' is not the file's name, 'other'"
    expect 6 vmlaunch enable other
    assert_contains "$ERR" "$VMS/other.tmpl:1:8: NAME: 'web' is not the file's name" "enable"
    ! systemctl -q is-enabled vmlaunch@other || fail "its unit is enabled"
    await 20 generator_says "$VMS/a b.tmpl: has no unit"
    ! generator_says '#' || fail "an editor's file is complained of"
    expect 1 systemctl start vmlaunch@other
    assert_contains "$(journalctl -b -u vmlaunch@other -p err -o cat)" \
        "NAME: 'web' has the unit vmlaunch@web.service, and this one is vmlaunch@other.service" "journal"
    expect 4 vmlaunch start 'a b'
    assert_contains "$ERR" "a VM's name has letters" "hint"
}
generator_says() { [[ $(journalctl -b -t vmlaunch-generator -o cat) == *"$1"* ]]; }

test_unit_waits_for_the_agent_where_the_template_says_so() {
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web 'NOTIFY_READY = "agent"'
    systemctl daemon-reload
    assert_eq "$(property vmlaunch@web TimeoutStartUSec)" 7min "TimeoutStartSec"
    expect 0 systemctl start vmlaunch@web
    assert_eq "$(status_of web agent)" answering "agent of a unit that is active"
    expect 0 systemctl stop vmlaunch@web
}

test_order_and_delay_are_the_units() {
    define first 'START_ORDER = "1"' 'START_DELAY = "2"'
    define second 'START_ORDER = "2"'
    define last
    expect 0 vmlaunch enable first
    assert_eq "$(systemctl is-enabled vmlaunch@first)" enabled "systemctl is-enabled"
    assert_eq "$(status_of first autostart)" true "autostart"
    expect 0 systemctl disable vmlaunch@first
    assert_eq "$(status_of first autostart)" false "autostart"
    printf '[Unit]\nWants=vmlaunch@last.service vmlaunch@second.service vmlaunch@first.service\n' >/etc/systemd/system/all.target
    printf '[Unit]\nConflicts=vmlaunch@last.service vmlaunch@second.service vmlaunch@first.service\nAfter=vmlaunch@first.service\n' >/etc/systemd/system/none.target
    systemctl daemon-reload
    assert_match " $(property vmlaunch@second After) " ' vmlaunch@first.service .*' "after"
    assert_match " $(property vmlaunch@last After) " ' vmlaunch@second.service ' "after"
    # As at boot and at shutdown: all of them in one transaction.
    expect 0 systemctl start all.target
    local first second last
    first=$(property vmlaunch@first ActiveEnterTimestampMonotonic)
    second=$(property vmlaunch@second ExecMainStartTimestampMonotonic)
    last=$(property vmlaunch@last ExecMainStartTimestampMonotonic)
    ((second - first >= 2000000)) || fail "the second VM was started $((second - first)) us after the first one ran"
    ((last > second)) || fail "the last VM was not started last"
    expect 0 systemctl start none.target
    (($(property vmlaunch@first InactiveEnterTimestampMonotonic) > $(property vmlaunch@second InactiveEnterTimestampMonotonic))) ||
        fail "the first VM was not stopped last"
    systemctl stop none.target
    rm /etc/systemd/system/{all,none}.target
}

test_frozen_guest_thaws_though_its_unit_is_not_started_again() {
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web
    web_has Service 'Restart=no'
    expect 0 systemctl start vmlaunch@web
    expect 0 vmlaunch --timeout 30 wait web --for=agent
    expect 0 vmlaunch --timeout 600 agent web freeze --detach
    assert_eq "$(status_of web frozen)" true "frozen"
    kill -KILL "$(main_pid web)"
    await 40 is_active web failed
    assert_eq "$(jq .frozen /run/vmlaunch/web/record.json)" false "frozen, in the record"
    [[ -d /proc/$(jq .pid /run/vmlaunch/web/record.json) ]] || fail "QEMU is gone"
    systemctl reset-failed vmlaunch@web
    expect 0 systemctl start vmlaunch@web
    expect 0 vmlaunch destroy web
}

test_reconcile_gives_a_vm_its_unit_again() {
    local qemu
    define web
    web_has Service 'Restart=no'
    expect 0 systemctl start vmlaunch@web
    qemu=$(status_of web pid)
    kill -KILL "$(main_pid web)"
    await 30 is_active web failed
    expect 0 vmlaunch reconcile web
    assert_contains "$OUT" "adopted: its unit, vmlaunch@web.service, " "what is said"
    is_active web || fail "the unit is $(property vmlaunch@web ActiveState)"
    assert_eq "$(status_of web pid) $(status_of web supervisor_pid)" "$qemu $(main_pid web)" "QEMU, supervisor"
    expect 0 systemctl stop vmlaunch@web
    assert_eq "$(status_of web verdict)" guest-off "verdict"
}

test_start_waits_for_a_reconcile_that_holds_the_vm() {
    local reconcile start
    define web
    systemctl daemon-reload
    expect 0 vmlaunch start web
    expect 0 systemctl stop vmlaunch@web
    # That the unit has ended: unit-stopped would come to that moment, too.
    rm -f /run/vmlaunch/crash-reached
    echo "vm-locked 1 stop" >/run/vmlaunch/crash-at
    vmlaunch reconcile web &
    reconcile=$!
    await 20 test -e /run/vmlaunch/crash-reached
    vmlaunch start web >"$WORK/start.out" 2>&1 &
    start=$!
    # As it does when it waits for the lock.
    await 20 grep -q poll "/proc/$start/wchan"
    kill -CONT "$reconcile"
    wait "$start" || fail "start ended with $?: $(cat "$WORK/start.out")"
    is_active web || fail "the unit is $(property vmlaunch@web ActiveState)"
    wait "$reconcile"
    expect 0 systemctl stop vmlaunch@web
}

# dies_at MOMENT COMMAND...: whoever comes to it is killed, and the command may fail
dies_at() {
    local moment=$1
    shift
    rm -f /run/vmlaunch/crash-reached
    echo "$moment 1 kill" >/run/vmlaunch/crash-at
    timeout 60 "$@" >"$WORK/out" 2>&1 || true
    await 30 test -e /run/vmlaunch/crash-reached
    echo "$moment" >>"$WORK/reached"
}
is_settled() { # UNIT STATES
    [[ " $2 " == *" $(property "$1" ActiveState) "* && -z $(systemctl list-jobs --no-legend "$1") ]]
}
# What systemd and machined are asked for, and the way back: with CRASH=all each moment, else one of each kind.
test_who_dies_while_systemd_is_asked_leaves_nothing() {
    local moment moments
    # Its unit has no drop-in yet, so that there is something to set.
    EMULATOR=/usr/bin/vmlaunch-fake-qemu define web "${EVERY_LIMIT[@]}"
    sed 's/"web"/"hand"/' "$VMS/web.tmpl" >/root/hand.tmpl
    moments="unit-set:done"
    [[ ${CRASH:-} != all ]] || moments="unit-set:do unit-set:done machined:do machined:done machined-asked"
    for moment in $moments; do
        dies_at "$moment" systemctl start vmlaunch@web
        await 60 is_settled vmlaunch@web.service "active"
        [[ $moment != machined* ]] || await 20 is_registered web
        assert_every_limit vmlaunch@web.service
        expect 0 systemctl stop vmlaunch@web
        await 30 is_clean
    done
    moments="unit-set:undo"
    [[ ${CRASH:-} != all ]] || moments="unit-set:undo unit-set:undone machined:undo machined:undone"
    for moment in $moments; do
        expect 0 systemctl start vmlaunch@web
        dies_at "$moment" systemctl stop vmlaunch@web
        await 60 is_settled vmlaunch@web.service "inactive failed"
        await 30 is_clean
        systemctl reset-failed vmlaunch@web 2>/dev/null || true
    done
    moments="scope:done"
    [[ ${CRASH:-} != all ]] || moments="scope:do scope:done machined:do machined:done machined-asked"
    for moment in $moments; do
        dies_at "$moment" vmlaunch start /root/hand.tmpl
        await 60 has_ended_or_runs hand
        vmlaunch destroy hand >/dev/null 2>&1 || true
        await 30 is_clean
    done
    # A change: its limit is set or not, and nothing of it is kept.
    moments="unit-set:done"
    [[ ${CRASH:-} != all ]] || moments="unit-set:do unit-set:done"
    for moment in $moments; do
        expect 0 systemctl start vmlaunch@web
        sed 's/^PIDS_LIMIT.*/PIDS_LIMIT = "300"/' "$VMS/web.tmpl" >"$WORK/more.tmpl"
        dies_at "$moment" vmlaunch update web --file "$WORK/more.tmpl"
        await 30 limit_is_pids_of_live
        expect 0 systemctl stop vmlaunch@web
        await 30 is_clean
    done
}
has_ended_or_runs() { [[ $(status_of "$1" state) =~ ^(running|stopped)$ ]] || ! vmlaunch status "$1"; }
limit_is_pids_of_live() {
    [[ $(limit vmlaunch@web.service pids pids.max) == "$(sed -nE 's/^PIDS_LIMIT *= *"(.*)"/\1/p' /run/vmlaunch/web/live.tmpl)" ]]
}

# See prepare_reboot.
test_after_a_reboot_vms_run_in_order() {
    local name ends=() first second last
    # Before it: each guest had its time, and the first VM was the last to be told.
    for name in last second first; do
        ends+=("$(awk '/shutdown asked for by SIGTERM/ { asked = $1 } /has ended, guest-off/ { print asked, $1; exit }' "/var/log/vmlaunch/$name.log")")
    done
    [[ ${ends[2]% *} > ${ends[1]#* } && ${ends[1]% *} > ${ends[0]#* } && ${ends[0]} ]] ||
        fail "asked to end, ended: last ${ends[0]}, second ${ends[1]}, first ${ends[2]}"
    # Each that is enabled runs, but for the broken one.
    for name in first second last; do
        is_active "$name" || fail "$name does not run: $(systemctl status "vmlaunch@$name")"
        assert_eq "$(status_of "$name" state)" running "state of $name"
    done
    is_active broken failed || fail "the broken one is $(property vmlaunch@broken ActiveState)"
    is_active idle inactive || fail "what is not enabled is $(property vmlaunch@idle ActiveState)"
    first=$(property vmlaunch@first ActiveEnterTimestampMonotonic)
    second=$(property vmlaunch@second ExecMainStartTimestampMonotonic)
    last=$(property vmlaunch@last ExecMainStartTimestampMonotonic)
    ((second - first >= 2000000)) || fail "the second VM was started $((second - first)) us after the first one ran"
    ((last > second)) || fail "the last VM was not started last"
    for name in first second last broken; do vmlaunch -q disable "$name"; done
    systemctl stop 'vmlaunch@*'
}

# Before the reboot: what the tests after it look at.
prepare_reboot() {
    local name
    define first 'START_ORDER = "1"' 'START_DELAY = "2"'
    define second 'START_ORDER = "2"'
    define last
    define idle
    systemctl daemon-reload
    for name in first second last; do vmlaunch -q enable "$name"; done
    systemctl start vmlaunch@first vmlaunch@second vmlaunch@last vmlaunch@idle
    # One whose template has become bad meanwhile.
    define broken
    vmlaunch -q enable broken
    echo 'NAME = [' >"$VMS/broken.tmpl"
    echo "before: $(vmlaunch list | xargs)"
    systemctl reboot
}

[[ ${BASH_SOURCE[0]} != "$0" ]] || {
    # shellcheck disable=SC2046 # a word each
    (($# > 0)) || set -- $(declare -F | sed -n 's/^declare -f test_//p')
    exec bash "$(dirname "$0")/systemd.sh" "$@"
}
