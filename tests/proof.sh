#!/usr/bin/env bash
# make proof NAME: runs exactly the tests of an issue's "must show" list and prints the table. tests/proof/NAME.list has
# a line per proof: POINT | SENTENCE | COMMAND. A command that exits 77 is a skip, with its last line as the reason.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
name=${1:?usage: make proof NAME}
list=tests/proof/$name.list
if [[ ! -f $list ]]; then
    echo "no proof '$name'; there are: $(basename -s .list -a tests/proof/*.list | xargs)" >&2
    exit 2
fi
log=$(mktemp)
trap 'rm -f "$log"' EXIT
passed=0 failed=0 skipped=0
printf '%-6s %-7s %6s  %s\n' point result time what
while IFS='|' read -r point sentence command; do
    [[ -z ${point// /} || $point == \#* ]] && continue
    begin=$SECONDS
    bash -c "$command" </dev/null >"$log" 2>&1
    status=$?
    case $status in
    0) result=ok passed=$((passed + 1)) ;;
    77) result=skip skipped=$((skipped + 1)) ;;
    *) result=FAIL failed=$((failed + 1)) ;;
    esac
    printf '%-6s %-7s %4d s  %s\n' "${point// /}" "$result" $((SECONDS - begin)) "$(sed 's/^ *//; s/ *$//' <<<"$sentence")"
    ((status == 0)) || { grep '^not ok' "$log"; tail -25 "$log"; } | sed 's/^/         | /'
done <"$list"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
