#!/usr/bin/env bash
# The test of tests/starts.sh: a start too many is told, so is a boot, and a test that nobody has run.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() {
    echo "$*"
    exit 1
}
# says STATUS WORDS
says() {
    local status=0
    tests/starts.sh "$work/guide.md" "$work" >"$work/out" || status=$?
    [[ $status == "$1" ]] || fail "ended with $status, expected $1: $(<"$work/out")"
    grep -qF "$2" "$work/out" || fail "'$2' is not told: $(<"$work/out")"
}
echo '| A | what | one.sh:first, one.sh:second, plan level: golden x (needs KVM), systemd_life.sh:third |' >"$work/guide.md"
echo "39 13 7" >"$work/one.sh:first"
echo "1 0 0" >"$work/one.sh:second"
says 0 "40 starts with -S"
echo "2 0 0" >"$work/one.sh:second"
says 1 "41 starts with -S, more than 40:"
echo "1 1 0" >"$work/one.sh:second"
says 1 "14 boots of a guest, more than 13:"
echo skipped >"$work/one.sh:second"
says 0 "39 starts with -S"
rm "$work/one.sh:second"
says 1 "not run since it was changed: one.sh:second"
