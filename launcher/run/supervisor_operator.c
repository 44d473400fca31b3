/*
 * vmlaunch-apply with "change": what an operator may change of the running VM (operator_change.h).
 *
 * The supervisor checks it by the rows and has it done as an admin's: by `vmlaunch __change`, which plans it with our
 * rights, sends the fragment as any client does, and ends. So the supervisor parses no template and waits for nobody.
 */
#include <string.h>
#include <unistd.h>

#include "conf/operator_change.h"
#include "launcher/run/host_helper.h"
#include "launcher/run/supervisor_parts.h"

/* As the steps of a change have at most, and a moment for the plan. */
#define CHANGE_MS 60000u
#define CHANGES   4 /* at one time */

struct operator_change {
        struct supervisor *s;
        struct host_helper *helper;
        struct control_call *call;
        struct operator_change *next;
};

static void on_changed(const struct error *error, const json_t *unused, void *data)
{
        struct operator_change *change = data, **at = &change->s->operator_changes;

        (void)unused;
        while (*at != change)
                at = &(*at)->next;
        *at = change->next;
        control_answer(change->call, error ? NULL : json_object(), error);
        free(change);
}

void operator_forget(struct supervisor *s)
{
        _cleanup_error_ struct error *error = NULL;

        error_set(&error, ERROR_NOT_RUNNING, "QEMU has ended");
        while (s->operator_changes) {
                struct operator_change *change = s->operator_changes;

                s->operator_changes = change->next;
                host_helper_forget(change->helper);
                control_answer(change->call, NULL, error);
                free(change);
        }
}

int operator_command(struct supervisor *s, const json_t *arguments, const char *who, struct error **err)
{
        json_t *asked = json_object_get(arguments, "change");
        char *argv[] = { "vmlaunch", "--root", s->options->site->paths.root, "__change", NULL };
        char *plain_argv[] = { "vmlaunch", "__change", NULL };
        struct operator_change *change;
        _cleanup_free_ char *text = NULL;
        unsigned n = 0;

        if (json_object_size(arguments) != 1)
                return error_set(err, ERROR_FAILED, "change goes with nothing else");
        if (operator_change_check(asked, err) < 0)
                return -1;
        for (change = s->operator_changes; change; change = change->next)
                n++;
        if (n >= CHANGES)
                return error_set(err, ERROR_BUSY, "%d changes that operators have asked for are under way",
                                 CHANGES);
        change = xcalloc(1, sizeof(*change));
        change->helper = host_helper_verb(
                s->loop, s->vm, &s->options->host->cgroup, *argv[2] ? argv : plain_argv,
                json_pack("{s:s, s:O, s:i}", "vm", s->plan->name, "change", asked, "parent", (int)getpid()),
                CHANGE_MS, on_changed, change, err);
        if (!change->helper) {
                free(change);
                return -1;
        }
        text = operator_change_text(asked);
        supervisor_story(s, "%s asks for %s", who, text);
        change->s = s;
        change->call = control_answer_later(s->control);
        change->next = s->operator_changes;
        s->operator_changes = change;
        return 0;
}
