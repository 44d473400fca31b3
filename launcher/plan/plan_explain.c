/* Each argument and what it came from; each attribute and what it made. The text is printed from the JSON. */
#include <string.h>

#include "base/json_member.h"
#include "conf/attr.h"
#include "conf/spec_sections.h"
#include "launcher/plan/plan_build.h"
#include "launcher/plan/plan_word.h"

/* A cursor over a because: references separated by blanks, then perhaps "rule: words" up to the end. */
struct causes {
        const char *rest;
};

/* The next cause as a new string, NULL at the end. */
static char *next_cause(struct causes *causes)
{
        const char *start = causes->rest + strspn(causes->rest, " ");
        size_t n = text_starts_with(start, "rule:") ? strlen(start) : strcspn(start, " ");

        causes->rest = start + n;
        return n ? xstrndup(start, n) : NULL;
}

static bool cites(const char *because, const char *reference)
{
        struct causes causes = { because };

        for (;;) {
                _cleanup_free_ char *cause = next_cause(&causes);

                if (!cause)
                        return false;
                if (strcmp(cause, reference) == 0)
                        return true;
        }
}

static void set_origin(json_t *entry, const struct origin *origin)
{
        json_object_set_new(entry, "value", json_string(origin->text ? origin->text : ""));
        json_object_set_new(entry, "layer", json_string(layer_name(origin->layer)));
        if (!origin->pos.file)
                return;
        json_object_set_new(entry, "file", json_string(origin->pos.file));
        json_object_set_new(entry, "line", json_integer(origin->pos.line));
        json_object_set_new(entry, "column", json_integer(origin->pos.column));
}

static json_t *causes_json(const char *because, const struct vm_spec *spec)
{
        struct causes causes = { because };
        json_t *array = json_array();

        for (;;) {
                _cleanup_free_ char *cause = next_cause(&causes);
                const struct origin *origin;
                json_t *entry;

                if (!cause)
                        return array;
                if (text_starts_with(cause, "rule:")) {
                        json_array_append_new(array,
                                              json_pack("{s:s}", "rule", cause + 5 + strspn(cause + 5, " ")));
                        continue;
                }
                entry = json_pack("{s:s}", "attribute", cause);
                origin = vm_spec_origin(spec, cause);
                if (origin)
                        set_origin(entry, origin);
                json_array_append_new(array, entry);
        }
}

/* "-device disk0": the option and, when its value has one, the name of what it makes. */
static json_t *argument_name(const struct launch_plan *plan, size_t i)
{
        const char *option = plan->args[i].text, *value = i + 1 < plan->n_args ? plan->args[i + 1].text : "",
                   *id;
        json_auto_t *json = NULL;

        if (value[0] != '{' || plan->args[i + 1].is_option)
                return json_string(option);
        json = json_loads(value, 0, NULL);
        id = json_member_string(json, "id");
        if (!id)
                id = json_member_string(json, "node-name");
        return id ? json_sprintf("%s %s", option, id) : json_string(option);
}

static json_t *step_name(const struct plan_step *step)
{
        const char *op = json_member_string(step->args, "op");
        const char *file = json_member_string(step->args, "file");

        if (op)
                return json_sprintf("step %s %s", plan_effect_name(step->effect), op);
        if (step->effect == EFFECT_CGROUP_WRITE && file)
                return json_sprintf("step %s %s", plan_effect_name(step->effect), file);
        return json_sprintf("step %s", plan_effect_name(step->effect));
}

static json_t *made_json(const struct launch_plan *plan, const char *reference)
{
        json_t *array = json_array();

        for (size_t i = 0; i < plan->n_args; i++)
                if (plan->args[i].is_option && cites(plan->args[i].because, reference))
                        json_array_append_new(array, argument_name(plan, i));
        for (size_t i = 0; i < plan->n_steps; i++)
                if (cites(plan->steps[i].because, reference))
                        json_array_append_new(array, step_name(&plan->steps[i]));
        return array;
}

static const char *why_nothing(const struct launch_plan *plan, const struct attr *row,
                               const struct origin *origin)
{
        if (row->lands == LANDS_RULE)
                return "it decides other values";
        if (row->lands == LANDS_NAME)
                return "it is a name";
        /* CPUTUNE/PERIOD, which has a default and goes with QUOTA. */
        if (row->lands == LANDS_CGROUP && !(plan->cgroup && origin->layer == LAYER_DEFAULT))
                return "this host has no means for it";
        if (origin->layer == LAYER_DEFAULT)
                return "the default is what QEMU does anyway";
        return "nothing had to change for this value";
}

