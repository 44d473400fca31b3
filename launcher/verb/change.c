#include "launcher/verb/change.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/live/apply_client.h"
#include "launcher/run/effects.h"
#include "launcher/run/hugepages.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/vm_find.h"

#define VECTOR_FILE_MAX (1u << 20)
#define LIVE            "live.tmpl"
/* How often a change begins anew when another one was quicker. */
#define TRIES 5
/* What goes without the guest's doing has gone by then. */
#define PAUSED_UNPLUG_S 1
/* For what is done between the last step and the commit: a file is written. */
#define COMMIT_S 60

void change_done(struct change *change)
{
        prepared_done(&change->before);
        prepare_facts_done(&change->facts);
        template_free(change->was);
        template_free(change->edit);
        control_client_free(change->control);
        json_decref(change->fdsets);
        json_decref(change->record);
        free(change->live);
        free(change->name);
        *change = (struct change){ 0 };
}

int change_edit_again(struct change *change, struct error **err)
{
        template_free(TAKE_PTR(change->edit));
        return template_parse(LIVE, change->live, strlen(change->live), &change->edit, err);
}

/* QEMU says what it has while the plans are made. */
static void ask_qemu(struct change *change)
{
        control_client_ask(change->control, "vmlaunch-apply", json_pack("{s:b}", "look", 1));
}

/* Sets of the command line and of earlier changes have numbers of their own: by their names. */
static int read_fdsets(struct change *change, struct error **err)
{
        json_auto_t *reply = NULL, *sets = NULL;
        _cleanup_error_ struct error *refused = NULL;
        json_t *set, *one;
        size_t i, j;

        if (change->fdsets)
                return 0;
        if (control_client_answer(change->control, &reply, &refused) == 0)
                sets = json_incref(json_object_get(reply, "fdsets"));
        /* A supervisor of an earlier version knows no "look". */
        if (!sets && control_client_call(change->control, "query-fdsets", NULL, &sets, err) < 0)
                return -1;
        change->fdsets = json_object();
        json_array_foreach (sets, i, set) {
                /* Several may have one name: those of a paused guest stay. */
                _cleanup_free_ char *number = xasprintf("#%lld", json_member_integer(set, "fdset-id"));

                json_object_set(change->fdsets, number, json_object_get(set, "fdset-id"));
                json_array_foreach (json_object_get(set, "fds"), j, one) {
                        const char *opaque = json_member_string(one, "opaque");

                        if (opaque)
                                json_object_set(change->fdsets, opaque, json_object_get(set, "fdset-id"));
                }
        }
        return 0;
}

/* Limits are changed where they are. */
static int use_group(struct change *change, struct error **err)
{
        if (vm_record(&change->context->site->paths, change->name, &change->record, err) < 0)
                return -1;
        change->facts.is_running = true;
        change->facts.unit = json_member_string(change->record, "unit");
        change->facts.group = json_member_string(change->record, "cgroup");
        return 0;
}

static int read_live(struct change *change, struct error **err)
{
        return use_group(change, err) < 0 ||
                               vm_live_template(&change->context->site->paths, change->name, &change->live,
                                                err) < 0 ||
                               template_parse(LIVE, change->live, strlen(change->live), &change->was, err) <
                                       0 ||
                               change_edit_again(change, err) < 0
                       ? -1
                       : 0;
}

/* All but the plan of `was`. */
static int begin(struct verb_context *context, const char *argument, struct change *ret, struct error **err)
{
        struct change change = { .context = context };
        struct error *unread = NULL;

        if (vm_find(&context->site->paths, argument, &change.name, err) < 0 ||
            control_client_connect(&context->site->paths, change.name, &change.control, err) < 0) {
                change_done(&change);
                return -1;
        }
        if (read_live(&change, &unread) < 0) {
                /* Who may not talk to the supervisor is told that. */
                if (control_client_greet(change.control, err) < 0)
                        error_free(unread);
                else
                        *err = unread;
                change_done(&change);
                return -1;
        }
        if (control_client_greet(change.control, err) < 0) {
                change_done(&change);
                return -1;
        }
        ask_qemu(&change);
        if (spec_build(change.was, context->site, "/", change.name, &change.before.spec, err) < 0) {
                change_done(&change);
                return -1;
        }
        *ret = change;
        return 0;
}

