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
# ask_status FILTER COMMAND...: what jq's FILTER finds in the status that COMMAND prints. Half a second, what it gives its
# supervisor, is short on a machine that does much else: it is asked again. Of one that is stopped or gone status says that.
ask_status() {
    local filter=$1 said result end=$((SECONDS + 30))
    shift
    while
        result=0
        said=$("$@") || result=$?
        [[ $said =~ \"state\":\ ?\"unknown\" && $said =~ (does not answer(: a kernel call holds it)?|within [0-9]+ ms)\" ]] && ((SECONDS < end))
    do :; done
    jq -r ".$filter" <<<"$said" || result=$?
    return "$result"
}
