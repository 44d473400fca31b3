#include "launcher/live/control_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/json_member.h"
#include "base/loop.h"
#include "base/text.h"
#include "launcher/state/state_dir.h"
#include "qmp/qmp_client.h"

/* So that the supervisor's own word of a deadline comes before ours, which knows less. */
#define GRACE_MS       50u
#define QUERY_AGAIN_MS 2000

struct raw {
        bool done;
        json_t *reply;
        struct error *error;
};

struct control_client {
        struct loop *loop;
        struct qmp_client *qmp;
        bool ended, woken;
        /* Events that came during a call wait here, so that none is lost between calls. */
        json_t *events;
        struct raw asked; /* control_client_ask() */
        /* Until it is greeted. */
        struct vm_dir *dir;
        long long until_ms;
};

static void on_event(const char *name, json_t *event_data, json_t *event, void *data)
{
        struct control_client *client = data;

        (void)name;
        (void)event_data;
        json_array_append(client->events, event);
}

static void on_disconnect(const struct error *error, void *data)
{
        struct control_client *client = data;

        (void)error;
        client->ended = true;
}

/* A bound path has 108 bytes at most (unix(7)); through the directory's fd any directory will do. */
static int connect_at(int dirfd, const char *name, unsigned wait_ms)
{
        const struct timeval limit = { .tv_sec = wait_ms / 1000, .tv_usec = (wait_ms % 1000) * 1000 + 1 };
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        _cleanup_close_ int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        /* A supervisor that does not accept: connect() would wait for ever once its queue is full (unix(7)). */
        if (sock >= 0)
                setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
        snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d/%s", dirfd, name);
        if (sock < 0)
                return -1;
        /* waits: SO_SNDTIMEO */
        if (connect(sock, (struct sockaddr *)&address, sizeof(address)) < 0)
                return -1;
        return TAKE_FD(sock);
}

/* A supervisor that was killed has a successor in some 20 ms. */
#define SUCCESSOR_MS      500
#define SUCCESSOR_STEP_MS 5

/* Nobody listens but the VM is locked: its keeper is putting a new supervisor in place. */
static int connect_soon(const struct vm_dir *dir, unsigned wait_ms, int *ret_errno)
{
        const long long until = fd_now_ms() + (wait_ms < SUCCESSOR_MS ? wait_ms : SUCCESSOR_MS);

        for (;;) {
                int sock = connect_at(dir->fd, "control.sock", wait_ms);

                *ret_errno = errno;
                if (sock >= 0 || *ret_errno != ECONNREFUSED || fd_now_ms() >= until ||
                    !vm_dir_is_locked(dir, NULL))
                        return sock;
                poll(NULL, 0, SUCCESSOR_STEP_MS);
        }
}

/* The supervisor's own classes (docs/control-socket.md) as the exit statuses of DESIGN section 3. */
static const struct {
        const char *class;
        enum error_code code;
} own_classes[] = {
        { "NotPermitted", ERROR_NOT_PERMITTED },
        { "GuestRefused", ERROR_GUEST },
        { "Busy", ERROR_BUSY },
        { "DeadlinePassed", ERROR_DEADLINE },
        { "NotRunning", ERROR_NOT_RUNNING },
        { "TemplateInvalid", ERROR_INVALID },
        { "HostCannot", ERROR_HOST },
};

/* 0: it is QEMU's, or GenericError, which both have. */
static enum error_code code_of(const char *class)
{
        for (size_t i = 0; i < ARRAY_SIZE(own_classes); i++)
                if (strcmp(class, own_classes[i].class) == 0)
                        return own_classes[i].code;
        return 0;
}

/* The words behind the class, and behind the command where they begin with it. Lent. */
static const char *plain_words(const struct error *error, const char *command)
{
        const struct error *last = error;
        size_t class, name = strlen(command);
        const char *words;

        while (last->cause)
                last = last->cause;
        words = last->message;
        class = strlen(error->qmp_class);
        if (strncmp(words, error->qmp_class, class) == 0 && strncmp(words + class, ": ", 2) == 0)
                words += class + 2;
        if (name && strncmp(words, command, name) == 0 && strncmp(words + name, ": ", 2) == 0)
                words += name + 2;
        return words;
}

/*
 * What the supervisor itself refuses has a code of ours and reads as a sentence: its class is for programs. QEMU's own
 * classes stay. command: "" for a greeting.
 */
static int translate(const char *command, struct error **err)
{
        struct error *theirs = *err, *ours = NULL;
        enum error_code code;

        if (theirs->code != ERROR_QMP || !theirs->qmp_class)
                return -1;
        code = code_of(theirs->qmp_class);
        if (!code && strncmp(command, "vmlaunch-", strlen("vmlaunch-")) == 0)
                code = ERROR_FAILED;
        if (!code)
                return -1;
        error_set(&ours, code, "%s", plain_words(theirs, command));
        ours->qmp_class = xstrdup(theirs->qmp_class);
        error_free(theirs);
        *err = ours;
        return -1;
}