/* also: the spec of what it shall be; NULL: not known yet. */
static int plan_before(struct change *change, const struct vm_spec *also, struct error **err)
{
        if (change->before.plan)
                return 0;
        if (prepare_plan(change->context, change->was, also, false, &change->facts, &change->before, err) < 0)
                return -1;
        /* What is there stays where it is, whatever comes or goes. */
        machine_lock_free(change->facts.lock);
        change->facts.lock = plan_lock(change->before.plan);
        return 0;
}

int change_open(struct verb_context *context, const char *argument, struct change *ret, struct error **err)
{
        struct change change = { 0 };

        if (begin(context, argument, &change, err) < 0)
                return -1;
        if (plan_before(&change, NULL, err) < 0) {
                change_done(&change);
                return -1;
        }
        *ret = change;
        return 0;
}

static int plan_both(struct change *change, const char *base_dir, struct prepared *after, struct error **err)
{
        return spec_build(change->edit, change->context->site, base_dir, change->name, &after->spec, err) <
                                       0 ||
                               plan_before(change, after->spec, err) < 0 ||
                               prepare_plan(change->context, change->edit, NULL, false, &change->facts, after,
                                            err) < 0
                       ? -1
                       : 0;
}

int change_plan(struct change *change, const char *what, const char *base_dir, const struct template *extra,
                unsigned unplug_s, bool force_tray, struct prepared *ret_after, struct plan_change *ret,
                struct error **err)
{
        struct plan_change_options options = { .what = what, .force_tray = force_tray, .unplug_s = unplug_s };
        _cleanup_prepared_ struct prepared after = { 0 };
        int result = plan_both(change, base_dir, &after, err);

        for (struct error *error = *err; error && extra; error = error->next)
                if (error->pos.file && strcmp(error->pos.file, extra->file) == 0)
                        template_add_excerpt(extra, error);
        if (result < 0 || read_fdsets(change, err) < 0)
                return -1;
        options.fdsets = change->fdsets;
        if (plan_change_build(change->before.plan, after.plan, &options, ret, err) < 0)
                return -1;
        *ret_after = after;
        after = (struct prepared){ 0 };
        return 0;
}

