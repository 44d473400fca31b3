/* Asking QEMU what it is, and how that differs from template, journal and record. */
#include <string.h>

#include "base/fd.h"
#include "base/text.h"
#include "conf/spec_build.h"
#include "launcher/run/state_compare.h"
#include "launcher/run/story.h"
#include "launcher/run/supervisor_parts.h"
#include "qmp/ops_facts.h"

/* live.tmpl is what spec_to_template() wrote: a few KiB, or some hundred disks. */
#define LIVE_MAX (1u << 20)
/* Questions on their way at once; QEMU answers them one by one anyway. */
#define WINDOW 4
/* What is kept of all answers together; those of a machine with some hundred disks are less than 1 MiB. */
#define FACTS_MAX (8u << 20)
/* Beyond these a line in the story says how many more there are. */
#define STORY_LINES 8

struct question {
        struct gathering *gathering;
        enum machine_fact fact; /* MACHINE_FACTS: a property */
        char *id, *property;
};

struct gathering {
        struct supervisor *s;
        struct template *template;
        struct vm_spec *spec; /* live.tmpl; NULL: trouble */
        char *trouble;
        json_t *facts;
        struct question *questions;
        size_t n_questions, n_sent, n_answered, bytes;
        struct error *failed;     /* QEMU does not answer */
        const char *record_state; /* "running", "paused" */
        bool adoption;
        struct control_call **calls; /* whom this one answers */
        size_t n_calls;
        struct control_call **waiting; /* who asked since it began: the next one's */
        size_t n_waiting;
};

static void gathering_free(struct gathering *g)
{
        for (size_t i = 0; i < g->n_questions; i++) {
                free(g->questions[i].id);
                free(g->questions[i].property);
        }
        free(g->questions);
        vm_spec_free(g->spec);
        template_free(g->template);
        free(g->trouble);
        json_decref(g->facts);
        error_free(g->failed);
        free(g->calls);
        free(g->waiting);
        free(g);
}

/* live.tmpl */

static int read_spec(struct gathering *g, struct error **err)
{
        struct supervisor *s = g->s;
        _cleanup_free_ char *text = NULL;
        size_t length;

        if (fd_read_file_at(s->vm->fd, "live.tmpl", LIVE_MAX, &text, &length, err) < 0 ||
            template_parse("live.tmpl", text, length, &g->template, err) < 0)
                return -1;
        /* Its paths are absolute. */
        return spec_build(g->template, s->options->site, "/", s->plan->name, &g->spec, err);
}

/* The questions. */

static void on_answer(json_t *reply, const struct error *error, void *data);

static void add_question(const char *id, const char *property, void *data)
{
        struct gathering *g = data;

        ARRAY_GROW(g->questions, g->n_questions);
        g->questions[g->n_questions++] = (struct question){
                .gathering = g, .fact = MACHINE_FACTS, .id = xstrdup(id), .property = xstrdup(property)
        };
}

static void plan_questions(struct gathering *g)
{
        for (enum machine_fact fact = 0; fact < MACHINE_FACTS; fact++) {
                ARRAY_GROW(g->questions, g->n_questions);
                g->questions[g->n_questions++] = (struct question){ .gathering = g, .fact = fact };
        }
        if (g->spec)
                state_properties(g->spec, add_question, g);
}

static void send_questions(struct gathering *g)
{
        struct qmp_client *qmp = g->s->qmp;

        while (!g->failed && g->n_sent < g->n_questions && g->n_sent - g->n_answered < WINDOW) {
                struct question *question = &g->questions[g->n_sent++];

                if (question->fact < MACHINE_FACTS)
                        ops_machine_fact(qmp, question->fact, on_answer, question);
                else
                        ops_device_property(qmp, question->id, question->property, on_answer, question);
        }
}

static json_t *member(json_t *object, const char *key)
{
        json_t *value = json_object_get(object, key);

        if (!value) {
                value = json_object();
                json_object_set_new(object, key, value);
        }
        return value;
}

static void keep_answer(struct gathering *g, const struct question *question, json_t *reply,
                        const struct error *error)
{
        if (question->fact == MACHINE_FACTS) {
                /* A device that is not there has none; that it is not there is told by the list of devices. */
                if (reply)
                        json_object_set(member(member(g->facts, "properties"), question->id),
                                        question->property, reply);
        } else if (reply) {
                json_object_set(g->facts, machine_fact_name(question->fact), reply);
        } else {
                json_object_set_new(member(g->facts, "errors"), machine_fact_name(question->fact),
                                    story_string(error->message));
        }
}

/* The end. */

static void begin(struct supervisor *s, struct control_call **calls_consume, size_t n_calls, bool adoption);

static void tell_differences(struct supervisor *s)
{
        size_t n = json_array_size(s->differences);

        if (n == 0)
                supervisor_story(s, "QEMU is as its template says");
        for (size_t i = 0; i < n && i < STORY_LINES; i++) {
                _cleanup_free_ char *line = state_difference_text(json_array_get(s->differences, i));

                supervisor_story(s, "differs: %s", line);
        }
        if (n > STORY_LINES)
                supervisor_story(s, "and %zu more differences", n - STORY_LINES);
}

