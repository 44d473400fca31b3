/* describe: the tables, and for what depends on QEMU what the one in use has. */
#include "conf/describe.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/host/qemu_device.h"
#include "launcher/host/qemu_facts.h"
#include "launcher/plan/offers.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"

/* The emulator of a VM that says nothing of its own. */
static int find_facts(const struct verb_context *context, struct qemu_facts **ret, struct error **err)
{
        static const char text[] = "NAME = \"describe\"\nMEMORY = \"1\"\n";
        _cleanup_(template_freep) struct template *template = NULL;
        _cleanup_(vm_spec_freep) struct vm_spec *spec = NULL;
        _cleanup_(site_freep) struct site *site = NULL;
        _cleanup_free_ char *path = NULL;

        if (instance_load(context, &site, err) < 0 ||
            template_parse("describe", text, strlen(text), &template, err) < 0 ||
            spec_build(template, site, "/", NULL, &spec, err) < 0 || qemu_find(spec, &path, err) < 0)
                return -1;
        return qemu_facts_get(path, &site->paths, false, ret, err);
}

/* The one row that was asked for, as describe_json() has it; NULL: more than one. */
static json_t *only_row(const json_t *described)
{
        const json_t *sections = json_object_get(described, "sections");
        const json_t *rows = json_object_get(json_array_get(sections, 0), "attributes");

        return json_array_size(sections) == 1 && json_array_size(rows) == 1 ? json_array_get(rows, 0) : NULL;
}

/* Adds "offered" to the row; a host without QEMU has nothing to offer, which is no error here. */
static void add_offers(const struct verb_context *context, json_t *row)
{
        const char *full_name = json_member_string(row, "full_name");
        _cleanup_(qemu_facts_freep) struct qemu_facts *qemu = NULL;
        _cleanup_error_ struct error *problem = NULL;

        if (!full_name || !plan_has_offers(full_name))
                return;
        if (find_facts(context, &qemu, &problem) < 0) {
                _cleanup_free_ char *why = error_text(problem);

                json_object_set_new(row, "offered", json_pack("{s:n, s:s}", "emulator", "why", why));
                return;
        }
        json_object_set_new(row, "offered",
                            json_pack("{s:s, s:o, s:o}", "emulator", qemu->path, "version",
                                      json_sprintf("%u.%u.%u", qemu->major, qemu->minor, qemu->micro),
                                      "values", plan_offers(full_name, qemu)));
}

static void print_offers(const json_t *offered, struct text *out)
{
        const char *emulator = json_member_string(offered, "emulator");
        const char *version = json_member_string(offered, "version");
        json_t *value;
        size_t i;

        if (!offered)
                return;
        if (!emulator) {
                text_addf(out, "\nWhat QEMU offers is not known: %s\n", json_member_string(offered, "why"));
                return;
        }
        text_addf(out, "\n%s (QEMU %s) offers:\n", emulator, version);
        json_array_foreach (json_object_get(offered, "values"), i, value) {
                const char *name = json_member_string(value, "name");
                const char *what = json_member_string(value, "what");

                if (*what)
                        text_addf(out, "  %-28s %s\n", name, what);
                else
                        text_addf(out, "  %s\n", name);
        }
}

static int describe_attribute(struct verb_context *context, struct error **err)
{
        const char *what = context->n_args ? context->args[0] : NULL;
        json_auto_t *described = describe_json(what, err);
        _cleanup_text_ struct text out = TEXT_INIT;
        _cleanup_free_ char *text = NULL;
        json_t *row;

        if (!described)
                return -1;
        row = only_row(described);
        if (row)
                add_offers(context, row);
        if (context->output == OUTPUT_JSON) {
                output_json(TAKE_PTR(described));
                return 0;
        }
        text = describe_text(what, err);
        if (!text)
                return -1;
        text_add(&out, text);
        print_offers(row ? json_object_get(row, "offered") : NULL, &out);
        output_text(text_str(&out));
        return 0;
}

/* A device type that is not there, with the nearest of those that are. */
static int no_device(const struct qemu_facts *qemu, const char *type, struct error **err)
{
        const char *nearest = text_nearest(type, (const char *const *)qemu->devices);
        _cleanup_free_ char *shown = text_printable(type);

        error_set(err, ERROR_USAGE, "%s has no device '%s'", qemu->path, shown);
        return nearest ? error_hint(err, "did you mean '%s'?", nearest) : -1;
}

static char *property_line(const json_t *property)
{
        const char *description = json_member_string(property, "description");
        const json_t *dflt = json_object_get(property, "default");
        _cleanup_free_ char *value = dflt ? json_dumps(dflt, JSON_ENCODE_ANY) : NULL;

        return xasprintf("  %-32s %s%s%s%s%s", json_member_string(property, "name"),
                         json_member_string(property, "type"), value ? ", default " : "", value ? value : "",
                         description ? "  " : "", description ? description : "");
}

static int describe_device(struct verb_context *context, const char *type, struct error **err)
{
        _cleanup_(qemu_facts_freep) struct qemu_facts *qemu = NULL;
        _cleanup_text_ struct text out = TEXT_INIT;
        json_auto_t *properties = NULL;
        json_t *property;
        size_t i;

        if (context->n_args)
                return error_set(err, ERROR_USAGE, "--device stands for itself: no ATTRIBUTE goes with it");
        if (find_facts(context, &qemu, err) < 0)
                return -1;
        if (!qemu_has_device(qemu, type))
                return no_device(qemu, type, err);
        properties = qemu_device_properties(qemu->path, type, err);
        if (!properties)
                return -1;
        if (context->output == OUTPUT_JSON) {
                output_json(json_pack("{s:i, s:s, s:s, s:o, s:O}", "schema", 1, "device", type, "emulator",
                                      qemu->path, "version",
                                      json_sprintf("%u.%u.%u", qemu->major, qemu->minor, qemu->micro),
                                      "properties", properties));
                return 0;
        }
        text_addf(&out, "%s of %s (QEMU %u.%u.%u)\n", type, qemu->path, qemu->major, qemu->minor,
                  qemu->micro);
        json_array_foreach (properties, i, property) {
                _cleanup_free_ char *line = property_line(property);

                text_addf(&out, "%s\n", line);
        }
        output_text(text_str(&out));
        return 0;
}

int verb_describe(struct verb_context *context, struct error **err)
{
        const char *device = verb_value(context, "device");

        return device ? describe_device(context, device, err) : describe_attribute(context, err);
}