static int open_file(const struct change_file *file, struct error **err)
{
        int fd = -1;

        if (file->connects)
                return connect_open_fd(file->path, &fd, err) < 0 ? -1 : fd;
        fd = open(file->path, (file->rw ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

        if (fd < 0)
                return error_os(err, errno, "open '%s'", file->path);
        if (fcntl(fd, F_SETFL, 0) < 0 ||
            (file->direct && (fcntl(fd, F_SETFL, O_DIRECT) < 0 || fcntl(fd, F_SETFL, 0) < 0))) {
                error_os(err, errno, "open '%s' without the page cache", file->path);
                error_hint(err, "its file system has no O_DIRECT: use CACHE=\"writeback\"");
                close(fd);
                return -1;
        }
        return fd;
}

static bool is_paused(const struct change *change)
{
        const char *state = json_member_string(change->record, "state");

        return state && strcmp(state, "paused") == 0;
}

bool change_waits_for_guest(const struct change *change)
{
        return !is_paused(change) || change->context->timeout_s >= 0;
}

void change_tell_paused(const struct change *change, const char *what)
{
        struct error *told = NULL;

        if (!is_paused(change))
                return;
        error_set(&told, ERROR_GUEST, "the guest is paused: %s once it goes on", what);
        error_hint(&told, "vmlaunch resume %s", change->name);
        output_warnings(told, change->context);
        error_free(told);
}

/* The supervisor goes by the connection: what only adds it undoes when that ends, what takes away it goes on with. */
static void arm_interrupt(const struct change *change, const struct change_request *request, bool forward)
{
        _cleanup_free_ char *hint = xasprintf(
                "%s; 'vmlaunch status %s' shows what becomes of it",
                forward ? "the guest may still let it go" : "what is not done yet is undone", change->name);

        interrupt_arm(change->context, hint, "%s of '%s': interrupted", request->verb, change->name);
}

/* Up to the commit, then what has to go with it, then the commit. */
static int send_and_commit(struct apply_client *client, const struct change_request *request,
                           struct error **err)
{
        struct error *more = NULL;

        if (apply_client_begin(client, COMMIT_S, err) < 0)
                return -1;
        if (request->before_commit(request->data, err) == 0)
                return apply_client_commit(client, err);
        if (apply_client_abort(client, &more) < 0)
                error_append(err, more);
        return -1;
}

int change_send(struct change *change, struct plan_change *plan, const struct change_request *request,
                bool *ret_stale, struct error **err)
{
        _cleanup_(apply_client_freep) struct apply_client *client = NULL;
        bool forward = json_member_is_true(plan->fragment, "forward");
        _cleanup_free_ char *now = NULL;
        struct error *unread = NULL;
        json_t *fragment;
        int result;

        *ret_stale = false;
        fragment = change_with_secrets(plan, err);
        if (!fragment)
                return -1;
        client = apply_client_new(change->control, fragment);
        for (size_t i = 0; i < plan->n_files; i++) {
                int fd = open_file(&plan->files[i], err);

                if (fd < 0)
                        return -1;
                apply_client_add_fd(client, plan->files[i].name, fd);
        }
        arm_interrupt(change, request, forward);
        if (forward)
                change_tell_paused(change, "it gives a device back");
        if (request->before_commit && !forward)
                result = send_and_commit(client, request, err);
        else if (request->before_commit && request->before_commit(request->data, err) < 0)
                return -1;
        else
                result = apply_client_send(client, err);
        if (result == 0)
                return 0;
        if (forward && (*err)->code == ERROR_GUEST)
                error_hint(err,
                           "what the guest has in use it keeps, as it does memory of its kernel; nothing is "
                           "changed, and the same command asks again");
        else if (forward && (*err)->code == ERROR_DEADLINE)
                error_hint(err, "it goes as soon as the guest lets go; the same command asks again");
        if (vm_live_template(&change->context->site->paths, change->name, &now, &unread) < 0)
                error_free(unread);
        else
                *ret_stale = strcmp(now, change->live) != 0;
        return -1;
}

static void print_plan(const struct verb_context *context, const struct plan_change *plan)
{
        _cleanup_free_ char *text = NULL;
        json_t *json;

        if (context->output != OUTPUT_JSON) {
                text = plan_change_text(plan);
                output_text(text);
                return;
        }
        json = json_copy(plan->fragment);
        json_object_set_new(json, "schema", json_integer(1));
        output_json(json);
}

static bool has_warning(const struct error *warnings, const char *text)
{
        for (; warnings; warnings = warnings->next) {
                _cleanup_free_ char *one = error_text(warnings);

                if (strcmp(one, text) == 0)
                        return true;
        }
        return false;
}

/* What the plan of the edited template warns of, and that of the running VM did not. */
static void tell_new_warnings(const struct change *change, const struct launch_plan *after)
{
        struct error *news = NULL;

        for (const struct error *each = after->warnings; each; each = each->next) {
                _cleanup_free_ char *text = error_text(each);
                struct error *copy;

                if (has_warning(change->before.plan->warnings, text))
                        continue;
                copy = error_copy(each);
                error_free(TAKE_PTR(copy->next));
                error_append(&news, copy);
        }
        output_warnings(news, change->context);
        error_free(news);
}

/* 1: another change was quicker. */
static int change_once(struct verb_context *context, const struct change_request *request, struct error **err)
{
        _cleanup_change_ struct change change = { 0 };
        _cleanup_plan_change_ struct plan_change plan = { 0 };
        _cleanup_prepared_ struct prepared after = { 0 };
        bool stale = false;

        if (begin(context, request->vm, &change, err) < 0) {
                /* live.tmpl is not for everybody. */
                if (!request->ask || (*err)->code != ERROR_NOT_PERMITTED)
                        return -1;
                error_free(TAKE_PTR(*err));
                return change_ask(context, request, err);
        }
        if (request->edit(&change, request->data, err) < 0 ||
            change_plan(&change, request->verb, request->base_dir, request->extra,
                        change_waits_for_guest(&change) ? request->unplug_s : PAUSED_UNPLUG_S,
                        request->force_tray, &after, &plan, err) < 0)
                return error_wrap(err, "%s of '%s'", request->verb, change.name);
        if (plan.next_start && request->refuse_next_start) {
                *err = TAKE_PTR(plan.next_start);
                error_hint(err, "with --config it comes with the next start");
                return error_wrap(err, "%s of '%s'", request->verb, change.name);
        }
        output_warnings(plan.next_start, context);
        tell_new_warnings(&change, after.plan);
        if (request->only_plan) {
                print_plan(context, &plan);
                return 0;
        }
        if (hugepages_check_change(change.before.plan, plan.fragment, HUGEPAGES_SYS, err) < 0)
                return error_wrap(err, "%s of '%s'", request->verb, change.name);
        if (!plan_change_is_empty(&plan) && change_send(&change, &plan, request, &stale, err) < 0) {
                error_wrap(err, "%s of '%s'", request->verb, change.name);
                return stale ? 1 : -1;
        }
        change.did = !plan_change_is_empty(&plan);
        if (!change.did && request->before_commit && request->before_commit(request->data, err) < 0)
                return -1;
        return request->done ? request->done(&change, &after, request->data, err) : 0;
}

int change_do(struct verb_context *context, const struct change_request *request, struct error **err)
{
        int result = 1;

        for (unsigned i = 0; i < TRIES && result > 0; i++) {
                error_free(TAKE_PTR(*err));
                result = change_once(context, request, err);
        }
        return result > 0 ? -1 : result;
}

int change_read_vector(const char *vector, const char *text, struct template **ret, struct error **err)
{
        _cleanup_free_ char *whole = xasprintf("%s=[%s]", vector, text), *file = xasprintf("--%s", vector);

        for (char *p = file; *p; p++)
                if (*p >= 'A' && *p <= 'Z')
                        *p = (char)(*p - 'A' + 'a');
        return template_parse(file, whole, strlen(whole), ret, err);
}

int change_read_file(const char *path, struct template **ret, struct error **err)
{
        _cleanup_free_ char *text = NULL;
        size_t length;

        if ((strcmp(path, "-") == 0
                     ? fd_read_all(STDIN_FILENO, "stdin", VECTOR_FILE_MAX, &text, &length, err)
                     : fd_read_file_at(AT_FDCWD, path, VECTOR_FILE_MAX, &text, &length, err)) < 0)
                return -1;
        return template_parse(path, text, length, ret, err);
}

void template_remove(struct template *template, size_t i)
{
        struct template_attribute *gone = &template->attributes[i];

        for (size_t k = 0; k < gone->n_pairs; k++) {
                free(gone->pairs[k].name);
                free(gone->pairs[k].value);
        }
        free(gone->pairs);
        free(gone->name);
        free(gone->value);
        memmove(gone, gone + 1, (--template->n_attributes - i) * sizeof(*gone));
}

const char *template_pair(const struct template_attribute *vector, const char *key)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0)
                        return vector->pairs[i].value;
        return NULL;
}

