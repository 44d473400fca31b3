/*
 * status: the supervisor's own state, or the record of a VM that has none; never waits for QEMU. With --compare QEMU is
 * asked what it is, and how that differs from the VM's template.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "cgroups/cgroup_stats.h"
#include "launcher/live/control_client.h"
#include "launcher/run/state_compare.h"
#include "launcher/run/story.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/output.h"
#include "launcher/verb/pending.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"
#include "qmp/qmp_client.h"

/* Some hundred questions of 0.5 s each at most; QEMU answers them in some milliseconds. */
#define COMPARE_MS 30000

static void line(struct text *out, const char *label, const char *format, ...)
        __attribute__((format(printf, 3, 4)));
static void line(struct text *out, const char *label, const char *format, ...)
{
        va_list ap;

        text_addf(out, "  %-11s ", label);
        va_start(ap, format);
        text_vaddf(out, format, ap);
        va_end(ap);
        text_add(out, "\n");
}

/* What the group's control files say now: {"file": value}; an object, empty without cgroups. New reference. */
static json_t *read_limits(const char *group)
{
        _cleanup_cgroup_host_ struct cgroup_host host = { 0 };
        _cleanup_error_ struct error *error = NULL;

        if (!group || cgroup_host_read("", &host, &error) < 0)
                return json_object();
        return cgroup_limits_read(&host, group);
}

/* What its supervisor does not know. */
static void add_of_template(const struct site *site, json_t *status)
{
        _cleanup_free_ char *fault = NULL;

        json_object_set_new(status, "pending", pending_changes(site, status, &fault));
        if (fault)
                json_object_set_new(status, "template_error", story_string(fault));
        json_object_set_new(status, "autostart",
                            json_boolean(is_autostarted(&site->paths, json_member_string(status, "name"))));
}

static void add_words(struct text *out, const json_t *device, const char *const *keys)
{
        for (; *keys; keys++)
                if (json_member_string(device, *keys))
                        text_addf(out, "%s%s", out->length ? "  " : "", json_member_string(device, *keys));
}

static void print_device(struct text *out, const json_t *device)
{
        static const char *const disk[] = { "target", "bus", "format", "source", "address", NULL },
                                 *const nic[] = { "target", "bridge", "model", "mac", "address", NULL },
                                 *const graphics[] = { "type", "listen", "socket", NULL },
                                 *const other[] = { "model", "socket", "address", NULL };
        const json_t *port = json_object_get(device, "port");
        const char *id = json_member_string(device, "id"), *kind = json_member_string(device, "kind");
        _cleanup_text_ struct text words = TEXT_INIT;

        /* The agent has a line of its own. */
        if (!id || !kind || strcmp(kind, "agent") == 0)
                return;
        add_words(&words, device,
                  json_object_get(device, "bus")  ? disk
                  : strcmp(kind, "nic") == 0      ? nic
                  : strcmp(kind, "graphics") == 0 ? graphics
                                                  : other);
        if (json_is_integer(port))
                text_addf(&words, "  port %lld", (long long)json_integer_value(port));
        if (json_member_is_true(device, "readonly"))
                text_add(&words, "  read-only");
        line(out, id, "%s", text_str(&words));
}

static void print_story(struct text *out, const json_t *story)
{
        size_t i, n = json_array_size(story), first = n > 20 ? n - 20 : 0;

        if (n)
                text_add(out, "  story\n");
        for (i = first; i < n; i++) {
                const json_t *step = json_array_get(story, i);
                const char *time = json_member_string(step, "time"), *text = json_member_string(step, "text");

                if (time && text)
                        text_addf(out, "    %s  %s\n", time, text);
        }
}

/* What the last comparison found, if one was made. */
static void print_differences(struct text *out, const json_t *status)
{
        const json_t *differences = json_object_get(status, "differences");
        json_t *difference;
        size_t i;

        json_array_foreach ((json_t *)differences, i, difference) {
                _cleanup_free_ char *text = state_difference_text(difference);

                line(out, "differs", "%s", text);
        }
}

static void print_pending(struct text *out, const json_t *status)
{
        const json_t *pending = json_object_get(status, "pending");
        const char *fault = json_member_string(status, "template_error");
        _cleanup_text_ struct text names = TEXT_INIT;
        json_t *name;
        size_t i;

        json_array_foreach ((json_t *)pending, i, name)
                text_addf(&names, "%s%s", i ? ", " : "", json_string_value(name));
        if (names.length)
                line(out, "pending", "%s: the template's, at the next start", text_str(&names));
        if (fault)
                line(out, "pending", "the next start fails: %s", fault);
}

