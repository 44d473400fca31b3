#!/usr/bin/env bash
# tests/coverage.sh BUILD - line coverage of each parser by the corpus of its fuzz target; below the bar it fails.
# The programs in BUILD are built with --coverage (make fuzz-coverage).
set -uo pipefail
cd "$(dirname "$0")/.." || exit
build=$1
bar=90
status=0
while read -r target source; do
    find "$build" -name '*.gcda' -delete
    "$build/tests/replay_fuzz_$target" "tests/corpus/$target" >/dev/null 2>&1 || {
        echo "$target: the replay failed"
        status=1
    }
    # The first "Lines executed" after the file's own name is the file's.
    share=$(gcov -n -o "$build/$(dirname "$source")" "$build/${source%.c}.gcda" 2>/dev/null |
        awk -v file="File '$source'" '$0 == file { getline; sub(/Lines executed:/, ""); print; exit }')
    if [[ -n $share ]] && awk -v have="${share%%%*}" -v bar=$bar 'BEGIN { exit !(have >= bar) }'; then
        printf 'ok     %-14s %-36s %s\n' "$target" "$source" "$share"
    else
        printf 'BELOW  %-14s %-36s %s\n' "$target" "$source" "${share:-not run}"
        status=1
    fi
done <<'END'
json_stream qmp/json_frame.c
agent_stream qmp/qga_client.c
journal launcher/state/journal.c
record launcher/state/record.c
template conf/template_text.c
live_tmpl conf/spec_write.c
template_xml conf/xml_tree.c
template_xml conf/template_xml.c
template_xml conf/template_vm.c
template_xml conf/locator.c
snippet conf/snippet.c
snippet conf/snippet_domain.c
snippet conf/snippet_devices.c
snippet conf/snippet_parts.c
snippet conf/snippet_unit.c
snippet conf/snippet_features.c
snippet conf/snippet_clock.c
snippet conf/snippet_display.c
snippet conf/snippet_nic.c
snippet conf/snippet_disk.c
snippet conf/snippet_capacity.c
snippet conf/snippet_os.c
snippet conf/snippet_serial.c
snippet conf/snippet_hostdev.c
control launcher/run/control_command.c
fragment launcher/run/fragment.c
fragment launcher/run/fragment_host.c
qcow2_header launcher/storage/qcow2_header.c
foreign_header launcher/storage/foreign_header.c
END
exit $status
