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
#include "launcher/verb/output.h"
#include "launcher/verb/verbs.h"
#include "launcher/verb/vm_find.h"

#define WAIT_MS 300000

struct goal {
        const char *what;
        char *state, *agent;
        bool reached, ended;
};

static void look(struct goal *goal, json_t *status)
{
        const char *state = json_string_value(json_object_get(status, "state"));
        const char *agent = json_string_value(json_object_get(status, "agent"));

        if (state) {
                free(goal->state);
                goal->state = xstrdup(state);
        }
        if (agent) {
                free(goal->agent);
                goal->agent = xstrdup(agent);
        }
        if (strcmp(goal->what, "started") == 0)
                goal->reached = goal->state &&
                                (strcmp(goal->state, "running") == 0 || strcmp(goal->state, "paused") == 0);
        else if (strcmp(goal->what, "paused") == 0)
                goal->reached = goal->state && strcmp(goal->state, "paused") == 0;
        else if (strcmp(goal->what, "agent") == 0)
                goal->reached = goal->agent && strcmp(goal->agent, "answering") == 0;
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

        if (control_client_open(paths, name, &client, err) < 0 ||
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
        if (spec_name_is_valid(context->args[0]) &&
            (strcmp(goal.what, "started") == 0 || strcmp(goal.what, "agent") == 0)) {
                /* It may be waited for before anybody starts it. */
                _cleanup_error_ struct error *unknown = NULL;

                if (vm_find(paths, context->args[0], &name, &unknown) < 0)
                        name = xstrdup(context->args[0]);
        } else if (vm_find(paths, context->args[0], &name, err) < 0) {
                return -1;
        }
        status = wait_for(paths, name, &goal, fd_now_ms() + verb_timeout_ms(context, WAIT_MS), err);
        if (status < 0)
                error_wrap(err, "wait for '%s' to be %s%s%s", name, goal.what,
                           strcmp(goal.what, "agent") == 0 && goal.agent ? ", which is " : "",
                           strcmp(goal.what, "agent") == 0 && goal.agent ? goal.agent : "");
        else if (!goal.reached)
                status = error_set(err, ERROR_NOT_RUNNING, "wait for '%s' to be %s: it ended", name,
                                   goal.what);
        free(goal.state);
        free(goal.agent);
        return status;
}
