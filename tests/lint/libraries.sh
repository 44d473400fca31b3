#!/usr/bin/env bash
# The program links these libraries and no others (docs/ARCHITECTURE.md, dependencies).
set -euo pipefail
program=${1:?usage: libraries.sh PROGRAM}
allowed=' libjansson.so.4 libc.so.6 ld-linux-x86-64.so.2 '
status=0

while IFS= read -r library; do
    case $allowed in
    *" $library "*) ;;
    *)
        echo "$program links $library, which the design does not name"
        status=1
        ;;
    esac
done < <(readelf -d "$program" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
exit $status
