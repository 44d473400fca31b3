/* wait: until a VM is in some state, has an address, is rid of a device. Every wait ends at its deadline. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "launcher/live/control_client.h"
#include "launcher/state/state_dir.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"
#include "launcher/verb/wait_goal.h"

#define WAIT_MS   300000
#define STATUS_MS 5000u
/* That a lock is let go of is no change of a directory. */
#define KEPT_MS 200

struct watch {
        struct wait_goal *goal;
        struct error **err; /* it will never be reached */
        bool changed;       /* state or agent: worth asking again */
        bool seen;          /* it has run */
};

static void look(struct wait_goal *goal, json_t *status)
{
        const char *state = json_member_string(status, "state");
        const char *agent = json_member_string(status, "agent");
        const char *now = goal->kind == WAIT_AGENT ? agent : state;

        if (!now)
                return;
        free(goal->now);
        goal->now = xstrdup(now);
        goal->reached = goal->reached || wait_goal_is_state(goal->kind, state, agent);
}

static void ended(struct wait_goal *goal)
{
        goal->ended = true;
        goal->reached = goal->kind == WAIT_STOPPED;
}

static bool on_event(const char *name, json_t *data, void *user)
{
        struct watch *watch = user;
        struct wait_goal *goal = watch->goal;

        if (!name)
                return true;
        if (strcmp(name, "VMLAUNCH_END") == 0) {
                ended(goal);
                /* Stopped means gone: the supervisor's own end, not only the news of it. */
                return !goal->reached;
        }
        if (wait_goal_event(goal, name, data, watch->err) < 0)
                return true;
        if (strcmp(name, "VMLAUNCH_STATE") == 0) {
                look(goal, data);
                watch->changed = true;
        }
        if (strcmp(name, "JOB_STATUS_CHANGE") == 0)
                watch->changed = true;
        return goal->reached || (watch->changed && goal->kind >= WAIT_IP);
}

/* Asks, and waits for an event that is worth asking again for, or for its time. 0: look at the goal; -1: *err. */
static int ask_again(struct control_client *client, struct watch *watch, const json_t *status,
                     long long deadline, struct error **err)
{
        unsigned again_ms = wait_goal_again_ms(watch->goal);
        long long until = fd_now_ms() + again_ms;
        _cleanup_error_ struct error *error = NULL;

        if (wait_goal_ask(watch->goal, client, status, deadline, err) < 0)
                return -1;
        if (watch->goal->reached)
                return 0;
        if (!again_ms || until > deadline)
                until = deadline;
        watch->changed = false;
        if (control_client_wait(client, until, on_event, watch, &error) == 0)
                return *err ? -1 : 0;
        if (error->code == ERROR_DEADLINE && until < deadline)
                return 0;
        *err = TAKE_PTR(error);
        return -1;
}

static unsigned left_ms(long long deadline)
{
        long long left = deadline - fd_now_ms();

        return left < 1 ? 1 : left < STATUS_MS ? (unsigned)left : STATUS_MS;
}

static int watch_client(struct control_client *client, struct watch *watch, long long deadline,
                        struct error **err)
{
        struct wait_goal *goal = watch->goal;
        json_auto_t *status = NULL;

        do {
                json_decref(status);
                status = NULL;
                if (control_client_call_within(client, "vmlaunch-status", NULL, left_ms(deadline), &status,
                                               err) < 0)
                        return -1;
                watch->seen = true;
                look(goal, status);
                if (goal->reached)
                        return 0;
                if (goal->kind < WAIT_IP) {
                        if (control_client_wait(client, deadline, on_event, watch, err) < 0)
                                return -1;
                        if (!goal->reached && !goal->ended)
                                return error_set(err, ERROR_DISCONNECTED, "its supervisor went away");
                        return 0;
                }
                if (ask_again(client, watch, status, deadline, err) < 0)
                        return -1;
        } while (!goal->reached && !goal->ended);
        return 0;
}

/* Of a connection that is closed, whose events have not all been looked at. */
static bool was_told_the_end(struct control_client *client)
{
        for (;;) {
                _cleanup_error_ struct error *ignored = NULL;
                json_auto_t *event = NULL;

                if (control_client_next(client, 0, &event, &ignored) <= 0)
                        return false;
                if (strcmp(json_member_string(event, "event"), "VMLAUNCH_END") == 0)
                        return true;
        }
}

/* 0: reached, or ended; ERROR_DISCONNECTED: the supervisor has died, and another one may come. */
static int watch_vm(const struct paths *paths, const char *name, struct watch *watch, long long deadline,
                    struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;

        watch->err = err;
        if (control_client_open_until(paths, name, deadline, &client, err) < 0)
                return -1;
        if (watch_client(client, watch, deadline, err) == 0)
                return 0;
        /* It may end just when it is asked something. */
        if ((*err)->code != ERROR_DISCONNECTED || !was_told_the_end(client))
                return -1;
        error_free(TAKE_PTR(*err));
        ended(watch->goal);
        return 0;
}

