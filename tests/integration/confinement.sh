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

# Two that have one uid, as a backup of /var/lib would bring it about: who had it last keeps it.
test_a_uid_is_one_vms_whatever_their_machine_locks_say() {
    need_root
    local name other=${VM}b state=$ROOT/var/lib/vmlaunch uid port own
    FAKE=$ROOT/fake-qemu
    install -m 755 "$TOP/build/vmlaunch-fake-qemu" "$FAKE"
    for name in "$VM" "$other"; do
        printf '%s\n' "NAME = \"$name\"" 'MEMORY = "64"' 'ACCEL = "tcg"' "EMULATOR = \"$FAKE\"" \
            'GRAPHICS = [ TYPE = "vnc", LISTEN = "127.0.0.1" ]' >"$ROOT/$name.tmpl"
        expect 0 vml start "$ROOT/$name.tmpl"
        expect 0 vml destroy "$name"
    done
    planned() { timeout 30 "$VMLAUNCH" --root "$ROOT" -o json plan "$ROOT/$1.tmpl" | jq .confine.uid; }
    kept() { sed -n "s/^$1 = \"\(.*\)\"/\1/p" "$state/$VM/machine.lock"; }
    uid=$(kept UID) port=$(kept PORT)
    assert_eq "$(readlink "$state/.uids/$uid" "$state/.ports/$port" | xargs)" "$VM $VM" "whose uid and port they are"
    # A VM that has both opens nobody else's file: this one would hold it up for ever.
    own=$(grep '^UUID' "$state/$other/machine.lock")
    rm "$state/$other/machine.lock"
    mkfifo "$state/$other/machine.lock"
    assert_eq "$(planned "$VM")" "$uid" "uid beside a lock that cannot be read"
    expect 0 timeout 60 "$VMLAUNCH" --root "$ROOT" start "$ROOT/$VM.tmpl"
    assert_eq "$(status_of uid)" "$uid" "uid beside a lock that cannot be read"
    expect 0 vml destroy "$VM"

    rm "$state/$other/machine.lock"
    sed "s/^UUID = .*/$own/" "$state/$VM/machine.lock" >"$state/$other/machine.lock"
    assert_eq "$(planned "$VM")" "$uid" "uid of the first"
    expect 0 vml start "$ROOT/$VM.tmpl"
    # Whatever the links say, two do not run with one: not even when somebody has made them wrong.
    ln -sfn "$other" "$state/.uids/$uid"
    ln -sfn "$other" "$state/.ports/$port"
    assert_eq "$(planned "$other")" "$uid" "uid of the second by a wrong link"
    expect 9 vml start "$ROOT/$other.tmpl"
    assert_contains "$ERR" "uid $uid is in use by VM '$VM'" "error"
    ln -sfn "$VM" "$state/.uids/$uid"
    expect 0 vml start "$ROOT/$other.tmpl"
    assert_eq "$(status_of uid)" "$uid" "uid of the first, running"
    [[ $(vml -o json status "$other" | jq .uid) != "$uid" ]] || fail "both have uid $uid"
    expect 0 vml destroy "$VM"
    expect 0 vml destroy "$other"

    # A state of before there were links: it is read once, and linked.
    rm -r "$state/.uids" "$state/.ports"
    expect 0 vml reconcile
    expect 0 vml start "$ROOT/$VM.tmpl"
    assert_eq "$(status_of uid)" "$uid" "uid without its link"
    assert_eq "$(readlink "$state/.uids/$uid" "$state/.ports/$(kept PORT)" | xargs)" "$VM $VM" "the links"
    expect 0 vml destroy "$VM"
    # A first start that fails takes nothing.
    { sed "s/$VM/${VM}c/" "$ROOT/$VM.tmpl" && echo 'NIC = [ BRIDGE = "nowhere" ]'; } >"$ROOT/${VM}c.tmpl"
    expect 10 vml start "$ROOT/${VM}c.tmpl"
    assert_eq "$(find "$state" -name "${VM}c" -o -lname "${VM}c")" "" "what it left"
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
        # Threads come and go.
        grep -qx $'Seccomp:\t2' "$thread" || [[ ! -e $thread ]] || fail "$thread: $(grep Seccomp: "$thread")"
    done
    assert_same_list argv "$(tr '\0' '\n' <"/proc/$pid/cmdline")" "$(filled_plan | jq -r '.argv[]')"
    assert_eq "$(wc -c <"/proc/$pid/environ")" 0 "bytes of environment"
    assert_eq "$(readlink "/proc/$pid/cwd")" / "working directory"
    assert_eq "$(cut -d' ' -f6 "/proc/$pid/stat")" "$pid" session
    expect 0 vml destroy "$VM"
}

run_tests "$@"