/* On a supervisor that does not take or greet a connection. */
static int mute(const struct vm_dir *dir, const char *what, struct error **err)
{
        _cleanup_error_ struct error *ignored = NULL;
        json_auto_t *record = NULL;
        pid_t pid = 0;
        char state = 0;

        if (record_read(dir->fd, &record, &ignored) == 0)
                pid = (pid_t)json_member_integer(record, "supervisor_pid");
        if (pid > 0)
                state = process_state(pid);
        error_set(err, ERROR_DEADLINE, "the supervisor of '%s' (pid %d) %s%s", dir->name, (int)pid, what,
                  state == 'T'   ? ": a signal has stopped it"
                  : state == 'D' ? ": a kernel call holds it"
                                 : "");
        return state == 'T' ? error_hint(err, "kill -CONT %d", (int)pid) : -1;
}

int control_client_open(const struct paths *paths, const char *vm, struct control_client **ret,
                        struct error **err)
{
        return control_client_open_within(paths, vm, CONTROL_GREETING_MS, ret, err);
}

/* A connection for the client, which has none. */
static int connect_client(struct control_client *client, struct error **err)
{
        static const struct qmp_client_handlers handlers = { .on_event = on_event,
                                                             .on_disconnect = on_disconnect };
        const long long left = client->until_ms - fd_now_ms();
        const unsigned wait_ms = left < 1 ? 1 : (unsigned)left;
        const char *vm = client->dir->name;
        int os_errno, sock = connect_soon(client->dir, wait_ms, &os_errno);

        if (sock >= 0) {
                client->ended = false;
                client->qmp = qmp_client_new(client->loop, sock, wait_ms, &handlers, client);
                return 0;
        }
        if (os_errno == ENOENT)
                return error_set(err, ERROR_NOT_RUNNING, "'%s' is not running", vm);
        if (os_errno == EAGAIN)
                return mute(client->dir, "takes no connections", err);
        if (os_errno != ECONNREFUSED)
                return error_os(err, os_errno, "connect to the supervisor of '%s'", vm);
        error_set(err, ERROR_NOT_RUNNING, "the supervisor of '%s' is gone", vm);
        return error_hint(err, "vmlaunch reconcile %s gives its QEMU another one, or undoes what is left",
                          vm);
}

static int connect_within(const struct paths *paths, const char *vm, unsigned wait_ms,
                          struct control_client **ret, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = xcalloc(1, sizeof(*client));

        client->loop = loop_new();
        client->events = json_array();
        client->until_ms = fd_now_ms() + wait_ms;
        if (vm_dir_open(paths, vm, &client->dir, err) < 0 || connect_client(client, err) < 0)
                return -1;
        *ret = TAKE_PTR(client);
        return 0;
}

/* The connection was still to a supervisor that was killed: nothing has been asked, its successor will do. */
static bool may_try_again(const struct control_client *client, const struct error *error)
{
        return error->code == ERROR_DISCONNECTED && fd_now_ms() < client->until_ms &&
               vm_dir_is_locked(client->dir, NULL);
}

static int not_greeted(const struct control_client *client, struct error **err)
{
        if ((*err)->code == ERROR_DEADLINE) {
                error_free(TAKE_PTR(*err));
                return mute(client->dir, "does not answer", err);
        }
        translate("", err);
        return error_wrap(err, "talk to the supervisor of '%s'", client->dir->name);
}

static int greeted(struct control_client *client, int (*wait)(struct qmp_client *qmp, struct error **err),
                   struct error **err)
{
        while (wait(client->qmp, err) < 0) {
                if (!may_try_again(client, *err))
                        return not_greeted(client, err);
                error_free(TAKE_PTR(*err));
                qmp_client_free(TAKE_PTR(client->qmp));
                poll(NULL, 0, SUCCESSOR_STEP_MS);
                if (connect_client(client, err) < 0)
                        return -1;
        }
        vm_dir_release(TAKE_PTR(client->dir), true);
        return 0;
}

int control_client_connect(const struct paths *paths, const char *vm, struct control_client **ret,
                           struct error **err)
{
        return connect_within(paths, vm, CONTROL_GREETING_MS, ret, err);
}

int control_client_greet(struct control_client *client, struct error **err)
{
        return greeted(client, qmp_client_wait_greeting, err);
}

int control_client_open_within(const struct paths *paths, const char *vm, unsigned wait_ms,
                               struct control_client **ret, struct error **err)
{
        _cleanup_(control_client_freep) struct control_client *client = NULL;

        if (connect_within(paths, vm, wait_ms, &client, err) < 0 ||
            greeted(client, qmp_client_wait_ready, err) < 0)
                return -1;
        *ret = TAKE_PTR(client);
        return 0;
}

int control_client_open_until(const struct paths *paths, const char *vm, long long deadline_ms,
                              struct control_client **ret, struct error **err)
{
        long long left = deadline_ms - fd_now_ms();

