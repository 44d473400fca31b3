/* update VM --file TEMPLATE: a running VM becomes what another template says, as far as it can now. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/verb/change.h"
#include "launcher/verb/config_file.h"
#include "launcher/verb/difference.h"
#include "launcher/verb/output.h"

#define UNPLUG_MS   30000
#define COLUMNS_MAX 5

struct whole_update {
        struct verb_context *context;
        struct template *template;
        char *base_dir;
        struct differences differences;
        bool takes_vcpus; /* it is their turn */
};

static void whole_update_done(struct whole_update *update)
{
        template_free(update->template);
        free(update->base_dir);
        differences_done(&update->differences);
}
#define _cleanup_whole_update_ _cleanup_(whole_update_done)

static bool is_now(const struct difference *difference, bool removal)
{
        bool takes_away = difference->takes_away || difference->kind == DIFFERENCE_REMOVED;

        return difference->effect == DIFFERENCE_NOW && takes_away == removal;
}

/* They make room for nothing, and an emulated machine can do nothing more after them: they go last. */
static bool is_removal(const struct difference *difference, bool of_vcpus)
{
        bool is_vcpus =
                !difference->vector && difference->key && strcmp(difference->key, "VCPU_PLUGGED") == 0;

        return is_now(difference, true) && is_vcpus == of_vcpus;
}

static int find(struct change *change, struct whole_update *update, struct error **err)
{
        differences_done(&update->differences);
        if (differences_find(change, update->template, update->base_dir, &update->differences, err) < 0)
                return -1;
        return change_edit_again(change, err);
}

/* What comes and what changes: one fragment. */
static int edit_additions(struct change *change, void *data, struct error **err)
{
        struct whole_update *update = data;

        if (find(change, update, err) < 0)
                return -1;
        for (size_t i = 0; i < update->differences.n; i++)
                if (is_now(&update->differences.items[i], false))
                        difference_apply(change, &update->differences, &update->differences.items[i]);
        return 0;
}

/* The first of what goes: each has a fragment of its own, so that one that the guest keeps holds up no other. */
static int edit_removal(struct change *change, void *data, struct error **err)
{
        struct whole_update *update = data;

        if (find(change, update, err) < 0)
                return -1;
        for (size_t i = 0; i < update->differences.n; i++)
                if (is_removal(&update->differences.items[i], update->takes_vcpus)) {
                        difference_apply(change, &update->differences, &update->differences.items[i]);
                        return 0;
                }
        return 0;
}

/* A row each, of "attribute", "running", "template", "effect" and perhaps "why"; new array. */
static json_t *rows_of(const struct whole_update *update, const char *now)
{
        json_t *list = json_array();

        for (size_t i = 0; i < update->differences.n; i++) {
                const struct difference *each = &update->differences.items[i];
                const char *effect =
                        each->effect == DIFFERENCE_NOW ? now : difference_effect_name(each->effect);
                /* A whole vector is there or not. */
                const char *was = each->was ? each->was : each->kind == DIFFERENCE_REMOVED ? "there" : "none";
                const char *wanted = each->wanted                     ? each->wanted
                                     : each->kind == DIFFERENCE_ADDED ? "there"
                                                                      : "none";

                json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:s, s:s*}", "attribute", each->name,
                                                      "running", was, "template", wanted, "effect", effect,
                                                      "why", each->why));
        }
        return list;
}

/* members[i] is the row's under headers[i]. */
static void print_rows(const struct whole_update *update, const json_t *rows, const char *const *headers,
                       const char *const *members, size_t n)
{
        _cleanup_(table_freep) struct table *table = table_new(headers, n);
        const char *cells[COLUMNS_MAX];
        const json_t *each;
        size_t i;

        if (update->context->output == OUTPUT_JSON) {
                output_json(json_pack("{s:i, s:O}", "schema", 1, "differences", rows));
                return;
        }
        json_array_foreach ((json_t *)rows, i, each) {
                for (size_t k = 0; k < n; k++)
                        cells[k] = json_member_string(each, members[k]);
                table_row(table, cells);
        }
        if (json_array_size(rows))
                table_print(table, update->context->output);
        else if (!update->context->quiet && update->context->output == OUTPUT_TABLE)
                printf("it is as the template says\n");
}

