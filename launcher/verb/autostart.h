/*
 * autostart - VMs in the order in which they are started at boot, for hosts without systemd.
 */
#pragma once

#include "conf/template.h"
#include "launcher/verb/verbs.h"

struct autostart_vm {
        char *name;
        uint32_t order; /* START_ORDER; those without one have the greatest there is */
        uint32_t delay; /* START_DELAY, seconds */
};

/* Sorted by order, then by name. What is enabled (ETC/autostart): a template that is none is appended to *err and left out,
 * and the result is still 0. */
int autostart_enabled(const struct site *site, struct autostart_vm **ret, size_t *ret_n, struct error **err);
/* What runs, by its live.tmpl. */
int autostart_running(const struct site *site, struct autostart_vm **ret, size_t *ret_n, struct error **err);
void autostart_free(struct autostart_vm *vms, size_t n);

/* At boot a VM goes by the name of its template's file in ETC/vms, so one that gives another NAME is an error. */
int autostart_check_name(const struct template *template, const char *file_name, struct error **err);

/* start --autostart: one after the other; goes on after one that cannot be started. */
int autostart_all(struct verb_context *context, struct error **err);
/* start.c: one of them. */
int start_vm(struct verb_context *context, const char *argument, struct error **err);
