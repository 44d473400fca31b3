#include "launcher/run/lease.h"

#include <string.h>

#include "base/json_member.h"
#include "base/text.h"
#include "launcher/run/lease_parts.h"
#include "launcher/run/story.h"
#include "launcher/state/crash_point.h"

static const char *const kind_names[] = { [LEASE_FREEZE] = "freeze", [LEASE_PAUSE] = "pause" };

const char *lease_kind_name(enum lease_kind kind)
{
        return kind_names[kind];
}

bool lease_kind_from_name(const char *name, enum lease_kind *ret)
{
        for (size_t i = 0; i < ARRAY_SIZE(kind_names); i++)
                if (strcmp(kind_names[i], name) == 0) {
                        *ret = (enum lease_kind)i;
                        return true;
                }
        return false;
}

static void __attribute__((format(printf, 2, 3))) story(struct lease *lease, const char *format, ...)
{
        _cleanup_text_ struct text line = TEXT_INIT;
        va_list ap;

        va_start(ap, format);
        text_vaddf(&line, format, ap);
        va_end(ap);
        lease->leases->host.story(text_str(&line), lease->leases->data);
}

static void changed(struct lease *lease, const char *state, const char *reason)
{
        lease->leases->host.changed(lease->kind, state, reason, lease->leases->data);
}

static const char *state_word(const struct lease *lease)
{
        return lease->state == LEASE_ASKED ? "beginning" : lease->state == LEASE_HELD ? "held" : "ending";
}

static json_t *lease_json(const struct lease *lease)
{
        return json_pack("{s:I, s:s, s:o, s:s, s:f}", "id", (json_int_t)lease->id, "kind",
                         lease_kind_name(lease->kind), "holder", story_string(lease->who), "state",
                         state_word(lease), "timeout", lease->timeout_ms / 1000.0);
}

json_t *leases_json(const struct leases *leases)
{
        json_t *array = json_array();

        for (size_t i = 0; i < LEASE_KINDS; i++)
                if (leases->kinds[i].state != LEASE_NONE && leases->kinds[i].obliged)
                        json_array_append_new(array, lease_json(&leases->kinds[i]));
        return array;
}

static int keep(struct leases *leases, struct error **err)
{
        json_auto_t *now = leases_json(leases);

        return leases->host.keep(now, leases->data, err);
}

/* Answers. */

static void answer_begin(struct lease *lease, json_t *value, const struct error *error)
{
        struct answer begin = lease->begin;

        lease->begin = (struct answer){ 0 };
        if (begin.fn)
                begin.fn(value, error, begin.data);
        else
                json_decref(value);
}

static void answer_enders(struct lease *lease, const struct error *error)
{
        size_t n = lease->n_enders;

        lease->n_enders = 0;
        for (size_t i = 0; i < n; i++) {
                json_t *value = NULL;

                if (!error)
                        value = json_pack("{s:s, s:I, s:I}", "kind", lease_kind_name(lease->kind), "frozen",
                                          (json_int_t)lease->taken, "thawed", (json_int_t)lease->undone);
                lease->enders[i].fn(value, error, lease->enders[i].data);
        }
}

/* Why it was not taken, for who asked: the guest's own words when there are any. */
static void refuse_begin(struct lease *lease)
{
        struct error *error = NULL;

        if (lease->error && (!lease->why || lease->error->code != ERROR_BUSY)) {
                answer_begin(lease, NULL, lease->error);
                return;
        }
        error_set(&error, ERROR_DEADLINE, "the %s did not come about: %s", lease_kind_name(lease->kind),
                  lease->why ? lease->why : "no answer");
        answer_begin(lease, NULL, error);
        error_free(error);
}

/* What the table asks for. */

static void on_limit(void *data)
{
        struct lease *lease = data;
        _cleanup_free_ char *why = xasprintf("its limit of %g s has passed", lease->timeout_ms / 1000.0);

        lease->limit = NULL;
        leases_end(lease->leases, lease->kind, why, NULL, NULL);
}

static void set_limit(struct lease *lease, unsigned timeout_ms)
{
        struct loop *loop = lease->leases->loop;

        loop_remove(loop, lease->limit);
        lease->limit = timeout_ms ? loop_add_deadline(loop, timeout_ms, on_limit, lease) : NULL;
        if (timeout_ms)
                lease->timeout_ms = timeout_ms;
}

static void stop_retry(struct lease *lease)
{
        loop_remove(lease->leases->loop, lease->retry);
        lease->retry = NULL;
}

static void on_retry(void *data)
{
        struct lease *lease = data;

        lease->retry = NULL;
        lease_feed(lease, LEASE_AGAIN);
}