static void print(const struct whole_update *update, const char *now)
{
        static const char *const headers[] = { "ATTRIBUTE", "RUNNING", "TEMPLATE", "EFFECT" };
        static const char *const members[] = { "attribute", "running", "template", "effect" };
        json_auto_t *rows = rows_of(update, now);

        print_rows(update, rows, headers, members, ARRAY_SIZE(members));
        output_warnings(update->differences.warnings, update->context);
        if (update->context->output == OUTPUT_JSON)
                return;
        for (size_t i = 0; i < update->differences.n; i++) {
                const struct difference *each = &update->differences.items[i];
                struct error *told = NULL;

                if (each->effect != DIFFERENCE_IMPOSSIBLE || !each->why)
                        continue;
                error_set(&told, ERROR_INVALID, "%s: %s", each->name, each->why);
                output_warnings(told, update->context);
                error_free(told);
        }
}

static int read_template_file(struct whole_update *update, const char *path, struct error **err)
{
        char *real, *slash;

        if (change_read_file(path, &update->template, err) < 0)
                return -1;
        real = realpath(strcmp(path, "-") == 0 ? "." : path, NULL);
        slash = real && strcmp(path, "-") != 0 ? strrchr(real, '/') : NULL;
        if (slash)
                slash[slash == real] = '\0';
        update->base_dir = real ? real : xstrdup("/");
        return 0;
}

static size_t count_removals(const struct whole_update *update, bool of_vcpus)
{
        size_t n = 0;

        for (size_t i = 0; i < update->differences.n; i++)
                n += is_removal(&update->differences.items[i], of_vcpus);
        return n;
}

static int vcpus_gone(struct change *change, const struct prepared *after, void *data, struct error **err)
{
        (void)data, (void)err;
        resize_warn_of_emulation(change, after->spec);
        return 0;
}

/* What is said is what was found first. */
static int find_first(struct verb_context *context, struct whole_update *update, struct error **err)
{
        _cleanup_change_ struct change change = { 0 };

        return change_open(context, context->args[0], &change, err) < 0 ? -1 : find(&change, update, err);
}

/* But for what had to wait for the room. */
static void take_effects(struct differences *first, const struct differences *later)
{
        for (size_t i = 0; i < first->n; i++)
                for (size_t k = 0; k < later->n; k++)
                        if (strcmp(first->items[i].name, later->items[k].name) == 0)
                                first->items[i].effect = later->items[k].effect;
}

static int update_whole(struct verb_context *context, struct error **err)
{
        _cleanup_whole_update_ struct whole_update update = { .context = context };
        _cleanup_whole_update_ struct whole_update first = { .context = context };
        long long unplug_ms = verb_timeout_ms(context, UNPLUG_MS);
        struct change_request request = { .verb = "update",
                                          .vm = context->args[0],
                                          .base_dir = "/",
                                          .unplug_s = (unsigned)((unplug_ms + 999) / 1000),
                                          .edit = edit_removal,
                                          .data = &update };
        size_t left;

        if (verb_flag(context, "config"))
                return error_set(
                        err, ERROR_USAGE,
                        "update --file: the file is the configuration; put it where the VM starts from");
        if (read_template_file(&update, verb_value(context, "file"), err) < 0 ||
            read_template_file(&first, verb_value(context, "file"), err) < 0)
                return -1;
        if (verb_flag(context, "plan"))
                return print_differences(context, context->args[0], verb_value(context, "file"), err);
        if (find_first(context, &first, err) < 0)
                return -1;
        /* What goes makes room for what comes: the same image under another name. */
        left = count_removals(&first, false);
        while (left-- > 0)
                if (change_do(context, &request, err) < 0)
                        return -1;
        request.edit = edit_additions;
        if (change_do(context, &request, err) < 0)
                return -1;
        take_effects(&first.differences, &update.differences);
        request.edit = edit_removal;
        request.done = vcpus_gone;
        update.takes_vcpus = true;
        if (count_removals(&first, true) && change_do(context, &request, err) < 0)
                return -1;
        print(&first, "done");
        return 0;
}