static void compare(struct gathering *g)
{
        struct supervisor *s = g->s;
        json_auto_t *steps = NULL, *before = NULL;
        struct error *unreadable = NULL;
        struct state_sides sides = {
                .spec = g->spec,
                .trouble = g->trouble,
                .facts = g->facts,
                .record_state = g->record_state,
        };

        if (journal_steps_read(s->vm->fd, &steps, &unreadable) < 0)
                error_free(unreadable);
        sides.steps = steps;
        before = s->differences;
        s->differences = state_compare(&sides);
        free(s->compared);
        s->compared = story_now();
        if (g->adoption) {
                s->found_state = NULL;
                tell_differences(s);
        }
        /* Anybody may ask as often as he likes. */
        if (!before || !json_equal(before, s->differences))
                supervisor_flush(s);
}

static void answer(struct gathering *g)
{
        struct error *error = NULL;

        if (g->failed)
                error_set(&error, g->failed->code == ERROR_DEADLINE ? ERROR_DEADLINE : ERROR_BUSY,
                          "QEMU could not be asked: %s", g->failed->message);
        for (size_t i = 0; i < g->n_calls; i++)
                control_answer(g->calls[i], error ? NULL : supervisor_record(g->s), error);
        error_free(error);
}

static void finish(struct gathering *g)
{
        struct supervisor *s = g->s;
        struct control_call **waiting = TAKE_PTR(g->waiting);
        size_t n_waiting = g->n_waiting;

        s->gathering = NULL;
        if (!g->failed)
                compare(g);
        answer(g);
        gathering_free(g);
        if (waiting)
                begin(s, waiting, n_waiting, false);
}

static void on_answer(json_t *reply, const struct error *error, void *data)
{
        struct question *question = data;
        struct gathering *g = question->gathering;

        g->n_answered++;
        g->bytes += reply ? json_dumpb(reply, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY) : 0;
        if (g->bytes > FACTS_MAX) {
                if (!g->failed)
                        error_set(&g->failed, ERROR_FAILED, "what it answers is larger than %u bytes",
                                  FACTS_MAX);
        } else if (reply || error->code == ERROR_QMP)
                keep_answer(g, question, reply, error);
        else if (!g->failed)
                g->failed = error_copy(error);
        if (error && error->code == ERROR_DEADLINE && g->s->state < VM_QUITTING)
                wire_overdue(g->s);
        /* Events have told what the answer tells: they came before it. */
        if (reply && question->fact == FACT_STATUS && !g->adoption)
                g->record_state = g->s->paused ? "paused" : "running";
        send_questions(g);
        if (g->n_answered == g->n_sent && (g->failed || g->n_sent == g->n_questions))
                finish(g);
}

/* The begin. */

static bool may_ask(const struct supervisor *s, struct error **err)
{
        if (s->exited || s->state >= VM_GONE)
                error_set(err, ERROR_NOT_RUNNING, "QEMU has ended");
        else if (s->state == VM_STARTING || s->state == VM_QUITTING || s->state == VM_RESTARTING)
                error_set(err, ERROR_BUSY, "the VM is %s", vm_state_name(s->state));
        else if (!wire_is_up(s))
                error_set(err, ERROR_BUSY, "QEMU does not answer");
        return *err == NULL;
}

static void begin(struct supervisor *s, struct control_call **calls_consume, size_t n_calls, bool adoption)
{
        _cleanup_error_ struct error *refused = NULL, *err = NULL;
        struct gathering *g;

        if (!may_ask(s, &refused)) {
                for (size_t i = 0; i < n_calls; i++)
                        control_answer(calls_consume[i], NULL, refused);
                free(calls_consume);
                return;
        }
        g = xcalloc(1, sizeof(*g));
        *g = (struct gathering){ .s = s,
                                 .facts = json_object(),
                                 .adoption = adoption,
                                 .record_state = adoption ? s->found_state : NULL,
                                 .calls = calls_consume,
                                 .n_calls = n_calls };
        if (read_spec(g, &err) < 0)
                g->trouble = error_text(err);
        plan_questions(g);
        s->gathering = g;
        send_questions(g);
}

int compare_command(struct supervisor *s, struct error **err)
{
        struct gathering *g = s->gathering;
        struct control_call **calls = NULL;

        if (!may_ask(s, err))
                return -1;
        if (g) {
                /* What it has been told already may be older than this question. */
                g->waiting = xreallocarray(g->waiting, g->n_waiting + 1, sizeof(struct control_call *));
                g->waiting[g->n_waiting++] = control_answer_later(s->control);
                return 0;
        }
        calls = xcalloc(1, sizeof(struct control_call *));
        calls[0] = control_answer_later(s->control);
        begin(s, calls, 1, false);
        return 0;
}

void compare_adopted(struct supervisor *s)
{
        _cleanup_error_ struct error *not_now = NULL;

        if (s->found_state && !s->gathering && may_ask(s, &not_now))
                begin(s, NULL, 0, true);
}
