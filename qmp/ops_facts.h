/*
 * ops_facts - what a running machine is: the questions whose answers say what the guest sees.
 *
 * Queries only, each with 5 s for its answer: they are asked in bunches. The answers are kept under machine_fact_name()
 * in one object, as QEMU gave them: launcher/run/state_compare reads them, whoever recorded them.
 */
#pragma once

#include "qmp/qmp_client.h"

enum machine_fact {
        FACT_STATUS,
        FACT_NAME,
        FACT_UUID,
        FACT_TYPE,    /* of the machine */
        FACT_MEMORY,  /* sizes */
        FACT_BALLOON, /* an error where there is none */
        FACT_CPUS,
        FACT_DEVICES,   /* those with an id */
        FACT_ANONYMOUS, /* devices without */
        FACT_OBJECTS,
        FACT_BLOCK, /* disks and what is in them */
        FACT_NODES,
        FACT_CHARDEVS,
        FACT_NETWORK, /* text of the human monitor: QMP has no list of netdevs */
        FACT_JOBS,
        FACT_EXPORTS,
        FACT_MIGRATION,
        MACHINE_FACTS, /* how many */
};

/* "status", "devices", ... */
const char *machine_fact_name(enum machine_fact fact);

void ops_machine_fact(struct qmp_client *client, enum machine_fact fact, qmp_reply_fn *fn, void *data);
/* id: of a device. */
void ops_device_property(struct qmp_client *client, const char *id, const char *property, qmp_reply_fn *fn,
                         void *data);
