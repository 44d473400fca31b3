/*
 * verbs - the table of verbs: name, usage, summary, options, function; --help and completion come from it.
 *
 * A verb returns its exit status, or -1 with *err filled in, which main() prints in the format asked for.
 */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "conf/site.h"

enum output_format { OUTPUT_TABLE, OUTPUT_JSON, OUTPUT_TSV };

struct verb_option {
        const char *name; /* "follow" */
        char letter;      /* 'f', or '\0' */
        const char *arg;  /* "N": takes a value; NULL: a flag */
        const char *doc;
        const char *words; /* the values that there are, separated by blanks: for completion; NULL: any */
};

#define VERB_MAX_OPTIONS 12

struct verb;

struct verb_context {
        const struct verb *verb;
        enum output_format output;
        const char *root; /* --root or VMLAUNCH_ROOT, NULL: the system's directories */
        double timeout_s; /* --timeout, negative: not given */
        bool quiet, system, user;
        unsigned verbose;
        char **args; /* what is neither option nor verb, NULL-terminated */
        size_t n_args;
        const char *values[VERB_MAX_OPTIONS]; /* of verb->options, in their order; "" for a flag given */
        json_t *warnings;                     /* -o json: what output_finish() says, NULL: none */
        struct site *site;                    /* read by main() before a verb runs that needs it, else NULL */
};

struct verb {
        const char *name, *usage, *summary;
        const char *group;   /* heading in --help; NULL: hidden (called by vmlaunch itself) */
        bool needs_site;     /* works on an instance: its directories and configuration */
        bool tsv;            /* knows -o tsv */
        const char *timeout; /* what --timeout is here; NULL: nothing, and giving it is an error */
        /* The longest it takes when nobody answers, beyond its --timeout if it has one; 0: it waits for nobody. */
        unsigned ends_within_s;
        const char *more; /* further lines of its help; NULL: none */
        size_t min_args, max_args;
        const struct verb_option *options; /* n_options of them, at most VERB_MAX_OPTIONS */
        size_t n_options;
        int (*run)(struct verb_context *context, struct error **err);
};

extern const struct verb verbs[];
const struct verb *verb_find(const char *name);
/* ERROR_USAGE: no such verb, with the nearest. Returns -1. */
int verb_unknown(const char *name, struct error **err);

/* The value of an option of the verb, "" for a flag that was given, NULL when it was not. */
const char *verb_value(const struct verb_context *context, const char *option);
bool verb_flag(const struct verb_context *context, const char *option);
/* --timeout in milliseconds, or the verb's own default. */
long long verb_timeout_ms(const struct verb_context *context, long long default_ms);

/* Leaves keeper and supervisor behind for a VM whose QEMU lives without one. *ret_line: what came of it. */
int verb_adopt_behind(struct verb_context *context, const char *name, char **ret_line, struct error **err);
/* The same by the unit that it was started by. false: it has none, or that does not start. verb/unit.c */
bool unit_adopt(const struct verb_context *context, const char *name, char **ret_line);

/* In the log of the VM that is the verb's first argument, where a supervisor would have written it. */
void adoption_log_failed(const struct verb_context *context, const struct error *error);

/* A supervisor for a QEMU that has none, until its guest is neither frozen nor paused by a lease any more. */
int adopt_for_leases(const struct verb_context *context, const char *name, struct error **err);

/* One function per verb, in the file of its subject. */
int verb_plan(struct verb_context *context, struct error **err);
int verb_explain(struct verb_context *context, struct error **err);
int verb_validate(struct verb_context *context, struct error **err);
int verb_describe(struct verb_context *context, struct error **err);
int verb_run(struct verb_context *context, struct error **err);
int verb_start(struct verb_context *context, struct error **err);
int verb_shutdown(struct verb_context *context, struct error **err);
int verb_destroy(struct verb_context *context, struct error **err);
int verb_reboot(struct verb_context *context, struct error **err);
int verb_reset(struct verb_context *context, struct error **err);
int verb_suspend(struct verb_context *context, struct error **err);
int verb_resume(struct verb_context *context, struct error **err);
int verb_wait(struct verb_context *context, struct error **err);
int verb_agent(struct verb_context *context, struct error **err);
int verb_list(struct verb_context *context, struct error **err);
int verb_status(struct verb_context *context, struct error **err);
int verb_dump(struct verb_context *context, struct error **err);
int verb_events(struct verb_context *context, struct error **err);
int verb_qmp(struct verb_context *context, struct error **err);
int verb_log(struct verb_context *context, struct error **err);
int verb_attach(struct verb_context *context, struct error **err);
int verb_detach(struct verb_context *context, struct error **err);
int verb_change_media(struct verb_context *context, struct error **err);
int verb_balloon(struct verb_context *context, struct error **err);
int verb_resize_disk(struct verb_context *context, struct error **err);
int verb_resize(struct verb_context *context, struct error **err);
int verb_update(struct verb_context *context, struct error **err);
int verb_update_device(struct verb_context *context, struct error **err);
int verb_console(struct verb_context *context, struct error **err);
int verb_display(struct verb_context *context, struct error **err);
int verb_screenshot(struct verb_context *context, struct error **err);
int verb_reconcile(struct verb_context *context, struct error **err);
int verb_mac(struct verb_context *context, struct error **err);
int verb_uuid(struct verb_context *context, struct error **err);
int verb_help(struct verb_context *context, struct error **err);
int verb_reexec(struct verb_context *context, struct error **err);
int verb_reexecuted(struct verb_context *context, struct error **err);
int verb_enable(struct verb_context *context, struct error **err);
int verb_disable(struct verb_context *context, struct error **err);
int verb_unit_stopped(struct verb_context *context, struct error **err);
int verb_generator(struct verb_context *context, struct error **err);
int verb_adopt(struct verb_context *context, struct error **err);
/* Called by main() before everything else; argv without program and verb. */
int verb_keeper(char **argv);
int verb_change_asked(struct verb_context *context, struct error **err);
int verb_apply(struct verb_context *context, struct error **err);
int verb_host_helper(struct verb_context *context, struct error **err);
int verb_steps(struct verb_context *context, struct error **err);
