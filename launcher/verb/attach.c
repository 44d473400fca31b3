/* attach, detach: devices of a running VM. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/text.h"
#include "launcher/verb/change.h"
#include "launcher/verb/output.h"

/* How often a change begins anew when another one was quicker. */
#define TRIES     5
#define UNPLUG_MS 30000

static const struct device_kind {
        const char *word, *vector, *id; /* id: what its number is called, and how QEMU's name begins */
        const char *device;
} kinds[] = {
        { "disk", "DISK", "DISK_ID", "disk" },
        { "nic", "NIC", "NIC_ID", "nic" },
};

static const struct device_kind *find_kind(const char *word, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(word);

        for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
                if (strcmp(kinds[i].word, word) == 0)
                        return &kinds[i];
        error_set(err, ERROR_USAGE, "there is no kind of device '%s'; it can be disk or nic", shown);
        return NULL;
}

static int print_change(const struct verb_context *context, const struct plan_change *change)
{
        if (context->output == OUTPUT_JSON) {
                json_t *json = json_copy(change->fragment);

                json_object_set_new(json, "schema", json_integer(1));
                output_json(json);
        } else {
                _cleanup_free_ char *text = plan_change_text(change);

                output_text(text);
        }
        return 0;
}

/* What came: the device that the plan has now and had not. */
static const json_t *new_device(const struct change *change, const struct prepared *after)
{
        json_t *each, *other;
        size_t i, k;

        json_array_foreach (after->plan->devices, i, each) {
                bool known = false;

                json_array_foreach (change->before.plan->devices, k, other)
                        known = known ||
                                json_equal(json_object_get(each, "id"), json_object_get(other, "id"));
                if (!known)
                        return each;
        }
        return NULL;
}

static void tell_attached(const struct verb_context *context, const char *vm, const json_t *device)
{
        const char *id = json_string_value(json_object_get(device, "id")),
                   *target = json_string_value(json_object_get(device, "target")),
                   *address = json_string_value(json_object_get(device, "address"));

        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:O}", "schema", 1, "name", vm, "device", device));
        else if (!context->quiet)
                printf("attached %s to '%s' as %s%s%s%s\n", id, vm, target ? target : id,
                       address ? " at " : "", address ? address : "", "");
}

static int read_request(const struct verb_context *context, const struct device_kind *kind,
                        struct template **ret, struct error **err)
{
        const char *text = verb_value(context, kind->word), *file = verb_value(context, "file");

        if (!text == !file)
                return error_set(err, ERROR_USAGE, "attach %s: either --%s 'KEY=VALUE,...' or --file FILE",
                                 kind->word, kind->word);
        if ((text ? change_read_vector(kind->vector, text, ret, err) : change_read_file(file, ret, err)) < 0)
                return -1;
        if ((*ret)->n_attributes != 1 || !(*ret)->attributes[0].is_vector ||
            strcmp((*ret)->attributes[0].name, kind->vector) != 0)
                return error_set(err, ERROR_INVALID, "%s: one %s = [ ... ] is wanted, and nothing else",
                                 (*ret)->file, kind->vector);
        return 0;
}

/* One try. 1: it was somebody else's turn. */
static int attach_once(struct verb_context *context, const struct device_kind *kind, bool only_plan,
                       struct error **err)
{
        _cleanup_(template_freep) struct template *request = NULL;
        _cleanup_change_ struct change change = { 0 };
        _cleanup_plan_change_ struct plan_change plan = { 0 };
        _cleanup_prepared_ struct prepared after = { 0 };
        _cleanup_free_ char *here = realpath(".", NULL), *what = NULL;
        bool stale;

        if (read_request(context, kind, &request, err) < 0 ||
            change_open(context, context->args[1], &change, err) < 0)
                return -1;
        what = xasprintf("attach %s", kind->word);
        template_take(change.edit, request, 0);
        if (change_plan(&change, what, here ? here : "/", request, 0, &after, &plan, err) < 0)
                return -1;
        output_warnings(plan.next_start, context);
        if (only_plan)
                return print_change(context, &plan);
        if (change_send(&change, &plan, &stale, err) < 0)
                return stale ? 1 : error_wrap(err, "attach %s to '%s'", kind->word, change.name);
        tell_attached(context, change.name, new_device(&change, &after));
        return 0;
}

