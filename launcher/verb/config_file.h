/*
 * config_file - the template that a VM's next start reads, and changes of it (--config).
 *
 * The text is edited where it has to be and left alone elsewhere (conf/template_edit.h). What comes out is planned before
 * it is written, so a template that does not start is refused while the old one is there.
 */
#pragma once

#include "conf/template.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"

struct config_file {
        char *name; /* the VM's */
        char *path, *base_dir;
        struct template *template; /* as it is */
        char *resolved_text;
        struct template *resolved; /* as the spec has it: targets, numbers, paths */
        char *edited;              /* the new text; NULL: none yet */
};

/* argument: a VM, running or defined. ERROR_FAILED: it was started from stdin. */
int config_file_open(struct verb_context *context, const char *argument, struct config_file *ret,
                     struct error **err);
void config_file_done(struct config_file *file);
#define _cleanup_config_file_ _cleanup_(config_file_done)

/* The attribute of the file that an argument means. ERROR_FAILED: there is none. */
struct device_kind;
int config_file_find(const struct config_file *file, const struct device_kind *kind, const char *which,
                     size_t *ret, struct error **err);
/* Takes the text; *err when it is no template that could start. */
int config_file_edit(struct verb_context *context, struct config_file *file, char *text_consume,
                     struct error **err);
/* Replaces the file at once; mode and owner stay. */
int config_file_write(const struct config_file *file, struct error **err);
