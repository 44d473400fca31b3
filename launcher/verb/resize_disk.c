/* resize-disk: an image of a running VM grows, and its guest is told. */
#include <stdio.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "conf/template_edit.h"
#include "launcher/live/apply_client.h"
#include "launcher/verb/change.h"
#include "launcher/verb/config_file.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/output.h"

#define SIZE "SIZE"

/* Of the node that the device sits on. */
static int read_size(struct change *change, const char *device, char **ret_node, uint64_t *ret_size,
                     struct error **err)
{
        json_auto_t *reply = NULL;
        json_t *each;
        size_t i;

        if (control_client_call(change->control, "query-block", NULL, &reply, err) < 0)
                return -1;
        json_array_foreach (reply, i, each) {
                const char *qdev = json_member_string(each, "qdev");
                const json_t *inserted = json_object_get(each, "inserted");
                const json_t *size = json_object_get(json_object_get(inserted, "image"), "virtual-size");
                size_t n = strlen(device);
                const char *at = qdev ? strstr(qdev, device) : NULL;

                if (!at || (at != qdev && at[-1] != '/') || (at[n] && at[n] != '/') || !json_is_integer(size))
                        continue;
                *ret_node = xstrdup(json_member_string(inserted, "node-name"));
                *ret_size = (uint64_t)json_integer_value(size);
                return 0;
        }
        return error_set(err, ERROR_FAILED, "QEMU knows no size of '%s'", device);
}

/* live.tmpl's SIZE follows, where the disk has one; an image that was there before has its own. */
static json_t *live_change(const struct template_attribute *disk, const char *id_key, const char *shown)
{
        json_t *attributes = json_object();

        for (size_t i = 0; i < disk->n_pairs; i++)
                json_object_set_new(attributes, disk->pairs[i].name, json_string(disk->pairs[i].value));
        json_object_set_new(attributes, SIZE, json_string(shown));
        return json_pack("{s:[{s:s, s:{s:s}, s:o}]}", "set", "vector", disk->name, "match", id_key,
                         template_pair(disk, id_key), "attributes", attributes);
}

static json_t *fragment(const char *what, const char *node, uint64_t size, json_t *live_consume)
{
        return json_pack("{s:s, s:[{s:s, s:{s:s, s:{s:s, s:I}}, s:[]}], s:o*}", "what", what, "steps",
                         "effect", "qmp", "args", "execute", "block_resize", "arguments", "node-name", node,
                         "size", (json_int_t)size, "undo", "live", live_consume);
}

static int grow(struct change *change, json_t *fragment_consume, struct error **err)
{
        _cleanup_(apply_client_freep) struct apply_client *client =
                apply_client_new(change->control, fragment_consume);

        return apply_client_send(client, err);
}

static int print_plan(const struct verb_context *context, json_t *fragment_consume)
{
        _cleanup_plan_change_ struct plan_change plan = { .fragment = fragment_consume };
        _cleanup_free_ char *text = plan_change_text(&plan);

        if (context->output != OUTPUT_JSON) {
                output_text(text);
                return 0;
        }
        json_object_set_new(fragment_consume, "schema", json_integer(1));
        output_json(json_incref(fragment_consume));
        return 0;
}

static int resize(struct change *change, const char *which, uint64_t size, struct error **err)
{
        _cleanup_free_ char *node = NULL, *id = NULL, *shown = text_from_size(size), *has = NULL,
                            *what = NULL;
        const struct device_kind *kind = device_kind_find("disk", err);
        _cleanup_error_ struct error *drive = NULL;
        const struct template_attribute *disk;
        json_auto_t *change_fragment = NULL;
        uint64_t now = 0;
        size_t at = 0;

        if (device_find(change->was, kind, which, &at, err) < 0)
                return -1;
        disk = &change->was->attributes[at];
        if (media_check_drive(disk, which, &drive) == 0)
                return error_set(err, ERROR_FAILED, "disk '%s' is a drive, whose medium keeps its size",
                                 which);
        id = xasprintf("disk%s", template_pair(disk, kind->id));
        if (read_size(change, id, &node, &now, err) < 0)
                return -1;
        has = text_from_size(now);
        if (size < now) {
                error_set(err, ERROR_FAILED, "it has %s, and %s would cut its end off", has, shown);
                return error_hint(err, "QEMU shrinks without asking; nothing here does");
        }
        if (size % 512)
                return error_set(err, ERROR_USAGE, "%s is no whole number of sectors of 512 bytes", shown);
        what = xasprintf("resize-disk %s %s", which, shown);
        change_fragment = fragment(what, node, size,
                                   template_pair(disk, SIZE) ? live_change(disk, kind->id, shown) : NULL);
        if (verb_flag(change->context, "plan"))
                return print_plan(change->context, TAKE_PTR(change_fragment));
        if (size > now && grow(change, TAKE_PTR(change_fragment), err) < 0)
                return -1;
        if (change->context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:s, s:I}", "schema", 1, "name", change->name, "id", id,
                                      "size", (json_int_t)size));
        else if (!change->context->quiet)
                printf("%s of '%s' has %s%s\n", id, change->name, shown, size > now ? "" : " already");
        return 0;
}

/* What the next start makes. An image that it finds has its size already. */
static int edit_config(struct verb_context *context, struct config_file *file, uint64_t size,
                       struct error **err)
{
        const char *which = context->args[1];
        _cleanup_free_ char *shown = text_from_size(size);
        size_t at = 0;

        if (config_file_open(context, context->args[0], file, err) < 0 ||
            config_file_find(file, device_kind_find("disk", err), which, &at, err) < 0)
                return -1;
        if (!template_pair(&file->template->attributes[at], SIZE))
                return error_set(err, ERROR_FAILED,
                                 "disk '%s' has no SIZE there: its image keeps the size that it has", which);
        return config_file_edit(context, file, template_edit_set_pair(file->template, at, SIZE, shown), err);
}

static int carry_out(struct verb_context *context, uint64_t size, struct error **err)
{
        _cleanup_config_file_ struct config_file config = { 0 };
        _cleanup_change_ struct change change = { 0 };
        bool only_plan = verb_flag(context, "plan"), has_config = verb_flag(context, "config"),
             live = verb_flag(context, "live") || !has_config || only_plan;

        if (has_config && edit_config(context, &config, size, err) < 0)
                return -1;
        /* A disk that has grown stays so, whether its template can be written or not. */
        if (live && (change_open(context, context->args[0], &change, err) < 0 ||
                     resize(&change, context->args[1], size, err) < 0))
                return -1;
        if (only_plan || !has_config)
                return 0;
        if (config_file_write(&config, err) < 0)
                return -1;
        if (!live && !context->quiet && context->output == OUTPUT_TABLE)
                printf("'%s' has it from the next start on\n", config.name);
        return 0;
}

int verb_resize_disk(struct verb_context *context, struct error **err)
{
        uint64_t size;

        if (text_parse_size(context->args[2], 1 << 20, &size) != TEXT_SIZE_OK || !size)
                return error_set(err, ERROR_USAGE, "'%s' is not a size (try '20 GiB'; a plain number is MiB)",
                                 context->args[2]);
        if (carry_out(context, size, err) < 0)
                return error_wrap(err, "resize-disk %s of '%s'", context->args[1], context->args[0]);
        return 0;
}
