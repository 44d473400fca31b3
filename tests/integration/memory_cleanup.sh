#!/usr/bin/env bash
# CLEANUP_MEMORY_ON_START and CLEANUP_MEMORY_ON_STOP: what is written to the kernel's two files, how often, and who waits.
# Instead of the kernel's there are files of ours in /proc/sys, in this file's own mount namespace.
. "$(dirname "$0")/lib.sh"

# kernel_files [fifo]: $DROP and $COMPACT take what is written; a fifo takes it when somebody reads
kernel_files() {
    need_root
    DROP=$WORK/drop COMPACT=$WORK/compact
    if [[ ${1:-} == fifo ]]; then mkfifo "$DROP"; else : >"$DROP"; fi
    : >"$COMPACT"
    umount /proc/sys/vm/drop_caches /proc/sys/vm/compact_memory 2>/dev/null || true
    mount --bind "$DROP" /proc/sys/vm/drop_caches
    mount --bind "$COMPACT" /proc/sys/vm/compact_memory
}
kvmrc() {
    mkdir -p "$ROOT/etc/vmlaunch"
    printf '%s\n' "$@" >"$ROOT/etc/vmlaunch/kvmrc"
}
stamp() { echo "$ROOT/run/vmlaunch/.memory-cleanup"; }
# As if the last one was more than a minute ago.
long_ago() {
    echo $(($(cut -d. -f1 /proc/uptime) - 61)) >"$(stamp)"
    truncate -s 0 "$DROP" "$COMPACT"
}
log_has() { grep -q "$1" "$ROOT/var/log/vmlaunch/$VM.log"; }
cleaned() { [[ $(<"$DROP") == 3 && $(<"$COMPACT") == 1 ]]; }
host_helper() { pgrep -x -f 'vmlaunch __host'; }
no_helper() { ! host_helper >/dev/null; }

test_memory_is_cleaned_up_around_a_life_at_most_once_a_minute() {
    kernel_files
    kvmrc CLEANUP_MEMORY_ON_START=yes CLEANUP_MEMORY_ON_STOP=yes
    fake_template
    assert_contains "$(vml plan "$TEMPLATE")" "host    drop caches   and compact memory, unless in the last 60 s"
    cleaned && fail "the plan did it"
    expect 0 vml start "$TEMPLATE"
    # The start has waited for it.
    cleaned || fail "caches '$(<"$DROP")', compact '$(<"$COMPACT")'"
    log_has 'memory cleanup: [0-9]* ms to drop caches, [0-9]* ms to compact, [0-9]* MiB free before, [0-9]* MiB after' ||
        fail "its cost is not in the log"
    expect 0 vml destroy "$VM"
    await 10 log_has 'memory cleanup: left out, the last one was [0-9]* s ago'
    await 10 no_helper
    long_ago
    expect 0 vml start "$TEMPLATE"
    long_ago
    expect 0 vml shutdown "$VM"
    await 10 cleaned
    await 10 no_helper
    # Nothing of it without the variables, nor by explicit no.
    long_ago
    kvmrc CLEANUP_MEMORY_ON_STOP=no
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    # That of the end has answered, and may not be gone yet.
    await 10 no_helper
    assert_eq "$(<"$DROP")$(<"$COMPACT")" "" "what was written"
}

test_no_verb_waits_for_the_cleanup_after_an_end() {
    kernel_files fifo
    kvmrc CLEANUP_MEMORY_ON_STOP=yes
    fake_template
    expect 0 vml start "$TEMPLATE"
    expect 0 vml destroy "$VM"
    # It hangs in the kernel, so to say, and the next life of the VM begins and ends.
    await 10 host_helper
    expect 0 vml start "$TEMPLATE"
    expect 0 vml shutdown "$VM"
    host_helper >/dev/null || fail "it did not hang"
    await 10 log_has 'memory cleanup: left out, another is at it'
    assert_eq "$(cat "$DROP")" 3 "what was written"
    await 10 no_helper
    assert_eq "$(<"$COMPACT")" 1 "what was written"
}

test_memory_is_cleaned_up_around_a_resize() {
    kernel_files
    kvmrc CLEANUP_MEMORY_ON_START=yes CLEANUP_MEMORY_ON_STOP=yes
    template 'MEMORY_MAX = "512"' 'MEMORY_RESIZE_MODE = "HOTPLUG"'
    expect 0 vml start "$TEMPLATE"
    long_ago
    expect 0 vml resize "$VM" --memory 384 --plan
    assert_eq "$(<"$DROP")" "" "what was written for a plan"
    expect 0 vml resize "$VM" --memory 384
    cleaned || fail "caches '$(<"$DROP")', compact '$(<"$COMPACT")'"
    await 10 log_has 'memory cleanup: left out, the last one was [0-9]* s ago'
    expect 0 vml destroy "$VM"
    await 10 no_helper
}

test_a_kernel_that_refuses_is_a_line_in_the_log() {
    kernel_files
    kvmrc CLEANUP_MEMORY_ON_START=yes
    fake_template
    umount /proc/sys/vm/compact_memory
    mount --bind "$WORK" /proc/sys 2>/dev/null || skip "nothing can be mounted over /proc/sys"
    expect 0 vml start "$TEMPLATE"
    log_has "warning: $VM: memory cleanup: write 3 to /proc/sys/vm/drop_caches: No such file or directory" || fail "the log does not say it"
    expect 0 vml destroy "$VM"
    umount /proc/sys
}

run_tests "$@"
