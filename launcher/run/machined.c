#include "launcher/run/machined.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/bus.h"
#include "base/bus_message.h"
#include "base/fd.h"
#include "base/json_member.h"
#include "base/log.h"
#include "base/text.h"
#include "launcher/run/effects.h"
#include "launcher/state/crash_point.h"

#define BUS_SOCKET "/run/dbus/system_bus_socket"
#define BUS_MS     10000u
/* An end waits so long for systemd-machined. */
#define FORGET_MS 3000
/*
 * While a host starts many VMs, each that is registered is one more that systemd-machined is told of what systemd does, and
 * asks back: half a second later, fifty units and what follows cost a fifth less.
 */
#define LATER_MS    500u
#define BUSY_MS     50u
#define NAME        "org.freedesktop.machine1"
#define AT          "/org/freedesktop/machine1"
#define OUR_SERVICE "vmlaunch"
#define NO_OWNER    "org.freedesktop.DBus.Error.NameHasNoOwner"
#define UNKNOWN     "org.freedesktop.DBus.Error.ServiceUnknown"
#define EXISTS      NAME ".MachineExists"

/* Serials of the calls. */
enum { HELLO = 1, REGISTER };

struct machined {
        struct loop *loop;
        json_t *args; /* of the step, with the leader */
        bool resumed; /* the last supervisor may have done it */
        int fd;
        struct loop_source *heard, *deadline, *again;
        struct text in;
        bool authenticated;
};

/* It is done, or will not be. why NULL: it is, or nobody is there to be told. */
static void finish(struct machined *m, const char *why)
{
        if (why) {
                _cleanup_free_ char *shown = text_printable(why);

                log_warning("%s: register with systemd-machined: %s", json_member_string(m->args, "name"),
                            shown);
        }
        loop_remove(m->loop, m->heard);
        loop_remove(m->loop, m->deadline);
        loop_remove(m->loop, m->again);
        m->heard = m->deadline = m->again = NULL;
        fd_close(&m->fd);
        text_done(&m->in);
        m->in = TEXT_INIT;
}

static void tell(struct machined *m, const struct text *out)
{
        ssize_t n = send(m->fd, out->data, out->length, MSG_NOSIGNAL | MSG_DONTWAIT);

        /* A kilobyte finds room in a new connection, or it is no use. */
        if (n != (ssize_t)out->length)
                finish(m, n < 0 ? strerror(errno) : "D-Bus does not listen");
}

static void add_registration(const struct machined *m, struct text *out)
{
        static const struct bus_target manager = {
                .destination = NAME, .path = AT, .interface = NAME ".Manager", .member = "RegisterMachine"
        };
        _cleanup_bus_body_ struct bus_body body = BUS_BODY_INIT;
        const char *name = NULL, *text = NULL;
        uint8_t uuid[16] = { 0 };
        int leader = 0;

        json_unpack(m->args, "{s:s, s:s, s:i}", "name", &name, "uuid", &text, "leader", &leader);
        text_parse_uuid(text ? text : "", uuid);
        bus_body_string(&body, name ? name : "");
        bus_body_bytes(&body, uuid, sizeof(uuid));
        bus_body_string(&body, OUR_SERVICE);
        bus_body_string(&body, "vm");
        bus_body_u32(&body, (uint32_t)leader);
        bus_body_string(&body, "");
        bus_add_call(out, REGISTER, false, &manager, &body);
}

static void on_reply(struct machined *m, const struct bus_reply *reply)
{
        const char *error = reply->error;
        /* Nobody is there to be told, or it is known. */
        bool fine = !error || strcmp(error, NO_OWNER) == 0 || strcmp(error, UNKNOWN) == 0 ||
                    (m->resumed && strcmp(error, EXISTS) == 0);

        if (reply->serial == REGISTER || error)
                finish(m, fine ? NULL : reply->text ? reply->text : error);
}

/* What has come, as far as it is whole. */
static void hear(struct machined *m)
{
        size_t at = 0;

        if (!m->authenticated && m->in.length) {
                const char *end = memmem(m->in.data, m->in.length, "\r\n", 2);

                if (!end)
                        return;
                if (!text_starts_with(m->in.data, "OK ")) {
                        finish(m, "D-Bus does not take us for who we are");
                        return;
                }
                m->authenticated = true;
                at = (size_t)(end + 2 - m->in.data);
        }
        while (m->fd >= 0 && at < m->in.length) {
                struct bus_reply reply;
                int length = bus_reply_parse(m->in.data + at, m->in.length - at, &reply);

                if (length < 0)
                        finish(m, "D-Bus says what is not understood");
                if (length <= 0)
                        break;
                at += (size_t)length;
                on_reply(m, &reply);
        }
        if (m->fd >= 0 && at) {
                memmove(m->in.data, m->in.data + at, m->in.length - at);
                text_cut(&m->in, m->in.length - at);
        }
}

