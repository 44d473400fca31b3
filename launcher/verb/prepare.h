/*
 * prepare - from a verb's argument to a plan: template, layers, facts, chains, plan.
 */
#pragma once

#include "conf/template.h"
#include "conf/vm_spec.h"
#include "launcher/host/host_facts.h"
#include "launcher/host/qemu_facts.h"
#include "launcher/plan/launch_plan.h"
#include "launcher/plan/plan_build.h"
#include "launcher/state/machine_lock.h"
#include "launcher/verb/verbs.h"

struct prepared {
        struct vm_spec *spec;
        struct host_facts *host;
        struct launch_plan *plan;
        enum plan_group group;   /* what the plan was made with, as the next two */
        char *unit, *unit_group; /* NULL: none */
};

void prepared_done(struct prepared *prepared);
#define _cleanup_prepared_ _cleanup_(prepared_done)

/* What a plan is made with besides the template: read once for several of one VM. Starts all zero. */
struct prepare_facts {
        bool is_running; /* the VM runs: its group is made, as the next two say; else who will make it is worked out */
        const char *unit, *group; /* of its record, borrowed; NULL: none */
        struct host_facts *host;
        struct qemu_facts *qemu;
        struct machine_lock *lock;
        struct looks *looks; /* what was seen of files: prepare_look.c */
};
void prepare_facts_done(struct prepare_facts *facts);
#define _cleanup_prepare_facts_ _cleanup_(prepare_facts_done)

/* The plan of prepared->spec, which was built from the template. also: another spec whose plan will be made, so that the files
 * of both are looked at at once; NULL: none. */
int prepare_plan(const struct verb_context *context, const struct template *template,
                 const struct vm_spec *also, bool write_cache, struct prepare_facts *facts,
                 struct prepared *prepared, struct error **err);
/* The plan of a template that has been read; ret->host stays NULL. base_dir: of its relative paths; name: the VM's when it
 * says none. */
int prepare_template(const struct verb_context *context, const struct template *template,
                     const char *base_dir, const char *name, bool write_cache, struct prepare_facts *facts,
                     struct prepared *ret, struct error **err);

/*
 * Starts the VM by its unit, and waits until it runs: *ret_record is its record then, a new reference. verb/unit.c
 */
int unit_start(const struct verb_context *context, const struct prepared *prepared, long long timeout_ms,
               json_t **ret_record, struct error **err);

/*
 * argument: a template file (it has a slash or is a file here), "-" for stdin, or the NAME of ETC/vms/NAME.tmpl.
 * write_cache: may the QEMU facts be cached (start and run; DESIGN section 5.5).
 */
int prepare(const struct verb_context *context, const char *argument, bool write_cache, struct prepared *ret,
            struct error **err);
