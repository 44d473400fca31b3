/* plan, explain, validate: what would happen, and why. */
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "launcher/plan/plan_build.h"
#include "launcher/verb/output.h"
#include "launcher/verb/prepare.h"
#include "launcher/verb/verbs.h"

int verb_plan(struct verb_context *context, struct error **err)
{
        /* Never freed: the process ends behind it, and of hundreds of disks that is much to free. */
        static struct prepared prepared;
        const char *format = verb_value(context, "format");
        _cleanup_free_ char *text = NULL;

        if (!format)
                format = context->output == OUTPUT_JSON ? "json" : "text";
        if (strcmp(format, "text") != 0 && strcmp(format, "json") != 0 && strcmp(format, "shell") != 0 &&
            strcmp(format, "argv") != 0)
                return error_set(err, ERROR_USAGE, "--format takes text, json, shell or argv, not '%s'",
                                 format);
        if (prepare(context, context->args[0], false, &prepared, err) < 0)
                return -1;
        if (strcmp(format, "json") == 0) {
                output_json(launch_plan_json(prepared.plan));
                return 0;
        }
        if (strcmp(format, "text") != 0)
                output_warnings(prepared.plan->warnings, context);
        text = strcmp(format, "shell") == 0  ? launch_plan_shell(prepared.plan)
               : strcmp(format, "argv") == 0 ? launch_plan_argv(prepared.plan)
                                             : launch_plan_text(prepared.plan);
        output_text(text);
        return 0;
}

int verb_explain(struct verb_context *context, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        _cleanup_free_ char *text = NULL;

        if (prepare(context, context->args[0], false, &prepared, err) < 0)
                return -1;
        if (context->output == OUTPUT_JSON) {
                output_json(plan_explain_json(prepared.plan, prepared.spec));
                return 0;
        }
        output_warnings(prepared.plan->warnings, context);
        text = plan_explain_text(prepared.plan, prepared.spec);
        output_text(text);
        return 0;
}

int verb_validate(struct verb_context *context, struct error **err)
{
        _cleanup_prepared_ struct prepared prepared = { 0 };
        json_t *warnings, *notes;

        if (prepare(context, context->args[0], false, &prepared, err) < 0)
                return -1;
        if (context->output == OUTPUT_JSON) {
                warnings = json_array();
                for (const struct error *w = prepared.plan->warnings; w; w = w->next)
                        json_array_append_new(warnings, warning_to_json(w));
                notes = json_array();
                for (const struct error *n = prepared.plan->notes; n; n = n->next)
                        json_array_append_new(notes, warning_to_json(n));
                output_json(json_pack("{s:i, s:b, s:s, s:o, s:o}", "schema", 1, "valid", 1, "name",
                                      prepared.plan->name, "warnings", warnings, "notes", notes));
                return 0;
        }
        output_warnings(prepared.plan->warnings, context);
        if (!context->quiet)
                printf("%s: valid: VM '%s'\n", context->args[0], prepared.plan->name);
        for (const struct error *note = context->quiet ? NULL : prepared.plan->notes; note;
             note = note->next) {
                _cleanup_free_ char *text = error_text(note);

                printf("note: %s\n", text);
        }
        return 0;
}
