#!/usr/bin/env bash
# The balloon of a real guest: what it tells, what it gives back by itself or for its host's sake, and what it takes again.
# shellcheck source=tests/integration/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/integration/hotplug_lib.sh
. "$(dirname "$0")/hotplug_lib.sh"

actual() { qemu_says query-balloon | jq '.return.actual'; }
has_at_most() { (($(actual) <= ($1 << 20) + (2 << 20))); }
has_at_least() { (($(actual) >= ($1 << 20) - (2 << 20))); }

test_balloon_follows_the_hosts_memory_pressure() {
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    # Written over, in one write and of one length: it is read at any time, and an empty one is the end of it.
    pressure() { printf 'some avg10=%s avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=1\n' "$1" 1<>"$WORK/pressure"; }
    pressure 00.50
    mount --bind "$WORK/pressure" /proc/pressure/memory || skip "no /proc/pressure here"
    running 'BALLOON = [ PRESSURE_FLOOR = "208" ]'
    assert_eq "$(actual)" $((256 << 20)) "memory of the guest at first"
    pressure 42.00
    await 60 has_at_most 208
    assert_contains "$(story)" "memory pressure of the host is 42.0 %: the guest is to have 224 MiB"
    assert_contains "$(story)" "memory pressure of the host is 42.0 %: the guest is to have 208 MiB"
    # It is no intent of the template's, and no difference either.
    grep -q '^MEMORY = "256 MiB"' "$RUN_DIR/live.tmpl" || fail "live.tmpl: $(<"$RUN_DIR/live.tmpl")"
    all_agree "pressure"
    # A successor looks on; when it is over the guest gets back what is its own.
    local supervisor
    supervisor=$(status_of supervisor_pid)
    kill -9 "$supervisor"
    await 20 adopted_after "$supervisor"
    expect 0 vml balloon "$VM" 240
    pressure 00.00
    await 60 has_at_least 240
    has_at_most 240 || fail "it got more than MEMORY"
    all_agree "no pressure"
    ended
    umount /proc/pressure/memory
}

test_guest_takes_memory_back_before_it_kills() {
    GUEST_CMDLINE=${GUEST_CMDLINE/ guest.small/}
    running 'BALLOON = [ AUTODEFLATE = "yes", STATS_PERIOD = "1", FREE_PAGE_REPORTING = "yes" ]'
    local before
    # What it tells.
    told() { vml -o json balloon "$VM" | jq -e '.stats."stat-total-memory" > 100000000 and .stats."stat-free-memory" > 0'; }
    await 30 told
    # Pages that it has used and freed are the host's again.
    resident() { awk '/^VmRSS:/ { print int($2 / 1024) }' "/proc/$QEMU/status"; }
    tell_guest "dd if=/dev/zero of=/tmp/fill bs=1M count=80 2>/dev/null"
    before=$(resident)
    tell_guest "rm /tmp/fill"
    gave_back() { (($(resident) <= before - 32)); }
    await 60 gave_back
    # It gives more than it can spare, and takes it back when it is needed.
    vml -q --timeout 20 balloon "$VM" 120 || true
    before=$(actual)
    ((before < 200 << 20)) || fail "the balloon has not grown: $before"
    tell_guest "dd if=/dev/zero of=/tmp/fill bs=1M count=90 2>/dev/null && echo 'fill''ed'; pidof qemu-ga >/dev/null && echo 'ali''ve'"
    assert_contains "$SAID" filled
    assert_contains "$SAID" alive
    deflated() { (($(actual) >= before + (16 << 20))); }
    await 20 deflated
    ended
}

run_tests "$@"
