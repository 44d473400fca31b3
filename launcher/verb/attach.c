/* attach, detach, update: devices of a VM, as it runs (--live) and as it starts next (--config). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/json_member.h"
#include "base/text.h"
#include "conf/template_edit.h"
#include "launcher/verb/change.h"
#include "launcher/verb/config_file.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/guest_part.h"
#include "launcher/verb/output.h"

#define UNPLUG_MS 30000
/* For the guest to look for what came (--online). */
#define GUEST_MS 10000

struct device_change {
        struct verb_context *context;
        const struct device_kind *kind;
        struct template *request; /* the vector that was given */
        char *base_dir;           /* of its relative paths */
        const char *which;        /* of detach and update */
        struct config_file config;
        bool live, has_config;
        bool differs; /* update: something that is given is not so yet */
        bool *later;  /* update: of each key, whether it comes with the next start */
};

static void device_change_done(struct device_change *change)
{
        template_free(change->request);
        free(change->base_dir);
        free(change->later);
        config_file_done(&change->config);
}
#define _cleanup_device_change_ _cleanup_(device_change_done)

static int begin(struct verb_context *context, struct device_change *ret, struct error **err)
{
        ret->context = context;
        ret->kind = device_kind_find(context->args[0], err);
        ret->has_config = verb_flag(context, "config");
        ret->live = verb_flag(context, "live") || !ret->has_config;
        ret->base_dir = realpath(".", NULL);
        if (!ret->base_dir)
                ret->base_dir = xstrdup("/");
        return ret->kind ? 0 : -1;
}

static int open_config(struct device_change *change, struct error **err)
{
        return change->has_config
                       ? config_file_open(change->context, change->context->args[1], &change->config, err)
                       : 0;
}

static int write_config(void *data, struct error **err)
{
        struct device_change *change = data;

        return config_file_write(&change->config, err);
}

/* Live, the configuration, or both: then the file is written before the change is committed. */
static int carry_out(struct device_change *change, struct change_request *request, struct error **err)
{
        request->vm = change->context->args[1];
        request->only_plan = verb_flag(change->context, "plan");
        request->data = change;
        if (change->has_config && !request->only_plan)
                request->before_commit = write_config;
        if (change->live || request->only_plan)
                return change_do(change->context, request, err);
        return config_file_write(&change->config, err);
}

/* A VM XML says ATTACH=YES of the one that is meant (opennebula-semantics 5.10, 5.12); NULL: it does not, or not once. */
static const struct template_attribute *find_attached(const struct template *template, const char *vector)
{
        const struct template_attribute *found = NULL;

        for (size_t i = 0; i < template->n_attributes; i++) {
                const struct template_attribute *each = &template->attributes[i];

                if (!each->attaches || strcmp(each->name, vector) != 0)
                        continue;
                if (found)
                        return NULL;
                found = each;
        }
        return found;
}

/* What is left is that one; its files lie in the VM's directory. */
static int keep_attached(struct device_change *change, struct error **err)
{
        struct template *template = change->request;
        const char *directory = template->vm_directory;
        const struct template_attribute *found = find_attached(template, change->kind->vector);

        if (directory) {
                free(change->base_dir);
                change->base_dir =
                        *directory == '/'
                                ? xstrdup(directory)
                                : xasprintf("%s/%s", change->context->site->datastore_location, directory);
        }
        if (!found)
                return error_set(err, ERROR_INVALID, "%s: one %s with ATTACH = YES is wanted", template->file,
                                 change->kind->vector);
        for (size_t i = template->n_attributes; i-- > 0;)
                if (&template->attributes[i] != found) {
                        found -= &template->attributes[i] < found;
                        template_remove(template, i);
                }
        return 0;
}

/* DISK of TYPE filesystem is none: what is attached is a FILESYSTEM, by its own number. */
static int check_is_disk(const struct device_change *change, struct error **err)
{
        const char *type = template_pair(&change->request->attributes[0], "TYPE");

        if (strcmp(change->kind->vector, "DISK") != 0 || !type || strcasecmp(type, "filesystem") != 0)
                return 0;
        error_set(err, ERROR_INVALID, "%s: DISK/TYPE: a shared directory is no disk", change->request->file);
        return error_hint(err, "attach fs VM --fs SOURCE=DIRECTORY,TARGET=NAME,DRIVER=virtiofs");
}

