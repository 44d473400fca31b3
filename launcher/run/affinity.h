/*
 * affinity - which threads of QEMU an affinity step (launch_plan.h) is about: QEMU is asked.
 */
#pragma once

#include <jansson.h>

#include "qmp/qmp_client.h"

/* args has "threads" now (lent); or *error says what is wrong. */
typedef void affinity_fn(json_t *args, const struct error *error, void *data);

/* Asks; fn is called once, perhaps before it returns. args is copied. */
void affinity_ask(struct qmp_client *qmp, const json_t *args, affinity_fn *fn, void *data);
/*
 * Adds to threads, {"TID": CPUS}, those of wanted, {"N": CPUS}, by a reply of query-cpus-fast or query-iothreads (pure).
 * What QEMU says may be anything: an error then, or numbers that carry_out holds against /proc.
 */
int affinity_add_threads(const json_t *wanted, const json_t *reply, bool iothreads, json_t *threads,
                         struct error **err);