static void on_readable(struct loop_source *source, uint32_t events, void *data)
{
        struct machined *m = data;
        char bytes[4096];
        ssize_t n = recv(m->fd, bytes, sizeof(bytes), MSG_DONTWAIT);

        (void)source;
        (void)events;
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
                return;
        if (n <= 0) {
                finish(m, n < 0 ? strerror(errno) : "D-Bus has hung up");
                return;
        }
        text_add_bytes(&m->in, bytes, (size_t)n);
        if (m->in.length > 2 * BUS_MESSAGE_MAX)
                finish(m, "D-Bus says too much");
        else
                hear(m);
}

static void on_late(void *data)
{
        struct machined *m = data;

        m->deadline = NULL;
        finish(m, "no answer");
}

static void begin(struct machined *m);
static void on_again(void *data)
{
        struct machined *m = data;

        m->again = NULL;
        begin(m);
}

/* All at once: who we are, that we are there, and what this is about. */
static void begin(struct machined *m)
{
        static const struct bus_target hello = { .destination = "org.freedesktop.DBus",
                                                 .path = "/org/freedesktop/DBus",
                                                 .interface = "org.freedesktop.DBus",
                                                 .member = "Hello" };
        const struct sockaddr_un address = { .sun_family = AF_UNIX, .sun_path = BUS_SOCKET };
        _cleanup_text_ struct text out = TEXT_INIT;

        m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        /* waits: not at all, EAGAIN for a queue that is full */
        if (m->fd < 0 || connect(m->fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
                /* Many come at once. */
                if (errno == EAGAIN) {
                        fd_close(&m->fd);
                        m->again = loop_add_deadline(m->loop, BUSY_MS, on_again, m);
                        return;
                }
                /* No bus, so nobody on it. */
                finish(m, errno == ENOENT || errno == ECONNREFUSED ? NULL : strerror(errno));
                return;
        }
        bus_authenticate(&out, (unsigned)geteuid());
        bus_add_call(&out, HELLO, false, &hello, NULL);
        add_registration(m, &out);
        m->heard = loop_add_fd(m->loop, m->fd, EPOLLIN, on_readable, m);
        tell(m, &out);
        crash_point(CRASH_MACHINED_ASKED);
}

/* What is done is done by machined_begin(), which waits for nobody; this is the note of it. */
int machined_carry_out(struct effect_run *run, const json_t *args, struct error **err)
{
        (void)run, (void)args, (void)err;
        return 0;
}

int machined_undo(struct effect_undo *undo, const json_t *args, const json_t *learned, struct error **err)
{
        const char *name = json_member_string(args, "name");
        _cleanup_free_ char *qemu = json_dumps(json_object_get(args, "leader"), JSON_ENCODE_ANY),
                            *escaped = NULL, *path = NULL, *leader = NULL;
        struct bus_call call = { .destination = NAME, .interface = NAME ".Machine" };
        _cleanup_argv_ struct argv words = ARGV_INIT;
        _cleanup_error_ struct error *not_there = NULL;

        (void)undo, (void)learned;
        if (!name || !qemu)
                return error_set(err, ERROR_FAILED, "no machine");
        escaped = bus_path_escape(name);
        path = xasprintf(AT "/machine/%s", escaped);
        call.path = path;
        /* Its name may be somebody else's machine. */
        leader = bus_get(&call, "Leader", FORGET_MS, &not_there);
        if (!leader || strcmp(leader, qemu) != 0)
                return 0;
        argv_add(&words, name);
        call = (struct bus_call){ .destination = NAME,
                                  .path = AT,
                                  .interface = NAME ".Manager",
                                  .member = "UnregisterMachine",
                                  .signature = "s",
                                  .words = &words };
        return bus_call(&call, FORGET_MS, NULL, &not_there) == 0;
}

static struct machined *begin_later(struct loop *loop, const json_t *args, bool resumed)
{
        struct machined *m = xcalloc(1, sizeof(*m));

        *m = (struct machined){
                .loop = loop, .args = json_incref((json_t *)args), .resumed = resumed, .fd = -1
        };
        m->deadline = loop_add_deadline(loop, BUS_MS, on_late, m);
        m->again = loop_add_deadline(loop, LATER_MS, on_again, m);
        return m;
}

struct machined *machined_begin(struct loop *loop, struct execution *execution,
                                const struct launch_plan *plan, pid_t qemu)
{
        _cleanup_error_ struct error *err = NULL;
        json_auto_t *args = NULL;
        size_t step = 0;

        while (step < plan->n_steps && plan->steps[step].effect != EFFECT_MACHINED)
                step++;
        if (step == plan->n_steps)
                return NULL;
        args = json_copy(plan->steps[step].args);
        json_object_set_new(args, "leader", json_integer(qemu));
        if (execution_do_late(execution, step, args, &err) < 0) {
                log_warning("%s: %s", plan->name, err->message);
                return NULL;
        }
        return begin_later(loop, args, false);
}

struct machined *machined_resume(struct loop *loop, const json_t *args)
{
        return begin_later(loop, args, true);
}

void machined_free(struct machined *m)
{
        if (!m)
                return;
        finish(m, NULL);
        json_decref(m->args);
        free(m);
}