static int read_vector(struct device_change *change, struct error **err)
{
        const struct verb_context *context = change->context;
        const struct device_kind *kind = change->kind;
        const char *text = verb_value(context, kind->word), *file = verb_value(context, "file");

        if (!text == !file)
                return error_set(err, ERROR_USAGE, "%s %s: either --%s 'KEY=VALUE,...' or --file FILE",
                                 context->verb->name, kind->word, kind->word);
        if ((text ? change_read_vector(kind->vector, text, &change->request, err)
                  : change_read_file(file, &change->request, err)) < 0)
                return -1;
        output_warnings(change->request->warnings, change->context);
        if (change->request->is_xml && keep_attached(change, err) < 0)
                return -1;
        if (change->request->n_attributes == 1 && change->request->attributes[0].is_vector &&
            strcmp(change->request->attributes[0].name, kind->vector) == 0)
                return check_is_disk(change, err);
        return error_set(err, ERROR_INVALID, "%s: one %s = [ ... ] is wanted, and nothing else",
                         change->request->file, kind->vector);
}

static const struct template_attribute *requested(const struct device_change *change)
{
        return &change->request->attributes[0];
}

/* A copy, so that a second try has it, too. */
static void add_vector(struct template *to, const struct template_attribute *vector)
{
        struct template_attribute copy = *vector;

        copy.name = xstrdup(vector->name);
        copy.pairs = xcalloc(vector->n_pairs + 1, sizeof(*copy.pairs));
        for (size_t i = 0; i < vector->n_pairs; i++) {
                copy.pairs[i] = vector->pairs[i];
                copy.pairs[i].name = xstrdup(vector->pairs[i].name);
                copy.pairs[i].value = xstrdup(vector->pairs[i].value);
        }
        ARRAY_GROW(to->attributes, to->n_attributes);
        to->attributes[to->n_attributes++] = copy;
}

static void tell(const struct device_change *change, const char *vm, const char *done, const char *id,
                 const json_t *device, bool now)
{
        const char *address = json_member_string(device, "address"),
                   *target = json_member_string(device, "target");

        if (change->context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s, s:s, s:O*, s:b, s:b}", "schema", 1, "name", vm, "id", id,
                                      "device", device, "live", now, "config", change->has_config));
        else if (!change->context->quiet)
                printf("%s %s%s%s of '%s'%s%s%s\n", done, id, target ? " " : "", target ? target : "", vm,
                       address ? " at " : "", address ? address : "",
                       !change->has_config ? (now ? "" : ": it is so already")
                       : now               ? ", now and at the next start"
                                           : ", at the next start");
}

/* attach */

