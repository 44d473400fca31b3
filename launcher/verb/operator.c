/*
 * An operator's change of a running VM (conf/operator_change.h): his client asks the supervisor for it, and `__change`,
 * which the supervisor starts, does it as an admin's client would.
 */
#include <ctype.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/text.h"
#include "conf/operator_change.h"
#include "launcher/run/host_helper.h"
#include "launcher/verb/change.h"
#include "launcher/verb/device_kind.h"
#include "launcher/verb/vm_find.h"

/* Longer than the supervisor gives it (supervisor_operator.c). */
#define ASK_MS 62000u
#define ASKED  "change"

/* The operator's side. */

json_t *change_asked(const char *vector, const char *which, const struct template_attribute *keys)
{
        json_t *set = json_array();

        for (size_t i = 0; i < keys->n_pairs; i++)
                json_array_append_new(set, json_pack("{s:s, s:s}", "attribute", keys->pairs[i].name, "value",
                                                     keys->pairs[i].value));
        return json_pack("{s:s, s:s, s:o}", "vector", vector, "which", which, "set", set);
}

int change_ask(struct verb_context *context, const struct change_request *request, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *control = NULL;
        _cleanup_change_ struct change change = { .context = context };

        if (vm_find(&context->site->paths, request->vm, &change.name, err) < 0 ||
            control_client_open(&context->site->paths, change.name, &control, err) < 0)
                return -1;
        if (request->only_plan || request->before_commit)
                return error_set(
                        err, ERROR_NOT_PERMITTED,
                        "%s of '%s': only an admin may see the plan or change the file of the next start",
                        request->verb, change.name);
        if (control_client_call_within(control, "vmlaunch-apply", json_pack("{s:O}", ASKED, request->ask),
                                       ASK_MS, NULL, err) < 0) {
                /* Whose refusal it was the class no longer says. */
                free(TAKE_PTR((*err)->qmp_class));
                return error_wrap(err, "%s of '%s'", request->verb, change.name);
        }
        change.did = true;
        return request->done ? request->done(&change, NULL, request->data, err) : 0;
}

/* The supervisor's side. */

struct asked {
        struct verb_context *context;
        const json_t *set;
        const char *which;
        const struct device_kind *kind;
        bool not_there; /* there is no such device, or it is none for that */
};

static int edit(struct change *change, void *data, struct error **err)
{
        struct asked *asked = data;
        struct template_attribute *vector;
        const json_t *one;
        size_t at = 0, i;

        asked->not_there = true;
        if (device_find(change->edit, asked->kind, asked->which, &at, err) < 0)
                return -1;
        vector = &change->edit->attributes[at];
        json_array_foreach ((json_t *)asked->set, i, one) {
                const char *name = json_member_string(one, "attribute"),
                           *value = json_member_string(one, "value");
                const struct source_pos pos = { .file = ASKED };
                bool is_medium = strcmp(name, "SOURCE") == 0;

                if (is_medium && media_check_drive(vector, asked->which, err) < 0)
                        return -1;
                if (is_medium && operator_change_check_medium(template_pair(vector, "MEDIA"), value, err) < 0)
                        return -1;
                if (is_medium && !*value)
                        template_remove_pair(vector, name);
                else
                        template_set_pair(vector, name, value, &pos);
        }
        asked->not_there = false;
        return 0;
}

/* "... '/srv/a.img' ...", and not "DISK/SOURCE" or "DISK[0]/SOURCE". */
static bool names_a_path(const struct error *error)
{
        _cleanup_free_ char *text = error_text(error);

        for (const char *at = text; (at = strchr(at, '/')); at++)
                if (at == text || (!isalnum((unsigned char)at[-1]) && at[-1] != ']'))
                        return true;
        return false;
}

/* About the request, or about guest and QEMU: anything else may name what an operator is not to see. */
static bool is_for_operators(const struct asked *asked, const struct error *error)
{
        static const enum error_code codes[] = { ERROR_INVALID,  ERROR_NOT_PERMITTED, ERROR_NOT_RUNNING,
                                                 ERROR_DEADLINE, ERROR_GUEST,         ERROR_BUSY };

        if (names_a_path(error) || (error->pos.file && strcmp(error->pos.file, ASKED) != 0))
                return false;
        /* What QEMU has refused is an error of the supervisor's that has a class. */
        if (asked->not_there || error->qmp_class)
                return true;
        for (size_t i = 0; i < ARRAY_SIZE(codes); i++)
                if (error->code == codes[i])
                        return true;
        return false;
}

/* The operator's client says what it has asked for, and of which VM. */
static void leave_to_client(struct error *error, const char *what)
{
        struct error *cause = error->cause;

        /* A place in what it was asked in, "change:". */
        for (struct error *each = error; each; each = each->cause) {
                free((char *)each->pos.file);
                each->pos.file = NULL;
        }
        if (!cause || !text_starts_with(error->message, what))
                return;
        free(error->message);
        error->message = TAKE_PTR(cause->message);
        error->cause = TAKE_PTR(cause->cause);
        error_free(cause);
}

/* The whole of it is in the VM's log. */
static void withhold(const struct asked *asked, const char *vm, const char *what, struct error **err)
{
        _cleanup_free_ char *path = xasprintf("%s/%s.log", asked->context->site->paths.log, vm);
        _cleanup_close_ int log_fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
        bool all = true;

        log_set_file(log_fd);
        for (const struct error *error = *err; error; error = error->next) {
                _cleanup_free_ char *text = error_text(error);

                log_warning("%s: %s", vm, text);
                all = all && is_for_operators(asked, error);
        }
        log_set_file(-1);
        if (all) {
                for (struct error *error = *err; error; error = error->next)
                        leave_to_client(error, what);
                return;
        }
        error_free(TAKE_PTR(*err));
        error_set(err, ERROR_FAILED, "it could not be done; an admin sees why in the VM's log");
}

static int carry_out(const json_t *json, void *data, struct error **err)
{
        struct asked asked = { .context = data };
        struct change_request request = {
                .base_dir = "/", .refuse_next_start = true, .edit = edit, .data = &asked
        };
        _cleanup_free_ char *what = NULL;
        const json_t *change = json_object_get(json, ASKED);
        const char *vector;
        json_error_t why;
        int force = 0;

        if (json_unpack_ex((json_t *)json, &why, 0, "{s:s, s:{s:s, s:s, s:o, s?b}}", "vm", &request.vm, ASKED,
                           "vector", &vector, "which", &asked.which, "set", &asked.set, "force", &force) < 0)
                return error_set(err, ERROR_USAGE, "the request: %s", why.text);
        if (operator_change_check(change, err) < 0)
                return -1;
        asked.kind = device_kind_of(vector);
        request.force_tray = force;
        request.verb = what = xasprintf("update %s %s", asked.kind->word, asked.which);
        if (change_do(asked.context, &request, err) == 0)
                return 0;
        withhold(&asked, request.vm, what, err);
        return -1;
}

int verb_change_asked(struct verb_context *context, struct error **err)
{
        (void)err;
        context->quiet = true;
        return host_helper_serve_verb(carry_out, context);
}