static char *status_text(const json_t *status)
{
        struct text out = TEXT_INIT;
        const char *state = json_member_string(status, "state"),
                   *verdict = json_member_string(status, "verdict"),
                   *reason = json_member_string(status, "reason"),
                   *group = json_member_string(status, "cgroup"),
                   *agent = json_member_string(status, "agent"),
                   *stderr_text = json_member_string(status, "stderr");
        json_int_t pid = json_member_integer(status, "pid");
        const json_t *frozen = json_object_get(status, "frozen");
        const char *key;
        json_t *value;
        size_t i;

        text_addf(&out, "%s  %s", json_member_string(status, "name"), state ? state : "unknown");
        if (verdict)
                text_addf(&out, ": %s", verdict);
        if (reason && *reason)
                text_addf(&out, " (%s)", reason);
        text_add(&out, "\n");
        line(&out, "uuid", "%s",
             json_member_string(status, "uuid") ? json_member_string(status, "uuid") : "-");
        if (json_member_string(status, "template"))
                line(&out, "template", "%s", json_member_string(status, "template"));
        if (pid)
                line(&out, "pid", "%lld, supervisor %lld, uid %lld", (long long)pid,
                     (long long)json_member_integer(status, "supervisor_pid"),
                     (long long)json_member_integer(status, "uid"));
        if (agent && strcmp(agent, "none") != 0)
                line(&out, "agent", "%s", agent);
        /* null: a freeze or a thaw that is not answered. */
        if (json_is_true(frozen) || json_is_null(frozen))
                line(&out, "frozen", "%s", json_is_true(frozen) ? "yes" : "unknown");
        json_array_foreach (json_object_get(status, "leases"), i, value) {
                if (json_member_string(value, "kind") && json_member_string(value, "holder") &&
                    json_member_string(value, "state"))
                        line(&out, "lease", "%s of %s, %s", json_member_string(value, "kind"),
                             json_member_string(value, "holder"), json_member_string(value, "state"));
        }
        if (group) {
                _cleanup_text_ struct text limits = TEXT_INIT;

                json_object_foreach (json_object_get(status, "limits"), key, value)
                        text_addf(&limits, "  %s = %s", key, json_string_value(value));
                line(&out, "cgroup", "%s%s", group, text_str(&limits));
        }
        json_array_foreach (json_object_get(status, "devices"), i, value)
                print_device(&out, value);
        if (json_member_is_true(status, "changed_by_hand"))
                line(&out, "changed", "by hand: QEMU was told what vmlaunch does not follow");
        print_pending(&out, status);
        print_differences(&out, status);
        json_array_foreach (json_object_get(status, "warnings"), i, value)
                if (json_is_string(value))
                        line(&out, "warning", "%s", json_string_value(value));
        if (stderr_text && *stderr_text)
                line(&out, "stderr", "%s", stderr_text);
        print_story(&out, json_object_get(status, "story"));
        return text_take(&out);
}

static bool is_stopped(const json_t *status)
{
        const char *state = json_member_string(status, "state");

        return state && strcmp(state, "stopped") == 0;
}

/* A VM that nobody has started yet: its members are those of every VM, as far as there is something to say. */
static int show_defined(const struct verb_context *context, const char *name)
{
        _cleanup_free_ char *path = NULL;
        json_t *status;

        vm_is_defined(&context->site->paths, name, &path);
        status = json_pack(
                "{s:i, s:s, s:n, s:n, s:s, s:n, s:n, s:n, s:n, s:n, s:s?, s:n, s:b, s:[], s:[], s:b, s:n, s:n, s:[], s:[], s:n, s:n, s:[]}",
                "schema", 1, "name", name, "uuid", "generation", "state", "defined", "reason", "verdict",
                "pid", "supervisor_pid", "cgroup", "template", path, "agent", "frozen", 0, "leases", "jobs",
                "changed_by_hand", 0, "differences", "compared", "devices", "warnings", "started", "ended",
                "story");
        json_object_set_new(status, "autostart", json_boolean(is_autostarted(&context->site->paths, name)));
        if (context->output != OUTPUT_TABLE) {
                output_object(status, context->output);
                return 0;
        }
        printf("%s  defined, never started\n", name);
        if (path)
                printf("  %-11s %s\n", "template", path);
        json_decref(status);
        return 0;
}

/* A side that says nothing is NULL, printed "-". */
static const char *side_of(const json_t *difference, const char *side)
{
        const json_t *value = json_object_get(difference, side);

        return json_is_null(value) ? "none" : json_string_value(value);
}