static void wait(struct lease *lease)
{
        struct leases *leases = lease->leases;
        unsigned shift = lease->tries < 16 ? lease->tries++ : lease->tries;
        unsigned long long ms = (unsigned long long)leases->times.retry << shift;
        bool somebody = lease->kind == LEASE_FREEZE ? leases->host.agent(leases->data) != NULL
                                                    : leases->host.qemu(leases->data) != NULL;

        if (!lease->told_retry) {
                _cleanup_free_ char *text = lease->error ? error_text(lease->error) : xstrdup("no answer");

                lease->told_retry = true;
                story(lease, "the %s is not undone: %s; trying until it is", lease_kind_name(lease->kind),
                      text);
        }
        answer_enders(lease, lease->error);
        stop_retry(lease);
        /* Nobody to ask: leases_try_again() says when there is. */
        if (somebody)
                lease->retry = loop_add_deadline(leases->loop,
                                                 ms < leases->times.retry_max ? ms : leases->times.retry_max,
                                                 on_retry, lease);
}

static void tell_held(struct lease *lease)
{
        lease->uncertain = false;
        crash_point(CRASH_LEASE_HELD);
        if (lease->kind == LEASE_FREEZE) {
                lease->leases->frozen = FROZEN_YES;
                story(lease, "the guest is frozen (%lld file systems), at most %g s, for %s", lease->taken,
                      lease->timeout_ms / 1000.0, lease->who);
        } else {
                story(lease, "the guest is paused, at most %g s, for %s", lease->timeout_ms / 1000.0,
                      lease->who);
        }
        changed(lease, "held", NULL);
        answer_begin(lease,
                     json_pack("{s:I, s:s, s:I}", "id", (json_int_t)lease->id, "kind",
                               lease_kind_name(lease->kind), "filesystems", (json_int_t)lease->taken),
                     NULL);
}

static void forget(struct lease *lease)
{
        set_limit(lease, 0);
        stop_retry(lease);
        lease->turn++;
        free(lease->who);
        free(lease->why);
        error_free(lease->error);
        lease->who = lease->why = NULL;
        lease->error = NULL;
        lease->client = 0;
        lease->taken = lease->undone = 0;
        lease->tries = 0;
        lease->obliged = lease->uncertain = lease->stay = lease->told_retry = false;
}

static void finish(struct lease *lease, enum lease_event event)
{
        struct leases *leases = lease->leases;
        _cleanup_error_ struct error *err = NULL;
        bool done = event == LEASE_PROVEN || event == LEASE_OVER;

        crash_point(CRASH_LEASE_OVER);
        if (lease->kind == LEASE_FREEZE && event != LEASE_NEVER)
                leases->frozen = FROZEN_NO;
        /* Nothing has happened: it is as it was. */
        if (lease->kind == LEASE_FREEZE && event == LEASE_NEVER && leases->frozen == FROZEN_UNKNOWN)
                leases->frozen = leases->frozen_before;
        if (keep(leases, &err) < 0)
                story(lease, "the file of leases: %s", err->message);
        if (event == LEASE_PROVEN && lease->kind == LEASE_FREEZE)
                story(lease, "the guest is thawed (%lld file systems)", lease->undone);
        else if (done)
                story(lease, "the %s is over%s%s", lease_kind_name(lease->kind), lease->why ? ": " : "",
                      lease->why ? lease->why : "");
        changed(lease, "ended", lease->why);
        if (lease->begin.fn)
                refuse_begin(lease);
        answer_enders(lease, done ? NULL : lease->error);
        forget(lease);
}

void lease_feed(struct lease *lease, enum lease_event event)
{
        struct lease_move move = lease_next(lease->state, event);
        bool was_asked = lease->state == LEASE_ASKED, was_held = lease->state == LEASE_HELD;

        lease->state = move.state;
        if ((was_asked || was_held) && move.state != LEASE_ASKED && move.state != LEASE_HELD &&
            move.state != LEASE_NONE) {
                set_limit(lease, 0);
                changed(lease, "ending", lease->why);
                if (was_asked)
                        refuse_begin(lease);
        }
        if (move.action != LEASE_DO_NOTHING)
                stop_retry(lease);
        switch (move.action) {
        case LEASE_DO_NOTHING:
                break;
        case LEASE_DO_TAKE:
                lease_take(lease);
                break;
        case LEASE_DO_TELL_HELD:
                tell_held(lease);
                break;
        case LEASE_DO_UNDO:
                lease_undo(lease);
                break;
        case LEASE_DO_PROVE:
                lease_prove(lease);
                break;
        case LEASE_DO_WAIT:
                wait(lease);
                break;
        case LEASE_DO_FINISH:
                finish(lease, event);
                break;
        }
}