static void add_attribute(json_t *array, const struct launch_plan *plan, const struct vm_spec *spec,
                          const struct attr_section *section, size_t index, const struct attr *row)
{
        _cleanup_free_ char *reference = NULL;
        const struct origin *origin;
        json_t *entry, *made;

        if (!*section->name)
                reference = xstrdup(row->name);
        else if (section->repeats)
                reference = xasprintf("%s[%zu]/%s", section->name, index, row->name);
        else
                reference = xasprintf("%s/%s", section->name, row->name);
        origin = vm_spec_origin(spec, reference);
        if (!origin || origin->layer == LAYER_NONE)
                return;
        entry = json_pack("{s:s}", "attribute", reference);
        set_origin(entry, origin);
        made = made_json(plan, reference);
        if (json_array_size(made) == 0)
                json_object_set_new(entry, "why_nothing", json_string(why_nothing(plan, row, origin)));
        json_object_set_new(entry, "made", made);
        json_array_append_new(array, entry);
}

static size_t section_count(const struct attr_section *section, const struct vm_spec *spec)
{
        const struct spec_section *row = spec_section_find(section);

        if (!row)
                return section == &attr_vm;
        return spec_section_present(row, spec) ? spec_section_count(row, spec) : 0;
}

json_t *plan_explain_json(const struct launch_plan *plan, const struct vm_spec *spec)
{
        json_t *argv = json_array(), *attributes = json_array();

        for (size_t i = 0; i < plan->n_args; i++) {
                bool has_value = i + 1 < plan->n_args && !plan->args[i + 1].is_option;
                json_t *words;

                if (!plan->args[i].is_option)
                        continue;
                words = json_pack("[s]", plan->args[i].text);
                if (has_value)
                        json_array_append_new(words, json_string(plan->args[i + 1].text));
                json_array_append_new(argv, json_pack("{s:o, s:o}", "argument", words, "from",
                                                      causes_json(plan->args[i].because, spec)));
        }
        for (size_t s = 0; attr_sections[s]; s++)
                for (size_t index = 0; index < section_count(attr_sections[s], spec); index++)
                        for (size_t r = 0; r < attr_sections[s]->n_rows; r++)
                                if (attr_sections[s]->rows[r].state == ATTR_HERE)
                                        add_attribute(attributes, plan, spec, attr_sections[s], index,
                                                      &attr_sections[s]->rows[r]);
        return json_pack("{s:i, s:o, s:o}", "schema", 1, "argv", argv, "attributes", attributes);
}

/* `DISK[0]/CACHE = "none"  web.tmpl:8:20` */
static void print_origin(const json_t *entry, struct text *out)
{
        const char *value = json_member_string(entry, "value"), *file = json_member_string(entry, "file");
        _cleanup_free_ char *printable = value ? text_printable(value) : NULL;

        text_add(out, json_member_string(entry, "attribute"));
        if (!value)
                return;
        text_addf(out, " = \"%s\"  ", printable);
        if (file)
                text_addf(out, "%s:%lld:%lld", file, json_member_integer(entry, "line"),
                          json_member_integer(entry, "column"));
        else
                text_add(out, json_member_string(entry, "layer"));
}

static void print_argument(const json_t *entry, struct text *out)
{
        const json_t *words = json_object_get(entry, "argument"), *from = json_object_get(entry, "from");
        json_t *item;
        size_t i;

        json_array_foreach (words, i, item) {
                _cleanup_free_ char *quoted = plan_word(json_string_value(item));

                text_addf(out, "%s%s", i ? " " : "", quoted);
        }
        text_add(out, "\n");
        json_array_foreach (from, i, item) {
                text_add(out, "        <- ");
                if (json_member_string(item, "rule"))
                        text_addf(out, "rule: %s", json_member_string(item, "rule"));
                else
                        print_origin(item, out);
                text_add(out, "\n");
        }
}

static void print_attribute(const json_t *entry, struct text *out)
{
        const json_t *made = json_object_get(entry, "made");
        json_t *item;
        size_t i;

        print_origin(entry, out);
        text_add(out, "\n");
        if (json_array_size(made) == 0)
                text_addf(out, "        -> nothing: %s\n", json_member_string(entry, "why_nothing"));
        json_array_foreach (made, i, item) {
                text_addf(out, "        -> %s\n", json_string_value(item));
        }
}

char *plan_explain_text(const struct launch_plan *plan, const struct vm_spec *spec)
{
        json_auto_t *json = plan_explain_json(plan, spec);
        struct text out = TEXT_INIT;
        json_t *entry;
        size_t i;

        json_array_foreach (json_object_get(json, "argv"), i, entry) {
                print_argument(entry, &out);
        }
        text_add(&out, "\n");
        json_array_foreach (json_object_get(json, "attributes"), i, entry) {
                print_attribute(entry, &out);
        }
        return text_take(&out);
}
