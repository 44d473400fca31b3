/*
 * state_compare - where a VM's template, its QEMU and what is written down of its run do not agree.
 *
 * QEMU is authoritative, the template (live.tmpl) is intent, journal and record are obligation; this is the one place
 * that compares the three, for status, adoption and tests. Pure. QEMU's answers (qmp/ops_facts.h) are outside data: of
 * any shape, and no larger than what one comparison looks at. A fact of the wrong shape is a difference too.
 *
 * A difference is an object: "kind", "id", "member" (what of it; absent: whether it is there at all), and what each side
 * says: "template", "qemu", "record" (absent: nothing on this subject; null: that there is none). Kinds:
 *
 *   machine    name, uuid, type, memory, vcpus, balloon      state      does the guest run
 *   device     id of a device; member type, address, mac,    node       a block node
 *              netdev, medium, format, read-only             chardev, netdev, object
 *   job, export, migration    work of QEMU that nobody has written down
 *   image      a lock that the run holds or should hold      tap        the same of a tap
 *   template   live.tmpl itself                              question   what QEMU would not say
 *
 * They come in the order of this list, by template first, then by id.
 */
#pragma once

#include <jansson.h>

#include "conf/vm_spec.h"

/* More than these are not looked at. */
#define STATE_DIFFERENCES_MAX 200

struct state_sides {
        const struct vm_spec *spec; /* live.tmpl; NULL: it cannot be read */
        const char *trouble;        /* why not */
        /* Answers under machine_fact_name(), properties as {"properties": {"nic0": {"mac": ...}}}, and under "errors" what
         * was refused. NULL: nothing was asked. */
        const json_t *facts;
        const json_t *steps;      /* journal_steps_read(); NULL: the journal cannot be read */
        const char *record_state; /* "running", "paused"; NULL: nothing to say */
};

/* Array, empty when all agree; new reference. */
json_t *state_compare(const struct state_sides *sides);
/* One line: "device disk1: template virtio-blk-pci, QEMU none"; new string. */
char *state_difference_text(const json_t *difference);

/* The properties of devices that a comparison with this template needs: calls fn with the id of each device. */
void state_properties(const struct vm_spec *spec,
                      void (*fn)(const char *id, const char *property, void *data), void *data);
/* What QEMU has to have for a template, each an object of id and type: "devices", "objects", "netdevs", "chardevs", "nodes"
 * (true where the id is enough). New reference. */
json_t *state_expected(const struct vm_spec *spec);