/* Watches the directory, or what there is of its parents: it may yet be made. */
static void watch_nearest(int inotify_fd, const char *directory)
{
        _cleanup_free_ char *path = xstrdup(directory);

        while (inotify_add_watch(inotify_fd, path, IN_CREATE | IN_MOVED_TO) < 0) {
                char *slash = strrchr(path, '/');

                if (!slash || slash == path)
                        return;
                *slash = '\0';
        }
}

/* Until something changes in RUN or RUN/NAME, at most to the deadline. inotify has what happened since it was
 * set up, so a socket that appeared between the last try and now is not missed. */
static int await_change(int inotify_fd, long long deadline, struct error **err)
{
        char buffer[4096];

        if (fd_wait(inotify_fd, POLLIN, deadline) < 0)
                return error_os(err, errno, "wait for a change");
        while (read(inotify_fd, buffer, sizeof(buffer)) > 0)
                ;
        return 0;
}

/* Nobody listens, but it has not ended: somebody has the VM's lock, a keeper whose next supervisor is late or one that ends;
 * or both are gone and QEMU is not. */
static bool is_kept(const struct paths *paths, const char *name)
{
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *record = NULL;
        struct vm_dir *vm = NULL;
        bool kept;

        if (vm_dir_open(paths, name, &vm, &ignored) < 0)
                return false;
        kept = vm_dir_is_locked(vm, NULL) ||
               (record_read(vm->fd, &record, &ignored) == 0 && record_says_qemu_lives(record));
        vm_dir_release(vm, true);
        return kept;
}

/* why: what it was like at last. */
static int too_late(const struct error *why, struct error **err)
{
        error_set(err, ERROR_DEADLINE, "the deadline passed");
        return why->hint ? error_hint(err, "%s: %s", why->message, why->hint) : -1;
}

static int wait_for(const struct paths *paths, const char *name, struct wait_goal *goal, long long deadline,
                    struct error **err)
{
        _cleanup_close_ int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        _cleanup_free_ char *directory = xasprintf("%s/%s", paths->run, name);
        struct watch watch = { .goal = goal };
        bool may_end, kept;

        if (inotify_fd < 0)
                return error_os(err, errno, "watch '%s'", directory);
        while (!goal->reached && !goal->ended) {
                _cleanup_error_ struct error *error = NULL;

                watch_nearest(inotify_fd, directory);
                if (watch_vm(paths, name, &watch, deadline, &error) == 0)
                        break;
                if (error->code != ERROR_NOT_RUNNING && error->code != ERROR_NO_SUCH_VM &&
                    error->code != ERROR_DISCONNECTED) {
                        *err = TAKE_PTR(error);
                        return -1;
                }
                if (fd_now_ms() >= deadline)
                        return too_late(error, err);
                if (error->code == ERROR_DISCONNECTED)
                        continue;
                /* Others may be waited for before it runs. */
                may_end = watch.seen || goal->kind == WAIT_STOPPED;
                kept = may_end && is_kept(paths, name);
                if (may_end && !kept) {
                        ended(goal);
                        return 0;
                }
                if (await_change(inotify_fd, kept ? fd_now_ms() + KEPT_MS : deadline, err) < 0)
                        return -1;
        }
        return 0;
}

/* Some things may be waited for before anybody starts the VM, which is defined then; what is only defined is stopped.
 * A name that nobody knows is told at once: most are misspelt. */
static int find(const struct paths *paths, const char *argument, const struct wait_goal *goal,
                char **ret_name, struct error **err)
{
        _cleanup_error_ struct error *error = NULL;

        if (vm_find(paths, argument, ret_name, &error) == 0)
                return 0;
        if (error->code == ERROR_NOT_RUNNING && (wait_goal_is_early(goal) || goal->kind == WAIT_STOPPED))
                return 0;
        *err = TAKE_PTR(error);
        return -1;
}

int verb_wait(struct verb_context *context, struct error **err)
{
        const char *word = verb_value(context, "for");
        const struct paths *paths = &context->site->paths;
        struct wait_goal goal = { 0 };
        _cleanup_free_ char *name = NULL, *to_be = NULL, *goals = wait_goals_text();
        int status;

        if (!word)
                return error_set(err, ERROR_USAGE, "wait: --for=%s is needed", goals);
        if (wait_goal_read(word, &goal, err) < 0 || find(paths, context->args[0], &goal, &name, err) < 0)
                return -1;
        to_be = wait_goal_text(&goal);
        interrupt_arm(context, NULL, "wait for '%s' %s: interrupted", name, to_be);
        status = wait_for(paths, name, &goal, fd_now_ms() + verb_timeout_ms(context, WAIT_MS), err);
        if (status < 0)
                error_wrap(err, "wait for '%s' %s%s%s", name, to_be, goal.now ? ", is " : "",
                           goal.now ? goal.now : "");
        else if (!goal.reached)
                status = error_set(err, ERROR_NOT_RUNNING, "wait for '%s' %s: it ended", name, to_be);
        else if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:s, s:s*}", "schema", 1, "name", name, "reached", word,
                                        "address", goal.found),
                              context->output);
        else if (goal.found)
                printf("%s\n", goal.found);
        wait_goal_done(&goal);
        return status;
}
