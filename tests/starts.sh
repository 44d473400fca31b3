#!/usr/bin/env bash
# starts.sh [GUIDE [DIRECTORY]]: how often the tests that docs/guide-coverage.md names start the real QEMU, as tests/integration/lib.sh
# counted it in their last run; fails above what issue 5 allows, and when one of them has not been run as it is now. What runs
# in the booted systemd (systemd_*.sh) are stand-ins for QEMU, in one guest for all of them.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
guide=${1:-docs/guide-coverage.md}
counts=${2:-build/starts}
# -S alone: QEMU and the kernel are asked. A boot: the guest's own words are read, from a kernel, firmware or boot sector.
most_starts=40 most_boots=13
starts=0 boots=0 restored=0 table='' status=0
while read -r proof; do
    file=tests/integration/${proof%%:*}
    if [[ ! -e $counts/$proof || (-e $file && $file -nt $counts/$proof) ]]; then
        echo "not run since it was changed: $proof"
        status=1
        continue
    fi
    read -r s b r <"$counts/$proof"
    [[ $s != skipped ]] || continue
    starts=$((starts + s)) boots=$((boots + b)) restored=$((restored + r))
    table+="$s $b $r $proof"$'\n'
done < <(grep -oE '[a-z0-9_]+\.sh:[a-z0-9_]+' "$guide" | grep -v '^systemd_' | sort -u)
# What exceeds is told with its parts, the largest first.
too_many() { # COLUMN WHAT NUMBER MOST
    (($3 > $4)) || return 0
    echo "$3 $2, more than $4:"
    sort -rn -k "$1,$1" <<<"$table" | awk -v c="$1" '$c > 0 { print "    " $c " " $4 }'
    status=1
}
too_many 1 "starts with -S" "$starts" "$most_starts"
too_many 2 "boots of a guest" "$boots" "$most_boots"
if ((starts == 0)); then
    echo "no test has started anything"
    status=1
fi
echo "$starts starts with -S (at most $most_starts), $boots boots of a guest (at most $most_boots), $restored restored guests"
exit "$status"