/* What QEMU has otherwise than live.tmpl means it to: such as after a raw command of somebody. */
static void add_unintended(json_t *rows, const json_t *differences)
{
        static const char text[] = "QEMU is not as intended";
        const json_t *each;
        size_t i;

        json_array_foreach ((json_t *)differences, i, each) {
                const char *intended = json_member_string(each, "template"),
                           *running = json_member_string(each, "qemu"),
                           *member = json_member_string(each, "member");

                /* The others are of the record's. */
                if (!json_object_get(each, "template") || !json_object_get(each, "qemu"))
                        continue;
                json_array_append_new(rows,
                                      json_pack("{s:o, s:s, s:s, s:s, s:s}", "attribute",
                                                json_sprintf("%s %s%s%s", json_member_string(each, "kind"),
                                                             json_member_string(each, "id"),
                                                             member ? " " : "", member ? member : ""),
                                                "intended", intended ? intended : "none", "running",
                                                running ? running : "none", "template",
                                                intended ? intended : "none", "effect", text));
        }
}

/* Three states: what live.tmpl intends, what QEMU has, and what the template of the next start says. */
static void print_states(const struct whole_update *update, const json_t *rows)
{
        static const char *const headers[] = { "ATTRIBUTE", "INTENDED", "RUNNING", "NEXT START", "EFFECT" };
        static const char *const members[] = { "attribute", "intended", "running", "template", "effect" };

        print_rows(update, rows, headers, members, ARRAY_SIZE(members));
}

/* QEMU is asked some forty questions, each given 5 s. */
#define COMPARE_MS 30000

int print_states_of(struct verb_context *context, const char *vm, struct error **err)
{
        _cleanup_whole_update_ struct whole_update update = { .context = context };
        _cleanup_config_file_ struct config_file config = { 0 };
        _cleanup_change_ struct change change = { 0 };
        json_auto_t *status = NULL, *rows = NULL;
        json_t *each;
        size_t i;

        if (config_file_open(context, vm, &config, err) < 0 ||
            read_template_file(&update, config.path, err) < 0 || change_open(context, vm, &change, err) < 0 ||
            find(&change, &update, err) < 0 ||
            control_client_call_within(change.control, "vmlaunch-status", json_pack("{s:b}", "compare", 1),
                                       COMPARE_MS, &status, err) < 0)
                return -1;
        rows = rows_of(&update, "update can do it now");
        json_array_foreach (rows, i, each)
                json_object_set(each, "intended", json_object_get(each, "running"));
        add_unintended(rows, json_object_get(status, "differences"));
        print_states(&update, rows);
        return 0;
}

int print_differences(struct verb_context *context, const char *vm, const char *file, struct error **err)
{
        _cleanup_whole_update_ struct whole_update update = { .context = context };
        _cleanup_change_ struct change change = { 0 };

        if (read_template_file(&update, file, err) < 0 || change_open(context, vm, &change, err) < 0 ||
            find(&change, &update, err) < 0)
                return -1;
        print(&update, "update can do it now");
        return 0;
}

int verb_update(struct verb_context *context, struct error **err)
{
        if (context->n_args == 3)
                return verb_update_device(context, err);
        if (context->n_args == 1 && verb_value(context, "file"))
                return update_whole(context, err);
        return error_set(err, ERROR_USAGE,
                         "update takes a kind of device, a VM and WHICH, or a VM and --file");
}
