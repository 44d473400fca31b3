#!/usr/bin/env bash
# Includes point downwards or into the same folder (docs/ARCHITECTURE.md, layers). Prints each one that does not.
set -euo pipefail
cd "$(dirname "$0")/../.."

# folder -> the folders it may include, besides itself
declare -A may=(
    [base]=""
    [conf]="base"
    [qmp]="base"
    [net]="base"
    [cgroups]="base"
    [launcher/host]="base conf qmp net cgroups launcher/state launcher/storage"
    [launcher/state]="base conf qmp net cgroups launcher/host launcher/storage"
    [launcher/storage]="base conf qmp net cgroups launcher/host launcher/state"
    [launcher/plan]="base conf net cgroups launcher/host launcher/state launcher/storage"
    [launcher/run]="base conf qmp net cgroups launcher/host launcher/state launcher/storage launcher/plan"
    [launcher/live]="base conf qmp net cgroups launcher/host launcher/state launcher/storage launcher/plan"
    [launcher/verb]="base conf qmp net cgroups launcher/host launcher/state launcher/storage launcher/plan launcher/run launcher/live"
    [launcher]="base conf launcher/verb"
    [docs]="base conf launcher/verb"
)
# Headers with system calls behind them that a pure folder must not see (the plan is data).
plan_forbidden='net/(net_apply|netlink|tap)\.h|cgroups/cgroup_(apply|places)\.h|base/(process|loop|fd)\.h|<(unistd|fcntl|sys/(stat|socket|ioctl)|time)\.h>'
status=0

for file in $(git ls-files '*.c' '*.h' | grep -v '^tests/'); do
    folder=$(dirname "$file")
    if [[ -z ${may[$folder]+set} ]]; then
        echo "$file: folder $folder is in no layer (tests/lint/includes.sh)"
        status=1
        continue
    fi
    while IFS= read -r include; do
        target=$(dirname "$include")
        [[ $target == "$folder" ]] && continue
        case " ${may[$folder]} " in
        *" $target "*) ;;
        *)
            echo "$file: includes $include: $folder must not know $target"
            status=1
            ;;
        esac
    done < <(sed -nE 's/^#include "([^"]+)".*/\1/p' "$file")
    if [[ $folder == launcher/plan ]] && grep -nE "^#include ([\"])?($plan_forbidden)" "$file"; then
        echo "$file: launcher/plan is pure"
        status=1
    fi
done
exit $status