static int edit_attach(struct change *change, void *data, struct error **err)
{
        (void)err;
        add_vector(change->edit, requested(data));
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

static int attached(struct change *change, const struct prepared *after, void *data, struct error **err)
{
        const json_t *device = new_device(change, after);
        struct verb_context *context = change->context;
        const struct guest_part part = { .pci = true };

        tell(data, change->name, "attached", json_member_string(device, "id"), device, change->did);
        if (!verb_flag(context, "online") || !change->did)
                return 0;
        return guest_part_do(change->control, &part, (unsigned)verb_timeout_ms(context, GUEST_MS), err);
}

static void make_path_absolute(struct template_attribute *vector, const char *key, const char *base_dir)
{
        const char *value = template_pair(vector, key);
        _cleanup_free_ char *path = NULL;

        if (!value || !*value || *value == '/' || strchr(value, ':'))
                return;
        path = xasprintf("%s/%s", strcmp(base_dir, "/") == 0 ? "" : base_dir, value);
        template_set_pair(vector, key, path, &vector->name_pos);
}

/* Is SOURCE a name of a server's, and no path? */
static bool is_of_a_server(const struct template_attribute *vector)
{
        static const char *const types[] = { "nbd", "rbd", "iscsi", "gluster", "sheepdog" };
        static const char *const keys[] = { "TYPE", "DISK_TYPE" };

        for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
                for (size_t k = 0; k < ARRAY_SIZE(types); k++) {
                        const char *value = template_pair(vector, keys[i]);

                        if (value && strncasecmp(value, types[k], strlen(types[k])) == 0)
                                return true;
                }
        return false;
}

/* What is relative to the caller's directory is nothing to the file's. */
static void make_absolute(struct template_attribute *vector, const char *base_dir)
{
        if (!is_of_a_server(vector))
                make_path_absolute(vector, "SOURCE", base_dir);
        make_path_absolute(vector, "NBD_SOCKET", base_dir);
}

/* kvmrc's DEFAULT_ATTACH_*: for what the vector leaves open (opennebula-semantics 4.2, 6). */
static void add_defaults(const struct verb_context *context, const struct device_kind *kind,
                         struct template_attribute *vector)
{
        const struct kvmrc *kvmrc = &context->site->kvmrc;
        bool is_nic = strcmp(kind->vector, "NIC") == 0;

        for (size_t i = 0; i < kvmrc->n_attach; i++) {
                const char *key = kvmrc->attach[i].key;

                if (is_nic != text_starts_with(key, "NIC_") || (!is_nic && strcmp(kind->vector, "DISK") != 0))
                        continue;
                if (is_nic)
                        key += strlen("NIC_");
                else if (strcmp(key, "VIRTIO_BLK_IOTHREAD") == 0)
                        key = "IOTHREAD";
                if (!template_pair(vector, key))
                        template_set_pair(vector, key, kvmrc->attach[i].value, &vector->name_pos);
        }
}

int verb_attach(struct verb_context *context, struct error **err)
{
        _cleanup_device_change_ struct device_change change = { 0 };
        struct change_request request = { .edit = edit_attach, .done = attached, .refuse_next_start = true };
        _cleanup_free_ char *what = NULL;

        if (begin(context, &change, err) < 0 || read_vector(&change, err) < 0 ||
            open_config(&change, err) < 0)
                return -1;
        make_absolute(&change.request->attributes[0], change.base_dir);
        add_defaults(context, change.kind, &change.request->attributes[0]);
        if (change.has_config &&
            config_file_edit(context, &change.config,
                             template_edit_add(change.config.template, requested(&change)), err) < 0)
                return -1;
        what = xasprintf("attach %s", change.kind->word);
        request.verb = what;
        request.base_dir = change.base_dir;
        request.extra = change.request;
        if (carry_out(&change, &request, err) < 0)
                return -1;
        if (!change.live)
                tell(&change, change.config.name, "added", change.kind->word, NULL, false);
        return 0;
}

/* detach */

static int edit_detach(struct change *change, void *data, struct error **err)
{
        const struct device_change *device = data;
        size_t at = 0;

        if (device_find(change->edit, device->kind, device->which, &at, err) < 0)
                return -1;
        template_remove(change->edit, at);
        return 0;
}

static int detached(struct change *change, const struct prepared *after, void *data, struct error **err)
{
        const struct device_change *device = data;

        (void)after, (void)err;
        tell(device, change->name, "detached", device->which, NULL, change->did);
        return 0;
}

static int find_in_config(const struct device_change *change, size_t *ret, struct error **err)
{
        return config_file_find(&change->config, change->kind, change->which, ret, err);
}

int verb_detach(struct verb_context *context, struct error **err)
{
        _cleanup_device_change_ struct device_change change = { .which = context->args[2] };
        long long unplug_ms = verb_timeout_ms(context, UNPLUG_MS);
        struct change_request request = { .base_dir = "/",
                                          .unplug_s = (unsigned)((unplug_ms + 999) / 1000),
                                          .refuse_next_start = true,
                                          .edit = edit_detach,
                                          .done = detached };
        _cleanup_free_ char *what = NULL;
        size_t at = 0;

        if (begin(context, &change, err) < 0 || open_config(&change, err) < 0)
                return -1;
        if (change.has_config &&
            (find_in_config(&change, &at, err) < 0 ||
             config_file_edit(context, &change.config, template_edit_remove(change.config.template, at),
                              err) < 0))
                return -1;
        what = xasprintf("detach %s %s", change.kind->word, change.which);
        request.verb = what;
        if (carry_out(&change, &request, err) < 0)
                return -1;
        if (!change.live)
                tell(&change, change.config.name, "removed", change.which, NULL, false);
        return 0;
}

/* update */

static void set_key(struct template_attribute *vector, const struct template_value *key)
{
        /* It stays where it is, by the lock, when it can: another MODEL may need another bus. */
        template_remove_pair(vector, "ADDRESS");
        template_set_pair(vector, key->name, key->value, &key->value_pos);
}

/*
 * With --config what cannot change now is for the next start, and is no part of what runs. A key that is nothing without
 * another one is tried with all of them.
 */
static int sort_out(struct device_change *device, struct error **err)
{
        const struct template_attribute *keys = requested(device);
        _cleanup_change_ struct change change = { 0 };

        device->later = xcalloc(keys->n_pairs, sizeof(bool));
        if (change_open(device->context, device->context->args[1], &change, err) < 0)
                return -1;
        for (size_t i = 0; i < keys->n_pairs; i++) {
                _cleanup_plan_change_ struct plan_change plan = { 0 };
                _cleanup_prepared_ struct prepared after = { 0 };
                _cleanup_error_ struct error *alone = NULL;
                size_t at = 0;

                if (change_edit_again(&change, err) < 0 ||
                    device_find(change.edit, device->kind, device->which, &at, err) < 0)
                        return -1;
                set_key(&change.edit->attributes[at], &keys->pairs[i]);
                if (change_plan(&change, "update", device->base_dir, NULL, 0, false, &after, &plan, &alone) <
                            0 ||
                    !plan.next_start)
                        continue;
                device->later[i] = true;
                output_warnings(plan.next_start, device->context);
        }
        return 0;
}

static int edit_update(struct change *change, void *data, struct error **err)
{
        struct device_change *device = data;
        const struct template_attribute *keys = requested(device);
        struct template_attribute *vector;
        size_t at = 0;

        if (device_find(change->edit, device->kind, device->which, &at, err) < 0)
                return -1;
        vector = &change->edit->attributes[at];
        for (size_t i = 0; i < keys->n_pairs; i++) {
                const char *old = template_pair(vector, keys->pairs[i].name);

                device->differs = device->differs || !old || strcasecmp(old, keys->pairs[i].value) != 0;
                if (!device->later || !device->later[i])
                        set_key(vector, &keys->pairs[i]);
        }
        return 0;
}

static int updated(struct change *change, const struct prepared *after, void *data, struct error **err)
{
        const struct device_change *device = data;

        (void)after;
        if (!change->did && device->differs && !device->has_config) {
                error_set(err, ERROR_INVALID, "update %s %s of '%s': nothing of it changes while the VM runs",
                          device->kind->word, device->which, change->name);
                return error_hint(err, "--config keeps it for the next start");
        }
        tell(device, change->name, "updated", device->which, NULL, change->did);
        return 0;
}

static int update_config(struct device_change *change, struct error **err)
{
        const struct template_attribute *keys = requested(change);
        _cleanup_free_ char *text = NULL;
        size_t at = 0;

        if (find_in_config(change, &at, err) < 0)
                return -1;
        for (size_t i = 0; i < keys->n_pairs; i++) {
                _cleanup_(template_freep) struct template *now = NULL;
                const struct template *from = change->config.template;
                char *next;

                if (text && template_parse(change->config.path, text, strlen(text), &now, err) < 0)
                        return -1;
                next = template_edit_set_pair(now ? now : from, at, keys->pairs[i].name,
                                              keys->pairs[i].value);
                free(text);
                text = next;
        }
        return config_file_edit(change->context, &change->config, TAKE_PTR(text), err);
}

int verb_update_device(struct verb_context *context, struct error **err)
{
        _cleanup_device_change_ struct device_change change = { .which = context->args[2] };
        struct change_request request = { .edit = edit_update, .done = updated, .refuse_next_start = true };
        _cleanup_free_ char *what = NULL;
        json_auto_t *ask = NULL;

        if (begin(context, &change, err) < 0)
                return -1;
        if (change.kind->stays)
                return error_set(err, ERROR_USAGE, "update %s: it is detached, and attached as it shall be",
                                 change.kind->word);
        if (read_vector(&change, err) < 0)
                return -1;
        if (requested(&change)->n_pairs == 0)
                return error_set(err, ERROR_USAGE, "update %s: no key is given", change.kind->word);
        make_absolute(&change.request->attributes[0], change.base_dir);
        if (open_config(&change, err) < 0 || (change.has_config && update_config(&change, err) < 0))
                return -1;
        what = xasprintf("update %s %s", change.kind->word, change.which);
        request.verb = what;
        request.base_dir = change.base_dir;
        request.extra = change.request;
        request.ask = ask = change_asked(change.kind->vector, change.which, requested(&change));
        if (change.has_config && change.live && sort_out(&change, err) < 0)
                return error_wrap(err, "%s of '%s'", what, context->args[1]);
        if (carry_out(&change, &request, err) < 0)
                return -1;
        if (!change.live)
                tell(&change, change.config.name, "updated", change.which, NULL, false);
        return 0;
}
