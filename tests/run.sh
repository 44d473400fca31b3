#!/usr/bin/env bash
# Runs integration tests: run.sh [-j N] [FILE[:TEST]...]; all files of tests/integration when none is named.
# A file is a shell script (or a program built from FILE.c) that runs its tests, one line each: "ok NAME", "not ok
# NAME", "skip NAME: reason". No test is retried. Ends with "N passed, N failed, N skipped".
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=${BUILD:-build}
# Most of the time a test waits: for a guest, a deadline, a process.
jobs=$((($(nproc) * 3 + 1) / 2))
budget=${TEST_BUDGET:-2400} # seconds for all; above it the run fails (tests/README.md)
limit=${TEST_FILE_LIMIT:-600} # seconds for one file
if [[ ${1:-} == -j ]]; then
    jobs=$2
    shift 2
fi

if (($# == 0)); then
    mapfile -t files < <(git ls-files --cached --others --exclude-standard 'tests/integration/*.sh' 'tests/integration/*.c' | grep -vE '/(lib|assert|hotplug_lib|crash_changes|crash_checks|crash_lives|fragments|made_up_devices|switch_lib|booted|systemd_life|systemd_limits|systemd_scopes)\.sh$')
else
    files=("$@")
fi
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
started=$SECONDS

run_one() { # FILE[:TEST]
    local file=${1%%:*} test='' log
    [[ $1 == *:* ]] && test=${1#*:}
    log=$logs/$(basename "$file").${test:-all}
    local begin=$SECONDS status
    if [[ $file == *.c ]]; then
        timeout -k 10 "$limit" "$build/tests/it_$(basename "$file" .c)" >"$log" 2>&1
        status=$?
        # cmocka's lines in the words of the others
        sed -nE 's/^\[ +OK +\] (.*)/ok \1/p; s/^\[ +FAILED +\] ([a-z].*)/not ok \1/p; s/^\[ +SKIPPED +\] ([a-z].*)/skip \1/p' "$log" | sort -u >"$log.lines"
        ((status == 77)) && echo "skip $(basename "$file" .c): $(tail -1 "$log")" >"$log.lines"
    else
        timeout -k 10 "$limit" bash "$file" ${test:+"$test"} >"$log" 2>&1
        status=$?
        grep -E '^(ok|not ok|skip) ' "$log" >"$log.lines"
    fi
    if ((status != 0 && status != 77)) && ! grep -q '^not ok' "$log.lines"; then
        echo "not ok $(basename "$file"): ended with status $status" >>"$log.lines"
    fi
    printf '== %s (%d s)\n' "$1" $((SECONDS - begin))
    cat "$log.lines"
    if grep -q '^not ok' "$log.lines"; then
        echo "-- output of $1"
        grep -vE '^(ok|not ok|skip) ' "$log" | tail -80
    fi
}
export -f run_one
export logs build limit

# shellcheck disable=SC2016 # the inner shell expands it
printf '%s\n' "${files[@]}" | xargs -P "$jobs" -I{} bash -c 'run_one "$1"' _ {} | tee "$logs/all"
passed=$(grep -c '^ok ' "$logs/all")
failed=$(grep -c '^not ok ' "$logs/all")
skipped=$(grep -c '^skip ' "$logs/all")
took=$((SECONDS - started))
if (($# == 0)); then
    if tests/starts.sh >"$logs/starts"; then
        echo "ok starts of QEMU"
        passed=$((passed + 1))
    else
        echo "not ok starts of QEMU"
        failed=$((failed + 1))
    fi
    cat "$logs/starts"
fi
if ((took > budget)); then
    echo "not ok budget: $took s, more than the $budget s of tests/README.md"
    failed=$((failed + 1))
fi
echo "integration tests took $took s"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