/* The interface. */

struct leases *leases_new(struct loop *loop, const struct lease_host *host, const struct lease_times *times,
                          void *data)
{
        struct leases *leases = xcalloc(1, sizeof(*leases));

        leases->loop = loop;
        leases->host = *host;
        leases->times = *times;
        leases->data = data;
        for (size_t i = 0; i < LEASE_KINDS; i++)
                leases->kinds[i] =
                        (struct lease){ .leases = leases, .kind = (enum lease_kind)i, .state = LEASE_NONE };
        return leases;
}

void leases_free(struct leases *leases)
{
        struct error *error = NULL;

        if (!leases)
                return;
        error_set(&error, ERROR_DISCONNECTED, "the supervisor ends");
        for (size_t i = 0; i < LEASE_KINDS; i++) {
                answer_begin(&leases->kinds[i], NULL, error);
                answer_enders(&leases->kinds[i], error);
                forget(&leases->kinds[i]);
        }
        error_free(error);
        free(leases);
}

bool leases_has(const struct leases *leases, enum lease_kind kind)
{
        return leases->kinds[kind].state != LEASE_NONE && leases->kinds[kind].obliged;
}

int leases_busy(const struct leases *leases, enum lease_kind kind, struct error **err)
{
        const struct lease *lease = &leases->kinds[kind];
        const char *what =
                kind == LEASE_FREEZE ? "the guest's file systems are frozen" : "the guest is paused";

        if (!leases_has(leases, kind))
                return error_set(err, ERROR_BUSY, "%s", what);
        return error_set(err, ERROR_BUSY, "%s: lease %llu (%s) of %s", what, lease->id, state_word(lease),
                         lease->who);
}

int leases_begin(struct leases *leases, const struct lease_request *request, lease_answer_fn *fn, void *data,
                 struct error **err)
{
        struct lease *lease = &leases->kinds[request->kind];
        bool freeze = request->kind == LEASE_FREEZE;

        for (size_t i = 0; i < LEASE_KINDS; i++)
                if (leases->kinds[i].state != LEASE_NONE)
                        return leases_busy(leases, (enum lease_kind)i, err);
        if (freeze ? !leases->host.agent(leases->data) : !leases->host.qemu(leases->data)) {
                *err = lease_nobody(lease);
                return -1;
        }
        if (freeze && leases->frozen == FROZEN_YES)
                return error_set(err, ERROR_BUSY, "the guest's file systems are frozen already");
        lease->id = ++leases->last_id;
        lease->client = request->client;
        lease->who = xstrdup(request->who);
        lease->timeout_ms = request->timeout_ms;
        lease->stay = request->already;
        lease->obliged = true;
        /* As leases_json() is to say it. */
        lease->state = LEASE_ASKED;
        if (keep(leases, err) < 0) {
                lease->state = LEASE_NONE;
                forget(lease);
                return error_wrap(err, "write the lease down before it begins");
        }
        lease->state = LEASE_NONE;
        leases->frozen_before = leases->frozen;
        lease->begin = (struct answer){ fn, data };
        story(lease, "%s asked for by %s, at most %g s", lease_kind_name(lease->kind), lease->who,
              lease->timeout_ms / 1000.0);
        set_limit(lease, request->timeout_ms);
        lease_feed(lease, LEASE_BEGIN);
        return 0;
}

/* Also one that we have not taken: a successor's, or a freeze by somebody else. */
static void end_lease(struct lease *lease, const char *why, lease_answer_fn *fn, void *data)
{
        if (lease->state == LEASE_NONE)
                lease->leases->frozen_before = lease->leases->frozen;
        if (fn)
                lease->enders[lease->n_enders++] = (struct answer){ fn, data };
        if (!lease->who)
                lease->who = xstrdup(why);
        if (!lease->why) {
                lease->why = xstrdup(why);
                if (lease->state == LEASE_ASKED || lease->state == LEASE_HELD)
                        story(lease, "ending the %s of %s: %s", lease_kind_name(lease->kind), lease->who,
                              why);
        }
        lease_feed(lease, LEASE_END);
}

