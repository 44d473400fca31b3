#!/usr/bin/env bash
# shellcheck disable=SC2034 # variables of the files that source it
# How a test says that something is not as it has to be: on the host (lib.sh) and in the guest with a systemd (systemd.sh). $WORK
# is a directory of the test's own; in its file why is the reason.

fail() {
    printf '%s\n' "$*" >>"$WORK/why"
    exit 1
}
assert_eq() { [[ $1 == "$2" ]] || fail "${3:-value}: got '$1', expected '$2'"; }
assert_match() { [[ $1 =~ $2 ]] || fail "${3:-text}: '$1' does not match '$2'"; }
assert_contains() { [[ $1 == *"$2"* ]] || fail "${3:-text}: '$1' does not contain '$2'"; }
# expect STATUS COMMAND...: runs it, leaves what it wrote in $OUT and $ERR
expect() {
    local want=$1 got=0
    shift
    "$@" >"$WORK/out" 2>"$WORK/err" || got=$?
    OUT=$(<"$WORK/out") ERR=$(<"$WORK/err")
    ((got == want)) || fail "'$*' ended with $got, expected $want: $OUT $ERR"
}
# await SECONDS COMMAND...: until it succeeds; for what has no event to wait for
await() {
    # A machine that does much else needs longer; who waits in vain only fails later.
    local end=$((SECONDS + 3 * $1))
    shift
    until "$@" >/dev/null 2>&1; do
        ((SECONDS < end)) || fail "'$*' did not become true"
        sleep 0.05
    done
}
