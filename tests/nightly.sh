#!/usr/bin/env bash
# make nightly: what takes longer than `make check` may. All tests, with the counts and the whole tables of tests/README.md,
# then the sanitizers, and each fuzz target for FUZZ_SECONDS. Each part prints its result and time; all are run.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
export FREEZE_RUNS=${FREEZE_RUNS:-200}
export STEPS=${STEPS:-2000}
export RANDOM_KILLS=${RANDOM_KILLS:-1000}
export CRASH=all DEADLINES_ALL=1 SYSTEMD=1 SYSTEMD_V1=all
export TEST_BUDGET=${TEST_BUDGET:-21600} TEST_FILE_LIMIT=${TEST_FILE_LIMIT:-14400}
fuzz_seconds=${FUZZ_SECONDS:-300}
status=0

part() { # NAME COMMAND...
    local name=$1 start=$SECONDS log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        printf 'ok    %-28s %5d s\n' "$name" $((SECONDS - start))
    else
        printf 'FAIL  %-28s %5d s\n' "$name" $((SECONDS - start))
        tail -100 "$log"
        status=1
    fi
    rm -f "$log"
}

part "unit tests" make -s check-unit
part "integration" tests/run.sh
part "sanitizers" make -s asan
part "coverage of the corpora" make -s fuzz-coverage
if echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | clang -fsanitize=fuzzer -x c -o /dev/null - 2>/dev/null; then
    for target in tests/fuzz/fuzz_*.c; do
        target=$(basename "$target" .c)
        part "$target" make -s fuzz "FUZZ=${target#fuzz_}" "SECONDS=$fuzz_seconds"
    done
else
    echo "skip  fuzzing: clang has no libFuzzer here"
fi
exit $status
