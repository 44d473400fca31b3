#!/usr/bin/env bash
# What QEMU is given: exactly the plan's argv, environment, fds, ids and no privilege. First a stand-in says what it
# got at exec, then the real one is looked at in /proc.
. "$(dirname "$0")/lib.sh"

# fake_emulator: puts the stand-in where QEMU's uid may run it; leaves its path in $FAKE
fake_emulator() {
    FAKE=$ROOT/fake-qemu
    install -m 755 "$TOP/build/tests/fake_qemu" "$FAKE"
}

# The plan as it is after the start: the generation filled in.
filled_plan() { jq --arg g "$(status_of generation)" '.argv |= map(gsub("@GENERATION@"; $g))' "$WORK/plan.json"; }

# Each fd of the plan as "NUMBER KIND WHAT ACCESS", by the step that opens it.
planned_fds() {
    jq -r '
        (.steps | map(select(.args.fd? != null) | {key: .args.fd, value: .}) | from_entries) as $by
        | .fds[] | .fd as $n | .source as $s | $by[$s] as $step
        | if ($s | startswith("tap:")) then "\($n) tap \($s | split(":")[1])"
          elif $step.effect == "listen" then "\($n) listener \($step.args.path)"
          elif $step.effect == "stderr" or $step.args.copy == true then "\($n) memfd"
          elif $step.effect == "image-open" then "\($n) file \($step.args.path) \($step.args.access)"
          elif $step.effect == "file-open" then "\($n) file \($step.args.path) ro"
          else "\($n) opened by no step: \($s)" end' "$WORK/plan.json" | sort -n
}
reported_fds() {
    jq -r '
        .fds[] | if .tap then "\(.fd) tap \(.tap)"
          elif .listens then "\(.fd) listener \(.socket)"
          elif (.link | startswith("/memfd:")) then "\(.fd) memfd"
          else "\(.fd) file \(.link) \(.access)" end' "$WORK/report.json" | sort -n
}
assert_same_list() { # WHAT GOT WANTED
    [[ $2 == "$3" ]] || fail "$1 (< got, > planned): $(diff <(echo "$2") <(echo "$3"))"
}

# assert_confined STATUS: the ids and privileges of a /proc/PID/status are the plan's
assert_confined() {
    local uid gid groups set
    uid=$(jq -r .confine.uid "$WORK/plan.json") gid=$(jq -r .confine.gid "$WORK/plan.json")
    groups=$(jq -r '[.confine.groups[].gid] | sort | join(" ")' "$WORK/plan.json")
    ((uid >= 1900000000)) || fail "the plan's uid is $uid"
    value() { sed -nE "s/^$1:[ \t]*//p" <<<"$STATUS" | sed 's/[ \t]*$//' | tr '\t' ' '; }
    local STATUS=$1
    assert_eq "$(value Uid)" "$uid $uid $uid $uid" Uid
    assert_eq "$(value Gid)" "$gid $gid $gid $gid" Gid
    assert_eq "$(value Groups)" "$groups" Groups
    for set in CapInh CapPrm CapEff CapBnd CapAmb; do
        assert_eq "$(value "$set")" 0000000000000000 "$set"
    done
    assert_eq "$(value NoNewPrivs)" 1 NoNewPrivs
}

exec_is_the_plan() {
    fake_emulator
    qemu-img create -q -f qcow2 "$ROOT/base.qcow2" 16M
    qemu-img create -q -f qcow2 -F qcow2 -b base.qcow2 "$ROOT/top.qcow2"
    qemu-img create -q -f raw "$ROOT/data.raw" 1M
    template "EMULATOR = \"$FAKE\"" "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$a\" ]" \
        "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$b\" ]" \
        'DISK = [ SOURCE = "top.qcow2", TARGET = "vda" ]' 'DISK = [ SOURCE = "data.raw", TARGET = "sda", READONLY = "yes" ]'
    expect 0 vml plan --format json "$TEMPLATE"
    echo "$OUT" >"$WORK/plan.json"
    # Whatever the caller has must not get through: a variable, an open file, a directory, a blocked signal.
    (
        export SECRET_OF_THE_CALLER=1
        cd /usr
        expect 0 vml start "$TEMPLATE" 7</etc/hostname 23</etc/passwd
    )
    local pid
    pid=$(status_of pid)
    tr -d '\0' <"/proc/$pid/fd/2" >"$WORK/report.json"
    [[ -s $WORK/report.json ]] || fail "the stand-in said nothing"

    assert_same_list argv "$(jq '.argv' "$WORK/report.json")" "$(filled_plan | jq '.argv')"
    assert_eq "$(jq -c .env "$WORK/report.json")" "$(jq -c .env "$WORK/plan.json")" environment
    assert_same_list fds "$(reported_fds)" "$(printf '0 file /dev/null rw\n1 file /dev/null rw\n%s\n' "$(planned_fds)" | sort -n)"
    assert_confined "$(jq -r '.status | to_entries[] | "\(.key):\t\(.value)"' "$WORK/report.json")"
    assert_eq "$(jq -r '.status.SigBlk' "$WORK/report.json")" 0000000000000000 "blocked signals"
    assert_eq "$(jq -r '.status.SigIgn' "$WORK/report.json")" 0000000000000000 "ignored signals"
    assert_eq "$(jq -r .cwd "$WORK/report.json")" / "working directory"
    assert_eq "$(jq -r .session "$WORK/report.json")" "$pid" session
    expect 0 vml destroy "$VM"
    assert_eq "$(status_of verdict)" asked
}
test_q35_emulator_gets_at_exec_what_the_plan_says_and_nothing_else() {
    need_root
    exec_is_the_plan
}
test_pc_emulator_gets_at_exec_what_the_plan_says_and_nothing_else() {
    need_root
    MACHINE=pc exec_is_the_plan
}

test_real_qemu_is_confined_and_under_seccomp() {
    need_root
    template "NIC = [ BRIDGE = \"$BRIDGE\", TARGET = \"vl-$$\" ]"
    expect 0 vml plan --format json "$TEMPLATE"
    echo "$OUT" >"$WORK/plan.json"
    expect 0 vml start "$TEMPLATE"
    local pid status thread
    pid=$(status_of pid)
    status=$(<"/proc/$pid/status")
    assert_confined "$status"
    for thread in /proc/"$pid"/task/*/status; do
        grep -qx $'Seccomp:\t2' "$thread" || fail "$thread: $(grep Seccomp: "$thread")"
    done
    assert_same_list argv "$(tr '\0' '\n' <"/proc/$pid/cmdline")" "$(filled_plan | jq -r '.argv[]')"
    assert_eq "$(wc -c <"/proc/$pid/environ")" 0 "bytes of environment"
    assert_eq "$(readlink "/proc/$pid/cwd")" / "working directory"
    assert_eq "$(cut -d' ' -f6 "/proc/$pid/stat")" "$pid" session
    expect 0 vml destroy "$VM"
}

run_tests "$@"
