#!/bin/bash
# tests/unit.sh PROGRAM... - runs unit test programs (test_X) and corpus replays (replay_fuzz_X).
#
# One line per program; the whole output of one that fails. The last line is "N passed, N failed", counting
# tests and corpus files. Exit status 1 when anything failed.
set -u
cd "$(dirname "$0")/.." || exit 1

# A hanging test fails; none takes more than a few seconds, sanitizers and a busy machine included.
limit=120
passed=0 failed=0
out=$(mktemp) || exit 1
trap 'rm -f "$out"' EXIT

for program; do
        name=${program##*/}
        case $name in
        replay_fuzz_*) arguments=("tests/corpus/${name#replay_fuzz_}") ;;
        *) arguments=() ;;
        esac
        timeout "$limit" "$program" "${arguments[@]}" >"$out" 2>&1
        status=$?
        good=$(sed -nE 's/^\[  PASSED  \] ([0-9]+) test.*/\1/p; s/^([0-9]+) inputs replayed$/\1/p' "$out" | tail -n 1)
        bad=$(sed -nE 's/^\[  FAILED  \] ([0-9]+) test.*/\1/p' "$out" | tail -n 1)
        good=${good:-0} bad=${bad:-0}
        # A crash, a leak report or a hang has no summary of its own.
        if [ "$status" -ne 0 ] && [ "$bad" -eq 0 ]; then
                bad=1
        elif [ "$good" -eq 0 ] && [ "$bad" -eq 0 ]; then
                echo "$name ran no tests" >>"$out"
                bad=1
        fi
        passed=$((passed + good)) failed=$((failed + bad))
        if [ "$bad" -eq 0 ]; then
                printf '%-28s %5d ok\n' "$name" "$good"
        else
                printf '%-28s %5d ok %d FAILED (status %d)\n' "$name" "$good" "$bad" "$status"
                sed 's/^/    /' "$out"
        fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
