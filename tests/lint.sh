#!/usr/bin/env bash
# make lint: everything that reads the code without running it. Each check prints its name and time; the first lines of
# what it found follow a failure.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
status=0
jobs=$(nproc)

check() { # NAME COMMAND...
    local name=$1 start=$SECONDS log
    shift
    log=$(mktemp)
    if "$@" >"$log" 2>&1; then
        printf 'ok    %-28s %3ds\n' "$name" $((SECONDS - start))
    else
        printf 'FAIL  %-28s %3ds\n' "$name" $((SECONDS - start))
        head -60 "$log"
        status=1
    fi
    rm -f "$log"
}

sources() { git ls-files '*.c'; }
format() { git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror; }
warnings() { make -s -j"$jobs" "B=build/lint-$1" "CC=$1" WERROR=-Werror CFLAGS=-O2 all unit-programs; }
tidy() {
    local flags
    read -ra flags <<<"$(make -s CC=clang print-cflags)"
    # shellcheck disable=SC2016 # the inner shell expands its own arguments
    sources | grep -v '^tests/' | xargs -P "$jobs" -n 4 bash -c \
        'n=$1; shift; clang-tidy --quiet --warnings-as-errors="*" "${@:n+1}" -- "${@:1:n}" 2>/dev/null' \
        _ "${#flags[@]}" "${flags[@]}"
}
cppcheck_all() {
    cppcheck --quiet --error-exitcode=1 --std=c11 --enable=warning,portability,performance --inline-suppr \
        --suppressions-list=tests/lint/cppcheck.txt --library=tests/lint/jansson.cfg -j "$jobs" -I. -D_GNU_SOURCE -DVMLAUNCH_VERSION='""' \
        base conf net cgroups qmp launcher
}
shell() { git ls-files '*.sh' .ci/run | xargs shellcheck -x; }
spelling() { git ls-files ':!LICENSE' ':!tests/corpus' ':!tests/golden' | xargs codespell --ignore-words=tests/lint/words.txt; }
# Words that promise work nobody has done.
promises() { ! git grep -nIE '\b(TODO|FIXME|XXX|HACK)\b|[Nn]ot (yet )?implemented' -- '*.c' '*.h' '*.sh' Makefile ':!tests/lint.sh'; }

check "format (clang-format)" format
check "warnings (gcc)" warnings gcc
check "warnings (clang)" warnings clang
check "include direction" tests/lint/includes.sh
check "QMP command names" tests/lint/qmp_names.sh
check "named steps" tests/lint/steps.sh
check "named steps (the rule's test)" tests/lint/steps_test.sh
check "starts are counted (its test)" tests/lint/starts_test.sh
check "waits have deadlines" tests/lint/waits.sh
check "linked libraries" tests/lint/libraries.sh build/lint-gcc/vmlaunch
check "clang-tidy" tidy
check "cppcheck" cppcheck_all
check "shellcheck" shell
check "spelling (codespell)" spelling
check "unkept promises" promises
exit $status
