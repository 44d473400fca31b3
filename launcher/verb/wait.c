/* wait: until a VM is started, paused or stopped, or its agent answers. Every wait ends at its deadline. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"
#include "conf/spec_build.h"
#include "launcher/live/control_client.h"
#include "launcher/verb/interrupt.h"
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

#define WAIT_MS 300000

struct goal {
        const char *what;
        char *now; /* the state, or the agent's, as last seen */
        bool reached, ended;
};

bool wait_is_reached(const char *goal, const char *state, const char *agent)
{
        if (strcmp(goal, "started") == 0)
                return state && (strcmp(state, "running") == 0 || strcmp(state, "paused") == 0);
        if (strcmp(goal, "agent") == 0)
                return agent && strcmp(agent, "answering") == 0;
        return state && strcmp(state, goal) == 0;
}

static void look(struct goal *goal, json_t *status)
{
        const char *state = json_string_value(json_object_get(status, "state"));
        const char *agent = json_string_value(json_object_get(status, "agent"));

        const char *now = strcmp(goal->what, "agent") == 0 ? agent : state;

        if (!now)
                return;
        free(goal->now);
        goal->now = xstrdup(now);
        goal->reached = wait_is_reached(goal->what, state, agent);
}

static bool on_event(const char *name, json_t *data, void *user)
{
        struct goal *goal = user;

        if (!name || strcmp(name, "VMLAUNCH_END") == 0) {
                goal->ended = true;
                goal->reached = strcmp(goal->what, "stopped") == 0;
                /* Stopped means gone: the supervisor's own end, not only the news of it. */
                return !name || !goal->reached;
        }
        if (strcmp(name, "VMLAUNCH_STATE") == 0)
                look(goal, data);
        return goal->reached;
}

static int watch(const struct paths *paths, const char *name, struct goal *goal, long long deadline,
                 struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;
        json_auto_t *status = NULL;

        if (control_client_open_until(paths, name, deadline, &client, err) < 0 ||
            control_client_call(client, "vmlaunch-status", NULL, &status, err) < 0)
                return -1;
        look(goal, status);
        if (goal->reached)
                return 0;
        return control_client_wait(client, deadline, on_event, goal, err);
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

static int wait_for(const struct paths *paths, const char *name, struct goal *goal, long long deadline,
                    struct error **err)
{
        _cleanup_close_ int inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
        _cleanup_free_ char *directory = xasprintf("%s/%s", paths->run, name);

        if (inotify_fd < 0)
                return error_os(err, errno, "watch '%s'", directory);
        while (!goal->reached && !goal->ended) {
                _cleanup_error_ struct error *error = NULL;

                watch_nearest(inotify_fd, directory);
                if (watch(paths, name, goal, deadline, &error) == 0)
                        break;
                if (error->code != ERROR_NOT_RUNNING && error->code != ERROR_NO_SUCH_VM &&
                    error->code != ERROR_DISCONNECTED) {
                        *err = TAKE_PTR(error);
                        return -1;
                }
                if (strcmp(goal->what, "stopped") == 0) {
                        goal->reached = true;
                        return 0;
                }
                if (fd_now_ms() >= deadline)
                        return error_set(err, ERROR_DEADLINE, "the deadline passed");
                if (await_change(inotify_fd, deadline, err) < 0)
                        return -1;
        }
        return 0;
}

/* What a VM is then, in a sentence. */
static const char *word_of(const char *goal)
{
        return strcmp(goal, "agent") == 0 ? "answered by its agent" : goal;
}

/* started and agent may be waited for before anybody starts the VM; what is only defined is stopped. */
static int find(const struct paths *paths, const char *argument, const char *goal, char **ret_name,
                struct error **err)
{
        _cleanup_error_ struct error *error = NULL;
        bool beforehand = strcmp(goal, "started") == 0 || strcmp(goal, "agent") == 0;

        if (vm_find(paths, argument, ret_name, &error) == 0)
                return 0;
        if (error->code == ERROR_NOT_RUNNING && strcmp(goal, "paused") != 0)
                return 0;
        if (error->code == ERROR_NO_SUCH_VM && beforehand && spec_name_is_valid(argument)) {
                *ret_name = xstrdup(argument);
                return 0;
        }
        *err = TAKE_PTR(error);
        return -1;
}

int verb_wait(struct verb_context *context, struct error **err)
{
        static const char *const goals[] = { "started", "agent", "paused", "stopped", NULL };
        struct goal goal = { .what = verb_value(context, "for") };
        const struct paths *paths = &context->site->paths;
        _cleanup_free_ char *name = NULL;
        int status;

        if (!goal.what)
                return error_set(err, ERROR_USAGE, "wait: --for=started, agent, paused or stopped is needed");
        for (size_t i = 0; goals[i]; i++)
                if (strcmp(goals[i], goal.what) == 0)
                        goal.what = goals[i];
        for (size_t i = 0; goals[i] != goal.what; i++)
                if (!goals[i])
                        return error_set(err, ERROR_USAGE,
                                         "wait: --for takes started, agent, paused or stopped, not '%s'",
                                         goal.what);
        if (find(paths, context->args[0], goal.what, &name, err) < 0)
                return -1;
        interrupt_arm(context, NULL, "wait for '%s' to be %s: interrupted", name, word_of(goal.what));
        status = wait_for(paths, name, &goal, fd_now_ms() + verb_timeout_ms(context, WAIT_MS), err);
        if (status < 0)
                error_wrap(err, "wait for '%s' to be %s%s%s", name, word_of(goal.what),
                           goal.now ? ", is " : "", goal.now ? goal.now : "");
        else if (!goal.reached)
                status = error_set(err, ERROR_NOT_RUNNING, "wait for '%s' to be %s: it ended", name,
                                   word_of(goal.what));
        else if (context->output != OUTPUT_TABLE)
                output_object(json_pack("{s:i, s:s, s:s}", "schema", 1, "name", name, "reached", goal.what),
                              context->output);
        free(goal.now);
        return status;
}
