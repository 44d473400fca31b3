#!/usr/bin/env bash
# Every wait ends (docs/deadlines.md). A call that may wait says so with its deadline in its arguments (MSG_DONTWAIT,
# WNOHANG, a time), or the comment before it does, beginning with "waits:". Prints each one that does neither.
set -euo pipefail
cd "$(dirname "$0")/../.."
git grep -nE -B3 '\b(p?poll|epoll_wait|p?select|loop_step|waitpid|waitid|connect|accept4?|recv(from|msg)?|send(to|msg)?|flock|u?sleep|nanosleep|pause|sigsuspend|sigwaitinfo|get(gr|pw)(nam|[gu]id)|getaddrinfo|system|popen)\(|_SETLKW' \
    -- 'base/*.c' 'conf/*.c' 'qmp/*.c' 'net/*.c' 'cgroups/*.c' 'launcher/*.c' |
    awk '
    # Lines of grep: FILE:N:TEXT where it matched, FILE-N-TEXT before that, -- between places.
    /^--$/ { said = 0; next }
    /waits:/ { said = 4 }
    { if (said > 0) said-- }
    !match($0, /^[^:]*\.c:[0-9]+:/) { next }
    {
        text = substr($0, RLENGTH + 1)
        if (said || text ~ /^ *(\*|\/\*)/ || text ~ /^(static |void |int |unsigned )/)
            next
        if (text ~ /MSG_DONTWAIT|WNOHANG|LOCK_NB/)
            next
        # With a time that is not "for ever"; the variables are computed from a deadline.
        if (text ~ /(poll|loop_step)\(/ && text !~ /-1\)/ && text !~ /-1 *:|\? *-1/)
            next
        print
        bad = 1
    }
    END { exit bad }'