void template_set_pair(struct template_attribute *vector, const char *key, const char *value,
                       const struct source_pos *pos)
{
        for (size_t i = 0; i < vector->n_pairs; i++)
                if (strcmp(vector->pairs[i].name, key) == 0) {
                        free(vector->pairs[i].value);
                        vector->pairs[i].value = xstrdup(value);
                        vector->pairs[i].value_pos = *pos;
                        return;
                }
        ARRAY_GROW(vector->pairs, vector->n_pairs);
        vector->pairs[vector->n_pairs++] = (struct template_value){
                .name = xstrdup(key), .value = xstrdup(value), .name_pos = *pos, .value_pos = *pos
        };
}

void template_remove_pair(struct template_attribute *vector, const char *key)
{
        for (size_t i = vector->n_pairs; i-- > 0;) {
                if (strcmp(vector->pairs[i].name, key) != 0)
                        continue;
                free(vector->pairs[i].name);
                free(vector->pairs[i].value);
                memmove(&vector->pairs[i], &vector->pairs[i + 1],
                        (--vector->n_pairs - i) * sizeof(*vector->pairs));
        }
}

void template_set(struct template *template, const char *name, const char *value)
{
        for (size_t i = 0; i < template->n_attributes; i++)
                if (!template->attributes[i].is_vector && strcmp(template->attributes[i].name, name) == 0) {
                        free(template->attributes[i].value);
                        template->attributes[i].value = xstrdup(value);
                        return;
                }
        ARRAY_GROW(template->attributes, template->n_attributes);
        template->attributes[template->n_attributes++] =
                (struct template_attribute){ .name = xstrdup(name), .value = xstrdup(value) };
}