static void print_comparison(const json_t *status, enum output_format format)
{
        static const char *const headers[] = { "KIND", "ID", "MEMBER", "TEMPLATE", "QEMU", "RECORD" };
        const json_t *differences = json_object_get(status, "differences");
        _cleanup_(table_freep) struct table *table = table_new(headers, ARRAY_SIZE(headers));
        size_t i, n = json_array_size(differences);
        json_t *each;

        json_array_foreach ((json_t *)differences, i, each) {
                const char *cells[] = { json_member_string(each, "kind"),
                                        json_member_string(each, "id"),
                                        json_member_string(each, "member"),
                                        side_of(each, "template"),
                                        side_of(each, "qemu"),
                                        side_of(each, "record") };

                table_row(table, cells);
        }
        if (format == OUTPUT_TABLE)
                printf("%s  %s: %s\n", json_member_string(status, "name"),
                       json_member_string(status, "state"), n ? "differs" : "same as its template");
        if (n || format == OUTPUT_TSV)
                table_print(table, format);
}

/* The only status that waits for QEMU, so without it there is none. */
static int show_comparison(const struct verb_context *context, const char *name, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        json_auto_t *status = NULL;

        if (control_client_open(&context->site->paths, name, &client, err) < 0)
                return -1;
        if (control_client_call_within(client, "vmlaunch-status", json_pack("{s:b}", "compare", 1),
                                       verb_timeout_ms(context, COMPARE_MS), &status, err) < 0)
                return error_wrap(err, "compare '%s' with its template", name);
        if (context->output == OUTPUT_JSON) {
                json_object_set_new(status, "limits", read_limits(json_member_string(status, "cgroup")));
                add_of_template(context->site, status);
                output_json(TAKE_PTR(status));
        } else
                print_comparison(status, context->output);
        return 0;
}

/* A supervisor that was stopped would let us wait, and its record says what it knew. */
static int check_stopped(const struct paths *paths, const char *name, struct error **err)
{
        json_auto_t *record = NULL;
        pid_t pid;

        if (vm_record(paths, name, &record, err) < 0)
                return -1;
        pid = (pid_t)json_member_integer(record, "supervisor_pid");
        if (pid > 0 && process_state(pid) == 'T') {
                error_set(err, ERROR_DEADLINE, "its supervisor (pid %d) is stopped", (int)pid);
                return error_hint(err, "kill -CONT %d", (int)pid);
        }
        return 0;
}

static int ask(const struct paths *paths, const char *name, json_t **ret, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        const unsigned limit_ms = qmp_class_ms(QMP_QUERY);

        if (check_stopped(paths, name, err) < 0 ||
            control_client_open_within(paths, name, limit_ms, &client, err) < 0)
                return -1;
        return control_client_call_within(client, "vmlaunch-status", NULL, limit_ms, ret, err);
}

int verb_status(struct verb_context *context, struct error **err)
{
        const struct paths *paths = &context->site->paths;
        _cleanup_error_ struct error *error = NULL;
        _cleanup_free_ char *name = NULL, *text = NULL, *path = NULL;
        bool compare = verb_flag(context, "compare");
        json_auto_t *status = NULL;

        if (!compare && context->timeout_s >= 0)
                return error_set(err, ERROR_USAGE, "status: --timeout goes with --compare");
        if (vm_find(paths, context->args[0], &name, &error) < 0) {
                if (error->code == ERROR_NOT_RUNNING && !compare)
                        return show_defined(context, name);
                *err = TAKE_PTR(error);
                return -1;
        }
        if (compare)
                return show_comparison(context, name, err);
        if (ask(paths, name, &status, &error) < 0) {
                if (vm_record(paths, name, &status, err) < 0) {
                        if ((*err)->code != ERROR_NO_SUCH_VM || !vm_is_defined(paths, name, &path))
                                return -1;
                        error_free(TAKE_PTR(*err));
                        return show_defined(context, name);
                }
                /* Whoever may not ask reads what the supervisor has written last. */
                if (error->code != ERROR_NOT_PERMITTED && !is_stopped(status)) {
                        _cleanup_free_ char *said = error_text(error),
                                            *why = xasprintf("%s%s%s", said, error->hint ? "; " : "",
                                                             error->hint ? error->hint : "");

                        json_object_set_new(status, "state", json_string("unknown"));
                        json_object_set_new(status, "reason", json_string(why));
                }
        }
        if (!is_stopped(status))
                json_object_set_new(status, "limits", read_limits(json_member_string(status, "cgroup")));
        add_of_template(context->site, status);
        if (context->output != OUTPUT_TABLE) {
                output_object(json_incref(status), context->output);
                return 0;
        }
        text = status_text(status);
        output_text(text);
        return 0;
}
