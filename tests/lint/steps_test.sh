#!/usr/bin/env bash
# The test of steps.sh, and of the table of effects: what has no name does not build.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cc=${CC:-cc}
read -ra flags <<<"$(make -s print-cflags)"
fail() {
    echo "$*"
    exit 1
}
compiles() { $cc "${flags[@]}" -iquote "$work" -fsyntax-only "$1" 2>"$work/errors"; }

printf 'static void forget(int fd)\n{\n        unlinkat(fd, "x", 0);\n}\n' >"$work/unnamed.c"
if tests/lint/steps.sh "$work/unnamed.c" >"$work/out"; then fail "an unnamed effect passes"; fi
grep -q 'unnamed.c:3: forget() calls unlinkat' "$work/out" || fail "an unnamed effect is not told: $(<"$work/out")"
sed 's/^}/        crash_point(CRASH_LEFT);\n}/' "$work/unnamed.c" >"$work/named.c"
tests/lint/steps.sh "$work/named.c" || fail "a named effect does not pass"
printf 'static void ask(struct q *q)\n{\n        ops_query_status(q, fn, q);\n}\n' >"$work/asks.c"
tests/lint/steps.sh "$work/asks.c" || fail "a question does not pass"

printf '#include "launcher/state/crash_point.h"\nvoid f(void);\nvoid f(void)\n{\n        crash_point(CRASH_LEFT);\n}\n' >"$work/point.c"
compiles "$work/point.c" || fail "a moment of the table does not compile: $(head -3 "$work/errors")"
sed -i 's/CRASH_LEFT/CRASH_NOWHERE/' "$work/point.c"
if compiles "$work/point.c"; then fail "a moment that is in no table compiles"; fi

# One more effect than there are functions: the copy is found before the original.
mkdir -p "$work/launcher/plan" "$work/launcher/run"
cp launcher/run/effects.c launcher/run/effects.h "$work/launcher/run/"
cp launcher/plan/launch_plan.h "$work/launcher/plan/"
compiles "$work/launcher/run/effects.c" || fail "the table of effects does not compile: $(head -3 "$work/errors")"
sed -i 's/^ *X(NET, .*/X(NOVEL, "novel", novel) \\\n&/' "$work/launcher/plan/launch_plan.h"
if compiles "$work/launcher/run/effects.c"; then fail "an effect without functions compiles"; fi
grep -q novel_carry_out "$work/errors" || fail "another error than expected: $(head -3 "$work/errors")"