        if (left > CONTROL_GREETING_MS)
                left = CONTROL_GREETING_MS;
        return control_client_open_within(paths, vm, left < 1 ? 1 : (unsigned)left, ret, err);
}

void control_client_free(struct control_client *client)
{
        if (!client)
                return;
        qmp_client_free(client->qmp);
        vm_dir_release(client->dir, true);
        json_decref(client->asked.reply);
        error_free(client->asked.error);
        json_decref(client->events);
        loop_free(client->loop);
        free(client);
}

int control_client_call_fds(struct control_client *client, const char *command, json_t *arguments,
                            const int *fds, size_t n_fds, unsigned wait_ms, json_t **ret_reply,
                            struct error **err)
{
        if (qmp_client_call_fds_within(client->qmp, command, arguments, fds, n_fds, wait_ms + GRACE_MS,
                                       ret_reply, err) < 0)
                return translate(command, err);
        return 0;
}

int control_client_call_within(struct control_client *client, const char *command, json_t *arguments,
                               unsigned wait_ms, json_t **ret_reply, struct error **err)
{
        return control_client_call_fds(client, command, arguments, NULL, 0, wait_ms, ret_reply, err);
}

/* A busy host may be slower than the half second of a query, which can be asked again and again. */
int control_client_call(struct control_client *client, const char *command, json_t *arguments,
                        json_t **ret_reply, struct error **err)
{
        long long end = fd_now_ms() + QUERY_AGAIN_MS;
        bool is_query = text_starts_with(command, "query-") || strcmp(command, "qom-get") == 0;
        int result;

        do {
                error_free(TAKE_PTR(*err));
                result = control_client_call_within(client, command, json_incref(arguments),
                                                    qmp_class_ms(QMP_MUTATE), ret_reply, err);
        } while (result < 0 && is_query && (*err)->code == ERROR_DEADLINE && fd_now_ms() < end);
        json_decref(arguments);
        return result;
}

struct loop *control_client_loop(struct control_client *client)
{
        return client->loop;
}

void control_client_wake(struct control_client *client)
{
        client->woken = true;
}

static void on_raw(json_t *reply, const struct error *error, void *data)
{
        struct raw *raw = data;

        raw->done = true;
        raw->reply = json_incref(reply);
        raw->error = error_copy(error);
}

static int take_raw(struct raw *raw, json_t **ret_reply, struct error **err)
{
        if (raw->error) {
                *err = TAKE_PTR(raw->error);
                return -1;
        }
        *ret_reply = TAKE_PTR(raw->reply);
        return 0;
}

int control_client_raw(struct control_client *client, const json_t *command, json_t **ret_reply,
                       struct error **err)
{
        struct raw raw = { 0 };

        qmp_client_forward_within(client->qmp, command, qmp_class_ms(QMP_HEAVY) + GRACE_MS, NULL, 0, on_raw,
                                  &raw);
        /* waits: the call has a deadline in this loop */
        while (!raw.done)
                loop_step(client->loop, -1);
        return take_raw(&raw, ret_reply, err);
}

void control_client_ask(struct control_client *client, const char *command, json_t *arguments)
{
        qmp_client_call(client->qmp, command, arguments, QMP_MUTATE, NULL, 0, on_raw, &client->asked);
}

int control_client_answer(struct control_client *client, json_t **ret_reply, struct error **err)
{
        /* waits: the call has a deadline in this loop */
        while (!client->asked.done)
                loop_step(client->loop, -1);
        return take_raw(&client->asked, ret_reply, err);
}

int control_client_reply_status(const json_t *reply)
{
        const json_t *error = json_object_get(reply, "error");
        const char *class = json_member_string(error, "class");
        const struct error own = { .code = class && code_of(class) ? code_of(class) : ERROR_FAILED };

        return error ? error_exit_status(&own) : 0;
}

int control_client_next(struct control_client *client, long long deadline_ms, json_t **ret_event,
                        struct error **err)
{
        while (!json_array_size(client->events)) {
                long long left = deadline_ms - fd_now_ms();

                if (client->ended)
                        return 0;
                if (client->woken) {
                        client->woken = false;
                        return error_set(err, ERROR_CANCELLED, "the wait was cut short");
                }
                if (left <= 0)
                        return error_set(err, ERROR_DEADLINE, "the deadline passed");
                loop_step(client->loop, left > 60000 ? 60000 : (int)left);
        }
        *ret_event = json_incref(json_array_get(client->events, 0));
        json_array_remove(client->events, 0);
        return 1;
}

int control_client_wait(struct control_client *client, long long deadline_ms, control_event_fn *fn,
                        void *data, struct error **err)
{
        for (;;) {
                json_auto_t *event = NULL;
                int got = control_client_next(client, deadline_ms, &event, err);

                if (got < 0)
                        return -1;
                if (got == 0) {
                        fn(NULL, NULL, data);
                        return 0;
                }
                if (fn(json_member_string(event, "event"), json_object_get(event, "data"), data))
                        return 0;
        }
}