int verb_attach(struct verb_context *context, struct error **err)
{
        const struct device_kind *kind = find_kind(context->args[0], err);
        bool only_plan = verb_flag(context, "plan");
        int result = 1;

        if (!kind)
                return -1;
        for (unsigned i = 0; i < TRIES && result > 0; i++) {
                error_free(TAKE_PTR(*err));
                result = attach_once(context, kind, only_plan, err);
        }
        return result > 0 ? -1 : result;
}

/* "1", "vdb", "web-1", a MAC: the vector of this kind that an argument means. */
static int find_vector(const struct template *template, const struct device_kind *kind, const char *argument,
                       size_t *ret, struct error **err)
{
        static const char *const keys[] = { "TARGET", "MAC", "SOURCE" };
        _cleanup_text_ struct text known = TEXT_INIT;
        size_t n = strlen(kind->device);
        const char *number = strncmp(argument, kind->device, n) == 0 && isdigit((unsigned char)argument[n])
                                     ? argument + n
                                     : argument;

        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *vector = &template->attributes[i];
                const char *id, *target;

                if (!vector->is_vector || strcmp(vector->name, kind->vector) != 0)
                        continue;
                id = template_pair(vector, kind->id);
                target = template_pair(vector, "TARGET");
                text_addf(&known, "%s%s%s%s", known.length ? ", " : "", id ? id : "?", target ? " " : "",
                          target ? target : "");
                if (id && strcmp(id, number) == 0) {
                        *ret = i;
                        return 0;
                }
                for (size_t k = 0; k < ARRAY_SIZE(keys); k++) {
                        const char *value = template_pair(vector, keys[k]);

                        if (value && strcasecmp(value, argument) == 0) {
                                *ret = i;
                                return 0;
                        }
                }
        }
        _cleanup_free_ char *shown = text_printable(argument);

        return error_set(err, ERROR_FAILED, "it has no %s '%s'; there %s %s", kind->word, shown,
                         known.length ? "are" : "is", known.length ? text_str(&known) : "none");
}

static int detach_once(struct verb_context *context, const struct device_kind *kind, bool only_plan,
                       struct error **err)
{
        _cleanup_change_ struct change change = { 0 };
        _cleanup_plan_change_ struct plan_change plan = { 0 };
        _cleanup_prepared_ struct prepared after = { 0 };
        _cleanup_free_ char *what = NULL;
        long long unplug_ms = verb_timeout_ms(context, UNPLUG_MS);
        size_t at = 0;
        bool stale;

        if (change_open(context, context->args[1], &change, err) < 0)
                return -1;
        if (find_vector(change.edit, kind, context->args[2], &at, err) < 0)
                return error_wrap(err, "detach %s of '%s'", kind->word, change.name);
        what = xasprintf("detach %s %s", kind->word, context->args[2]);
        template_remove(change.edit, at);
        if (change_plan(&change, what, "/", NULL, (unsigned)((unplug_ms + 999) / 1000), &after, &plan, err) <
            0)
                return -1;
        output_warnings(plan.next_start, context);
        if (only_plan)
                return print_change(context, &plan);
        if (change_send(&change, &plan, &stale, err) < 0)
                return stale ? 1
                             : error_wrap(err, "detach %s %s of '%s'", kind->word, context->args[2],
                                          change.name);
        if (context->output != OUTPUT_JSON && !context->quiet)
                printf("detached %s %s of '%s'\n", kind->word, context->args[2], change.name);
        return 0;
}

int verb_detach(struct verb_context *context, struct error **err)
{
        const struct device_kind *kind = find_kind(context->args[0], err);
        bool only_plan = verb_flag(context, "plan");
        int result = 1;

        if (!kind)
                return -1;
        for (unsigned i = 0; i < TRIES && result > 0; i++) {
                error_free(TAKE_PTR(*err));
                result = detach_once(context, kind, only_plan, err);
        }
        return result > 0 ? -1 : result;
}
