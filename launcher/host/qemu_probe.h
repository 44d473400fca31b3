/*
 * qemu_probe - asks one QEMU binary by QMP what it can do.
 *
 * The binary runs with `-machine none`, so it opens no device and no file, and talks over a socketpair, so
 * nothing is written anywhere. Whose binary it is may have been said by a template: when the caller is root
 * it runs as nobody, without groups, so with less than the VM's own uid will have; always with
 * no_new_privs, no ambient capabilities, an environment of PATH and LC_ALL, and no fd but the socket. It
 * never sees /dev/kvm (accelerators tcg, else qtest), so its answers do not depend on who asks. It dies
 * with the caller and is killed, with its process group, at the deadline.
 */
#pragma once

#include "launcher/host/qemu_facts.h"

#define QEMU_PROBE_DEADLINE_MS 10000

/* path: absolute. Facts without identity. Not a working QEMU: ERROR_HOST that quotes its stderr. */
struct qmp_client;
/* Called once, when QEMU has greeted. */
typedef int qemu_ask_fn(struct qmp_client *client, void *data, struct error **err);
/* Runs the binary so for fn's questions; fails as qemu_probe() does. */
int qemu_ask(const char *path, unsigned deadline_ms, qemu_ask_fn *fn, void *data, struct error **err);

/* Whether a name that a binary tells is one: short, printable, without quotes. */
bool qemu_is_name(const char *s);
/* qemu_probe_cpu.c: the switches of -cpu. models: the reply of query-cpu-definitions. */
int qemu_probe_cpu(struct qmp_client *client, const json_t *models, struct qemu_facts *facts,
                   struct error **err);

int qemu_probe(const char *path, unsigned deadline_ms, struct qemu_facts **ret, struct error **err);
