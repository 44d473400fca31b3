/*
 * orphan - what is left of runs that are over and that no journal names. Pure: a survey in, a list out.
 *
 * An orphan is proven ours by its generation, which begins with the instance's id: a tap by its alias, its port of Open
 * vSwitch by an external_id, a control group by its mark, QEMU by its command line and by a uid of UID_RANGE, which nobody
 * else has. Directories and locks below RUN are ours by their place, and images below STATE/NAME/overlays by their names. And
 * it is proven over: no VM that somebody holds is of that generation, no QEMU of it lives. What cannot be proven, another
 * instance's or not marked, is no orphan and is not touched.
 *
 * A QEMU that lives and whose VM has no directory any more cannot be taken over: its sockets are gone with it. It is
 * reported and kept, with what it uses: ending a guest is for somebody to ask for (destroy).
 */
#pragma once

#include "launcher/run/survey.h"

enum orphan_kind {
        ORPHAN_QEMU,
        ORPHAN_TAP,
        ORPHAN_PORT,
        ORPHAN_CGROUP,
        ORPHAN_DIRECTORY,
        ORPHAN_LOCK,
        ORPHAN_IMAGE,
        ORPHAN_KINDS
};
/* "qemu", "tap", "port", "cgroup", "directory", "lock", "image" */
const char *orphan_kind_name(enum orphan_kind kind);

struct orphan {
        enum orphan_kind kind;
        char *vm;   /* NULL: of no VM that is known */
        char *what; /* "web-0", "machine.slice/vmlaunch-web", "process 4711", ".gone-web-17", "images/8:1-17" */
        char *why; /* "of run 0a1b..., which is over" */
        bool kept; /* it stays: a process uses it */
        size_t at; /* in the survey's list of its kind */
};

/* In the order of removal. */
void orphans_find(const struct survey *survey, struct orphan **ret, size_t *ret_n);
void orphans_free(struct orphan *orphans, size_t n);
/* "tap 'web-0' on bridge 'br0', of a run that is over"; new string. */
char *orphan_text(const struct orphan *orphan);
