#!/usr/bin/env bash
# What launcher/run and launcher/state change - on the host, in QEMU, in the guest - has a name in the table of moments
# (launcher/state/crash_point.h), so that the crash matrix can end a process there. A function that calls one of the
# changing functions below and no crash_point() does not build, but for those of steps.txt, which says why.
# The effects of plan steps need no call of their own: effects.c's table is made of the list of their names.
# steps.sh [FILE...]; without files, all of both folders.
set -euo pipefail
cd "$(dirname "$0")/../.."
changing='unlinkat|unlink|rename|renameat|renameat2|rmdir|mkdirat|linkat|symlinkat|bind|ftruncate|fchownat|fchmodat'
changing+='|fd_write_file_at|fd_write_existing_at|fd_mkdir_p|fd_remove_tree'
changing+='|fork|vfork|clone|clone3|cgroup_entry_fork|kill|pidfd_send_signal|confine_send_signal'
changing+='|net_[a-z_]*(apply|do|undo)|net_apply[a-z_]*|cgroup_(apply|create|write|remove|kill|attach)[a-z_]*'
changing+='|ops_[a-z_]*|qmp_client_call|qmp_client_forward|qga_client_(call|freeze|thaw|shutdown|sync_time)'
# They ask, or read a reply.
harmless='ops_(query_[a-z_]*|status_read|[a-z_]*_read)'
files=("$@")
((${#files[@]})) || files=(launcher/run/*.c launcher/state/*.c)
awk -v changing="(^|[^a-zA-Z0-9_>.])($changing)\\\\(" -v harmless="$harmless\\\\(" '
    FILENAME ~ /steps\.txt$/ {
        if ($1 != "" && $1 !~ /^#/)
            reason[$1 " " $2] = 1
        next
    }
    # An effect of a plan: its moments are those of the table.
    FNR == 1 { skip = FILENAME ~ /launcher\/run\/effect_[a-z]*\.c$/; head = ""; inside = 0 }
    skip { next }
    /^[a-z].*\(/ && !inside { head = $0; sub(/\(.*/, "", head); sub(/.*[ *]/, "", head) }
    /^\{/ { inside = 1; found = named = 0; next }
    /^\}/ {
        if (inside && found && !named && !((FILENAME " " head) in reason)) {
            printf "%s:%d: %s() calls %s and names no moment: crash_point() of launcher/state/crash_point.h\n",
                   FILENAME, found, head, what
            bad = 1
        }
        if ((FILENAME " " head) in reason)
            used[FILENAME " " head] = found && !named
        inside = 0
        next
    }
    inside {
        line = $0
        sub(/\/\*.*/, "", line)
        gsub(harmless, "", line)
        if (line ~ /crash_point(_effect)?\(/)
            named = 1
        if (!found && match(line, changing)) {
            found = FNR
            what = substr(line, RSTART, RLENGTH)
            gsub(/[^a-z0-9_]/, "", what)
        }
    }
    END {
        for (one in used)
            if (!used[one]) {
                printf "tests/lint/steps.txt: %s needs no exception\n", one
                bad = 1
            }
        exit bad
    }' tests/lint/steps.txt "${files[@]}"
