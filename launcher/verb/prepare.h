/*
 * prepare - from a verb's argument to a plan: template, layers, facts, chains, plan.
 */
#pragma once

#include "conf/vm_spec.h"
#include "launcher/host/host_facts.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/verb/verbs.h"

struct prepared {
        struct vm_spec *spec;
        struct host_facts *host;
        struct launch_plan *plan;
};

void prepared_done(struct prepared *prepared);
#define _cleanup_prepared_ _cleanup_(prepared_done)

/*
 * argument: a template file (it has a slash or is a file here), "-" for stdin, or the NAME of ETC/vms/NAME.tmpl.
 * write_cache: may the QEMU facts be cached (start and run; DESIGN section 5.5).
 */
int prepare(const struct verb_context *context, const char *argument, bool write_cache, struct prepared *ret,
            struct error **err);
