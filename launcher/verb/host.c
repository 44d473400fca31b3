/* reconcile, mac, uuid, help: verbs about this host and the program itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/text.h"
#include "conf/identity.h"
#include "conf/spec_build.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/reconcile.h"
#include "launcher/run/story.h"
#include "launcher/verb/command_line.h"
#include "launcher/verb/instance.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"

struct reconciliation {
        struct verb_context *context;
        json_t *lines, *orphans;
};

static void collect(const char *line, void *data)
{
        struct reconciliation *all = data;

        /* As it comes: an adoption takes its time. */
        if (all->context->output != OUTPUT_JSON) {
                printf("%s\n", line);
                fflush(stdout);
        }
        json_array_append_new(all->lines, story_string(line));
}

static void collect_orphan(const struct orphan *orphan, bool removed, void *data)
{
        struct reconciliation *all = data;

        json_array_append_new(all->orphans,
                              json_pack("{s:s, s:s?, s:o, s:o, s:b}", "kind", orphan_kind_name(orphan->kind),
                                        "vm", orphan->vm, "name", story_string(orphan->what), "why",
                                        story_string(orphan->why), "removed", removed));
}

static int adopt(const char *name, void *data, char **ret_line, struct error **err)
{
        struct reconciliation *all = data;

        return verb_adopt_behind(all->context, name, ret_line, err);
}

int verb_reconcile(struct verb_context *context, struct error **err)
{
        _cleanup_cgroup_host_ struct cgroup_host cgroup = { 0 };
        json_auto_t *lines = json_array(), *orphans = json_array();
        struct reconciliation all = { .context = context, .lines = lines, .orphans = orphans };
        struct reconcile_request request = {
                .site = context->site,
                .cgroup = &cgroup,
                .name = context->n_args ? context->args[0] : NULL,
                .dry_run = verb_flag(context, "dry-run"),
                .adopt = adopt,
                .line = collect,
                .orphan = collect_orphan,
                .data = &all,
        };
        int status;

        if (instance_need_owner(context, "reconciling the VMs", err) < 0 ||
            cgroup_host_read("", &cgroup, err) < 0)
                return -1;
        status = reconcile(&request, err);
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:b, s:O, s:O}", "schema", 1, "dry_run", request.dry_run,
                                      "steps", lines, "orphans", orphans));
        else if (!json_array_size(lines) && status == 0 && !context->quiet)
                printf("nothing to do\n");
        return status;
}

static int random_bytes(void *bytes, size_t n, struct error **err)
{
        if (getrandom(bytes, n, 0) != (ssize_t)n)
                return error_os(err, errno, "draw random bytes");
        return 0;
}

static int print_value(const struct verb_context *context, const char *key, const char *value)
{
        if (context->output == OUTPUT_JSON)
                output_json(json_pack("{s:i, s:s}", "schema", 1, key, value));
        else
                printf("%s\n", value);
        return 0;
}

static int check_name(const char *name, struct error **err)
{
        _cleanup_free_ char *shown = text_printable(name);

        if (spec_name_is_valid(name))
                return 0;
        return error_set(err, ERROR_USAGE, "'%s' cannot be a VM's name", shown);
}

int verb_mac(struct verb_context *context, struct error **err)
{
        uint8_t mac[6] = { 0x52, 0x54, 0x00 }, uuid[16];
        uint32_t nic = 0;
        char text[18];

        if (context->n_args == 0) {
                if (random_bytes(mac + 3, 3, err) < 0)
                        return -1;
        } else {
                if (check_name(context->args[0], err) < 0)
                        return -1;
                if (context->n_args == 2 && !text_parse_u32(context->args[1], &nic))
                        return error_set(err, ERROR_USAGE, "'%s' is no NIC number", context->args[1]);
                identity_uuid(context->args[0], uuid);
                identity_mac(uuid, nic, mac);
        }
        text_from_mac(mac, text);
        return print_value(context, "mac", text);
}

int verb_uuid(struct verb_context *context, struct error **err)
{
        uint8_t uuid[16];
        char text[37];

        if (context->n_args == 0) {
                if (random_bytes(uuid, sizeof(uuid), err) < 0)
                        return -1;
                /* RFC 4122 section 4.4: version 4, variant 10. */
                uuid[6] = (uuid[6] & 0x0f) | 0x40;
                uuid[8] = (uuid[8] & 0x3f) | 0x80;
        } else {
                if (check_name(context->args[0], err) < 0)
                        return -1;
                identity_uuid(context->args[0], uuid);
        }
        text_from_uuid(uuid, text);
        return print_value(context, "uuid", text);
}

int verb_help(struct verb_context *context, struct error **err)
{
        const struct verb *verb = NULL;
        _cleanup_free_ char *text = NULL;

        if (context->n_args && !(verb = verb_find(context->args[0])))
                return verb_unknown(context->args[0], err);
        text = verb ? command_line_verb_help(verb) : command_line_help();
        output_text(text);
        return 0;
}

int verb_host_helper(struct verb_context *context, struct error **err)
{
        (void)context;
        (void)err;
        return host_helper_main();
}
