#!/usr/bin/env bash
# Records what tests/unit/test_state_compare.c replays: record_machine.sh VM >tests/unit/machines/NAME.json asks the QEMU
# of a running VM (VMLAUNCH_ROOT) what it is, and adds its live.tmpl and the steps of its journal.
set -euo pipefail
vm=$1
run=${VMLAUNCH_ROOT:-}/run/vmlaunch/$vm
vmlaunch=$(dirname "$0")/../../build/vmlaunch

answer() { "$vmlaunch" qmp "$vm" "$1" | jq -c 'if .error then {error: .error.desc} else {answer: .return} end'; }
fact() { # NAME COMMAND [ARGUMENTS]
    answer "{\"execute\": \"$2\", \"arguments\": ${3:-{\}}}" |
        jq -c --arg name "$1" 'if .error then {errors: {($name): .error}} else {($name): .answer} end'
}
{
    fact status query-status
    fact name query-name
    fact uuid query-uuid
    fact type qom-get '{"path": "/machine", "property": "type"}'
    fact memory query-memory-size-summary
    fact balloon query-balloon || true
    fact cpus query-cpus-fast
    fact devices qom-list '{"path": "/machine/peripheral"}'
    fact anonymous qom-list '{"path": "/machine/peripheral-anon"}'
    fact objects qom-list '{"path": "/objects"}'
    fact block query-block
    fact nodes query-named-block-nodes '{"flat": true}'
    fact chardevs query-chardev
    fact network human-monitor-command '{"command-line": "info network"}'
    fact jobs query-jobs
    fact exports query-block-exports
    fact migration query-migrate
    grep -oE '^(DISK|NIC) ' "$run/live.tmpl" | awk '{ print tolower($1) n[$1]++ + 0 }' | while read -r id; do
        for property in parent_bus addr scsi-id unit mac netdev; do
            { answer "{\"execute\": \"qom-get\", \"arguments\": {\"path\": \"/machine/peripheral/$id\", \"property\": \"$property\"}}" || true; } |
                jq -c --arg id "$id" --arg property "$property" \
                    'if .error then {} else {properties: {($id): {($property): .answer}}} end'
        done
    done
} | jq -s --rawfile template "$run/live.tmpl" --slurpfile journal "$run/journal" \
    '{template: $template, facts: (reduce .[] as $one ({}; . * $one)),
      steps: [$journal[] | select(.effect) | {effect, args}]}'
