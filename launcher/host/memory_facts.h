/*
 * memory_facts - what memory nodes and huge pages the host has, and whether it can encrypt guest memory; part of host_facts.
 */
#pragma once

#include "launcher/host/host_facts.h"

/* Neither is an error where there is none: facts says so. */
int memory_facts_read(struct host_facts *facts, struct error **err);
/* Members "hugepages", "nodes" and "sev" of the host's JSON; all may be absent, one without nodes has node 0. */
void memory_facts_to_json(const struct host_facts *facts, json_t *json);
int memory_facts_from_json(const json_t *json, struct host_facts *facts, struct error **err);
