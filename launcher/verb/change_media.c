/* change-media: another medium in a drive, or none. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/template_edit.h"
#include "launcher/verb/change.h"
#include "launcher/verb/config_file.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/output.h"

struct media_change {
        const struct device_kind *kind;
        const char *which;
        char *path; /* absolute; NULL: the drive is emptied */
        struct config_file config;
};

int media_check_drive(const struct template_attribute *vector, const char *which, struct error **err)
{
        const char *type = template_pair(vector, "TYPE");

        if (type && (text_ends_with(type, "cdrom") || strcasecmp(type, "floppy") == 0))
                return 0;
        error_set(err, ERROR_FAILED, "disk '%s' is no drive whose medium can be changed", which);
        return error_hint(err, "vmlaunch detach disk and attach disk change whole disks");
}

static int edit(struct change *change, void *data, struct error **err)
{
        const struct source_pos nowhere = { 0 };
        const struct media_change *media = data;
        struct template_attribute *vector;
        size_t at = 0;

        if (device_find(change->edit, media->kind, media->which, &at, err) < 0)
                return -1;
        vector = &change->edit->attributes[at];
        if (media_check_drive(vector, media->which, err) < 0)
                return -1;
        if (media->path)
                template_set_pair(vector, "SOURCE", media->path, &nowhere);
        else
                template_remove_pair(vector, "SOURCE");
        return 0;
}

static int write_config(void *data, struct error **err)
{
        const struct media_change *media = data;

        return config_file_write(&media->config, err);
}

static int edit_config(struct verb_context *context, struct media_change *media, struct error **err)
{
        struct config_file *file = &media->config;
        size_t at = 0;

        if (config_file_open(context, context->args[0], file, err) < 0 ||
            config_file_find(file, media->kind, media->which, &at, err) < 0)
                return -1;
        return config_file_edit(
                context, file,
                template_edit_set_pair(file->template, at, "SOURCE", media->path ? media->path : ""), err);
}

/* Live, the configuration, or both. */
static int carry_out(struct verb_context *context, struct change_request *request, struct media_change *media,
                     struct error **err)
{
        bool has_config = verb_flag(context, "config");

        if (has_config && edit_config(context, media, err) < 0)
                return -1;
        if (has_config && !request->only_plan)
                request->before_commit = write_config;
        return verb_flag(context, "live") || !has_config || request->only_plan
                       ? change_do(context, request, err)
                       : config_file_write(&media->config, err);
}

int verb_change_media(struct verb_context *context, struct error **err)
{
        const char *file = context->n_args > 2 ? context->args[2] : NULL;
        struct media_change media = { .which = context->args[1] };
        struct change_request request = { .verb = "change-media",
                                          .vm = context->args[0],
                                          .base_dir = "/",
                                          .only_plan = verb_flag(context, "plan"),
                                          .force_tray = verb_flag(context, "force"),
                                          .refuse_next_start = true,
                                          .edit = edit,
                                          .data = &media };
        json_auto_t *ask = NULL;
        int result;

        if (!file == !verb_flag(context, "eject"))
                return error_set(err, ERROR_USAGE, "change-media: either a FILE or --eject");
        media.kind = device_kind_find("disk", err);
        if (file) {
                _cleanup_free_ char *here = *file == '/' ? NULL : realpath(".", NULL);

                media.path =
                        here ? xasprintf("%s/%s", strcmp(here, "/") == 0 ? "" : here, file) : xstrdup(file);
        }
        request.ask = ask = json_pack("{s:s, s:s, s:[{s:s, s:s}], s:b}", "vector", media.kind->vector,
                                      "which", media.which, "set", "attribute", "SOURCE", "value",
                                      media.path ? media.path : "", "force", request.force_tray);
        result = carry_out(context, &request, &media, err);
        if (result < 0 && *err && (*err)->qmp_class && strcmp((*err)->qmp_class, "GenericError") == 0 &&
            !request.force_tray)
                error_hint(err, "a guest that has it mounted keeps it: unmount it there, or --force");
        if (result == 0 && !request.only_plan && !context->quiet && context->output == OUTPUT_TABLE)
                printf(file ? "%s: %s is in\n" : "%s: the drive is empty\n", media.which, media.path);
        free(media.path);
        config_file_done(&media.config);
        return result;
}
