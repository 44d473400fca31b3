/*
 * dump: a running VM as a template, as QEMU's command line, as what differs from the template that it starts from next,
 * or what is kept of it that neither QEMU nor the guest is told.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/attr.h"
#include "conf/template.h"
#include "launcher/plan/plan_word.h"
#include "launcher/run/story.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/change.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

/* The kernel's own bound is the stack's quarter; ours is what a plan of some hundred devices has. */
#define CMDLINE_MAX (8u << 20)

/* New string; NULL: *err. */
static char *read_live(const struct verb_context *context, const char *name, struct error **err)
{
        char *text = NULL;

        return vm_live_template(&context->site->paths, name, &text, err) < 0 ? NULL : text;
}

/* The record of one that runs; the pid in it is its QEMU and nobody else. */
static int running_record(const struct verb_context *context, const char *name, json_t **ret,
                          struct error **err)
{
        json_auto_t *record = NULL;
        pid_t pid;

        if (vm_record(&context->site->paths, name, &record, err) < 0)
                return -1;
        pid = (pid_t)json_member_integer(record, "pid");
        if (pid <= 0 ||
            process_start_time(pid) != (unsigned long long)json_member_integer(record, "pid_start")) {
                error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", name);
                return error_hint(err, "'vmlaunch plan' shows what a start would do");
        }
        *ret = TAKE_PTR(record);
        return 0;
}

static int dump_template(const struct verb_context *context, const char *name, struct error **err)
{
        _cleanup_free_ char *text = read_live(context, name, err);

        if (!text)
                return -1;
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:s}", "schema", 1, "name", name, "template", text));
        else
                output_text(text);
        return 0;
}

/* As the kernel has it: what was asked for, and nothing that was planned. */
static int dump_argv(const struct verb_context *context, const char *name, const json_t *record,
                     struct error **err)
{
        _cleanup_free_ char *path = xasprintf("/proc/%d/cmdline", (int)json_member_integer(record, "pid"));
        _cleanup_free_ char *words = NULL;
        json_t *argv = json_array();
        size_t n = 0;

        if (fd_read_file_at(AT_FDCWD, path, CMDLINE_MAX, &words, &n, err) < 0) {
                json_decref(argv);
                return -1;
        }
        for (const char *word = words; word < words + n; word += strlen(word) + 1) {
                _cleanup_free_ char *shown = plan_visible(word, strlen(word));

                json_array_append_new(argv, story_string(word));
                if (context->output != OUTPUT_JSON)
                        printf("%s\n", shown);
        }
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:o}", "schema", 1, "name", name, "argv", argv));
        else
                json_decref(argv);
        return 0;
}

/* Of the run. */
static json_t *run_facts(const json_t *record)
{
        static const char *const members[] = { "uuid", "generation", "template",       "started", "uid",
                                               "pid",  "cgroup",     "supervisor_pid", NULL };
        json_t *run = json_object();

        for (size_t i = 0; members[i]; i++)
                json_object_set(run, members[i], json_object_get(record, members[i]));
        return run;
}

/* "NIC 0"; repeated vectors have a number of their own. */
static char *vector_name(const struct template_attribute *vector)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (text_ends_with(vector->pairs[i].name, "_ID") &&
                    strncmp(vector->pairs[i].name, vector->name, strlen(vector->name)) == 0)
                        return xasprintf("%s %s", vector->name, vector->pairs[i].value);
        return xstrdup(vector->name);
}

/* Of live.tmpl what has no effect and was kept. */
static json_t *kept_attributes(const struct template *live)
{
        json_t *kept = json_object();

        for (size_t i = 0; i < live->n_attributes; i++) {
                const struct template_attribute *one = &live->attributes[i];
                const struct attr_section *section = attr_section_find(one->is_vector ? one->name : "");
                _cleanup_free_ char *name = one->is_vector ? vector_name(one) : NULL;

                for (size_t k = 0; section && k < one->n_pairs; k++) {
                        const struct attr *row = attr_find(section, one->pairs[k].name);
                        _cleanup_free_ char *key = xasprintf("%s %s", name, one->pairs[k].name);

                        if (row && row->kept)
                                json_object_set_new(kept, key, json_string(one->pairs[k].value));
                }
                if (section && !one->is_vector) {
                        const struct attr *row = attr_find(section, one->name);

                        if (row && row->kept)
                                json_object_set_new(kept, one->name, json_string(one->value));
                }
        }
        return kept;
}

static void print_facts(struct table *table, const json_t *facts)
{
        const char *key;
        json_t *value;

        json_object_foreach ((json_t *)facts, key, value) {
                _cleanup_free_ char *number =
                        json_is_integer(value) ? xasprintf("%lld", json_integer_value(value)) : NULL;
                const char *cells[] = { key, number ? number : json_string_value(value) };

                table_row(table, cells);
        }
}

static int dump_metadata(const struct verb_context *context, const char *name, const json_t *record,
                         struct error **err)
{
        static const char *const headers[] = { "WHAT", "VALUE" };
        _cleanup_(template_freep) struct template *live = NULL;
        _cleanup_free_ char *text = read_live(context, name, err);
        json_auto_t *document = NULL;

        if (!text || template_parse("live.tmpl", text, strlen(text), &live, err) < 0)
                return -1;
        document = json_pack("{s:i, s:s, s:o, s:o}", "schema", 1, "name", name, "run", run_facts(record),
                             "kept", kept_attributes(live));
        if (context->output == OUTPUT_JSON) {
                output_json(json_incref(document));
        } else {
                _cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));

                print_facts(table, json_object_get(document, "run"));
                print_facts(table, json_object_get(document, "kept"));
                table_print(table, context->output);
        }
        return 0;
}

int verb_dump(struct verb_context *context, struct error **err)
{
        bool argv = verb_flag(context, "argv"), diff = verb_flag(context, "diff"),
             metadata = verb_flag(context, "metadata");
        _cleanup_free_ char *name = NULL;
        json_auto_t *record = NULL;
        int status;

        if (argv + diff + metadata > 1)
                return error_set(err, ERROR_USAGE, "dump: --argv, --diff and --metadata exclude each other");
        status = vm_find(&context->site->paths, context->args[0], &name, err);
        if (status == 0)
                status = running_record(context, name, &record, err);
        if (status == 0)
                status = argv       ? dump_argv(context, name, record, err)
                         : diff     ? print_states_of(context, name, err)
                         : metadata ? dump_metadata(context, name, record, err)
                                    : dump_template(context, name, err);
        return status < 0 ? error_wrap(err, "dump '%s'", context->args[0]) : 0;
}