void leases_end(struct leases *leases, enum lease_kind kind, const char *why, lease_answer_fn *fn, void *data)
{
        struct lease *lease = &leases->kinds[kind];

        if (fn && lease->n_enders == WAITERS_MAX) {
                struct error *error = NULL;

                error_set(&error, ERROR_BUSY, "too many wait for the end of this lease");
                fn(NULL, error, data);
                error_free(error);
                return;
        }
        if (fn && lease->state == LEASE_NONE && kind == LEASE_PAUSE) {
                struct error *error = NULL;

                error_set(&error, ERROR_FAILED, "there is no pause lease");
                fn(NULL, error, data);
                error_free(error);
                return;
        }
        if (lease->state != LEASE_NONE || kind != LEASE_PAUSE)
                end_lease(lease, why, fn, data);
}

int leases_renew(struct leases *leases, enum lease_kind kind, unsigned long long client, unsigned timeout_ms,
                 struct error **err)
{
        struct lease *lease = &leases->kinds[kind];

        if (lease->state != LEASE_HELD)
                return error_set(err, ERROR_FAILED, "there is no %s lease to renew", lease_kind_name(kind));
        if (lease->client && lease->client != client)
                return leases_busy(leases, kind, err);
        set_limit(lease, timeout_ms);
        return 0;
}

static void end_found(struct leases *leases, enum lease_kind kind, const char *who, unsigned long long id)
{
        struct lease *lease = &leases->kinds[kind];

        if (lease->state != LEASE_NONE)
                return;
        lease->obliged = true;
        lease->uncertain = true;
        lease->id = id;
        lease->who = xstrdup(who);
        if (kind == LEASE_FREEZE)
                leases->frozen = FROZEN_UNKNOWN;
        story(lease, "found a %s of %s", lease_kind_name(kind), who);
        end_lease(lease, "the supervisor that kept it has died", NULL, NULL);
}

void leases_end_all_found(struct leases *leases, const json_t *found)
{
        const json_t *entry;
        size_t i;

        if (!found) {
                end_found(leases, LEASE_FREEZE, "nobody known", ++leases->last_id);
                return;
        }
        json_array_foreach ((json_t *)found, i, entry) {
                const char *kind_text = json_member_string(entry, "kind");
                const char *who = json_member_string(entry, "holder");
                json_int_t id = json_member_integer(entry, "id");
                enum lease_kind kind;

                if (id > 0 && (unsigned long long)id > leases->last_id)
                        leases->last_id = (unsigned long long)id;
                if (kind_text && lease_kind_from_name(kind_text, &kind))
                        end_found(leases, kind, who ? who : "nobody known", (unsigned long long)id);
        }
}

void leases_client_gone(struct leases *leases, unsigned long long client)
{
        for (size_t i = 0; i < LEASE_KINDS; i++) {
                struct lease *lease = &leases->kinds[i];

                if (!client || lease->client != client)
                        continue;
                lease->client = 0;
                if (lease->state == LEASE_ASKED || lease->state == LEASE_HELD)
                        leases_end(leases, lease->kind, "its holder is gone", NULL, NULL);
        }
}

static void over(struct lease *lease, const char *why)
{
        if (lease->state == LEASE_NONE)
                return;
        if (!lease->why)
                lease->why = xstrdup(why);
        lease_feed(lease, LEASE_OVER);
}

void leases_guest_reset(struct leases *leases)
{
        struct lease *lease = &leases->kinds[LEASE_FREEZE];

        /* A freeze that was sent and not answered waits in the agent's channel, and the agent of the kernel that
         * boots now will find it there. So the thaw goes behind it. */
        if (lease->state != LEASE_NONE && lease->uncertain)
                return;
        over(lease, "the guest was reset");
        leases->frozen = FROZEN_NO;
}

void leases_guest_resumed(struct leases *leases)
{
        if (leases->kinds[LEASE_PAUSE].state != LEASE_ASKED)
                over(&leases->kinds[LEASE_PAUSE], "the guest was resumed");
}

void leases_guest_stays_paused(struct leases *leases)
{
        if (leases->kinds[LEASE_PAUSE].state != LEASE_NONE)
                leases->kinds[LEASE_PAUSE].stay = true;
}

void leases_qemu_gone(struct leases *leases)
{
        for (size_t i = 0; i < LEASE_KINDS; i++)
                over(&leases->kinds[i], "QEMU has ended");
        leases->frozen = FROZEN_NO;
}

void leases_try_again(struct leases *leases)
{
        for (size_t i = 0; i < LEASE_KINDS; i++)
                lease_feed(&leases->kinds[i], LEASE_AGAIN);
}

void leases_note_frozen(struct leases *leases)
{
        if (leases->kinds[LEASE_FREEZE].state == LEASE_NONE)
                leases->frozen = FROZEN_YES;
}

enum lease_frozen leases_frozen(const struct leases *leases)
{
        return leases->frozen;
}
